/**
 * User-defined aggregates: `aggregator({ init, add, merge, result })`. This file has the description only;
 * user-aggregates/ computes them. Whatever an aggregate of aggregates.ts can do it does faster: its rows are
 * combined where they are scanned, in shared memory. A user-defined one costs a function call per row, over
 * rows that travel whole, with state in the heap of the worker.
 */

import { type DataType, f64, MillraceError, schema, shown } from '../../core/index.ts';

/** What a function may return that changes a state in place: nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement gives void, not undefined
type Nothing = void;

/**
 * The functions of an aggregate over rows of type `R`, with a state of type `S` and results of type `V`. All
 * must be pure, except that they may change their first argument, the state: plain values that structured
 * clone can copy. A row is one frozen object, shared by all aggregators of a call: functions may keep it, but
 * not write to it.
 */
export interface AggregatorFunctions<S, R, V> {
  /** A new state, of no row. It is neutral: `merge(init(), a)` equals `a`. Called any number of times. */
  init(): S;
  /**
   * The state with one more row. May change the state and return it, or return nothing. Rows of a key come in
   * order.
   */
  add(state: S, row: R): S | Nothing;
  /**
   * One state of two; `a` is of the earlier rows. May change `a` and return it, or return nothing. May not
   * change `b`, nor keep a part of it that is changed later.
   */
  merge(a: S, b: S): S | Nothing;
  /**
   * The state without a row that was added to it, the oldest first: remove(add(s, r), r) must equal s. For
   * long sliding windows with large states; small ones are merged as fast.
   */
  remove?(state: S, row: R): S | Nothing;
  /** The result of the state. Does not change it. */
  result(state: S): V;
}

/**
 * A user-defined aggregate, made by {@link aggregator}. `V`: type of the result; `R`: what its functions need
 * of a row.
 */
export interface UserAggregate<V = unknown, R = never> {
  readonly name: 'aggregator';
  readonly type: DataType;
  readonly functions: AggregatorFunctions<unknown, unknown, unknown>;
  /** For the type checker only. */
  readonly _result?: V;
  /** For the type checker only. */
  readonly _reads?: (row: R) => void;
}

/**
 * An aggregate of your own, beside the built-in ones, running or in any window.
 *
 * @param functions.type the column type of the result: f64 where none is given
 * @example
 * const spread = aggregator({
 *   init: () => ({ least: Infinity, most: -Infinity }),
 *   add(state, row: { price: number }) {
 *     state.least = Math.min(state.least, row.price);
 *     state.most = Math.max(state.most, row.price);
 *   },
 *   merge: (a, b) => ({ least: Math.min(a.least, b.least), most: Math.max(a.most, b.most) }),
 *   result: (state) => state.most - state.least,
 * });
 * stream.keyBy('symbol').window(sliding('1m', '10s')).aggregate({ trades: count(), spread })
 * @throws MillraceError ERR_MILLRACE_PIPELINE when a function is missing, ERR_MILLRACE_SCHEMA when the type
 * is not a column type
 */
export function aggregator<S, R, V>(functions: AggregatorFunctions<S, R, NoInfer<V>> & { readonly type: DataType<V> }): UserAggregate<V, R>;
export function aggregator<S, R>(functions: AggregatorFunctions<S, R, number> & { readonly type?: undefined }): UserAggregate<number, R>;
export function aggregator(given: AggregatorFunctions<unknown, unknown, unknown> & { readonly type?: DataType | undefined }): UserAggregate<unknown, unknown> {
  const { init, add, merge, remove, result, type = f64 } = given ?? {};
  for (const [name, fn] of [
    ['init', init],
    ['add', add],
    ['merge', merge],
    ['result', result],
  ] as const) {
    if (typeof fn !== 'function') refuse(name, fn);
  }
  if (remove !== undefined && typeof remove !== 'function') refuse('remove', remove);
  // Refuses what is not a column type.
  schema({ result: type });
  // Called as methods of the given object: they may use `this`.
  const functions = {
    init: () => given.init(),
    add: (state: unknown, row: unknown) => given.add(state, row),
    merge: (a: unknown, b: unknown) => given.merge(a, b),
    ...(remove === undefined ? {} : { remove: (state: unknown, row: unknown) => given.remove?.(state, row) }),
    result: (state: unknown) => given.result(state),
  };
  return Object.freeze({ name: 'aggregator', type, functions: Object.freeze(functions) } as const);
}

function refuse(name: string, fn: unknown): never {
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `aggregator() has ${fn === undefined ? 'no' : `${shown(fn)} for`} ${name}. Give functions: aggregator({ init: () => 0, add: (sum, row) => sum + row.ms, merge: (a, b) => a + b, result: (sum) => sum }).`,
  );
}

/** Whether a value given as an aggregate is a user-defined one. */
export function isUserAggregate(value: unknown): value is UserAggregate {
  return typeof value === 'object' && value !== null && (value as Partial<UserAggregate>).name === 'aggregator' && 'functions' in value;
}
