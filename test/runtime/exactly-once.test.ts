/**
 * Exactly once, over kill -9: a job in a process of its own is killed at random times, again and again, while rows come in. Every kind of
 * state has an output, and each output has exactly the rows that a plain model of the input gives: none lost, none twice.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run, seededRng } from '../../runtime/index.ts';
import { openStage, until } from '../io/kafka-fixture.ts';
import { effortCount, seedOf } from '../seed.ts';
import { startCli } from './cli-process.ts';
import { OUTPUTS, type Params, results } from './pipelines/exact.ts';
import { writeTopic } from './topics.ts';

const module = new URL('./pipelines/exact.ts', import.meta.url);
const KILLS = effortCount(4);
const PARTITIONS = 3;

interface Row {
  readonly id: number;
  readonly key: string;
  readonly n: number;
  readonly at: number;
}
type Out = Readonly<Record<string, number | string>>;

/** The only right output. Event time moves on with the rows, and none is late. */
function model(rows: readonly Row[]): Record<(typeof OUTPUTS)[number], (out: readonly Out[]) => void> {
  const keys = [...new Set(rows.map(({ key }) => key))];
  const of = (key: string) => rows.filter((row) => row.key === key);
  const total = (some: readonly Row[]) => some.reduce((sum, { n }) => sum + n, 0);
  const same = (out: readonly object[], expected: readonly object[], what: string) => {
    const text = (row: object) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
    assert.deepEqual(out.map(text).sort(), expected.map(text).sort(), what);
  };
  const windows = (some: readonly Row[], size: number, slide: number) => {
    const found = new Map<number, Row[]>();
    for (const row of some) {
      for (let start = Math.floor(row.at / slide) * slide; start > row.at - size; start -= slide) found.set(start, [...(found.get(start) ?? []), row]);
    }
    return [...found].map(([start, inside]) => ({ windowStart: start, windowEnd: start + size, rows: inside.length, n: total(inside) }));
  };
  const sliding = keys.flatMap((key) => windows(of(key), 400, 200).map((window) => ({ key, ...window })));
  return {
    copy: (out) =>
      same(
        out,
        rows.map(({ id, n }) => ({ id, twice: 2 * n })),
        'copy',
      ),
    windows: (out) => same(out, sliding, 'windows'),
    totals(out) {
      const found = new Map<number, { windows: number; n: number }>();
      for (const { windowEnd, n } of sliding) {
        // A result happened at the last moment of its window.
        const start = Math.floor((windowEnd - 1) / 800) * 800;
        const known = found.get(start) ?? { windows: 0, n: 0 };
        found.set(start, { windows: known.windows + 1, n: known.n + n });
      }
      same(
        out,
        [...found].map(([start, sums]) => ({ windowStart: start, windowEnd: start + 800, ...sums })),
        'totals',
      );
    },
    counts(out) {
      for (const key of keys) {
        const updates = out.filter((row) => row['key'] === key);
        const counts = updates.map((row) => row['rows'] as number).sort((a, b) => a - b);
        assert.equal(new Set(counts).size, counts.length, `an update of ${key} came twice`);
        assert.equal(counts.at(-1), of(key).length, `rows of ${key}`);
        assert.equal(updates.find((row) => row['rows'] === counts.at(-1))?.['n'], total(of(key)), `sum of ${key}`);
      }
    },
    sessions(out) {
      assert.equal(
        out.reduce((sum, row) => sum + (row['rows'] as number), 0),
        rows.length,
        'rows in sessions',
      );
      assert.equal(new Set(out.map((row) => `${row['key']} ${row['windowStart']}`)).size, out.length, 'a session came twice');
    },
    numbers(out) {
      for (const key of keys) {
        const numbers = out.filter((row) => row['key'] === key).map((row) => row['number'] as number);
        assert.deepEqual(
          numbers.sort((a, b) => a - b),
          of(key).map((_, i) => i + 1),
          `numbers of ${key}`,
        );
      }
      assert.equal(new Set(out.map((row) => row['id'])).size, rows.length, 'ids');
    },
  };
}

async function output(params: Params, read: string): Promise<Out[]> {
  const job = await run(module, { workers: 1, trigger: 'availableNow', params: { ...params, read } });
  await job.done;
  return results.rows.map((row) => JSON.parse((row as { value: string }).value) as Out);
}

const manifests = async (dir: string) => (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.manifest')).sort();

async function killed(t: TestContext, seed: number, state: string, params: Params, write: (rows: readonly Row[]) => Promise<void>): Promise<void> {
  const rng = seededRng(seed);
  const rows: Row[] = [];
  let isDone = false;
  const writing = (async () => {
    while (!isDone) {
      const made = Array.from({ length: 60 }, (): Row => {
        const id = rows.length;
        rng.seek(1_000 + id);
        const row = { id, key: `k${rng.int(5)}`, n: rng.int(100), at: 1_000 + id * 2 + rng.int(20) };
        rows.push(row);
        return row;
      });
      await write(made);
      await sleep(15);
    }
  })();
  const flags = Object.entries(params).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const args = ['run', fileURLToPath(module), '--workers', '2', '--trigger', '20ms', '--checkpoint', state, '--checkpoint-interval', '60ms'];
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = (await manifests(state)).at(-1);
      const job = startCli([...args, '--guarantee', 'exactly-once', ...flags]);
      t.after(() => job.child.kill('SIGKILL'));
      // From when checkpoints are made, at any time.
      while (job.child.exitCode === null && (await manifests(state)).at(-1) === before) await sleep(5);
      rng.seek(kill);
      await sleep(rng.int(700));
      job.child.kill('SIGKILL');
      const { signal, stderr } = await job.ended;
      assert.equal(signal, 'SIGKILL', stderr);
    }
  } finally {
    isDone = true;
    await writing;
  }
  // What closes all windows, of no key that counts.
  const job = await run(module, {
    workers: 3,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    guarantee: 'exactly-once',
    checkpoint: { dir: state, interval: 60 },
    params: { ...params },
  });
  await job.done;
  t.diagnostic(`seed ${seed}: ${rows.length} rows, ${KILLS} kills, ${job.progress().epoch} epochs`);
  const check = model(rows);
  for (const name of OUTPUTS) check[name](await output(params, name));
}

test('embedded log to embedded log', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeTopic(dir, 'exact-in', PARTITIONS, []);
  let epoch = 0;
  await killed(t, seedOf(5), join(dir, 'state'), { dir }, (rows) =>
    writeTopic(
      dir,
      'exact-in',
      PARTITIONS,
      rows.map((row) => JSON.stringify(row)),
      epoch++,
    ),
  );
});

test('Kafka to Kafka', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const name = `exact-${process.pid}-${Date.now()}`;
  await stage.admin.createTopics({ topics: [{ topic: `${name}-in`, numPartitions: PARTITIONS }], waitForLeaders: false });
  await until('the topic', async () => (await stage.admin.fetchTopicOffsets(`${name}-in`).catch(() => [])).length === PARTITIONS);
  await killed(t, seedOf(6), join(dir, 'state'), { dir, brokers: stage.brokers[0] as string, name }, async (rows) => {
    await stage.producer.send({
      topic: `${name}-in`,
      messages: rows.map((row) => ({ value: JSON.stringify(row), partition: Math.floor(row.id / 60) % PARTITIONS })),
    });
  });
});
