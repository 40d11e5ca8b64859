/**
 * The aggregates of one call, in two halves: the built-in ones, planned as always (aggregate-plan.ts), and
 * the user-defined ones. Each half gives its own columns, which are combined in the order in which they were
 * written.
 */

import { type AnyRow, type Field, type Schema, timestamp } from '../../core/index.ts';
import {
  type Aggregate,
  type AggregatePlan,
  type AggregateRequest,
  count,
  isUserAggregate,
  outputSchema,
  planAggregate,
  type UserAggregate,
} from '../aggregate/index.ts';
import { named } from '../exchange/index.ts';

/** An aggregate as it may appear in a call. */
export type AnyAggregate = Aggregate | UserAggregate;
/** An aggregation as written, of built-in and user-defined aggregates. */
export type MixedRequest = Omit<AggregateRequest, 'aggregates'> & { readonly aggregates: Readonly<Record<string, AnyAggregate>> };

export interface NamedAggregate {
  readonly name: string;
  readonly aggregate: UserAggregate;
}

export interface AggregateSplit {
  /**
   * The built-in aggregates. Where there is none, a hidden count of rows, which says which groups there are.
   */
  readonly builtIn: Readonly<Record<string, Aggregate>>;
  /** True: the built-in one is that count. */
  readonly isAlone: boolean;
  readonly own: readonly NamedAggregate[];
  /** For each column as written: whether it is user-defined, and its place among its kind. */
  readonly order: readonly { readonly isOwn: boolean; readonly place: number }[];
}

/** Whether a user-defined aggregate is among them. */
export function hasUserAggregate(aggregates: MixedRequest['aggregates']): boolean {
  return Object.values(aggregates).some(isUserAggregate);
}

export function splitAggregates(aggregates: MixedRequest['aggregates'], keys: readonly string[]): AggregateSplit {
  const own: NamedAggregate[] = [];
  const builtIn: [string, Aggregate][] = [];
  const order = Object.keys(aggregates).map((name) => {
    const aggregate = aggregates[name] as AnyAggregate;
    if (isUserAggregate(aggregate)) return { isOwn: true, place: own.push({ name, aggregate }) - 1 };
    return { isOwn: false, place: builtIn.push([name, aggregate]) - 1 };
  });
  const isAlone = builtIn.length === 0;
  if (isAlone) {
    let name = 'rows';
    while (keys.includes(name)) name += '+';
    builtIn.push([name, count()]);
  }
  // Not assignments: a result may be named __proto__.
  return { builtIn: Object.fromEntries(builtIn), isAlone, own, order };
}

/** Merges a list per kind, each in its own order, into the order of the columns. */
export function interleaved<T>({ order }: AggregateSplit, builtIn: readonly T[], own: readonly T[]): T[] {
  return order.map(({ isOwn, place }) => (isOwn ? own : builtIn)[place] as T);
}

/**
 * Aggregates of a group by name, for people: the built-in ones with their results, the user-defined ones with
 * their states.
 *
 * @param plan undefined: there are built-in ones only
 */
export function namedValues(plan: MixedPlan | undefined, names: readonly string[], values: readonly unknown[], states: readonly unknown[]): AnyRow {
  if (plan === undefined) return named(names, values);
  const { split, ownFields } = plan;
  const own = ownFields.map(({ name }) => name);
  return named(interleaved(split, names, own), interleaved(split, values, states));
}

export interface MixedPlan {
  readonly split: AggregateSplit;
  /** Of the built-in aggregates. */
  readonly builtIn: AggregatePlan;
  /** The user-defined result columns. */
  readonly ownFields: readonly Field[];
  /**
   * Key columns, then (with a window) windowStart and windowEnd, then the aggregates in the order written.
   */
  readonly output: Schema;
}

/**
 * @param hasBounds whether the results have windowStart and windowEnd
 * @throws MillraceError as planAggregate
 */
export function planMixed(request: MixedRequest, hasBounds: boolean): MixedPlan {
  const split = splitAggregates(request.aggregates, request.keys);
  const builtIn = planAggregate({ ...request, aggregates: split.builtIn });
  const ownFields = split.own.map(({ name, aggregate }) => ({ name, type: aggregate.type }));
  const head: Field[] = builtIn.keys.map((key) => request.input.field(key));
  if (hasBounds) head.push({ name: 'windowStart', type: timestamp }, { name: 'windowEnd', type: timestamp });
  const values = interleaved<Field>(
    split,
    builtIn.results.map(({ name, type }) => ({ name, type })),
    ownFields,
  );
  return { split, builtIn, ownFields, output: outputSchema([...head, ...values]) };
}
