/**
 * The plan of an aggregation. It turns what the user wrote and the input schema into the slot layout, the
 * result columns and the way windows are combined. It is plain values, no memory: every thread makes the same
 * plan from the same pipeline.
 *
 * Aggregates share accumulators: mean('ms') and sum('ms') read one sum, and there is one count of rows. How
 * the panes of a window are combined is chosen once for the whole slot, since its accumulators travel
 * together:
 *
 *   none        no window: one table, updated for ever
 *   tumbling    a window is one pane: its table is the result
 *   merge       a window has so few panes that merging them each time is cheapest
 *   running     all accumulators can be subtracted: one table, add the pane that enters, subtract the one
 *               that leaves
 *   two-stack   some cannot (min, max): suffix tables of the older panes, one running table of the newer ones
 *
 * For how these work see core/panes/window-state.ts.
 */

import { type Accumulator, type Field, MillraceError, type OpenWindows, type PaneGrid, Schema, SlotLayout, shown, timestamp } from '../../core/index.ts';
import { openWindowsOf, type WindowSpec } from '../windows.ts';
import type { Aggregate } from './aggregates.ts';
import { AccumulatorSet, type ResultColumn, resultColumn } from './result-columns.ts';

export type Strategy = 'none' | 'tumbling' | 'merge' | 'running' | 'two-stack';

export type { ResultColumn };

export interface AggregatePlan {
  readonly input: Schema;
  /**
   * Key columns, then (with a window) windowStart and windowEnd, then the aggregates, in the order written.
   */
  readonly output: Schema;
  /** Positions of the key columns in the input. */
  readonly keys: readonly number[];
  /**
   * For each accumulator of the layout: position of its input column, -1 if it takes none. Then, for each
   * that has an order column, the position of that.
   */
  readonly inputs: readonly number[];
  readonly layout: SlotLayout;
  readonly results: readonly ResultColumn[];
  readonly window: WindowSpec | undefined;
  readonly openWindows: OpenWindows | undefined;
  /** See `openWindows`. */
  readonly grid: PaneGrid | undefined;
  /** Position of the event time column in the input; -1 without a window. */
  readonly eventTime: number;
  /**
   * Added to the event time of each row. -1 where event time is the end of a window: the row then belongs to
   * the window's last moment.
   */
  readonly timeShiftMs: number;
  /** Names of the input columns that the aggregation reads. */
  readonly columnsRead: readonly string[];
  readonly strategy: Strategy;
  /** Why this strategy, for explain. */
  readonly reason: string;
  /**
   * True when an accumulator is a sum of floats. Such a sum drifts when values are added and subtracted for
   * long.
   */
  readonly drifts: boolean;
  /** Groups whose first value is no byte at all are those of keys that went: they may be dropped (view/row-view.ts). */
  readonly dropsEmpty?: boolean;
  /** What decides the meaning of its state, as values that JSON can hold: see StateFacts. */
  readonly facts: unknown;
  /** Several lines, for explain. */
  describe(): string;
}

export interface AggregateRequest {
  readonly input: Schema;
  /** Names of the key columns. Without any, all rows are one group. */
  readonly keys: readonly string[];
  readonly aggregates: Readonly<Record<string, Aggregate>>;
  readonly window?: WindowSpec;
  /**
   * Name of the event time column (type timestamp). Required with a window. Without a window it only orders
   * values, for `first` and the like.
   */
  readonly eventTime?: string;
  /** -1 where the event time column holds the end of a window (default 0). */
  readonly timeShiftMs?: 0 | -1;
  /**
   * True: results have window bounds although there is no window of time here. Whoever writes them knows its
   * length (default false).
   */
  readonly hasBounds?: boolean;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or of a type that the aggregate does
 * not take, when two result columns have one name, or when there is a window and no event time
 */
export function planAggregate(request: AggregateRequest): AggregatePlan {
  const { input, window } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const openWindows = window === undefined ? undefined : openWindowsOf(window);
  const grid = openWindows?.grid;
  const eventTime = window === undefined ? -1 : eventTimeColumn(request, window);

  const orders = request.eventTime === undefined ? -1 : input.indexOf(request.eventTime);
  const accumulators = new AccumulatorSet(input, orders);
  // Present wherever a pane may be subtracted again: a group is gone when its count of rows falls to 0.
  if (grid !== undefined && grid.panesPerWindow > 1) accumulators.place('count', -1);
  const names = Object.keys(request.aggregates);
  if (names.length === 0)
    throw new MillraceError('ERR_MILLRACE_PIPELINE', 'aggregate() is given no aggregates. Give at least one: aggregate({ rows: count() }).');
  const results = names.map((name) => resultColumn(name, request.aggregates[name], input, accumulators, window !== undefined || request.hasBounds === true));
  const inputs = [...accumulators.inputs, ...accumulators.orders.filter((column) => column >= 0)];

  const layout = new SlotLayout(
    keys.map((key) => input.field(key).type),
    accumulators.list,
  );
  const fields: Field[] = keys.map((key) => input.field(key));
  if (window !== undefined) fields.push({ name: 'windowStart', type: timestamp }, { name: 'windowEnd', type: timestamp });
  for (const { name, type } of results) fields.push({ name, type });
  const read = new Set([...keys, ...inputs, eventTime]);
  const { strategy, reason } = chooseStrategy(window, grid, results, accumulators.list);
  const plan = {
    input,
    output: outputSchema(fields),
    keys,
    inputs,
    layout,
    results,
    window,
    openWindows,
    grid,
    eventTime,
    timeShiftMs: request.timeShiftMs ?? 0,
    columnsRead: input.fields.filter((_, column) => read.has(column)).map((field) => field.name),
    strategy,
    reason,
    drifts: accumulators.list.some((a) => a.name === 'sum' && a.result.name === 'f64'),
  };
  return { ...plan, facts: factsOf(plan), describe: () => describePlan(plan) };
}

function factsOf(plan: Omit<AggregatePlan, 'facts' | 'describe'>): unknown {
  const nameOf = (column: number): string | null => (column < 0 ? null : plan.input.field(column).name);
  return {
    columns: String(plan.input.select(plan.columnsRead, 'state')),
    keys: plan.keys.map(nameOf),
    aggregates: plan.results.map(({ name, aggregate: { name: kind, column, by, parameters } }) => ({ name, kind, column, by, parameters })),
    accumulators: plan.layout.accumulators.map(({ accumulator: { name, ties, parameter } }) => ({ name, ties, parameter })),
    inputs: plan.inputs.map(nameOf),
    window: plan.window,
    eventTime: nameOf(plan.eventTime),
    timeShiftMs: plan.timeShiftMs,
    strategy: plan.strategy,
    output: String(plan.output),
  };
}

function eventTimeColumn(request: AggregateRequest, window: WindowSpec): number {
  if (request.eventTime === undefined) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window} needs event time, and this stream has none. Put .withWatermark(column, delay) before it.`);
  }
  const column = request.input.require(request.eventTime, 'withWatermark');
  const { type } = request.input.field(column);
  if (type.name !== 'timestamp') {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withWatermark names the column ${shown(request.eventTime)}, which is ${type.name}. Event time must be a timestamp; convert it with .map.`,
    );
  }
  return column;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when two columns have one name */
export function outputSchema(fields: readonly Field[]): Schema {
  const seen = new Set<string>();
  for (const { name } of fields) {
    if (seen.has(name)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `Two result columns are named ${shown(name)}. A result row has the key columns, windowStart and windowEnd of a window, and the aggregates; rename one.`,
      );
    }
    seen.add(name);
  }
  return new Schema(fields);
}

/** Windows of at most this many panes are merged from them each time. Running totals would cost as much. */
const MERGE_PANES_MAX = 2;

function chooseStrategy(
  window: WindowSpec | undefined,
  grid: PaneGrid | undefined,
  results: readonly ResultColumn[],
  accumulators: readonly Accumulator[],
): { strategy: Strategy; reason: string } {
  if (grid === undefined) return { strategy: 'none', reason: 'no window: one table that is updated for ever' };
  const panes = grid.panesPerWindow;
  if (panes === 1) return { strategy: 'tumbling', reason: 'a window is one pane' };
  if (window?.shape.kind === 'cumulative') return { strategy: 'running', reason: 'a window grows: panes are added and never taken out' };
  if (panes <= MERGE_PANES_MAX) return { strategy: 'merge', reason: `a window is ${panes} panes: merging them costs no more than a running total` };
  const kept = results.filter((result) => !canSubtract(result, accumulators));
  if (kept.length === 0) return { strategy: 'running', reason: 'all aggregates can be subtracted: add the pane that enters, take out the one that leaves' };
  const named = kept.map((result) => result.name).join(', ');
  return { strategy: 'two-stack', reason: `${named} cannot be subtracted, and the aggregates of a slot travel together` };
}

/** Whether the accumulators of a result can be subtracted from a running table. */
function canSubtract({ accumulator: at, squares }: ResultColumn, accumulators: readonly Accumulator[]): boolean {
  return [at, squares].every((index) => index < 0 || accumulators[index]?.canSubtract === true);
}

function describePlan(plan: Omit<AggregatePlan, 'facts' | 'describe'>): string {
  const keys = plan.keys.map((key) => plan.input.field(key).name).join(', ') || '(none: one group)';
  const lines = [`aggregate by ${keys}`];
  if (plan.window !== undefined && plan.grid !== undefined) {
    lines.push(`  window    ${plan.window}; a window is ${plan.grid.panesPerWindow} pane${plan.grid.panesPerWindow === 1 ? '' : 's'}`);
  }
  lines.push(`  strategy  ${plan.strategy}: ${plan.reason}`);
  lines.push(`  slot      ${plan.layout.slotBytes} bytes, ${plan.layout.keyBytes} of them key`);
  const accumulators = plan.layout.accumulators.map((field) => field.accumulator);
  for (const result of plan.results) {
    const { name, aggregate, type, method } = result;
    const facts = [
      `${type.name}${type.nullable ? '?' : ''}`,
      ...(method === '' ? [] : [method]),
      ...(canSubtract(result, accumulators) ? [] : ['cannot be subtracted']),
    ];
    lines.push(
      `  ${name} = ${aggregate.name}(${[aggregate.column, ...(aggregate.parameters.q === undefined ? [] : [aggregate.parameters.q])].join(', ')}): ${facts.join(', ')}`,
    );
  }
  return lines.join('\n');
}
