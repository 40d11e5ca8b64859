/** A table is read before the rows that are joined with it: in jobs, in the plan, and in the intake, frame by frame. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createMemory, SlabAllocator } from '../../core/index.ts';
import type { Chunk } from '../../io/index.ts';
import { broadcast, collect, f64, memory, pipeline, run, utf8 } from '../../runtime/index.ts';
import { Intake } from '../../runtime/job/intake.ts';
import { graphOf, type PipelineLike } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';
import { results } from './pipelines/table.ts';

const ROWS = 50_000;

test(`${ROWS} rows in small epochs all meet their table`, { timeout: 120_000 }, async (t) => {
  for (const [how, isSlow] of [
    ['key', false],
    ['broadcast', true],
  ] as const) {
    await t.test(`joined by ${how}, ${isSlow ? 'which is slow' : 'of one row'}`, async () => {
      const job = await run(new URL('./pipelines/table.ts', import.meta.url), {
        workers: 2,
        epochBytes: '64KiB',
        trigger: '1ms',
        params: { rows: ROWS, how, table: 'loaded', isSlow },
      });
      await job.done;
      const rows = results.rows as unknown as { n: number; name: string }[];
      assert.equal(rows.length, ROWS);
      assert.equal(new Set(rows.map(({ n }) => n)).size, ROWS);
      assert.deepEqual([...new Set(rows.map(({ name }) => name))], ['Ann 2']);
    });
  }
});

function planOf(stream: PipelineLike) {
  return makePlan(graphOf(stream) as NonNullable<ReturnType<typeof graphOf>>);
}

test('the plan says which sources are read behind which', () => {
  const p = pipeline('plan');
  const of = () => p.from(memory([], { schema: { k: utf8, v: f64 } }));
  const [orders, users, countries, events] = [of(), of(), of(), of()];
  const named = orders.union(events).keyBy('k').join(users.keyBy('k'), { suffix: '_user' });
  named
    .keyBy('k')
    .join(broadcast(countries.keyBy('k')), { suffix: '_country' })
    .to(collect());
  events.keyBy('k').join(orders.keyBy('k'), { table: 'growing' }).to(collect());
  // A stream that is the table of its own rows waits for nobody.
  users.keyBy('k').join(users.keyBy('k')).to(collect());
  const { sources } = planOf(p);
  const at = (stream: { readonly node: unknown }) => sources.findIndex(({ source }) => source === (stream.node as { source?: unknown }).source);
  const behind = (stream: { readonly node: unknown }) => sources[at(stream)]?.behind;
  const tables = [at(users), at(countries)].sort();
  assert.deepEqual(behind(orders), tables);
  assert.deepEqual(behind(events), tables);
  // Its rows are in what is joined with the countries.
  assert.deepEqual([behind(users), behind(countries)], [[at(countries)], []]);
});

test('two tables of each other: the join that was written later waits for nobody', () => {
  const p = pipeline('cycle');
  const a = p.from(memory([], { schema: { k: utf8 } }));
  const b = p.from(memory([], { schema: { k: utf8 } }));
  a.keyBy('k').join(b.keyBy('k')).to(collect());
  b.keyBy('k').join(a.keyBy('k')).to(collect());
  assert.deepEqual(
    planOf(p).sources.map(({ behind }) => behind),
    [[1], []],
  );
});

test('the option is checked, and is for tables only', () => {
  const p = pipeline('options');
  const a = p.from(memory([], { schema: { k: utf8 } })).keyBy('k');
  // @ts-expect-error neither
  assert.throws(() => a.join(a, { table: 'ready' }), { code: 'ERR_MILLRACE_OPTION', message: /'loaded'.*'growing'/ });
  // @ts-expect-error a join by time has no table
  assert.throws(() => a.join(a, { within: [0, 0], table: 'loaded' }), { code: 'ERR_MILLRACE_PIPELINE', message: /leave out within/ });
  // @ts-expect-error no such option
  assert.throws(() => a.join(a, { tabel: 'loaded' }), { code: 'ERR_MILLRACE_OPTION', message: /Did you mean table/ });
  // In a test rows come in the order in which they are sent.
  const driver = testDriver(a.join(a, { suffix: '_right' }).to(collect()));
  driver.send([{ k: 'x' }]);
  driver.close();
  assert.equal(driver.output().length, 1);
});

/** An intake of a stream (source 0) and its table (source 1), a partition each. */
function bench(isBounded: boolean) {
  const taken: string[] = [];
  const events: string[] = [];
  const intake: Intake = new Intake(
    new SlabAllocator(createMemory(4 << 20)),
    { chunkBytes: 4_096, creditBytes: 1 << 20, epochBytes: 1 << 20 },
    {
      chunk: (source: number, chunk: Chunk) => taken.push(`${source}:${chunk.first}-${chunk.next}`),
      began: () => {},
      waiting: () => {},
      epochFull: () => {},
      cutReached: () => events.push('reached'),
      ended: (source) => events.push(`end ${source}`),
      failed: (_, error) => events.push(String(error)),
    },
    () => 0,
  );
  intake.addSource(1);
  intake.addSource(1);
  const context = (source: number) => intake.context(source, { drain: false, signal: new AbortController().signal });
  const [stream, table] = [context(0), context(1)];
  const begin = () => intake.loadFirst([[1], []], [true, isBounded]);
  const frame = new Uint8Array(8);
  const isPending = async (promise: Promise<void>) => {
    let done = false;
    void promise.then(() => (done = true));
    await turn();
    return !done;
  };
  return { intake, stream, table, begin, frame, taken, events, isPending };
}

test('the stream has no credit until a table that grows has been read up to where it stood', async () => {
  const { intake, stream, table, begin, frame, taken, events, isPending } = bench(false);
  begin();
  assert.equal(stream.emit(0, frame, 0, 1), false);
  const credit = stream.credit(0);
  // It ends behind what is held back.
  stream.end(0);
  table.high(0, 2);
  assert.equal(table.emit(0, frame, 0, 1), true);
  table.high(0, 5);
  assert.equal(await isPending(credit), true);
  assert.deepEqual(events, []);
  table.emit(0, frame, 1, 2);
  assert.equal(await isPending(credit), false);
  intake.endEpoch();
  assert.deepEqual(taken, ['0:0-1', '1:0-2']);
  assert.deepEqual(events, ['end 0']);
});

test('a table that ends by itself is loaded when it has ended; one without rows at once', async () => {
  const { intake, stream, table, begin, frame, taken, isPending } = bench(true);
  begin();
  table.high(0, 1);
  table.emit(0, frame, 0, 1);
  stream.emit(0, frame, 0, 1);
  const credit = stream.credit(0);
  intake.endEpoch();
  assert.deepEqual([taken, await isPending(credit)], [['1:0-1'], true]);
  table.end(0);
  assert.equal(await isPending(credit), false);
  intake.endEpoch();
  assert.deepEqual(taken, ['1:0-1', '0:0-1']);
  const empty = bench(false);
  empty.begin();
  empty.table.high(0, 0);
  assert.equal(empty.stream.emit(0, frame, 0, 1), true);
});

test('epochs that are repeated are cut as they were; behind them the stream waits', async () => {
  const { intake, stream, table, begin, frame, taken, events, isPending } = bench(true);
  intake.cutAt({ positions: [1, 1], ended: [false, false] });
  begin();
  stream.emit(0, frame, 0, 1);
  stream.emit(0, frame, 1, 2);
  table.emit(0, frame, 0, 1);
  assert.deepEqual(events, ['reached']);
  intake.endEpoch();
  intake.cutAt(undefined);
  const credit = stream.credit(0);
  assert.equal(await isPending(credit), true);
  intake.endEpoch();
  assert.deepEqual(taken, ['0:0-1', '1:0-1']);
  table.emit(0, frame, 1, 2);
  table.end(0);
  assert.equal(await isPending(credit), false);
  intake.endEpoch();
  assert.deepEqual(taken.slice(2).sort(), ['0:1-2', '1:1-2']);
});
