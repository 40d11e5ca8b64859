/**
 * Restarts with a journal: jobs in processes of their own, ended by SIGKILL at random times. Windows that depend on the clock, or
 * on a partition's silence, come out again with the same rows in them, or not at all.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type AnyRow, type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { effortCount } from '../seed.ts';
import { type CliProcess, startCli } from './cli-process.ts';
import { results } from './pipelines/repeated.ts';
import { writeTopic } from './topics.ts';

const module = new URL('./pipelines/repeated.ts', import.meta.url);
const KILLS = effortCount(3);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

interface Row {
  readonly id: number;
  readonly key: string;
  readonly x: number;
  readonly at: number;
}

/** What came out at the log, in order, over all runs so far. */
async function output(dir: string): Promise<readonly AnyRow[]> {
  const job = await run(module, { workers: 1, trigger: 'availableNow', params: { dir, what: 'read' } });
  await job.done;
  return [...results.rows];
}

/** What stands in the files, all together. */
async function fileRows(dir: string): Promise<Row[]> {
  const names = (await readdir(join(dir, 'rows'))).filter((name) => !name.startsWith('.'));
  const texts = await Promise.all(names.map((name) => readFile(join(dir, 'rows', name), 'utf8')));
  return texts.flatMap((text) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Row),
  );
}

/** The windows, each once: those that came out several times must have come out the same. Tells how many did. */
function distinct(rows: readonly AnyRow[]): { readonly windows: Map<string, AnyRow>; readonly again: number } {
  const windows = new Map<string, AnyRow>();
  let again = 0;
  for (const row of rows) {
    const name = `${row['key']} ${row['windowStart']} ${row['windowEnd']}`;
    const known = windows.get(name);
    if (known !== undefined) {
      assert.deepEqual(row, known, `${name} came out with other rows`);
      again++;
    }
    windows.set(name, row);
  }
  return { windows, again };
}

const idsOf = (row: AnyRow) => JSON.parse(row['ids'] as string) as number[];
const sizeOf = (row: AnyRow) => (row['windowEnd'] as number) - (row['windowStart'] as number);

/**
 * Runs the job again and again, and kills it, while `write` brings it rows; then once to the end.
 *
 * @param leastMs for how long each run is left alone, from its first results on
 */
async function killed(t: TestContext, dir: string, what: string, seed: number, write: (turn: number) => Promise<void>, leastMs = 0): Promise<void> {
  const rng = seededRng(seed);
  let isDone = false;
  let turn = 0;
  const writing = (async () => {
    while (!isDone) {
      await write(turn++);
      await sleep(10);
    }
  })();
  const args = [
    'run',
    fileURLToPath(module),
    '--workers',
    '2',
    '--trigger',
    '5ms',
    '--checkpoint',
    join(dir, 'state'),
    '--checkpoint-interval',
    '5m',
    '--param',
    `dir=${dir}`,
  ];
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const job: CliProcess = startCli([...args, '--param', `what=${what}`]);
      t.after(() => job.child.kill('SIGKILL'));
      const before = await sizeOfFile(join(dir, 'out', 'partition-0', `${'0'.repeat(20)}.log`));
      // From when results come on, that is when there is something to lose.
      while (job.child.exitCode === null && (await sizeOfFile(join(dir, 'out', 'partition-0', `${'0'.repeat(20)}.log`))) <= before) await sleep(5);
      rng.seek(kill);
      await sleep(leastMs + rng.int(1_200));
      job.child.kill('SIGKILL');
      const { signal, stderr } = await job.ended;
      assert.equal(signal, 'SIGKILL', stderr);
    }
  } finally {
    isDone = true;
    await writing;
  }
}

async function sizeOfFile(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function finish(dir: string, what: string, options: RunOptions = {}) {
  const job = await run(module, {
    workers: 2,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    checkpoint: { dir: join(dir, 'state') },
    ...options,
    params: { dir, what },
  });
  await job.done;
  return job.progress();
}

const lines = (rows: readonly Row[]) => rows.map((row) => JSON.stringify(row));

test('windows of processing time, over kills at any time: every row in one window of each size, and each window always the same', async (t) => {
  const dir = await folder(t);
  const rng = seededRng(5);
  let written = 0;
  await writeTopic(dir, 'in', 3, []);
  await killed(t, dir, 'processing', 7, async () => {
    const rows = Array.from({ length: 120 }, (_, n): Row => {
      rng.seek(written + n);
      return { id: written + n, key: `k${rng.int(3)}`, x: rng.int(1_000) / 7, at: 0 };
    });
    await writeTopic(dir, 'in', 3, lines(rows), written);
    written += rows.length;
  });
  const progress = await finish(dir, 'processing');
  assert.deepEqual(
    Object.entries(progress.ledger).filter(([reason, count]) => count > 0 && reason !== 'replayed'),
    [],
  );
  const { windows, again } = distinct(await output(dir));
  for (const sizeMs of [40, 900]) {
    const ids = [...windows.values()].filter((row) => sizeOf(row) === sizeMs).flatMap(idsOf);
    assert.deepEqual(
      ids.sort((a, b) => a - b),
      Array.from({ length: written }, (_, id) => id),
      `windows of ${sizeMs} ms`,
    );
  }
  // A sink that replaces by epoch has every row once: epochs that had been written are not written again, others are replaced.
  assert.deepEqual(
    (await fileRows(dir)).map((row) => row.id).sort((a, b) => a - b),
    Array.from({ length: written }, (_, id) => id),
  );
  t.diagnostic(`${written} rows, ${windows.size} windows, ${again} of them again`);
  assert.ok(again > 0, 'no window came out twice: nothing was tried');
});

test('windows that closed because a partition was silent come out again without the rows that came too late for them', async (t) => {
  const dir = await folder(t);
  let id = 0;
  let written = 0;
  const startMs = Date.now();
  let spokeMs = startMs;
  await writeTopic(dir, 'in', 2, []);
  const atOf = new Map<number, number>();
  await killed(
    t,
    dir,
    'idle',
    8,
    async (turn) => {
      const at = Date.now() - startMs;
      const row = (behindMs: number): Row => {
        atOf.set(id, at - behindMs);
        return { id, key: `k${id % 2}`, x: id++ / 7, at: at - behindMs };
      };
      // Runs of 100: the first goes to partition 0, which talks all the time; the second to partition 1, of long ago, now and then:
      // after three times the idle time, however fast the turns are.
      const talk = Array.from({ length: 100 }, (_, n) => row(n % 20));
      const isOver = Date.now() - spokeMs > 450;
      if (isOver) spokeMs = Date.now();
      const silent = isOver ? Array.from({ length: 100 }, (_, n) => row(n * 5)) : [];
      await writeTopic(dir, 'in', 2, lines([...talk, ...silent]), turn);
      written = id;
    },
    1_500,
  );
  await finish(dir, 'idle');
  const { windows, again } = distinct(await output(dir));
  const seen = new Set<number>();
  for (const row of windows.values()) {
    for (const one of idsOf(row)) {
      const at = atOf.get(one) as number;
      assert.ok(at >= (row['windowStart'] as number) && at < (row['windowEnd'] as number), `row ${one} of ${at} in ${JSON.stringify(row)}`);
      if (sizeOf(row) !== 40) continue;
      assert.ok(!seen.has(one), `row ${one} in two windows`);
      seen.add(one);
    }
  }
  t.diagnostic(`${written} rows, ${written - seen.size} too late, ${windows.size} windows, ${again} of them again`);
  assert.ok(again > 0, 'no window came out twice: nothing was tried');
  assert.ok(seen.size < written, 'nothing was late: silence had no effect');
});
