/**
 * The plan of an aggregation with user-defined aggregates, running or in windows of time: how windows are
 * combined for each aggregate, and the operator (mixed-aggregate.ts). For sessions see
 * session/session-plan.ts, for windows of rows row-windows.ts.
 */

import { assert } from '../../core/index.ts';
import type { KeyedOperatorPlan } from '../keyed/index.ts';
import type { WindowSpec } from '../windows.ts';
import { type MixedPlan, type MixedRequest, type NamedAggregate, planMixed } from './aggregate-split.ts';
import { MixedAggregate, type MixedAggregatePlan, type MixedSnapshot } from './mixed-aggregate.ts';
import type { UserStrategy } from './pane-states.ts';

/**
 * @param request with a window of time, or none
 * @throws MillraceError ERR_MILLRACE_PIPELINE as planAggregate
 */
export function planMixedAggregate(request: MixedRequest): KeyedOperatorPlan {
  const { input, keys, window, eventTime } = request;
  const mixed = planMixed(request, window !== undefined);
  const { builtIn, split, output } = mixed;
  const { grid, openWindows } = builtIn;
  const chosen = split.own.map((named) => strategyOf(named, window, grid?.panesPerWindow ?? 0));
  const plan: MixedAggregatePlan = {
    ...mixed,
    input: { schema: input, keys: builtIn.keys, columns: input.fields.map((_, c) => c), eventTime: builtIn.eventTime, timeShiftMs: request.timeShiftMs ?? 0 },
    strategies: chosen.map(({ strategy }) => strategy),
  };
  assert(window === undefined || eventTime !== undefined, 'a window without event time');
  return {
    name: 'aggregate',
    isOrdered: true,
    callsFunctions: true,
    inputs: [plan.input],
    output,
    outputTime: window === undefined ? undefined : { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs },
    lateBefore: (watermark) => openWindows?.lateBefore(watermark) ?? Number.NEGATIVE_INFINITY,
    heldUntil: (maxTimeMs) => openWindows?.heldUntil(maxTimeMs) ?? Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { builtIn: builtIn.facts, own: mixed.ownFields.map(({ name }) => name), strategies: plan.strategies, window } },
    open: (context, from) => new MixedAggregate(plan, context, from as MixedSnapshot | undefined),
    whole: whyWhole(mixed),
    describe: () =>
      [
        `aggregate by ${keys.join(', ') || '(none: one group)'}`,
        ...(window === undefined || grid === undefined
          ? []
          : [`  window    ${window}; a window is ${grid.panesPerWindow} pane${grid.panesPerWindow === 1 ? '' : 's'}`]),
        ...describeUserAggregates(
          mixed,
          chosen.map(({ strategy, reason }) => `${strategy}: ${reason}`),
        ),
        ...describeBuiltIn(mixed),
      ].join('\n'),
  };
}

/** See KeyedOperatorPlan.whole. */
export function whyWhole({ split }: MixedPlan): string {
  const names = split.own.map(({ name }) => name).join(', ');
  return `${names} ${split.own.length > 1 ? 'are aggregators' : 'is an aggregator'}, whose functions take rows of a key in order`;
}

/** How each user-defined aggregate is computed. */
export function describeUserAggregates({ ownFields }: MixedPlan, strategies: readonly string[]): string[] {
  return ownFields.map(({ name, type }, i) => `  ${name} = aggregator: ${type.name}${type.nullable ? '?' : ''}, ${strategies[i]}`);
}

/** The built-in aggregates of the same call, as they are planned. */
export function describeBuiltIn({ split, builtIn }: MixedPlan): string[] {
  if (split.isAlone) return [];
  const lines = builtIn.describe().split('\n').slice(1);
  return ['  built-in aggregates beside, combined in the shard:', ...lines.filter((line) => !line.startsWith('  window')).map((line) => `  ${line}`)];
}

/**
 * Windows of at most this many panes are merged each time. Removing rows would cost as much, and would
 * require keeping the rows.
 */
const MERGE_PANES_MAX = 2;

function strategyOf(
  { aggregate }: NamedAggregate,
  window: WindowSpec | undefined,
  panesPerWindow: number,
): { readonly strategy: UserStrategy; readonly reason: string } {
  if (window === undefined) return { strategy: 'running', reason: 'one state per key, kept for ever' };
  if (panesPerWindow === 1) return { strategy: 'pane', reason: 'a window is one pane, one state per key' };
  if (window.emission !== 'final') return { strategy: 'merge', reason: 'the states of the panes are merged, as results come out more than once' };
  if (window.shape.kind === 'cumulative') return { strategy: 'grow', reason: 'a window grows: the state of the one before is merged with the pane that came' };
  if (aggregate.functions.remove === undefined) {
    return { strategy: 'merge', reason: `the states of ${panesPerWindow} panes are merged for each window, as it has no remove` };
  }
  if (panesPerWindow <= MERGE_PANES_MAX) {
    return { strategy: 'merge', reason: `a window is ${panesPerWindow} panes: merging them costs no more than removing rows, and none need be kept` };
  }
  return { strategy: 'remove', reason: 'from window to window rows that leave are removed, rows that come are added; the rows of a window are kept' };
}
