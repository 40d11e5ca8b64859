/**
 * Aggregates as a user writes them: `{ clicks: count(), meanMs: mean('ms') }`. They are immutable
 * descriptions. The plan (aggregate-plan.ts) decides which accumulators they need and which they share.
 *
 *   aggregate               input                      result                  of no value (all null)
 *   count()                 -                          f64, exact to 2^53      cannot be: a group has a row
 *   count(c)                any column                 f64, exact to 2^53      0
 *   sum(c)                  numbers, bool              f64; i64 of an i64      null
 *   min(c) max(c)           all                        the column's type       null
 *   mean(c)                 numbers, bool              f64                     null
 *   variance(c) stddev(c)   numbers, bool              f64                     null, also of one sample value
 *   first(c) last(c)        all                        the column's type       null
 *   collect(c)              all but binary             utf8, a JSON array      []
 *   collect(fn)             whole rows                 utf8, a JSON array      []
 *   countDistinct(c)        all                        f64                     0
 *   approxCountDistinct(c)  all                        f64, approximate        0
 *   linearCount(c)          all                        f64, approximate        0
 *   median(c)               numbers, timestamp         f64                     null
 *   quantile(c, q)          numbers, timestamp         f64, approximate        null
 *   topK(c, k)              all but binary             utf8, a JSON array      []
 *   ewma(c, { halfLife })   numbers, bool              f64                     null
 *   rate() rate(c)          -; numbers, bool           f64                     -; null
 *   aggregator(functions)   whole rows                 its `type`              (aggregator.ts)
 *
 * Nulls do not count. Where the column is not nullable, neither is the result (except for a variance). NaN is
 * the greatest value for min, max, median and quantile, as in DuckDB and Spark. It is one value for the distinct
 * counts. It makes sum, mean, variance and ewma NaN; so do infinities, where there is no better answer. -0
 * counts as 0. Texts are ordered by their UTF-8 bytes. Sums of floats, means and variances are compensated:
 * the result does not depend on how the rows were cut. The approximate aggregates state their error in their
 * own paragraphs; a test measures each.
 */

import { type ColumnName, checkOptionNames, type Duration, durationMs, MillraceError, shown, type ValueAt } from '../../core/index.ts';
import { type Range, type Ranged, type RangeOptions, splitRange } from './aggregate-range.ts';
import type { UserAggregate } from './aggregator.ts';

export type { Range, Ranged, RangeOptions };

export type AggregateName =
  | 'count'
  | 'sum'
  | 'min'
  | 'max'
  | 'mean'
  | 'variance'
  | 'stddev'
  | 'first'
  | 'last'
  | 'collect'
  | 'countDistinct'
  | 'approxCountDistinct'
  | 'linearCount'
  | 'median'
  | 'quantile'
  | 'topK'
  | 'ewma'
  | 'rate';

declare const sameAsColumn: unique symbol;
declare const sumOfColumn: unique symbol;
declare const numberOrNull: unique symbol;
/** Marks a result of the type of the input column. */
export type SameAsColumn = { readonly [sameAsColumn]: true };
/** Marks a result that is a bigint for a bigint column, and a number for any other. */
export type SumOfColumn = { readonly [sumOfColumn]: true };

declare const ofSomeRows: unique symbol;
/** Marks a result that is null where a condition held for no row. */
export type OfSomeRows = { readonly [ofSomeRows]: true };

/** Marks a result that may be null whatever the column is. */
export type NumberOrNull = { readonly [numberOrNull]: true };
/** The values of columns that can be summed. */
export type NumberLike = number | bigint | boolean | null;
/** The values that JSON can hold. */
export type JsonLike = NumberLike | string | readonly unknown[];

/**
 * One aggregate over one column. `V` is the type of the result, as `ResultOf` reads it. `C` is the name of
 * the column, so that `.aggregate({ m: mean('typo') })` does not compile; `never` for an aggregate that reads
 * none. `T` is the type of the column's values, so that the mean of a text does not compile either. `B` is
 * the name of the column that orders the values, where one is named.
 */
export interface Aggregate<V = unknown, C extends string = string, T = never, B extends string = string> {
  readonly name: AggregateName;
  /** Undefined: it reads no column. */
  readonly column: C | undefined;
  /** The column that orders the values. Undefined: event time or, without it, the order of arrival. */
  readonly by: B | undefined;
  /** Numeric parameters, such as the `q` of a quantile: see each aggregate. */
  readonly parameters: AggregateParameters;
  /** For the type checker only. */
  readonly _value?: V;
  /** For the type checker only. */
  readonly _takes?: (value: T) => void;
}

/** What an aggregate reads of rows by functions: its values, and of which rows. */
export interface RowFunctions<Row> {
  /** In place of a column. */
  readonly of?: ((row: Row) => unknown) | undefined;
  readonly where?: ((row: Row) => unknown) | undefined;
}

/** The rows that count. */
export interface Where<Row> {
  readonly where: (row: Row) => unknown;
}

export interface AggregateParameters {
  /** 1: of a population, not of a sample. */
  readonly population?: number;
  readonly max?: number;
  /** 1: the values are JSON already. */
  readonly isJson?: number;
  readonly error?: number;
  readonly bits?: number;
  readonly q?: number;
  readonly k?: number;
  readonly counters?: number;
  readonly halfLifeMs?: number;
}

/** Columns by which values can be ordered. */
type OrderColumn<Row> = { [K in ColumnName<Row>]: ValueAt<Row, K> extends number | bigint | null ? K : never }[ColumnName<Row>];
type AggregateOf<Row> =
  | UserAggregate<unknown, Row>
  | (Aggregate<unknown, never, unknown, never> & RowFunctions<Row>)
  | { [C in ColumnName<Row>]: Aggregate<unknown, C, ValueAt<Row, C>, OrderColumn<Row>> & RowFunctions<Row> }[ColumnName<Row>];
/** What `.aggregate` takes for a row type: ranges are for `over`. */
export type AggregatesOf<Row> = Readonly<Record<string, AggregateOf<Row> & { readonly range?: undefined }>>;
/** What `.over` takes for a row type: aggregates, those with a range, and pairs of an aggregate and a range. */
export type OverFeaturesOf<Row> = Readonly<Record<string, AggregateOf<Row> | readonly [aggregate: AggregateOf<Row>, range: Range]>>;

type NullOf<T> = null extends T ? null : never;
/** The type of an aggregate's result over rows of type `Row`. */
export type ResultOf<A, Row> = A extends readonly [infer Of, unknown]
  ? ResultOf<Of, Row>
  : A extends { readonly name: 'aggregator'; readonly _result?: infer V }
    ? V
    : BuiltInResultOf<A, Row>;
type BuiltInResultOf<A, Row> = A extends Aggregate<infer V> ? (V extends OfSomeRows ? null : never) | ValueOf<A, Row> : never;
type ValueOf<A, Row> =
  A extends Aggregate<infer V, infer C>
    ? V extends NumberOrNull
      ? number | null
      : V extends SameAsColumn
        ? ValueAt<Row, C>
        : V extends SumOfColumn
          ? (NonNullable<ValueAt<Row, C>> extends bigint ? bigint : number) | NullOf<ValueAt<Row, C>>
          : null extends V
            ? Exclude<V, null> | NullOf<ValueAt<Row, C>>
            : V
    : never;
/** The columns that aggregates add to a result row. */
export type ResultsOf<A, Row> = { readonly [K in keyof A]: ResultOf<A[K], Row> };

function describe<A extends Aggregate>(name: AggregateName, column: unknown, parameters: AggregateParameters = {}, by?: unknown): A {
  for (const given of [column, by]) {
    if (given !== undefined && typeof given !== 'string') {
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name}() is given ${shown(given)}. Give the name of a column: ${name}('ms').`);
    }
  }
  return Object.freeze({ name, column, by, parameters: Object.freeze(parameters) }) as A;
}

function required<A extends Aggregate>(name: AggregateName, column: unknown, parameters?: AggregateParameters, by?: unknown): A {
  if (column === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name}() names no column. Give one: ${name}('ms').`);
  return describe(name, column, parameters, by);
}

/** An aggregate of a column or a function, perhaps with a condition. */
function overRows<A extends Aggregate>(name: AggregateName, of: unknown, given: unknown): A {
  if (given === undefined && typeof of !== 'function') return required(name, of);
  const { options, range } = splitRange(given, `${name}()`);
  checkOptionNames(`${name}()`, options, { where: true });
  const { where } = options as { readonly where?: unknown };
  if (where !== undefined && typeof where !== 'function') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name}() has where: ${shown(where)}. Give a function of a row: ${name}({ where: (r) => r.ms > 0 }).`);
  }
  const condition = where === undefined ? {} : { where };
  if (typeof of !== 'function') return Object.freeze({ ...required<A>(name, of), ...condition, ...range });
  return Object.freeze({ ...describe<A>(name, undefined), of, ...condition, ...range });
}

/** An aggregate that takes a range and nothing else. */
function withRange<A extends Aggregate>(name: AggregateName, column: unknown, given: unknown): A {
  const { options, range } = splitRange(given, `${name}()`);
  checkOptionNames(`${name}()`, options, {});
  return Object.freeze({ ...describe<A>(name, column), ...range });
}

function within(name: AggregateName, what: string, value: unknown, least: number, most: number, isWhole: boolean): number {
  if (typeof value === 'number' && value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${name}() has ${what} of ${shown(value)}. Give a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}.`);
}

/** An aggregate of numbers that a function makes of rows. */
type OfRows<V, Row> = Aggregate<V, never, unknown, never> & RowFunctions<Row>;
/** Any of these, as each of their signatures takes it. */
type OverRows = Aggregate<never, never, unknown, never> & Ranged;
/** An aggregate of a column, over the rows for which a condition holds: null where it holds for none. */
type OfSome<V, C extends string, T, Row> = Aggregate<V & OfSomeRows, C, T, never> & RowFunctions<Row>;

/**
 * Rows; or, of a named column, its values that are not null; or the rows for which a condition holds. In `over`
 * with a range: count('1m'), count({ rows: 5 }).
 *
 * @example count({ where: (r) => r.status >= 500 })
 */
export function count(): Aggregate<number, never, unknown, never>;
export function count(range: Exclude<Range, number>): Aggregate<number, never, unknown, never> & Ranged;
export function count<C extends string>(column: C): Aggregate<number, C, unknown, never>;
export function count<Row>(options: Where<Row>): OfRows<number, Row>;
export function count(of?: unknown): OverRows {
  if (typeof of !== 'object' || of === null) return describe('count', of);
  return 'where' in of || !('rows' in of || 'within' in of) ? overRows('count', () => true, of) : withRange('count', undefined, of);
}

/**
 * The sum of a column, or of what a function makes of each row, a number; of all rows, or of those for which a
 * condition holds. Functions are compiled as those of `map` are.
 *
 * @example sum((r) => r.price * r.count)
 * @example sum('ms', { where: (r) => r.status < 500 })
 */
export function sum<C extends string>(column: C): Aggregate<SumOfColumn, C, NumberLike, never>;
export function sum<C extends string>(column: C, range: Range): Aggregate<SumOfColumn, C, NumberLike, never> & Ranged;
export function sum<C extends string, Row>(column: C, options: Where<Row>): OfSome<SumOfColumn, C, NumberLike, Row>;
export function sum<Row>(of: (row: Row) => number): OfRows<number, Row>;
export function sum<Row>(of: (row: Row) => number, range: Range): OfRows<number, Row> & Ranged;
export function sum<Row>(of: (row: Row) => number, options: Where<Row>): OfRows<NumberOrNull, Row>;
export function sum(of: unknown, options?: unknown): OverRows {
  return overRows('sum', of, options);
}

/** The least value of a column, or of what a function makes of each row; with a condition as in {@link sum}. */
export function min<C extends string>(column: C): Aggregate<SameAsColumn, C, unknown, never>;
export function min<C extends string>(column: C, range: Range): Aggregate<SameAsColumn, C, unknown, never> & Ranged;
export function min<C extends string, Row>(column: C, options: Where<Row>): OfSome<SameAsColumn, C, unknown, Row>;
export function min<Row>(of: (row: Row) => number): OfRows<number, Row>;
export function min<Row>(of: (row: Row) => number, range: Range): OfRows<number, Row> & Ranged;
export function min<Row>(of: (row: Row) => number, options: Where<Row>): OfRows<NumberOrNull, Row>;
export function min(of: unknown, options?: unknown): OverRows {
  return overRows('min', of, options);
}

/** The greatest value of a column, or of what a function makes of each row; with a condition as in {@link sum}. */
export function max<C extends string>(column: C): Aggregate<SameAsColumn, C, unknown, never>;
export function max<C extends string>(column: C, range: Range): Aggregate<SameAsColumn, C, unknown, never> & Ranged;
export function max<C extends string, Row>(column: C, options: Where<Row>): OfSome<SameAsColumn, C, unknown, Row>;
export function max<Row>(of: (row: Row) => number): OfRows<number, Row>;
export function max<Row>(of: (row: Row) => number, range: Range): OfRows<number, Row> & Ranged;
export function max<Row>(of: (row: Row) => number, options: Where<Row>): OfRows<NumberOrNull, Row>;
export function max(of: unknown, options?: unknown): OverRows {
  return overRows('max', of, options);
}

/** The mean of a column, or of what a function makes of each row; with a condition as in {@link sum}. */
export function mean<C extends string>(column: C): Aggregate<number | null, C, NumberLike, never>;
export function mean<C extends string>(column: C, range: Range): Aggregate<number | null, C, NumberLike, never> & Ranged;
export function mean<C extends string, Row>(column: C, options: Where<Row>): Aggregate<NumberOrNull, C, NumberLike, never> & RowFunctions<Row>;
export function mean<Row>(of: (row: Row) => number): OfRows<number, Row>;
export function mean<Row>(of: (row: Row) => number, range: Range): OfRows<number, Row> & Ranged;
export function mean<Row>(of: (row: Row) => number, options: Where<Row>): OfRows<NumberOrNull, Row>;
export function mean(of: unknown, options?: unknown): OverRows {
  return overRows('mean', of, options);
}

/**
 * The variance: of a sample (divided by n - 1, as DuckDB's and Spark's `variance`; null of one value), or
 * with `{ population: true }` of a population (divided by n). Sums of values and of squares are kept to 106
 * bits (core/groups/accumulators/sum-squares.ts). All digits are right where mean / deviation is up to 10^7,
 * some ten at 10^9, some six at 10^12.
 */
export function variance<C extends string>(column: C, options?: { readonly population?: boolean }): Aggregate<NumberOrNull, C, NumberLike, never>;
export function variance<C extends string>(column: C, range: Range): Aggregate<NumberOrNull, C, NumberLike, never> & Ranged;
export function variance(column: string, given?: unknown): OverRows {
  const { options, range } = splitRange(given, 'variance()');
  checkOptionNames('variance()', options, { population: true });
  const { population } = options as { readonly population?: boolean };
  return Object.freeze({ ...required<OverRows>('variance', column, population === true ? { population: 1 } : {}), ...range });
}

/** The standard deviation: the root of {@link variance}. */
export function stddev<C extends string>(column: C, options?: { readonly population?: boolean }): Aggregate<NumberOrNull, C, NumberLike, never>;
export function stddev<C extends string>(column: C, range: Range): Aggregate<NumberOrNull, C, NumberLike, never> & Ranged;
export function stddev(column: string, given?: unknown): OverRows {
  const { options, range } = splitRange(given, 'stddev()');
  checkOptionNames('stddev()', options, { population: true });
  const { population } = options as { readonly population?: boolean };
  return Object.freeze({ ...required<OverRows>('stddev', column, population === true ? { population: 1 } : {}), ...range });
}

/**
 * The value of the row that is first by event time, or by another column
 * (`first('price', { by: 'sequence' })`, Spark's min_by): numbers, i64 to 2^53, or timestamp. Of rows of the
 * same time, it is the first in the order (epoch, source, partition, offset); within one partition that is
 * the order of offsets. Of rows with the same value in another column, it is the least value. Without event
 * time and without another column only the order (epoch, source, partition, offset) counts, which says
 * nothing about rows of different partitions.
 */
export function first<C extends string, B extends string = never>(column: C, options?: { readonly by?: B }): Aggregate<SameAsColumn, C, unknown, B>;
export function first<C extends string>(column: C, range: Range): Aggregate<SameAsColumn, C, unknown, never> & Ranged;
export function first(column: string, given?: unknown): OverRows {
  const { options, range } = splitRange(given, 'first()');
  checkOptionNames('first()', options, { by: true });
  return Object.freeze({ ...required<OverRows>('first', column, {}, (options as { readonly by?: unknown }).by), ...range });
}

/**
 * The value of the row that is last, the counterpart of {@link first} (Spark's max_by). Of the same time it
 * is the last, of the same value in another column the greatest.
 */
export function last<C extends string, B extends string = never>(column: C, options?: { readonly by?: B }): Aggregate<SameAsColumn, C, unknown, B>;
export function last<C extends string>(column: C, range: Range): Aggregate<SameAsColumn, C, unknown, never> & Ranged;
export function last(column: string, given?: unknown): OverRows {
  const { options, range } = splitRange(given, 'last()');
  checkOptionNames('last()', options, { by: true });
  return Object.freeze({ ...required<OverRows>('last', column, {}, (options as { readonly by?: unknown }).by), ...range });
}

const COLLECT_MAX_DEFAULT = 1_000;

/**
 * The values, at most `max` (default 1,000): the first ones in the order of {@link first}. There is no column
 * type for lists, so the result is a JSON array as text: i64 with all digits, NaN and infinities as null.
 */
export function collect<C extends string, B extends string = never>(
  column: C,
  options?: { readonly max?: number; readonly by?: B },
): Aggregate<string, C, JsonLike, B>;
export function collect<C extends string>(column: C, range: Range): Aggregate<string, C, JsonLike, never> & Ranged;
/** What a function makes of each row, as JSON; with `(r) => r` the rows themselves. */
export function collect<Row>(of: (row: Row) => unknown, options?: { readonly max?: number }): OfRows<string, Row>;
export function collect(of: unknown, given?: unknown): OverRows {
  const { options, range } = splitRange(given, 'collect()');
  const isOfRows = typeof of === 'function';
  checkOptionNames('collect()', options, { max: true, by: true });
  const { max: most = COLLECT_MAX_DEFAULT, by } = options as { readonly max?: number; readonly by?: unknown };
  const parameters = { max: within('collect', 'a max', most, 1, 1_000_000, true) };
  if (!isOfRows) return Object.freeze({ ...required<OverRows>('collect', of, parameters, by), ...range });
  return Object.freeze({ ...describe<OverRows>('collect', undefined, { ...parameters, isJson: 1 }, by), of, ...range });
}

/**
 * How many different values, exactly. Memory grows with them: 11 to 22 bytes for a number, its own bytes and
 * some 25 for a text.
 */
export function countDistinct<C extends string>(column: C): Aggregate<number, C, unknown, never>;
export function countDistinct<C extends string>(column: C, range: Range): Aggregate<number, C, unknown, never> & Ranged;
export function countDistinct(column: string, given?: unknown): OverRows {
  if (column === undefined) return required('countDistinct', column);
  return withRange('countDistinct', column, given);
}

const DISTINCT_ERROR_DEFAULT = 0.0163;

/**
 * How many different values, approximately. Exact while they are few (some 190), then linear counting or
 * HyperLogLog, whichever is better (core/groups/accumulators/hyper-log-log.ts). The standard error is at most
 * `error` (default 0.0163, which takes 4 KiB per group; 0.0041 takes 64 KiB): two results in three are
 * closer.
 */
export function approxCountDistinct<C extends string>(column: C, options: { readonly error?: number } = {}): Aggregate<number, C, unknown, never> {
  checkOptionNames('approxCountDistinct()', options, { error: true });
  return required('approxCountDistinct', column, {
    error: within('approxCountDistinct', 'an error', options.error ?? DISTINCT_ERROR_DEFAULT, 0.00407, 0.26, false),
  });
}

const LINEAR_BITS_DEFAULT = 16_384;

/**
 * How many different values, approximately, by linear counting in a bitmap of `bits` (default 16,384: 2 KiB
 * per group; rounded up to a power of two). Better than {@link approxCountDistinct} in the same memory up to
 * some three values per bit, of no use beyond ten. Standard error sqrt(bits (e^t - t - 1)) / n with t = n /
 * bits.
 */
export function linearCount<C extends string>(column: C, options: { readonly bits?: number } = {}): Aggregate<number, C, unknown, never> {
  checkOptionNames('linearCount()', options, { bits: true });
  const bits = within('linearCount', 'bits', options.bits ?? LINEAR_BITS_DEFAULT, 64, 1 << 24, false);
  return required('linearCount', column, { bits: 2 ** Math.ceil(Math.log2(bits)) });
}

/**
 * The median, exactly: the value in the middle, of an even number of values the mean of the two there. All values
 * are kept, 24 bytes each, and sorted for each result: for windows and ranges of moderate size. {@link quantile}
 * takes a bounded number of bytes.
 */
export function median<C extends string>(column: C): Aggregate<number | null, C, Exclude<NumberLike, boolean>, never>;
export function median<C extends string>(column: C, range: Range): Aggregate<number | null, C, Exclude<NumberLike, boolean>, never> & Ranged;
export function median(column: string, given?: unknown): OverRows {
  if (column === undefined) return required('median', column);
  return withRange('median', column, given);
}

const QUANTILE_ERROR_DEFAULT = 0.01;

/**
 * The value of rank floor(q (n - 1)), counted from 0, within a relative error of at most `error` (default
 * 0.01), always (DDSketch, core/groups/accumulators/quantile-sketch.ts). Quantiles of one column share one
 * sketch. A sketch takes 12 to 24 bytes for each factor of (1 + error) / (1 - error) in which there are
 * values.
 */
export function quantile<C extends string>(
  column: C,
  q: number,
  options: { readonly error?: number } = {},
): Aggregate<number | null, C, Exclude<NumberLike, boolean>, never> {
  checkOptionNames('quantile()', options, { error: true });
  return required('quantile', column, {
    q: within('quantile', 'a q', q, 0, 1, false),
    error: within('quantile', 'an error', options.error ?? QUANTILE_ERROR_DEFAULT, 1e-5, 0.5, false),
  });
}

const COUNTERS_A_VALUE = 10;
const COUNTERS_MIN = 100;

/**
 * The k most frequent values, as a JSON array as text: `[{"value":"/","count":812,"error":0}, ...]`, the most
 * frequent first, ties in ascending order of values. Counts are exact while there are no more than 2 *
 * `counters` (default 10 k, at least 100) different values. Beyond that the true count lies between count and
 * count + error, and error is at most rows / (counters + 1) (Misra-Gries,
 * core/groups/accumulators/heavy-hitters.ts).
 */
export function topK<C extends string>(column: C, k: number, options: { readonly counters?: number } = {}): Aggregate<string, C, JsonLike, never> {
  checkOptionNames('topK()', options, { counters: true });
  within('topK', 'a k', k, 1, 10_000, true);
  const counters = within('topK', 'counters', options.counters ?? Math.max(COUNTERS_MIN, k * COUNTERS_A_VALUE), k, 1_000_000, true);
  return required('topK', column, { k, counters });
}

/**
 * Exponential smoothing over event time: the weighted mean of the values. A value weighs half as much for
 * each `halfLife` that it is older than the newest of its group (core/groups/accumulators/smoothing.ts).
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when the half-life is no duration of at least 1 ms
 */
export function ewma<C extends string>(column: C, options: { readonly halfLife: Duration }): Aggregate<number | null, C, NumberLike, never> {
  checkOptionNames('ewma()', options ?? {}, { halfLife: true });
  return required('ewma', column, { halfLifeMs: durationMs(options?.halfLife, 'The halfLife of ewma()', 1) });
}

/**
 * Rows per second over the window; of a named column, its sum per second. In a window of rows the time is
 * that from its first row to its last; the rate is Infinity where that is 0.
 */
export function rate(): Aggregate<number, never, unknown, never>;
export function rate<C extends string>(column: C): Aggregate<number | null, C, NumberLike, never>;
export function rate(column?: string): Aggregate<number | null, string, NumberLike, never> {
  return describe('rate', column);
}
