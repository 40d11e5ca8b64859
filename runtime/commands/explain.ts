/** `millrace explain`: the plan of a module. */

import { explain } from '../job/index.ts';
import { describePlan, mermaidPlan } from '../plan/index.ts';
import { explainTask } from '../tasks/index.ts';
import { type Command, oneModule, params, parse, wholeNumber } from './arguments.ts';

const HELP = `  millrace explain <module>   print the plan
      --mermaid               as a Mermaid flowchart
      --tasks <n>             of a task, where so many share the job: what goes between them
      --param <key=value>     handed to the module's default export; may be repeated
`;

async function explainCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { mermaid: { type: 'boolean' }, tasks: { type: 'string' }, param: { type: 'string', multiple: true } });
  const of = params(values.param as string[] | undefined);
  const plan =
    values.tasks === undefined
      ? await explain(oneModule(positionals), of)
      : await explainTask(oneModule(positionals), of, wholeNumber('tasks', values.tasks as string));
  console.log(values.mermaid === true ? mermaidPlan(plan) : describePlan(plan));
  return 0;
}

export const EXPLAIN: Command = { help: HELP, run: explainCommand };
