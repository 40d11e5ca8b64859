// Streams for the tests of joins: schemas, random rows and epochs, and the late rule's watermark. Not a test.

import assert from 'node:assert/strict';
import { type AnyRow, bool, f64, i64, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import type { JoinSide, KeyedOperatorPlan } from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { inOrder, type KeyedEpoch, runKeyed } from './keyed-harness.ts';

export const RUNS = caseCount(200);
export const LONG = 'x'.repeat(10_000);

export const left: JoinSide = {
  schema: schema({ user: nullable(utf8), at: timestamp, size: f64, name: utf8, note: nullable(utf8), on: bool }),
  keys: ['user', 'size'],
  eventTime: 'at',
  timeShiftMs: 0,
};
export const right: JoinSide = {
  schema: schema({ big: nullable(i64), id: utf8, name: nullable(utf8), at: timestamp, amount: f64 }),
  keys: ['id', 'amount'],
  eventTime: 'at',
  timeShiftMs: 0,
};

const text = fc.oneof({ weight: 40, arbitrary: fc.constantFrom('', 'a', '__proto__', 'é🙂') }, { weight: 1, arbitrary: fc.constant(LONG) });
const number = fc.constantFrom(0, -0, 1, Number.NaN, Number.POSITIVE_INFINITY);
const time = fc.oneof({ weight: 30, arbitrary: fc.integer({ min: -40, max: 40 }) }, { weight: 1, arbitrary: fc.integer({ min: -3_000, max: 3_000 }) });
export const leftRow: fc.Arbitrary<AnyRow> = fc.record({
  user: fc.option(text, { nil: null, freq: 8 }),
  at: time,
  size: number,
  name: text,
  note: fc.option(text, { nil: null }),
  on: fc.boolean(),
});
export const rightRow: fc.Arbitrary<AnyRow> = fc.record({
  big: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: null }),
  id: text,
  name: fc.option(text, { nil: null }),
  at: time,
  amount: number,
});

export const PARTITIONS = 3;

/** Epochs of chunks of both inputs, each partition's offsets ascending, chunks of an epoch shuffled. */
export const epochs: fc.Arbitrary<KeyedEpoch[]> = fc
  .array(
    fc.array(
      fc.record({
        partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
        input: fc.constantFrom(0, 1),
        left: fc.array(leftRow, { maxLength: 6 }),
        right: fc.array(rightRow, { maxLength: 6 }),
        turn: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { maxLength: 6 },
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((all) => {
    const next = Array(PARTITIONS).fill(0) as number[];
    return all.map((chunks): KeyedEpoch => {
      const numbered = chunks.map(({ partition, input, left, right, turn }) => {
        const rows = input === 0 ? left : right;
        const first = next[partition] as number;
        next[partition] = first + rows.length + 1;
        return { turn, chunk: { partition, input, first, rows } };
      });
      return { nowMs: 0, chunks: numbered.sort((a, b) => a.turn - b.turn).map(({ chunk }) => chunk) };
    });
  });

/**
 * The same in a stream that goes on: time moves on by 60 an epoch in every partition, and so does the watermark, and rows lie up to
 * 160 behind it: beyond any delay of `options`.
 */
export const behind: fc.Arbitrary<KeyedEpoch[]> = fc
  .tuple(epochs, fc.array(fc.integer({ min: -120, max: 40 }), { minLength: 1, maxLength: 20 }))
  .map(([all, shifts]) => {
    let drawn = 0;
    const shift = (): number => shifts[drawn++ % shifts.length] as number;
    return all.map(({ nowMs, chunks }, e): KeyedEpoch => {
      const moved = chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map((row) => ({ ...row, at: e * 60 + shift() })) }));
      const marks = Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        input: e % 2,
        first: 1_000 + e * 1_000,
        rows: [
          e % 2 === 0
            ? { user: 'mark', at: e * 60, size: partition, name: '', note: null, on: true }
            : { big: null, id: 'mark', name: null, at: e * 60, amount: partition },
        ],
      }));
      return { nowMs, chunks: [...moved.map((chunk) => ({ ...chunk, first: chunk.first + e * 1_000 })), ...marks] };
    });
  });

export const options = fc.record({
  workers: fc.integer({ min: 1, max: 3 }),
  batchRows: fc.constantFrom(8, 4_096),
  delayMs: fc.constantFrom(0, 5, 30),
  restoreAfter: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
});

/** The watermark at the end of each epoch, and +Infinity behind the last. */
export function watermarks(all: readonly KeyedEpoch[], delayMs: number): number[] {
  const newest = Array(PARTITIONS).fill(Number.NEGATIVE_INFINITY) as number[];
  let current = Number.NEGATIVE_INFINITY;
  const ends = all.map((epoch) => {
    for (const { row, partition } of inOrder(epoch)) newest[partition] = Math.max(newest[partition] as number, row.at as number);
    current = Math.max(current, Math.min(...newest) - delayMs);
    return current;
  });
  return [...ends, Number.POSITIVE_INFINITY];
}

export interface Arrived {
  readonly row: AnyRow;
  readonly input: number;
  readonly epoch: number;
  readonly time: number;
}

/** All rows in the order in which a shard sees them. */
export function arrivals(all: readonly KeyedEpoch[]): Arrived[] {
  return all.flatMap((epoch, e) => inOrder(epoch).map(({ row, input }): Arrived => ({ row, input, epoch: e, time: row.at as number })));
}

/** SQL's equality of keys, but that NaN is equal to NaN. */
export function isSameKey(l: AnyRow, r: AnyRow): boolean {
  return l.user !== null && l.user === r.id && (l.size === r.amount || (Number.isNaN(l.size) && Number.isNaN(r.amount)));
}

/** The result row of a pair, or of a row alone. */
export function resultOf(l: AnyRow | undefined, r: AnyRow | undefined, extra: AnyRow): AnyRow {
  return {
    user: l === undefined ? r?.id : l.user,
    size: l === undefined ? r?.amount : l.size,
    ...extra,
    at: l?.at ?? null,
    name: l?.name ?? null,
    note: l?.note ?? null,
    on: l?.on ?? null,
    big: r?.big ?? null,
    name_right: r?.name ?? null,
    at_right: r?.at ?? null,
  };
}

/** The same rows in the same order, whatever worker scans what, and whether or not the shards were restored in between. */
export function assertSpreadMakesNoDifference(
  plan: KeyedOperatorPlan,
  all: readonly KeyedEpoch[],
  { batchRows, delayMs }: { batchRows: number; delayMs: number },
): void {
  const run = (workers: number, restore: { restoreAfter?: number }) =>
    runKeyed(plan, all, { workers, spread: (chunk) => chunk * 7 + 1, batchRows, partitions: PARTITIONS, delayMs, ...restore }).results;
  assert.deepEqual(run(3, { restoreAfter: 1 }), run(1, {}));
}
