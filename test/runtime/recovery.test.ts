/** Restarts: positions are committed only for what no open window holds, so that every window comes out whole, at least once. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyRow, type Job, type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { results } from './pipelines/clicks.ts';
import { writeTopic } from './topics.ts';

const job = new URL('./pipelines/clicks.ts', import.meta.url);
const SIZE_MS = 10_000;

interface Click {
  readonly page: string;
  readonly ms: number;
  readonly at: number;
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function clicks(from: number, to: number): Click[] {
  const rng = seededRng(3);
  return Array.from({ length: to - from }, (_, n) => {
    rng.seek(from + n);
    return { page: `/p${rng.int(5)}`, ms: rng.int(800) / 8, at: (from + n) * 20 - rng.int(900) };
  });
}

/** Every window's rows, by a loop. */
function model(rows: readonly Click[], slideMs: number): Map<string, string> {
  const sums = new Map<string, { clicks: number; sumMs: number }>();
  for (const { page, ms, at } of rows) {
    for (let start = Math.floor(at / slideMs) * slideMs; start > at - SIZE_MS; start -= slideMs) {
      const of = sums.get(`${page} ${start}`) ?? { clicks: 0, sumMs: 0 };
      of.clicks++;
      of.sumMs += ms;
      sums.set(`${page} ${start}`, of);
    }
  }
  return new Map([...sums].map(([key, { clicks: n, sumMs }]) => [key, `${n} ${sumMs / n}`]));
}

const keyOf = (row: AnyRow) => `${row['page']} ${row['windowStart']}`;
const valueOf = (row: AnyRow) => `${row['clicks']} ${row['meanMs']}`;
const values = (rows: readonly Click[]) => rows.map((row) => JSON.stringify(row));

async function drain(dir: string, params: Record<string, unknown>, options: RunOptions = {}): Promise<readonly AnyRow[]> {
  const running = await run(job, {
    workers: 2,
    trigger: 20,
    bounded: true,
    drain: 'emit',
    epochBytes: '32KiB',
    ...options,
    params: { dir, group: 'g', ...params },
  });
  await running.done;
  assert.deepEqual(
    Object.entries(running.progress().ledger).filter(([reason, count]) => count > 0 && reason !== 'replayed'),
    [],
  );
  return [...results.rows];
}

for (const slide of [SIZE_MS, 2_500]) {
  test(`a job that drains, and drains again when there is more, has every window whole at last (slide ${slide})`, async (t) => {
    const dir = await folder(t);
    const seen = new Map<string, string>();
    for (let part = 0; part < 3; part++) {
      await writeTopic(dir, 'in', 3, values(clicks(part * 3_000, (part + 1) * 3_000)), part);
      for (const row of await drain(dir, { slide }, { workers: slide === SIZE_MS ? 1 : 2 })) seen.set(keyOf(row), valueOf(row));
    }
    assert.deepEqual(seen, model(clicks(0, 9_000), slide));
    // Nothing new: only what was open at the end comes again.
    const again = await drain(dir, { slide });
    assert.ok(again.length > 0 && again.length < seen.size / 4, `${again.length} of ${seen.size} results again`);
    for (const row of again) assert.equal(valueOf(row), seen.get(keyOf(row)));
  });
}

test('a run of what is there holds open windows back: each comes out once, whole, over many runs', async (t) => {
  const slide = 2_500;
  const dir = await folder(t);
  const whole = model(clicks(0, 9_000), slide);
  const seen = new Map<string, string>();
  const take = (rows: readonly AnyRow[]) => {
    for (const row of rows) {
      assert.ok(!seen.has(keyOf(row)), `${keyOf(row)} came out twice`);
      assert.equal(valueOf(row), whole.get(keyOf(row)), keyOf(row));
      seen.set(keyOf(row), valueOf(row));
    }
  };
  const part = 3_000;
  let before = 0;
  for (let from = 0; from < 9_000; from += part) {
    await writeTopic(dir, 'in', 3, values(clicks(from, from + part)), from);
    const running = await run(job, { workers: 2, trigger: 'availableNow', epochBytes: '32KiB', params: { dir, group: 'g', slide } });
    const { rowsIn } = await running.done;
    assert.equal(running.progress().readAgain, rowsIn - part, 'what is read again is said at the start');
    if (from >= 2 * part) assert.ok(rowsIn > part && rowsIn < from + part, `${rowsIn} rows read: positions do not move on`);
    assert.ok(results.rows.length > 0, 'windows that the watermark has passed come out');
    take(results.rows);
    before = seen.size;
  }
  // Nothing new: nothing comes out.
  take(await drain(dir, { slide }, { drain: 'hold' }));
  assert.equal(seen.size, before);
  // The other wish.
  take(await drain(dir, { slide }));
  assert.deepEqual(new Map([...seen].sort()), new Map([...whole].sort()));
});

test('a stop holds open windows back, or puts them out, as is wished', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 3, values(clicks(0, 3_000)));
  const whole = model(clicks(0, 3_000), SIZE_MS);
  const stopped = async (options: RunOptions, how?: Parameters<Job['stop']>[0]): Promise<Map<string, string>> => {
    const running = await run(job, { workers: 2, trigger: 5, ...options, params: { dir } });
    while (running.progress().rowsIn < 3_000) await sleep(5);
    await running.stop(how);
    const seen = new Map<string, string>();
    for (const row of results.rows) {
      assert.ok(!seen.has(keyOf(row)), `${keyOf(row)} came out twice`);
      assert.equal(valueOf(row), whole.get(keyOf(row)));
      seen.set(keyOf(row), valueOf(row));
    }
    return seen;
  };
  assert.deepEqual(new Map([...(await stopped({ drain: 'emit' }))].sort()), new Map([...whole].sort()));
  const held = await stopped({ drain: 'emit' }, { drain: 'hold' });
  assert.ok(held.size > 0 && held.size < whole.size);
  await assert.rejects(run(job, { drain: true as never, params: { dir } }), {
    code: 'ERR_MILLRACE_OPTION',
    message: /drain is true.*'hold'.*'emit'.*bounded: true/,
  });
});

test('a stop of a job that has nothing left to do leaves no timer behind, which would keep the process', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 3, values(clicks(0, 30)));
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  // Without state every epoch is committed.
  const running = await run(new URL('./pipelines/values.ts', import.meta.url), { workers: 1, trigger: 5, params: { dir, as: 'raw' } });
  await new Promise<void>((resolve) => running.on('progress', ({ epoch, committedEpoch }) => committedEpoch >= 0 && committedEpoch === epoch - 1 && resolve()));
  await running.stop();
  assert.equal(timers(), before);
});

test('partitions that end one after the other: what is open comes out when the last one has', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 3, values(clicks(0, 3_000)));
  const whole = model(clicks(0, 3_000), SIZE_MS);
  const params = { slide: SIZE_MS, endsApartMs: 200 };
  const stored: RunOptions = { trigger: 5, checkpoint: { dir: join(dir, 'state'), interval: 20 } };
  for (const rows of [await drain(dir, params, { trigger: 5 }), await drain(dir, { ...params, group: 'stored' }, stored)]) {
    assert.deepEqual(new Map(rows.map((row) => [keyOf(row), valueOf(row)])), whole);
    assert.equal(rows.length, whole.size);
  }
  // With no more rows they do not come again, neither when the first partition ends nor when the last one has.
  assert.deepEqual(await drain(dir, { ...params, group: 'stored' }, stored), []);
});

test('windows of windows are whole at last, though a job stops while some are open that others have fed', async (t) => {
  const dir = await folder(t);
  const whole = SIZE_MS * 4;
  const seen = new Map<string, number>();
  for (let part = 0; part < 3; part++) {
    await writeTopic(dir, 'in', 3, values(clicks(part * 3_000, (part + 1) * 3_000)), part);
    for (const row of await drain(dir, { whole })) seen.set(keyOf(row), row['clicks'] as number);
  }
  const expected = new Map<string, number>();
  for (const { page, at } of clicks(0, 9_000)) {
    const key = `${page} ${Math.floor(at / whole) * whole}`;
    expected.set(key, (expected.get(key) ?? 0) + 1);
  }
  assert.deepEqual(seen, expected);
});

test('a job that is killed at any time and started again has every window whole, and none with a part of its rows', async (t) => {
  const dir = await folder(t);
  const rows = clicks(0, 60_000);
  await writeTopic(dir, 'in', 3, values(rows));
  const expected = model(rows, SIZE_MS);
  const rng = seededRng(11);
  const seen = new Map<string, string>();
  for (let attempt = 0; attempt < 4; attempt++) {
    const running = await run(job, { workers: 2, trigger: 5, memory: '32MiB', sinkDelay: 5, params: { dir, group: 'g' } });
    rng.seek(attempt);
    await sleep(500 + rng.int(400));
    await running.stop({ drain: false });
    for (const row of results.rows) {
      seen.set(keyOf(row), valueOf(row));
      assert.equal(valueOf(row), expected.get(keyOf(row)), keyOf(row));
    }
  }
  for (const row of await drain(dir, {})) {
    seen.set(keyOf(row), valueOf(row));
    assert.equal(valueOf(row), expected.get(keyOf(row)), keyOf(row));
  }
  assert.deepEqual(new Map([...seen].sort()), new Map([...expected].sort()));
});

test('a slow sink stops the reading, not the job: memory stays within its budget and nothing is lost', async (t) => {
  const dir = await folder(t);
  const rows = clicks(0, 150_000);
  await writeTopic(dir, 'in', 4, values(rows));
  const running = await run(job, { workers: 2, trigger: 5, bounded: true, drain: 'emit', memory: '32MiB', sinkDelay: 60, params: { dir } });
  let mostUnderWay = 0;
  running.on('progress', ({ memory }) => {
    mostUnderWay = Math.max(mostUnderWay, memory.usedBytes);
  });
  await running.done;
  assert.ok(mostUnderWay < 32 << 20);
  assert.deepEqual(new Map(results.rows.map((row) => [keyOf(row), valueOf(row)] as const).sort()), new Map([...model(rows, SIZE_MS)].sort()));
});

test('a committed position of another pipeline is refused', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, values(clicks(0, 100)));
  const { log, json } = await import('../../runtime/index.ts');
  const { click } = await import('./pipelines/clicks.ts');
  const reader = await log.source({ dir, topic: 'in', group: 'g', value: json(click) }).open({
    drain: true,
    signal: new AbortController().signal,
    emit: () => true,
    credit: async () => {},
    end: () => {},
    high: () => {},
    assigned: () => {},
    fail: () => {},
  });
  await reader.commit([{ partition: 0, offset: 10, metadata: 'something else' }]);
  await reader.close();
  await assert.rejects(
    run(job, { workers: 1, trigger: 'availableNow', params: { dir, group: 'g' } }).then((started) => started.done),
    { code: 'ERR_MILLRACE_CHECKPOINT', message: /another pipeline/ },
  );
});
