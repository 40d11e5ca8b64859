/**
 * Aggregates from which a row can be taken out again, for tables. Counts and sums are exact (exact-sum.ts), so
 * results depend on the rows that are there alone, never on the order in which rows came and went. Those that
 * need it keep all values of their group, in order. A result is what the aggregate gives of facts
 * (aggregate/aggregates.ts), and exact where that is approximate.
 */

import { MillraceError, type Schema, shown, textOfValue } from '../../core/index.ts';
import { type Aggregate, type AggregateName, medianOf } from '../aggregate/index.ts';
import { neverThere } from './change-rows.ts';
import { addExactly, addSquare, type ExactSum, exactSum, spreadOf, valueOfSum } from './exact-sum.ts';
import { firstItems, itemAt, type Multiset, multiset, putInto } from './multiset.ts';
import { compareAll, compareValues } from './order.ts';

/** One result column. State is plain values. Nulls have been left out already. */
export interface Accumulator<S = unknown> {
  init(): S;
  /** @param order the value of the column that orders the values, where there is one */
  put(state: S, value: unknown, order: unknown, sign: 1 | -1): void;
  result(state: S): unknown;
}

/** What to take where an aggregate cannot take a row out. */
const INSTEAD: Readonly<Partial<Record<AggregateName, string>>> = {
  approxCountDistinct: 'countDistinct(), which is exact',
  linearCount: 'countDistinct(), which is exact',
  topK: 'groupBy(), count() and top()',
  ewma: 'mean()',
  first: 'first(column, { by }), which is by a column',
  last: 'last(column, { by }), which is by a column',
  rate: 'count() or sum()',
};

/** @throws MillraceError ERR_MILLRACE_PIPELINE for an aggregate from which nothing can be taken out */
export function mustGiveBack(name: string, aggregate: Aggregate | undefined): void {
  const instead = INSTEAD[aggregate?.name as AggregateName];
  if (instead === undefined || aggregate?.by !== undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${aggregate?.name}() for ${shown(name)} stands behind a table, whose rows are replaced and go: what it keeps cannot be taken out again. Take ${instead}, or aggregate the changes as facts, behind .changes().`,
  );
}

/**
 * @param input without the hidden column
 */
export function accumulatorOf(name: string, aggregate: Aggregate, input: Schema): Accumulator {
  const { parameters, by } = aggregate;
  const type = aggregate.column === undefined ? undefined : input.field(input.require(aggregate.column, `${aggregate.name}()`)).type;
  switch (aggregate.name) {
    case 'count':
      return COUNT as Accumulator;
    case 'sum':
      return (type?.name === 'i64' ? LONG_SUM : SUM) as Accumulator;
    case 'mean':
      return (type?.name === 'i64' ? LONG_MEAN : MEAN) as Accumulator;
    case 'variance':
    case 'stddev':
      return spread(parameters.population === 1 ? 0 : 1, aggregate.name === 'stddev') as Accumulator;
    case 'min':
      return ordered(name, ({ items }) => items[0]) as Accumulator;
    case 'max':
      return ordered(name, ({ items }) => items.at(-1)) as Accumulator;
    case 'countDistinct':
      return ordered(name, ({ items }) => items.length) as Accumulator;
    case 'median':
      return ordered(name, middleOf) as Accumulator;
    case 'quantile':
      return ordered(name, (set) => asNumber(itemAt(set, Math.floor((parameters.q as number) * (set.size - 1))))) as Accumulator;
    case 'collect': {
      const isText = parameters.isJson === 1 || type?.json === true;
      const listed = isText
        ? (values: readonly unknown[]) => `[${values.join(',')}]`
        : type?.element !== undefined
          ? (values: readonly unknown[]) => `[${values.map((value) => textOfValue(name, type, value)).join(',')}]`
          : jsonOf;
      return (
        by === undefined
          ? ordered(name, (set) => listed(firstItems(set, parameters.max as number)))
          : byOrder(name, false, (set) => listed(firstItems(set, parameters.max as number).map(([, value]) => value)))
      ) as Accumulator;
    }
    case 'first':
      return byOrder(name, false, ({ items }) => items[0]?.[1]) as Accumulator;
    case 'last':
      return byOrder(name, true, ({ items }) => items.at(-1)?.[1]) as Accumulator;
    default:
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `${aggregate.name}() for ${shown(name)} is no aggregate of a table.`);
  }
}

const COUNT: Accumulator<{ n: number }> = {
  init: () => ({ n: 0 }),
  put(state, _value, _order, sign) {
    state.n += sign;
  },
  result: ({ n }) => n,
};

const SUM: Accumulator<{ n: number; sum: ExactSum }> = {
  init: () => ({ n: 0, sum: exactSum() }),
  put(state, value, _order, sign) {
    state.n += sign;
    addExactly(state.sum, Number(value), sign);
  },
  result: ({ n, sum }) => (n === 0 ? null : valueOfSum(sum)),
};

const MEAN: Accumulator<{ n: number; sum: ExactSum }> = { ...SUM, result: ({ n, sum }) => (n === 0 ? null : valueOfSum(sum) / n) };

interface LongSum {
  n: number;
  sum: bigint;
}

const LONG_SUM: Accumulator<LongSum> = {
  init: () => ({ n: 0, sum: 0n }),
  put(state, value, _order, sign) {
    state.n += sign;
    state.sum += sign > 0 ? (value as bigint) : -(value as bigint);
  },
  // As sums of facts: of 64 bits.
  result: ({ n, sum }) => (n === 0 ? null : BigInt.asIntN(64, sum)),
};

const LONG_MEAN: Accumulator<LongSum> = { ...LONG_SUM, result: ({ n, sum }) => (n === 0 ? null : Number(sum) / n) };

/** @param taken what the variance divides by is less than the number of values by this */
function spread(taken: 0 | 1, isDeviation: boolean): Accumulator<{ n: number; sum: ExactSum; squares: ExactSum }> {
  return {
    init: () => ({ n: 0, sum: exactSum(), squares: exactSum() }),
    put(state, value, _order, sign) {
      state.n += sign;
      addExactly(state.sum, Number(value), sign);
      addSquare(state.squares, Number(value), sign);
    },
    result({ n, sum, squares }) {
      if (n <= taken) return null;
      const variance = spreadOf(n, sum, squares) / n / (n - taken);
      return isDeviation ? Math.sqrt(variance) : variance;
    },
  };
}

/** Of all values, in their order. Null where there is none, but of a number. */
function ordered(name: string, resultOf: (set: Multiset<unknown>) => unknown): Accumulator<Multiset<unknown>> {
  return {
    init: () => multiset(),
    put(state, value, _order, sign) {
      // -0 counts as 0.
      if (!putInto(state, value === 0 ? 0 : value, sign, compareValues)) throw neverThere(`The aggregate ${shown(name)}`);
    },
    result: (state) => resultOf(state) ?? null,
  };
}

type Placed = readonly [order: unknown, value: unknown];

/**
 * Of all values with what orders them. What has no order (null, NaN) counts only where nothing has: it stands
 * behind for the first of all, and in front for the last.
 */
function byOrder(name: string, isLast: boolean, resultOf: (set: Multiset<Placed>) => unknown): Accumulator<Multiset<Placed>> {
  const compare = (a: Placed, b: Placed): number => {
    if ((a[0] === null) !== (b[0] === null)) return (a[0] === null) === isLast ? -1 : 1;
    return compareAll(a, b);
  };
  return {
    init: () => multiset(),
    put(state, value, order, sign) {
      const has = order === undefined || (typeof order === 'number' && Number.isNaN(order)) ? null : order;
      if (!putInto(state, [has, value], sign, compare)) throw neverThere(`The aggregate ${shown(name)}`);
    },
    result: (state) => resultOf(state) ?? null,
  };
}

/** Of an even number of values the mean of the two in the middle. */
function middleOf(set: Multiset<unknown>): number | null {
  if (set.size === 0) return null;
  const [low, high] = [itemAt(set, (set.size - 1) >> 1), itemAt(set, set.size >> 1)].map(Number) as [number, number];
  return medianOf(Float64Array.of(low, high));
}

function asNumber(value: unknown): number | null {
  return value === undefined ? null : Number(value);
}

function jsonOf(values: readonly unknown[]): string {
  return `[${values.map((value) => (typeof value === 'bigint' ? String(value) : JSON.stringify(value))).join(',')}]`;
}
