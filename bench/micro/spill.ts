/**
 *   node --import ./scripts/typescript.js bench/micro/spill.ts [--keys 1000000] [--rows 8000000] [--trigger 1s]
 *
 * State of four times what memory has room for (`memory: { atLimit: 'spill' }`), a running aggregate over `keys`
 * keys: rows per second once all keys are there, against the same job with memory for all of it. `uniform`: each
 * epoch has rows for every shard, so that three of four are read and written in it. `cold`: rows are of 8 keys,
 * and the shards of the others stay on disk.
 */

import { parseArgs } from 'node:util';
import type { Duration } from '../../runtime/index.ts';
import { run } from '../../runtime/job/run.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    rows: { type: 'string', default: '8000000' },
    trigger: { type: 'string', default: '1s' },
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
  },
});
const keys = Number(values.keys);
const rows = Number(values.rows);
const IN_MEMORY = 2 * 1024 ** 3;
const EPOCH_BYTES = 1 << 20;
/** The limit of which this much is for state (job/execution.ts). */
const limitFor = (state: number): number => Math.round((state / 0.6 + (6 << 20) + 6 * EPOCH_BYTES) / 0.75);

async function measured(again: number, memory: number, atLimit: 'fail' | 'spill') {
  const job = await run(new URL('../jobs/spilled-keys.ts', import.meta.url), {
    workers: Number(values.workers),
    trigger: values.trigger as Duration,
    memory: { limit: memory, atLimit },
    epochBytes: EPOCH_BYTES,
    params: { keys, again, rows },
  });
  let stateBytes = 0;
  let spilledBytes = 0;
  let start: { readonly ms: number; readonly rows: number } | undefined;
  const timer = setInterval(() => {
    const progress = job.progress();
    stateBytes = Math.max(stateBytes, progress.stateBytes);
    spilledBytes = Math.max(spilledBytes, progress.spilledBytes);
    if (start === undefined && progress.rowsIn >= keys) start = { ms: performance.now(), rows: progress.rowsIn };
  }, 5);
  await job.done;
  clearInterval(timer);
  const { ms, rows: before } = start as NonNullable<typeof start>;
  return { rowsPerSecond: ((keys + rows - before) * 1_000) / (performance.now() - ms), stateBytes, spilledBytes };
}

const inMiB = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

const { stateBytes } = await measured(keys, IN_MEMORY, 'fail');
const limit = limitFor(stateBytes / 4);
console.log(`state ${inMiB(stateBytes)}, of which ${inMiB(stateBytes / 4)} may be in memory (a limit of ${inMiB(limit)})`);
for (const [name, again] of [
  ['uniform', keys],
  ['cold', 8],
] as const) {
  const speeds: number[] = [];
  const ratios: number[] = [];
  let spilled = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    const plain = await measured(again, IN_MEMORY, 'fail');
    const { rowsPerSecond, spilledBytes } = await measured(again, limit, 'spill');
    speeds.push(rowsPerSecond);
    ratios.push(rowsPerSecond / plain.rowsPerSecond);
    spilled = Math.max(spilled, spilledBytes);
  }
  const share = (ratio: number): string => ratio.toFixed(2);
  console.log(
    `${name.padEnd(8)} ${(median(speeds) / 1e6).toFixed(2)} M rows/s, ${share(median(ratios))} of in memory (${share(Math.min(...ratios))} to ${share(Math.max(...ratios))}), at most ${inMiB(spilled)} on disk`,
  );
}
