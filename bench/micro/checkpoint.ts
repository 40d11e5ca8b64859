/**
 *   node --import ./scripts/typescript.js bench/micro/checkpoint.ts [--keys 10000000] [--share 0.01] [--json]
 *
 * Checkpoints of a large state: a running aggregate over `keys` keys, of which a share changes in each
 * interval. Prints the bytes of the state, the bytes that are written per interval as a multiple of the bytes
 * of the groups that changed, the time of epochs with and without checkpoints, and how long a restart takes
 * until its state is there.
 */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from '../../runtime/job/run.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '10000000' },
    share: { type: 'string', default: '0.01' },
    intervals: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const keys = Number(values.keys);
const changed = Math.round(keys * Number(values.share));
const intervals = Number(values.intervals);
const module = new URL('../jobs/many-keys.ts', import.meta.url);
const scratch = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** Bytes of the state log that were ever seen in the folder. Segments only grow, until they go. */
class LogBytes {
  readonly #dir: string | undefined;
  readonly #sizes = new Map<string, number>();

  constructor(dir: string | undefined) {
    this.#dir = dir;
    this.look();
    this.before = this.#total;
  }

  readonly before: number;

  get #total(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  get written(): number {
    return this.#total - this.before;
  }

  look(): void {
    if (this.#dir === undefined) return;
    for (const name of readdirSync(this.#dir)) {
      if (!name.endsWith('.redo')) continue;
      const size = statSync(join(this.#dir, name), { throwIfNoEntry: false })?.size ?? 0;
      this.#sizes.set(name, Math.max(size, this.#sizes.get(name) ?? 0));
    }
  }
}

const bytesIn = (dir: string): number => readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

interface Run {
  readonly stateBytes: number;
  /** ms from the end of an epoch's rows to when it was merged and written, for epochs with all keys there. */
  readonly epochsMs: readonly number[];
  /** Of the state log, per epoch. */
  readonly writtenBytes: number;
  /** s until the first epoch was over. */
  readonly readySeconds: number;
}

async function measured(dir: string | undefined, first: number, rows: number): Promise<Run> {
  const startMs = performance.now();
  const logBytes = new LogBytes(dir);
  const job = await run(module, {
    workers: 2,
    trigger: '50ms',
    memory: 4 * 1024 ** 3 - 65_536 * 2,
    epochBytes: changed * 16,
    ...(dir === undefined ? {} : { checkpoint: { dir, interval: '50ms' } }),
    params: { keys, first, rows },
  });
  const epochs = new Map<number, number>();
  let readySeconds = Number.NaN;
  let stateBytes = 0;
  const timer = setInterval(() => {
    const { lastEpoch, stateBytes: bytes } = job.progress();
    stateBytes = Math.max(stateBytes, bytes);
    logBytes.look();
    if (lastEpoch === undefined) return;
    if (Number.isNaN(readySeconds)) readySeconds = (performance.now() - startMs) / 1_000;
    epochs.set(lastEpoch.epoch, lastEpoch.scanMs);
  }, 5);
  await job.done;
  clearInterval(timer);
  logBytes.look();
  return { stateBytes, epochsMs: [...epochs.values()].slice(-intervals), writtenBytes: logBytes.written / epochs.size, readySeconds };
}

const plain = await measured(undefined, 0, keys + intervals * changed);
const dir = join(scratch, 'state');
mkdirSync(dir);
await measured(dir, 0, keys);
const more = await measured(dir, keys, intervals * changed);
const result = {
  keys,
  changedPerInterval: changed,
  stateBytes: plain.stateBytes,
  diskBytes: bytesIn(dir),
  epochMs: {
    without: { median: median(plain.epochsMs), max: Math.max(...plain.epochsMs) },
    with: { median: median(more.epochsMs), max: Math.max(...more.epochsMs) },
  },
  restartSeconds: more.readySeconds,
  /** Per epoch; the state has so many bytes for each group. */
  writtenBytes: Math.round(more.writtenBytes),
  bytesPerGroup: Math.round(plain.stateBytes / keys),
  writtenPerChangedByte: more.writtenBytes / ((plain.stateBytes / keys) * changed),
  writtenPerChangedGroup: Math.round(more.writtenBytes / changed),
};
if (values.json) console.log(JSON.stringify(result));
else console.table(result);
