/**
 * The plan of an aggregation in session windows: rows of one key that follow each other closely. Two rows
 * whose times differ by at most the gap belong to one session, so a late row may join two sessions. A session
 * starts at its first time and ends at its last time plus the gap. Where rows have gaps of their own, a row lasts
 * from its time to its end, time plus gap; rows that overlap or touch belong to one session, which ends at the last
 * end. One row may then join many sessions.
 *
 * It closes when the watermark has passed end + lateness: passed, not reached, as a row at `end` would still
 * extend it. A row is late when the session that it would make alone is closed. A row that is not late, but
 * whose neighbours are closed, begins a new session.
 *
 *   emit('final')   a session comes out when it closes
 *   emit('update')  at the end of each epoch that changed it, and then not again
 *   emit('revise')  when the watermark has passed its end; and again, until it closes, at the end of each
 *                   epoch in which a late row changed it
 *
 * A result that is out is retracted when its session no longer has its bounds (a row made the session longer,
 * or joined it to another). It comes once more as it was, with true in the column `retracted`, before the
 * results of the epoch. So a sink that overwrites by key and bounds, and deletes what is retracted, holds
 * exactly the current sessions.
 */

import { MillraceError, Schema, SlotLayout, u32 } from '../../core/index.ts';
import { planAggregate } from '../aggregate/index.ts';
import type { KeyedOperatorPlan } from '../keyed/index.ts';
import { describeUserAggregates, hasUserAggregate, type MixedRequest, planMixed } from '../user-aggregates/index.ts';
import { tumbling, type WindowSpec } from '../windows.ts';
import { type HeldSessions, SessionAggregate } from './session-aggregate.ts';
import { withRetracted } from './session-emission.ts';
import type { SessionPlan } from './session-layout.ts';

/**
 * @param request with a window whose shape is a session, and with event time
 * @param ends where rows have gaps of their own: the column with their ends, which no result and no function sees
 * @throws MillraceError ERR_MILLRACE_PIPELINE as planAggregate
 */
export function planSession(request: MixedRequest, ends?: string): KeyedOperatorPlan {
  const { input, window, eventTime } = request;
  if (window === undefined || window.shape.kind !== 'session' || eventTime === undefined) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window ?? 'A session'} needs event time. Put .withWatermark(column, delay) before it.`);
  }
  const { gapMs } = window.shape;
  const end = ends === undefined ? -1 : input.require(ends, 'session()');
  const columns = input.fields.flatMap((_, c) => (c === end ? [] : [c]));
  // As an aggregation in windows of one pane, except that slots are keyed by the session's number, and bounds
  // differ per row.
  const ofOnePane = { ...request, window: tumbling(Math.max(1, gapMs)) };
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
      columns: mixed === undefined ? [...alone.columnsRead.map((name) => input.indexOf(name)), ...(end < 0 ? [] : [end])] : input.fields.map((_, c) => c),
      eventTime: end < 0 ? alone.eventTime : end,
      timeShiftMs: end < 0 ? (request.timeShiftMs ?? 0) : 0,
    },
    time: alone.eventTime,
    timeShiftMs: request.timeShiftMs ?? 0,
    end,
    columns,
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
    ...(mixed === undefined ? {} : { isOrdered: true, callsFunctions: true }),
    inputs: [plan.input],
    output: plan.output,
    outputTime: { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs + 1 },
    lateBefore: (watermark) => watermark - gapMs - window.latenessMs,
    // A session may last for ever, and a restart needs all of its rows.
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { values: alone.facts, own: mixed?.ownFields.map(({ name }) => name), window: windowFacts(window) } },
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

/** What of a window decides the meaning of its state: not the function that gives rows their gaps. */
export function windowFacts(window: WindowSpec): unknown {
  if (window.shape.kind !== 'session' || window.shape.gapOf === undefined) return window;
  return { ...window, shape: { kind: 'session', gap: 'by row' } };
}
