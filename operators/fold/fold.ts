/**
 * Folds of whole rows by key: reduce and top, running or in windows. A fold says how a row goes into a value
 * and how two values become one (row-fold.ts); this file has the plan. There is one value per key, or one per
 * key and pane. Aggregates with a fixed slot (sums, counts, sketches) belong in aggregate-plan.ts: they are
 * combined before they travel.
 *
 *   running   running-fold.ts: key -> value. At the end of an epoch the keys that changed come out, with
 *             their value so far
 *   windowed  windowed-fold.ts: pane -> key -> value. When the watermark closes a window, its panes are
 *             merged. Where the fold can remove values, a running value takes in the pane that enters and
 *             gives up the one that leaves
 *
 * For windows, lateness and emission see windows.ts. Within a pane rows are folded in order of arrival, and
 * panes in the order of time.
 */

import { assert, type Field, MillraceError, type PaneGrid, Schema, shown, timestamp } from '../../core/index.ts';
import type { KeyedInput, KeyedOperatorPlan } from '../keyed/index.ts';
import { openWindowsOf, type WindowSpec } from '../windows.ts';
import type { RowFold } from './row-fold.ts';
import { RunningFold, type RunningSnapshot } from './running-fold.ts';
import { isRunning, WindowedFold, type WindowedSnapshot } from './windowed-fold.ts';

export interface FoldRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly fold: RowFold;
  readonly window: WindowSpec | undefined;
  /** Name of the event time column. Required with a window. */
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** Running only: drops the value of a key without rows for this long, in event time where there is one. */
  readonly ttlMs?: number | undefined;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or two result columns have one name
 */
export function planFold(request: FoldRequest): KeyedOperatorPlan {
  const { input, fold, window, eventTime, timeShiftMs } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'withWatermark');
  const openWindows = window === undefined ? undefined : openWindowsOf(window);
  assert(window === undefined || time >= 0, 'a window without event time');
  const rows: KeyedInput = { schema: input, keys, columns: input.fields.map((_, c) => c), eventTime: window === undefined ? -1 : time, timeShiftMs };
  const output = resultSchema(
    keys.map((key) => input.field(key)),
    window !== undefined,
    fold.fields,
  );
  return {
    name: fold.kind,
    isOrdered: true,
    callsFunctions: fold.callsFunctions,
    inputs: [rows],
    output,
    outputTime: window === undefined ? undefined : { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs },
    lateBefore: (watermark) => openWindows?.lateBefore(watermark) ?? Number.NEGATIVE_INFINITY,
    heldUntil: (maxTimeMs) => openWindows?.heldUntil(maxTimeMs) ?? Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { fold: fold.facts, window, eventTime, timeShiftMs, ttlMs: request.ttlMs } },
    open: (context, from) =>
      openWindows === undefined || window === undefined
        ? new RunningFold(fold, rows, time, request.ttlMs, context, from as RunningSnapshot | undefined)
        : new WindowedFold(fold, rows, openWindows, window.emission, context, from as WindowedSnapshot | undefined),
    whole: fold.whole,
    describe: () => describe(request, openWindows?.grid),
  };
}

/** Key columns, bounds of the window, results. */
export function resultSchema(keys: readonly Field[], hasWindow: boolean, fields: readonly Field[]): Schema {
  const all = [
    ...keys,
    ...(hasWindow
      ? [
          { name: 'windowStart', type: timestamp },
          { name: 'windowEnd', type: timestamp },
        ]
      : []),
    ...fields,
  ];
  const seen = new Set<string>();
  for (const { name } of all) {
    if (seen.has(name)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `Two result columns would be named ${shown(name)}. The result has the key columns${hasWindow ? ', windowStart and windowEnd' : ''} and ${fields.map((field) => field.name).join(', ')}: rename the column with map() before.`,
      );
    }
    seen.add(name);
  }
  return new Schema(all);
}

function describe({ keys, window, fold, ttlMs }: FoldRequest, grid: PaneGrid | undefined): string {
  const lines = [`${fold.name} by ${keys.join(', ') || '(none: one key)'}`];
  if (window === undefined || grid === undefined)
    lines.push(`  running: one value per key${ttlMs === undefined ? '' : `, dropped ${ttlMs} ms after the last row`}`);
  else {
    lines.push(`  window    ${window}; a window is ${grid.panesPerWindow} pane${grid.panesPerWindow === 1 ? '' : 's'}`);
    lines.push(
      isRunning(fold, grid, window.emission)
        ? '  strategy  running: add the pane that enters, take out the one that leaves'
        : `  strategy  merge: ${grid.panesPerWindow === 1 ? 'a window is one pane' : `the panes of each window are merged, as there is ${fold.remove === undefined ? 'no inverse' : 'a value at every epoch'}`}`,
    );
  }
  return lines.join('\n');
}
