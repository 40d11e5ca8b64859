// Runs the pipeline of the golden checkpoints. Not a test.

import { type AnyRow, type RunOptions, run } from '../../runtime/index.ts';
import { OUTPUTS, results } from './every-state.ts';

/** Beside the files of the checkpoint. */
export const EXPECTED = 'expected.json.gz';

export type Outputs = Readonly<Record<string, readonly string[]>>;

/** Reads what is there, from the checkpoint in `dir`. One epoch of all that is new, with everything that is open in the end. */
export async function outputs(dir: string, options: RunOptions): Promise<Outputs> {
  const job = await run(new URL('./every-state.ts', import.meta.url), {
    workers: 2,
    bounded: true,
    checkpoint: { dir: `${dir}/state`, interval: 1 },
    ...options,
    params: { dir },
  });
  await job.done;
  const text = (row: AnyRow) => JSON.stringify(Object.entries(row));
  return Object.fromEntries(OUTPUTS.map((name) => [name, (results.get(name)?.rows ?? []).map(text).sort()]));
}
