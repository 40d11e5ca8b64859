/**
 * Windows without rows between those that have some: what `emptyWindows()` adds behind an aggregation of
 * windows without keys. Results pass through. Windows between two results, or between the last one and the
 * watermark, come out with counts of 0 and nulls, in the order of windows, as the watermark closes them.
 * Nothing comes before the first window with rows. The end of the input adds none, since no time passes then.
 *
 * The state is the number of the last window. After a restart without it, the operator starts with the next
 * window that has rows.
 */

import { type AnyRow, type Batch, MillraceError, nullable, type PaneGrid, Schema } from '../../core/index.ts';
import { type DueTimes, NEVER_DUE, type StateRow } from '../exchange/index.ts';
import { EMPTY_WINDOWS_MAX, paneGridOf, type WindowSpec } from '../windows.ts';
import type { KeyedInput, KeyedOperator, KeyedOperatorPlan } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';

export interface EmptyWindowsRequest {
  /** Results of windows without keys: windowStart, windowEnd, aggregates. */
  readonly input: Schema;
  readonly window: WindowSpec;
  /** Names of the columns that are 0 where there are no rows. */
  readonly counts: readonly string[];
  readonly keys: readonly string[];
}

/** Its name in explain and messages. */
export const EMPTY_WINDOWS = 'empty windows';

/** @throws MillraceError ERR_MILLRACE_PIPELINE when there are keys, or windows come out more than once */
export function planEmptyWindows({ input, window, counts, keys }: EmptyWindowsRequest): KeyedOperatorPlan {
  if (keys.length > 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${window} by ${keys.join(', ')}: of which keys windows are empty, nobody knows. emptyWindows() is for windowAll(), which has no keys.`,
    );
  }
  if (window.emission !== 'final') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window}: emptyWindows() is for windows that come out once. Leave emit('${window.emission}') out.`);
  }
  const grid = paneGridOf(window);
  const output = new Schema(input.fields.map(({ name, type }, c) => ({ name, type: c < 2 || counts.includes(name) || type.nullable ? type : nullable(type) })));
  const rows: KeyedInput = { schema: input, keys: [], columns: input.fields.map((_, c) => c), eventTime: -1, timeShiftMs: -1 };
  const empty = output.fields.map(({ name }) => (counts.includes(name) ? 0 : null));
  return {
    name: EMPTY_WINDOWS,
    inputs: [rows],
    output,
    outputTime: { column: 'windowEnd', shiftMs: -1 },
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.NEGATIVE_INFINITY,
    state: { format: 1, facts: { window, counts } },
    open: (context, from) => new EmptyWindows(grid, empty, context.output, from as EmptyWindowsSnapshot | undefined),
    whole: 'what lies between two windows follows from both',
    describe: () => `windows without rows, between those that have some\n  window    ${window}`,
  };
}

interface EmptyWindowsSnapshot {
  /** NaN: there has been none. */
  readonly last: number;
}

class EmptyWindows implements KeyedOperator {
  readonly stateBytes = 8;
  readonly #grid: PaneGrid;
  readonly #empty: readonly AnyRow[string][];
  readonly #output: RowOutput;
  /** The last window that came out. */
  #last: number;

  constructor(grid: PaneGrid, empty: readonly AnyRow[string][], output: RowOutput, from: EmptyWindowsSnapshot | undefined) {
    this.#grid = grid;
    this.#empty = empty;
    this.#output = output;
    this.#last = from?.last ?? Number.NaN;
  }

  /** When the window behind the last one is over. */
  get due(): DueTimes {
    return Number.isNaN(this.#last) ? NEVER_DUE : { time: this.#grid.windowEnd(this.#last + 1), clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) {
      const window = this.#grid.lastWindowEndedBy(rows.value(1, row) as number);
      this.#fill(window);
      this.#output.append(rows.columns.map((_, c) => rows.value(c, row)));
      this.#last = window;
    }
  }

  onWatermark(watermark: number): void {
    if (!Number.isFinite(watermark)) return;
    const window = this.#grid.lastWindowEndedBy(watermark);
    this.#fill(window + 1);
    if (window > this.#last) this.#last = window;
  }

  snapshot(): EmptyWindowsSnapshot {
    return { last: this.#last };
  }

  stateRows(): StateRow[] {
    return Number.isNaN(this.#last) ? [] : [{ key: {}, lastWindowEnd: this.#grid.windowEnd(this.#last) }];
  }

  /** Emits the windows between the last one and this one. */
  #fill(until: number): void {
    if (!(until - this.#last - 1 <= EMPTY_WINDOWS_MAX)) return;
    for (let window = this.#last + 1; window < until; window++) {
      const start = this.#grid.windowStart(window);
      const end = this.#grid.windowEnd(window);
      if (start < end) this.#output.append([start, end, ...this.#empty.slice(2)]);
    }
  }
}
