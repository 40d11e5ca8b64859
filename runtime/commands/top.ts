/** `millrace top`: a running job in the terminal. */

import { type Duration, durationMs } from '../../core/index.ts';
import { top } from '../terminal/index.ts';
import { type Command, parse, UsageError } from './arguments.ts';

const HELP = `  millrace top <url>          a running job in the terminal; <url> is what it serves with --metrics or --dashboard
      --interval <time>       how often (default 2s)
      --once                  one screen, with the rates of one interval
`;

async function topCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { interval: { type: 'string' }, once: { type: 'boolean' } });
  if (positionals.length !== 1) throw new UsageError(`give one URL, not ${positionals.length}`);
  await top(positionals[0] as string, { intervalMs: durationMs((values.interval ?? '2s') as Duration, '--interval', 100), once: values.once === true });
  return 0;
}

export const TOP: Command = { help: HELP, run: topCommand };
