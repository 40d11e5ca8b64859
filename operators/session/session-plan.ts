/**
 * The plan of an aggregation in session windows: rows of one key that follow each other closely. Two rows whose times differ by
 * at most the gap are of one session, so a row that comes late may put two sessions together. A session starts at its
 * first time and ends at its last time plus the gap.
 *
 * It closes when the watermark has passed end + lateness: passed, not reached, as a row at `end` would still extend it. A row
 * is late when the session that it would make alone is closed. One that is not, but whose neighbours are, begins a new one.
 *
 *   emit('final')   a session comes out when it closes
 *   emit('update')  at the end of each epoch that changed it, and then not again
 *   emit('revise')  when the watermark has passed its end; and again, until it closes, at the end of each epoch in which a
 *                   late row changed it
 *
 * A result that is out, and whose bounds its session no longer has (a row made it longer, or put it together with another
 * one), is taken back: it comes once more as it was, with true in the column `retracted`, before the results of the epoch. So
 * a sink that overwrites by key and bounds, and deletes what is retracted, holds the sessions that there are.
 */

import { type DataType, MillraceError, Schema, SlotLayout, u32 } from '../../core/index.ts';
import { type AggregatePlan, planAggregate } from '../aggregate/aggregate-plan.ts';
import type { KeyedInput, KeyedOperatorPlan } from '../keyed/keyed-operator.ts';
import { hasUserAggregate, type MixedPlan, type MixedRequest, planMixed } from '../user-aggregates/aggregate-split.ts';
import { describeUserAggregates } from '../user-aggregates/mixed-plan.ts';
import { tumbling, type WindowSpec } from '../windows.ts';
import { type HeldSessions, SessionAggregate } from './session-aggregate.ts';
import { withRetracted } from './session-emission.ts';

export interface SessionPlan {
  readonly input: KeyedInput;
  readonly keyTypes: readonly DataType[];
  /** Key columns, windowStart, windowEnd; `retracted`, where results are revised. */
  readonly head: Schema;
  /** Results may be taken back. */
  readonly isRevised: boolean;
  /** The aggregates alone, without key and window; its slots are keyed by the session's number. */
  readonly values: AggregatePlan;
  /** With aggregates of the user's: the columns of both; `values` are the built-in ones. */
  readonly mixed: MixedPlan | undefined;
  readonly output: Schema;
  readonly window: WindowSpec;
  readonly gapMs: number;
}

/**
 * @param request with a window whose shape is a session, and with event time
 * @throws MillraceError ERR_MILLRACE_PIPELINE as planAggregate
 */
export function planSession(request: MixedRequest): KeyedOperatorPlan {
  const { input, window, eventTime } = request;
  if (window === undefined || window.shape.kind !== 'session' || eventTime === undefined) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window ?? 'A session'} needs event time. Put .withWatermark(column, delay) before it.`);
  }
  const { gapMs } = window.shape;
  // What an aggregation in windows of one pane is, but that slots are keyed by the session's number, and bounds differ by row.
  const ofOnePane = { ...request, window: tumbling(gapMs) };
  const mixed = hasUserAggregate(request.aggregates) ? planMixed(ofOnePane, true) : undefined;
  const alone = mixed?.builtIn ?? planAggregate(ofOnePane as Parameters<typeof planAggregate>[0]);
  const layout = new SlotLayout(
    [u32],
    alone.layout.accumulators.map(({ accumulator }) => accumulator),
  );
  const { fields } = alone.output;
  const isRevised = window.emission !== 'final';
  const boundsEnd = alone.keys.length + 2;
  const behindBounds = (schema: Schema): Schema => (isRevised ? withRetracted(schema, boundsEnd) : schema);
  const plan: SessionPlan = {
    input: {
      schema: input,
      keys: alone.keys,
      columns: mixed === undefined ? alone.columnsRead.map((name) => input.indexOf(name)) : input.fields.map((_, c) => c),
      eventTime: alone.eventTime,
      timeShiftMs: request.timeShiftMs ?? 0,
    },
    keyTypes: alone.keys.map((key) => input.field(key).type),
    head: behindBounds(new Schema(fields.slice(0, boundsEnd))),
    values: { ...alone, keys: [], window: undefined, grid: undefined, layout, output: new Schema(fields.slice(boundsEnd)) },
    mixed: mixed && { ...mixed, output: behindBounds(mixed.output) },
    output: behindBounds(mixed?.output ?? alone.output),
    isRevised,
    window,
    gapMs,
  };
  return {
    name: 'session windows',
    ...(mixed === undefined ? {} : { isOrdered: true }),
    inputs: [plan.input],
    output: plan.output,
    outputTime: { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs + 1 },
    lateBefore: (watermark) => watermark - gapMs - window.latenessMs,
    // A session may go on for ever, and a restart needs all of its rows.
    heldUntil: () => Number.POSITIVE_INFINITY,
    open: (context, from) => new SessionAggregate(context, plan, from as HeldSessions | undefined),
    whole: 'which session a row is in follows from the rows beside it',
    describe: () =>
      [
        `aggregate by ${request.keys.join(', ') || '(none: one group)'} in sessions`,
        `  window    ${window}`,
        '  state     one slot a session in a group table; slots of sessions that a row puts together are merged',
        `  slot      ${layout.slotBytes} bytes`,
        ...(mixed === undefined
          ? []
          : describeUserAggregates(
              mixed,
              mixed.split.own.map(() => 'one state a session; states of sessions that a row puts together are merged'),
            )),
        ...(mixed?.split.isAlone === true ? [] : alone.describe().split('\n').slice(4)),
      ].join('\n'),
  };
}
