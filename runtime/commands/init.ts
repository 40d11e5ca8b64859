/** `millrace init`: a new project. */

import { initProject } from '../init/index.ts';
import { type Command, parse, UsageError } from './arguments.ts';

const HELP = `  millrace init [dir]         a new project: a pipeline on the embedded log, a test, a Dockerfile, a compose file with Kafka
                              (default: this folder). Nothing is overwritten
`;

async function initCommand(args: string[]): Promise<number> {
  const { positionals } = parse(args, {});
  if (positionals.length > 1) throw new UsageError(`give one folder, not ${positionals.length}`);
  const [dir = '.'] = positionals;
  const { dir: root, files, needsInstall } = await initProject(dir);
  const steps = [...(root === process.cwd() ? [] : [`cd ${JSON.stringify(dir)}`]), ...(needsInstall ? ['npm install'] : []), 'npm test', 'npm start'];
  console.log(`${files.length} files in ${root}:\n${files.map((file) => `  ${file}\n`).join('')}\nNext:\n${steps.map((step) => `  ${step}\n`).join('')}
src/clicks.ts is the pipeline. The live page is at http://127.0.0.1:4000/ once npm start runs.`);
  return 0;
}

export const INIT: Command = { help: HELP, run: initCommand };
