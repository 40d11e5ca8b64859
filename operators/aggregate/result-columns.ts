/**
 * From an aggregate as written to its result column: which accumulators it needs (shared where another
 * aggregate has them), the type of the result, when it is null, and how the finished value is made of the
 * accumulators (result-forms.ts).
 */

import {
  type Accumulator,
  type AccumulatorName,
  accumulator,
  type DataType,
  f64,
  holdsJson,
  kindText,
  MillraceError,
  nullable,
  precisionFor,
  type Schema,
  shown,
  utf8,
} from '../../core/index.ts';
import type { Ranged } from './aggregate-range.ts';
import type { Aggregate, AggregateName } from './aggregates.ts';

/** `value`: the accumulator as it is. The others are made of one or more accumulators (result-forms.ts). */
export type ResultForm = 'value' | 'mean' | 'variance' | 'stddev' | 'rate' | 'median' | 'quantile' | 'topK' | 'list';

/** How one aggregate's result column is computed from the accumulators of a slot. */
export interface ResultColumn {
  readonly name: string;
  readonly aggregate: Aggregate;
  readonly type: DataType;
  readonly form: ResultForm;
  /** Index of the accumulator in the layout. */
  readonly accumulator: number;
  /** Index of the sum of squares of a variance; -1 for any other. */
  readonly squares: number;
  /**
   * Index of the count that is 0 where the result is null, and by which means and variances divide. -1: never
   * null.
   */
  readonly validBy: number;
  /** How it is computed, for explain, where there is a choice; else ''. */
  readonly method: string;
}

/** The accumulators of a slot, each once. */
export class AccumulatorSet {
  readonly list: Accumulator[] = [];
  /** Input column of each; -1: none. */
  readonly inputs: number[] = [];
  /** Order column of each; -1: none. */
  readonly orders: number[] = [];
  /** The event time column, which orders values where no other column is named; -1: there is none. */
  readonly eventTime: number;
  readonly #input: Schema;

  constructor(input: Schema, eventTime = -1) {
    this.#input = input;
    this.eventTime = eventTime;
  }

  /** Index of this accumulator over this column. */
  place(name: AccumulatorName, column: number, options: { readonly order?: number; readonly parameter?: number } = {}): number {
    const { order = -1, parameter } = options;
    const known = this.list.findIndex(
      (a, index) => a.name === name && this.inputs[index] === column && this.orders[index] === order && a.parameter === parameter,
    );
    if (known >= 0) return known;
    this.list.push(
      column < 0
        ? accumulator(name)
        : accumulator(name, this.#input.field(column).type, {
            ...(order < 0 ? {} : { order: this.#input.field(order).type, ties: order === this.eventTime ? 'coming' : 'value' }),
            ...(parameter === undefined ? {} : { parameter }),
          }),
    );
    this.inputs.push(column);
    this.orders.push(order);
    return this.list.length - 1;
  }

  /** Index of the count of a column's values: the count of rows where the column has no nulls. */
  placeCount(column: number): number {
    return column >= 0 && this.#input.field(column).type.nullable ? this.place('countValid', column) : this.place('count', -1);
  }
}

const NUMBERS = ['i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64'] as const;
const SUMMABLE: ReadonlySet<string> = new Set(['bool', ...NUMBERS]);
const ORDERED: ReadonlySet<string> = new Set([...NUMBERS, 'timestamp']);
const TEXTUAL: ReadonlySet<string> = new Set([...SUMMABLE, 'timestamp', 'utf8']);
const ALL: ReadonlySet<string> = new Set([...TEXTUAL, 'binary']);
const TAKES: Readonly<Record<AggregateName, ReadonlySet<string>>> = {
  count: ALL,
  sum: SUMMABLE,
  min: ALL,
  max: ALL,
  mean: SUMMABLE,
  variance: SUMMABLE,
  stddev: SUMMABLE,
  first: ALL,
  last: ALL,
  collect: TEXTUAL,
  countDistinct: ALL,
  approxCountDistinct: ALL,
  linearCount: ALL,
  median: ORDERED,
  quantile: ORDERED,
  topK: TEXTUAL,
  ewma: SUMMABLE,
  rate: SUMMABLE,
};

/** More than memory has room for. */
const MEDIAN_VALUES_MAX = 2 ** 31;

/**
 * @param hasWindow whether the aggregation has one
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it is not an aggregate, or does not take such a column
 */
export function resultColumn(name: string, aggregate: Aggregate | undefined, input: Schema, accumulators: AccumulatorSet, hasWindow: boolean): ResultColumn {
  if (typeof aggregate !== 'object' || aggregate === null || typeof aggregate.name !== 'string' || !Object.hasOwn(TAKES, aggregate.name)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `aggregate() is given ${shown(aggregate)} for ${shown(name)}. Give an aggregate such as count() or mean('ms').`,
    );
  }
  if ((aggregate as Partial<Ranged>).range !== undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${aggregate.name}() has a range for ${shown(name)}: ranges are for over(), which gives each row its aggregates. Leave it out, or put .window(...) before aggregate().`,
    );
  }
  const column = aggregate.column === undefined ? -1 : input.require(aggregate.column, `${aggregate.name}()`);
  const of = column < 0 ? undefined : input.field(column).type;
  const takes = TAKES[aggregate.name];
  if (of !== undefined && !takes.has(of.name)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${aggregate.name}(${shown(aggregate.column)}) of a ${kindText(of)} column: it takes ${[...takes].join(', ')}. Convert the column with .map, or take another.`,
    );
  }
  if (holdsJson(of) && (aggregate.name === 'min' || aggregate.name === 'max')) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${aggregate.name}(${shown(aggregate.column)}) of a ${kindText(of as DataType)} column: such values have no order. Take first or last, or a column that is made of them.`,
    );
  }
  if (aggregate.name === 'rate' && !hasWindow) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'rate() is by the length of a window, and there is none. Put .window(...) before it, or take count() or sum().',
    );
  }
  const order = orderColumn(aggregate, input, accumulators);
  const isNullable = of?.nullable === true;
  const { list } = accumulators;
  const made = (form: ResultForm, at: number, type: DataType, validBy: number, method = '', squares = -1): ResultColumn => ({
    name,
    aggregate,
    type,
    form,
    accumulator: at,
    squares,
    validBy,
    method,
  });
  /** A value of the accumulator's type or another type, null where the column has none. */
  const ofColumn = (form: ResultForm, at: number, plain: DataType | undefined, validBy: number, method = ''): ResultColumn => {
    // The accumulator's type may carry the input's nullability. The result is nullable exactly where the
    // input is.
    const type = plain ?? (list[at] as Accumulator).result;
    return made(form, at, isNullable ? nullable(type) : type, validBy, method);
  };
  const { parameters } = aggregate;
  const withCount = () => (isNullable ? accumulators.placeCount(column) : -1);
  switch (aggregate.name) {
    case 'count':
      return made('value', accumulators.placeCount(column), f64, -1);
    case 'sum':
      return ofColumn('value', accumulators.place('sum', column), undefined, withCount());
    case 'mean':
      return ofColumn('mean', accumulators.place('sum', column), f64, accumulators.placeCount(column));
    case 'min':
    case 'max': {
      const at = accumulators.place(aggregate.name, column);
      // For byte strings the accumulator counts the values itself.
      return ofColumn('value', at, undefined, isNullable && (list[at] as Accumulator).isRowWise ? at : withCount());
    }
    case 'variance':
    case 'stddev': {
      const at = accumulators.place('sum', column);
      const squares = accumulators.place('sumSquares', column);
      return made(aggregate.name, at, nullable(f64), accumulators.placeCount(column), parameters.population === 1 ? 'of a population' : 'of a sample', squares);
    }
    case 'first':
    case 'last': {
      const at = accumulators.place(aggregate.name, column, { order });
      return ofColumn('value', at, undefined, isNullable ? at : -1, orderText(input, order));
    }
    case 'collect':
      return made(
        'list',
        accumulators.place('list', column, { order, parameter: parameters.max as number }),
        utf8,
        -1,
        `at most ${parameters.max}, ${orderText(input, order)}`,
      );
    case 'countDistinct':
      return made('value', accumulators.place('distinct', column), f64, -1, 'exact');
    case 'approxCountDistinct': {
      const precision = precisionFor(parameters.error as number);
      const at = accumulators.place('hyperLogLog', column, { parameter: precision });
      return made('value', at, f64, -1, `HyperLogLog of ${2 ** precision} registers, standard error ${((1.04 / 2 ** (precision / 2)) * 100).toFixed(2)} %`);
    }
    case 'linearCount':
      return made(
        'value',
        accumulators.place('linearCounter', column, { parameter: parameters.bits as number }),
        f64,
        -1,
        `linear counting in ${parameters.bits} bits`,
      );
    case 'median':
      return ofColumn('median', accumulators.place('list', column, { parameter: MEDIAN_VALUES_MAX }), f64, withCount(), 'exact: all values are kept');
    case 'quantile': {
      const at = accumulators.place('quantiles', column, { parameter: parameters.error as number });
      return ofColumn('quantile', at, f64, withCount(), `DDSketch, relative error ${parameters.error}`);
    }
    case 'topK': {
      const at = accumulators.place('topK', column, { parameter: parameters.counters as number });
      return made('topK', at, utf8, -1, `Misra-Gries, error at most rows / ${(parameters.counters as number) + 1}`);
    }
    case 'ewma': {
      const at = accumulators.place('smoothed', column, { order, parameter: parameters.halfLifeMs as number });
      const mayLack = isNullable || input.field(order).type.nullable;
      return made('value', at, mayLack ? nullable(f64) : f64, mayLack ? at : -1, `half-life ${parameters.halfLifeMs} ms, ${orderText(input, order)}`);
    }
    case 'rate':
      if (column < 0) return made('rate', accumulators.place('count', -1), f64, -1);
      return ofColumn('rate', accumulators.place('sum', column), f64, withCount());
  }
}

/** The column that orders the values; -1: none. */
function orderColumn(aggregate: Aggregate, input: Schema, accumulators: AccumulatorSet): number {
  const { name, by } = aggregate;
  if (name !== 'first' && name !== 'last' && name !== 'collect' && name !== 'ewma') return -1;
  const order = by === undefined ? accumulators.eventTime : input.require(by, `${name}()`);
  if (order < 0 && name === 'ewma') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', 'ewma() needs event time, and this stream has none. Put .withWatermark(column, delay) before it.');
  }
  if (order >= 0 && !ORDERED.has(input.field(order).type.name)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${name}() goes by ${shown(by)}, a ${input.field(order).type.name} column: that takes ${[...ORDERED].join(', ')}. Convert the column with .map, or take another.`,
    );
  }
  return order;
}

function orderText(input: Schema, order: number): string {
  return order < 0 ? 'in the order of coming' : `by ${input.field(order).name}`;
}
