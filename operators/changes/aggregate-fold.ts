/** Aggregates of the rows of a table: built-in ones, and aggregators that have `remove`. */

import { type AnyRow, type Batch, MillraceError, readValue, type Schema, shown, withoutSign } from '../../core/index.ts';
import { type Aggregate, isUserAggregate } from '../aggregate/index.ts';
import { named } from '../exchange/index.ts';
import { RowReader } from '../keyed/index.ts';
import { type AnyAggregate, planMixed, UserFunction } from '../user-aggregates/index.ts';
import { type Accumulator, accumulatorOf, mustGiveBack } from './accumulators.ts';
import type { ChangeFold } from './change-fold.ts';

interface BuiltIn {
  readonly accumulator: Accumulator;
  /** Columns of the input; -1: none. */
  readonly column: number;
  readonly order: number;
}

/** By aggregate, as written. */
type States = unknown[];

/**
 * @param input with the hidden column
 * @throws MillraceError ERR_MILLRACE_PIPELINE as planAggregate, and for what cannot take a row out
 */
export function aggregateFold(input: Schema, keys: readonly string[], aggregates: Readonly<Record<string, AnyAggregate>>): ChangeFold<States> {
  const rows = withoutSign(input);
  for (const [name, aggregate] of Object.entries(aggregates)) if (!isUserAggregate(aggregate)) mustGiveBack(name, aggregate);
  const { output } = planMixed({ input: rows, keys, aggregates }, false);
  const fields = output.fields.slice(keys.length);
  const names = fields.map(({ name }) => name);
  const own: (UserFunction | undefined)[] = [];
  const builtIn: (BuiltIn | undefined)[] = [];
  for (const name of names) {
    const aggregate = aggregates[name] as AnyAggregate;
    own.push(isUserAggregate(aggregate) ? removing(name, new UserFunction({ name, aggregate })) : undefined);
    builtIn.push(isUserAggregate(aggregate) ? undefined : builtInOf(name, aggregate, rows, input));
  }
  const readsRows = own.some((of) => of !== undefined);
  const reader = new RowReader(
    input,
    rows.fields.map(({ name }) => input.indexOf(name)),
  );
  return {
    name: 'table aggregate',
    title: 'aggregate of a table',
    facts: { aggregates: names.map((name) => factsOf(aggregates[name] as AnyAggregate)) },
    whole: 'rows that are replaced and go are taken out by their values',
    fields,
    callsFunctions: readsRows,
    init: () => names.map((_, i) => (own[i] === undefined ? builtIn[i]?.accumulator.init() : own[i].init())),
    put(states, batch, row, sign, isGuarded) {
      if (readsRows) callOwn(own, states, Object.freeze(reader.read(batch, row)), sign, isGuarded);
      builtIn.forEach((of, i) => {
        if (of !== undefined) put(of, states[i], batch, row, sign);
      });
      return states;
    },
    results: (states, key) => [names.map((_, i) => (own[i] === undefined ? builtIn[i]?.accumulator.result(states[i]) : own[i].result(states[i], key)))],
    copy: (states, key) => states.map((state, i) => (own[i] === undefined ? structuredClone(state) : own[i].copy(state, key))),
    shown: (states) =>
      named(
        names,
        states.map((state, i) => builtIn[i]?.accumulator.result(state) ?? state),
      ),
  };
}

/** All of them, or none where one fails. */
function callOwn(own: readonly (UserFunction | undefined)[], states: States, row: AnyRow, sign: 1 | -1, isGuarded: boolean): void {
  const next = own.map((of, i) => {
    if (of === undefined) return undefined;
    const state = isGuarded ? of.kept(states[i]) : states[i];
    return sign > 0 ? of.add(state, row) : of.remove(state, row);
  });
  own.forEach((of, i) => {
    if (of !== undefined) states[i] = next[i];
  });
}

function put({ accumulator, column, order }: BuiltIn, state: unknown, batch: Batch, row: number, sign: 1 | -1): void {
  const value = column < 0 ? true : readValue(batch.memory, batch.column(column), row);
  if (value !== null) accumulator.put(state, value, order < 0 ? undefined : readValue(batch.memory, batch.column(order), row), sign);
}

function builtInOf(name: string, aggregate: Aggregate, rows: Schema, input: Schema): BuiltIn {
  const { column, by } = aggregate;
  return {
    accumulator: accumulatorOf(name, aggregate, rows),
    column: column === undefined ? -1 : input.require(column, `${aggregate.name}()`),
    order: by === undefined ? -1 : input.require(by, `${aggregate.name}()`),
  };
}

function removing(name: string, own: UserFunction): UserFunction {
  if (own.canRemove) return own;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `The aggregator ${shown(name)} stands behind a table, whose rows are replaced and go, and it has no remove. Give it one: aggregator({ ..., remove: (sum, row) => sum - row.ms }).`,
  );
}

function factsOf(aggregate: AnyAggregate): unknown {
  if (isUserAggregate(aggregate)) return 'aggregator';
  const { name, column, by, parameters } = aggregate;
  return { name, column: column ?? null, by: by ?? null, parameters };
}
