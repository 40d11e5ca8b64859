/** `millrace checkpoint`: what is in a directory of checkpoints, and the state in them as lines. */

import { describeInspection, inspectCheckpoints } from '../checkpoint/index.ts';
import { explain } from '../job/index.ts';
import { exportState, stateLine } from '../state-export/index.ts';
import { type Command, params, parse, UsageError } from './arguments.ts';

const HELP = `  millrace checkpoint inspect <dir>   what is in a checkpoint directory, and whether it is whole; a job may be running there
      --json                  as one JSON object
  millrace checkpoint export <dir>   the rows of its newest state, as JSON lines; a job may be running there
      --pipeline <module>     the pipeline that wrote it: rows behind the last full copy of the state go through its functions
      --param <key=value>     handed to the module's default export; may be repeated
      --operator <name>       only of this one, as "aggregate 1"
`;

/** Fails where something is damaged, or there is no checkpoint. */
async function checkpointCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    json: { type: 'boolean' },
    pipeline: { type: 'string' },
    param: { type: 'string', multiple: true },
    operator: { type: 'string' },
  });
  const [action, dir, ...more] = positionals;
  if (action !== 'inspect' && action !== 'export')
    throw new UsageError(action === undefined ? 'checkpoint inspect or export, and a directory' : `checkpoint has no ${JSON.stringify(action)}`);
  if (dir === undefined || more.length > 0) throw new UsageError(`give one directory, not ${positionals.length - 1}`);
  if (action === 'export') {
    const { pipeline, param, operator } = values as { readonly pipeline?: string; readonly param?: string[]; readonly operator?: string };
    return exportCommand(dir, pipeline, params(param), operator);
  }
  for (const name of ['pipeline', 'param', 'operator']) if (values[name] !== undefined) throw new UsageError(`--${name} goes with checkpoint export`);
  const found = await inspectCheckpoints(dir, { segments: true });
  console.log(values.json === true ? JSON.stringify(found, infiniteAsText) : describeInspection(found, Date.now()));
  return found.damaged.length === 0 && found.checkpoints.length > 0 ? 0 : 1;
}

const LINES_BYTES = 1 << 16;

/** State to stdout; what is damaged, or not shown, to stderr. */
async function exportCommand(dir: string, module: string | undefined, of: Record<string, string>, operator: string | undefined): Promise<number> {
  if (module === undefined) {
    throw new UsageError(
      'checkpoint export needs --pipeline <module>: a checkpoint is a copy of each shard and the rows that came behind it, which go through the functions of the pipeline',
    );
  }
  const found = await exportState(dir, await explain(module, of), operator);
  try {
    for (const note of found.notes) console.error(`millrace: ${note}`);
    let lines = '';
    for (const { operator: name, row } of found.rows) {
      lines += `${stateLine(name, row)}\n`;
      if (lines.length < LINES_BYTES) continue;
      if (!(await written(lines))) return 0;
      lines = '';
    }
    await written(lines);
  } finally {
    found.close();
  }
  return 0;
}

/** @returns false: the reader of stdout is gone */
function written(text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) resolve(true);
      else if ((error as NodeJS.ErrnoException).code === 'EPIPE') resolve(false);
      else reject(error);
    });
  });
}

/** JSON has no infinite numbers. */
function infiniteAsText(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

export const CHECKPOINT: Command = { help: HELP, run: checkpointCommand };
