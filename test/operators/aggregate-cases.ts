// All aggregates over one schema of random rows, each with what it is of an array of rows and how near it has to come. Not a test.

import assert from 'node:assert/strict';
import { type AnyRow, binary, bool, f32, f64, i32, i64, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  type Aggregate,
  approxCountDistinct,
  collect,
  count,
  countDistinct,
  ewma,
  first,
  last,
  linearCount,
  max,
  mean,
  median,
  min,
  quantile,
  stddev,
  sum,
  topK,
  variance,
} from '../../operators/index.ts';
import { fc } from '../seed.ts';
import type { Chunk, Epoch, ModelAggregate } from './aggregate-harness.ts';

export const input = schema({
  at: timestamp,
  page: utf8,
  text: utf8,
  note: nullable(utf8),
  blob: binary,
  ok: bool,
  id: i32,
  ms: f64,
  maybe: nullable(f64),
  amount: i64,
  ratio: f32,
  wild: f64,
  seq: nullable(f64),
});

export const LONG = 'a text of more bytes than fit into a slot, so that they lie outside of it: ';
const quarter = fc.integer({ min: -4_000, max: 4_000 }).map((n) => n / 4);
const words = fc.constantFrom('', 'a', 'b', 'é', '\u{1f600}', '\uffff', '__proto__', '"quoted"\\', `${LONG}1`, `${LONG}2`, 'x'.repeat(300));
const row = fc.record({
  at: fc.integer({ min: -3_000, max: 6_000 }),
  page: fc.constantFrom('', '/a', '/b', '__proto__', `${LONG}1`, 'k'.repeat(10_000)),
  text: words,
  note: fc.option(words, { nil: null }),
  blob: fc.uint8Array({ maxLength: 30 }),
  ok: fc.boolean(),
  id: fc.constantFrom(0, 1, -1, 7, 2_147_483_647, -2_147_483_648),
  ms: quarter,
  maybe: fc.option(quarter, { nil: null }),
  amount: fc.oneof(fc.bigInt({ min: -1_000n, max: 1_000n }), fc.constantFrom(9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n, 9_007_199_254_740_993n)),
  ratio: quarter,
  wild: fc.oneof(
    { weight: 4, arbitrary: quarter },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0) },
  ),
  seq: fc.option(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(Number.NaN)), { nil: null }),
});

/** How a result may differ from the model's. */
export type Same = (got: unknown, expected: unknown) => boolean;
export const exact: Same = (got, expected) =>
  got instanceof Uint8Array && expected instanceof Uint8Array ? Buffer.compare(got, expected) === 0 : Object.is(got, expected) || (got === 0 && expected === 0);
export const close =
  (relative: number): Same =>
  (got, expected) =>
    exact(got, expected) || (typeof got === 'number' && typeof expected === 'number' && Math.abs(got - expected) <= relative * Math.abs(expected));
export type Case = readonly [Aggregate, ModelAggregate, Same];

const valid = <T>(rows: readonly AnyRow[], column: string) => rows.map((r) => r[column] as T).filter((value) => value !== null);
const compareBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const compareAny = (a: unknown, b: unknown): number => {
  if (typeof a === 'string') return compareBytes(a, b as string);
  if (typeof a === 'bigint') return a < (b as bigint) ? -1 : a > (b as bigint) ? 1 : 0;
  return isBefore(a as number, b as number) ? -1 : isBefore(b as number, a as number) ? 1 : 0;
};
const isBefore = (a: number, b: number) => (Number.isNaN(b) ? !Number.isNaN(a) : a < b);

/** Variance by exact arithmetic: of quarters, and of integers. */
function exactVariance(values: readonly (number | bigint | boolean)[], taken: number): number | null {
  const n = BigInt(values.length);
  if (values.length <= taken) return null;
  if (values.some((v) => typeof v === 'number' && !Number.isFinite(v))) return Number.NaN;
  const whole = values.map((v) => (typeof v === 'bigint' ? v * 4n : BigInt(Number(v) * 4)));
  const total = whole.reduce((a, b) => a + b, 0n);
  const squares = whole.reduce((a, b) => a + b * b, 0n);
  const scale = 10n ** 30n;
  return Number(((n * squares - total * total) * scale) / (16n * n * (n - BigInt(taken)))) / 1e30;
}

/** The rows that `first` or `last` chooses from, in order; those without one (null, NaN) where they are chosen last. Equals: by coming, or by value. */
function byOrder(rows: readonly AnyRow[], column: string, orderBy: string, direction: 1 | -1): AnyRow[] {
  const lastPlace = direction * Number.POSITIVE_INFINITY;
  const orderOf = (r: AnyRow) => {
    const order = r[orderBy] as number | null;
    return order === null || Number.isNaN(order) ? lastPlace : order;
  };
  return rows
    .filter((r) => r[column] !== null)
    .sort((a, b) => (orderOf(a) !== orderOf(b) ? orderOf(a) - orderOf(b) : orderBy === 'at' ? 0 : compareAny(a[column], b[column])));
}
const firstOf = (column: string, orderBy: string) => (rows: readonly AnyRow[]) => byOrder(rows, column, orderBy, 1)[0]?.[column] ?? null;
const lastOf = (column: string, orderBy: string) => (rows: readonly AnyRow[]) => byOrder(rows, column, orderBy, -1).at(-1)?.[column] ?? null;

const distinctOf = (column: string) => (rows: readonly AnyRow[]) =>
  new Set(valid(rows, column).map((v) => (v instanceof Uint8Array ? Buffer.from(v).toString('hex') : typeof v === 'bigint' ? v : v === 0 ? 0 : v))).size;

function lowerQuantile(values: readonly number[], q: number): number | null {
  const sorted = [...values].sort((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0));
  return sorted.length === 0 ? null : (sorted[Math.floor(q * (sorted.length - 1))] as number);
}

function middle(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0));
  const half = (sorted.length - 1) / 2;
  const [lower, upper] = [sorted[Math.floor(half)] as number, sorted[Math.ceil(half)] as number];
  // Two large ones have a sum beyond all numbers.
  return lower === upper ? lower : lower + upper === Number.POSITIVE_INFINITY && upper < Number.POSITIVE_INFINITY ? lower / 2 + upper / 2 : (lower + upper) / 2;
}

function topOf(column: string, k: number): ModelAggregate {
  return (rows) => {
    const counts = new Map<unknown, number>();
    for (const value of valid(rows, column)) counts.set(value, (counts.get(value) ?? 0) + 1);
    const less = (a: unknown, b: unknown) => ((a as string) < (b as string) ? -1 : 1);
    return `[${[...counts]
      .sort(([a, n], [b, m]) => m - n || less(a, b))
      .slice(0, k)
      .map(([value, n]) => `{"value":${typeof value === 'bigint' ? value : JSON.stringify(value)},"count":${n},"error":0}`)
      .join(',')}]`;
  };
}

const listOf = (column: string, most: number, orderBy: string) => (rows: readonly AnyRow[]) =>
  `[${byOrder(rows, column, orderBy, 1)
    .slice(0, most)
    .map((r) => (typeof r[column] === 'bigint' ? String(r[column]) : JSON.stringify(r[column])))
    .join(',')}]`;

function smoothed(column: string, halfLifeMs: number): ModelAggregate {
  return (rows) => {
    const seen = rows.filter((r) => r[column] !== null);
    if (seen.length === 0) return null;
    const newest = Math.max(...seen.map((r) => r.at as number));
    const weights = seen.map((r) => 0.5 ** ((newest - (r.at as number)) / halfLifeMs));
    return seen.reduce((total, r, i) => total + Number(r[column]) * (weights[i] as number), 0) / weights.reduce((a, b) => a + b, 0);
  };
}
/** A weighted mean near 0 of large values has no relative error to speak of. */
const smoothClose: Same = (got, expected) =>
  exact(got, expected) || Math.abs((got as number) - (expected as number)) <= 1e-9 * (1_000 + Math.abs(expected as number));

export const CASES: Readonly<Record<string, Case>> = {
  rows: [count(), (rows) => rows.length, exact],
  meanMs: [mean('ms'), (rows) => valid<number>(rows, 'ms').reduce((a, b) => a + b, 0) / rows.length, exact],
  totalAmount: [sum('id'), (rows) => valid<number>(rows, 'id').reduce((a, b) => a + b, 0), exact],
  varMs: [variance('ms'), (rows) => exactVariance(valid(rows, 'ms'), 1), close(1e-13)],
  varMaybe: [variance('maybe', { population: true }), (rows) => exactVariance(valid(rows, 'maybe'), 0), close(1e-13)],
  varAmount: [variance('amount'), (rows) => exactVariance(valid(rows, 'amount'), 1), close(1e-13)],
  varOk: [variance('ok'), (rows) => exactVariance(valid(rows, 'ok'), 1), close(1e-13)],
  varWild: [variance('wild'), (rows) => exactVariance(valid(rows, 'wild'), 1), close(1e-13)],
  devRatio: [
    stddev('ratio'),
    (rows) => {
      const v = exactVariance(valid(rows, 'ratio'), 1);
      return v === null ? null : Math.sqrt(v);
    },
    close(1e-13),
  ],
  leastText: [min('text'), (rows) => valid<string>(rows, 'text').sort(compareBytes)[0], exact],
  mostNote: [max('note'), (rows) => valid<string>(rows, 'note').sort(compareBytes).at(-1) ?? null, exact],
  leastBlob: [min('blob'), (rows) => valid<Uint8Array>(rows, 'blob').sort((a, b) => Buffer.compare(a, b))[0], exact],
  firstMs: [first('ms'), firstOf('ms', 'at'), exact],
  firstNote: [first('note'), firstOf('note', 'at'), exact],
  firstOk: [first('ok'), firstOf('ok', 'at'), exact],
  firstBySeq: [first('amount', { by: 'seq' }), firstOf('amount', 'seq'), exact],
  lastText: [last('text'), lastOf('text', 'at'), exact],
  lastMaybe: [last('maybe'), lastOf('maybe', 'at'), exact],
  lastId: [last('id'), lastOf('id', 'at'), exact],
  lastAt: [last('at'), lastOf('at', 'at'), exact],
  lastNoteBySeq: [last('note', { by: 'seq' }), lastOf('note', 'seq'), exact],
  list: [collect('note'), listOf('note', 1_000, 'at'), exact],
  listThree: [collect('amount', { max: 3 }), listOf('amount', 3, 'at'), exact],
  listBySeq: [collect('wild', { max: 2, by: 'seq' }), listOf('wild', 2, 'seq'), exact],
  texts: [countDistinct('note'), distinctOf('note'), exact],
  blobs: [countDistinct('blob'), distinctOf('blob'), exact],
  amounts: [countDistinct('amount'), distinctOf('amount'), exact],
  wilds: [countDistinct('wild'), distinctOf('wild'), exact],
  // Few values: exact.
  someTexts: [approxCountDistinct('text'), distinctOf('text'), exact],
  someMs: [approxCountDistinct('wild', { error: 0.0041 }), distinctOf('wild'), exact],
  linearMs: [linearCount('maybe'), distinctOf('maybe'), exact],
  medianMs: [quantile('ms', 0.5), (rows) => lowerQuantile(valid(rows, 'ms'), 0.5), close(0.010_000_001)],
  middleMs: [median('ms'), (rows) => middle(valid(rows, 'ms')), exact],
  middleMaybe: [median('maybe'), (rows) => middle(valid(rows, 'maybe')), exact],
  middleWild: [median('wild'), (rows) => middle(valid(rows, 'wild')), exact],
  middleAt: [median('at'), (rows) => middle(valid(rows, 'at')), exact],
  p90: [quantile('maybe', 0.9, { error: 0.001 }), (rows) => lowerQuantile(valid(rows, 'maybe'), 0.9), close(0.001_000_001)],
  p99Wild: [quantile('wild', 0.99), (rows) => lowerQuantile(valid(rows, 'wild'), 0.99), close(0.010_000_001)],
  quarterId: [quantile('id', 0.25), (rows) => lowerQuantile(valid(rows, 'id'), 0.25), close(0.010_000_001)],
  topText: [topK('note', 3), topOf('note', 3), exact],
  topAmount: [topK('amount', 2), topOf('amount', 2), exact],
  smooth: [ewma('ms', { halfLife: 500 }), smoothed('ms', 500), smoothClose],
  smoothMaybe: [ewma('maybe', { halfLife: '2s' }), smoothed('maybe', 2_000), smoothClose],
};
export const INVERTIBLE = ['rows', 'meanMs', 'totalAmount', 'medianMs', 'p90', 'p99Wild', 'quarterId'];

export const PARTITIONS = 3;
/** Chunks of an epoch in the order (partition, first): that of merging. */
export const epochs = fc
  .array(fc.array(fc.tuple(fc.integer({ min: 0, max: PARTITIONS - 1 }), fc.array(row, { maxLength: 14 })), { maxLength: 4 }), { maxLength: 6 })
  .map((cuts) => {
    const next = new Array<number>(PARTITIONS).fill(0);
    return cuts.map(
      (chunks): Epoch =>
        chunks
          .map(([partition, rows]): Chunk => {
            const at = next[partition] as number;
            next[partition] = at + rows.length + 1;
            return { partition, first: at, rows };
          })
          .sort((a, b) => a.partition - b.partition),
    );
  });
export type Placed = readonly { readonly epoch: number; readonly row: AnyRow }[];
/** Compares the named aggregates of results, whatever their order. */
export function compareResults(
  got: Placed,
  expected: Placed,
  chosen: readonly string[],
  keys: readonly string[],
  cases: Readonly<Record<string, Pick<Case, 2>>> = CASES,
): void {
  const placeOf = ({ epoch, row: of }: Placed[number]) => JSON.stringify([epoch, of.windowStart ?? 0, of.windowEnd ?? 0, ...keys.map((key) => of[key])]);
  const rest = new Map(expected.map((result) => [placeOf(result), result.row]));
  assert.equal(rest.size, expected.length);
  assert.equal(got.length, expected.length);
  for (const result of got) {
    const place = placeOf(result);
    const model = rest.get(place);
    assert.ok(model, `a result that the model has not: ${place}`);
    rest.delete(place);
    for (const name of chosen) {
      const same = (cases[name] as Pick<Case, 2>)[2];
      assert.ok(same(result.row[name], model[name]), `${name} at ${place}: ${String(result.row[name])}, the model has ${String(model[name])}`);
    }
  }
}
