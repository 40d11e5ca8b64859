// Runs the pipeline of the golden checkpoints. Not a test.

import { type AnyRow, type RunOptions, run } from '../../runtime/index.ts';
import * as everyState from './every-state.ts';
import * as tables from './tables.ts';

/** Beside the files of the checkpoint. */
export const EXPECTED = 'expected.json.gz';

export type Outputs = Readonly<Record<string, readonly string[]>>;

/** Which pipeline a golden checkpoint is of, by its name. */
const pipelineOf = (name: string) =>
  name.startsWith('tables-')
    ? { module: './tables.ts', names: tables.OUTPUTS, results: tables.results }
    : { module: './every-state.ts', names: everyState.OUTPUTS, results: everyState.results };

/** Reads what is there, from the checkpoint `name` in `dir`. One epoch of all that is new, with everything that is open in the end. */
export async function outputs(name: string, dir: string, options: RunOptions): Promise<Outputs> {
  const { module, names, results } = pipelineOf(name);
  const job = await run(new URL(module, import.meta.url), {
    workers: 2,
    bounded: true,
    checkpoint: { dir: `${dir}/state`, interval: 1 },
    ...options,
    params: { dir },
  });
  await job.done;
  const text = (row: AnyRow) => JSON.stringify(Object.entries(row));
  return Object.fromEntries(
    names.map((output) => [output, ((results as ReadonlyMap<string, { readonly rows: readonly AnyRow[] }>).get(output)?.rows ?? []).map(text).sort()]),
  );
}
