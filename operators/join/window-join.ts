/**
 * Windowed join: rows of two streams with equal keys in the same tumbling or sliding window. A window is
 * joined once, when it closes (its emission is 'final'). The pairs of a key come left row by left row, both
 * sides in the order of their times; keys come in the order in which their rows arrived. Rows without a match
 * in this window (left, right, full) come out beside them. In sliding windows a pair comes out in every
 * window that holds both rows.
 *
 * Rows are held once, whatever the number of their windows, until the last of these is closed. Joining a
 * window walks over the keys that hold rows. So many open windows over many keys are expensive where few keys
 * have rows in each. A null key equals no key, as in SQL; NaN equals NaN.
 */

import { type Batch, type ColumnSpace, MillraceError, type OpenWindows } from '../../core/index.ts';
import { putTime } from '../by-key/index.ts';
import type { StateRow } from '../exchange/index.ts';
import type { DueTimes, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from '../keyed/index.ts';
import { openWindowsOf, type WindowSpec } from '../windows.ts';
import { inputOf } from './interval-join.ts';
import { isKept, type JoinColumns, type JoinSide, type JoinType, joinColumns } from './join-columns.ts';
import { type HeldRows, JoinRows } from './join-rows.ts';
import { type KeyedRows, NONE } from './keyed-rows.ts';

export interface WindowJoinRequest {
  readonly left: JoinSide;
  readonly right: JoinSide;
  readonly type: JoinType;
  readonly suffix: string;
  readonly window: WindowSpec;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when keys or columns do not fit together, or the window is not
 * one of time; ERR_MILLRACE_OPTION for an unknown type of join
 */
export function planWindowJoin(request: WindowJoinRequest): KeyedOperatorPlan {
  const { left, right, type, window } = request;
  if ((window.shape.kind !== 'tumbling' && window.shape.kind !== 'sliding') || window.emission !== 'final' || window.hasEmpty) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() in ${window}: a join goes by tumbling or sliding windows with emit('final'). For rows near each other in time use join(other, { within: [before, after] }).`,
    );
  }
  const windows = openWindowsOf(window);
  const columns = joinColumns(left, right, type, request.suffix, ['windowStart', 'windowEnd']);
  const inputs = [inputOf(left), inputOf(right)];
  return {
    name: 'windowed join',
    inputs,
    output: columns.output,
    outputTime: { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs },
    lateBefore: (watermark) => windows.lateBefore(watermark),
    heldUntil: (maxTimeMs) => windows.heldUntil(maxTimeMs),
    state: { format: 1, facts: { type, window } },
    open: (context, from) => new WindowJoin(context, columns, inputs, windows, from as HeldRows | undefined),
    whole: 'rows are joined with rows',
    describe: () =>
      [
        `${type} join by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`} in windows`,
        `  window    ${window}`,
        '  state     rows of the open windows, each once, dropped by the watermark',
      ].join('\n'),
  };
}

class WindowJoin implements KeyedOperator {
  readonly #rows: JoinRows;
  readonly #context: KeyedContext;
  readonly #columns: JoinColumns;
  readonly #windows: OpenWindows;
  /** The first window that is still open. */
  #next: number;
  readonly #keys: number[] = [];

  constructor(context: KeyedContext, columns: JoinColumns, inputs: readonly KeyedInput[], windows: OpenWindows, from: HeldRows | undefined) {
    this.#context = context;
    this.#columns = columns;
    this.#windows = windows;
    this.#next = windows.firstOpen(context.clock.watermark);
    this.#rows = new JoinRows(context, columns, inputs);
    if (from !== undefined) this.#rows.restore(from);
  }

  get stateBytes(): number {
    return this.#rows.bytes;
  }

  get due(): DueTimes {
    const [left, right] = this.#rows.sides;
    const first = Math.min(left.firstTime, right.firstTime);
    const pane = first === Number.POSITIVE_INFINITY ? first : this.#windows.grid.paneOf(first);
    return { time: this.#windows.nextClose(this.#next, pane), clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch, input: number): void {
    this.#rows.addBatch(rows, input, () => {});
  }

  onWatermark(watermark: number): void {
    const { grid } = this.#windows;
    const [left, right] = this.#rows.sides;
    const next = this.#windows.firstOpen(watermark);
    const visit = (window: number): void => {
      this.#join(grid.windowStart(window), grid.windowEnd(window));
      for (const input of [0, 1] as const) {
        const side = this.#rows.sides[input];
        while (side.firstTime < grid.windowStart(window + 1)) this.#rows.drop(input, side.popFirst());
      }
    };
    this.#windows.eachClosed(this.#next, next, () => grid.paneOf(Math.min(left.firstTime, right.firstTime)), visit);
    if (next > this.#next) this.#next = next;
  }

  snapshot(): HeldRows {
    return this.#rows.snapshot();
  }

  stateRows(): Iterable<StateRow> {
    return this.#rows.stateRows();
  }

  release(): void {
    this.#rows.release();
  }

  #join(start: number, end: number): void {
    const [left, right] = this.#rows.sides;
    const keys = this.#keysBetween(start, end);
    for (let k = 0; k < keys.length; k++) {
      const key = keys[k] as number;
      const firstLeft = within(left, key, start, end);
      const firstRight = within(right, key, start, end);
      if (firstLeft === NONE || firstRight === NONE || this.#rows.isNullKey(key)) {
        if (isKept(this.#columns.type, 0)) for (let l = firstLeft; isBefore(left, l, end); l = left.next[l] as number) this.#write(key, l, NONE, start, end);
        if (isKept(this.#columns.type, 1)) for (let r = firstRight; isBefore(right, r, end); r = right.next[r] as number) this.#write(key, NONE, r, start, end);
        continue;
      }
      for (let l = firstLeft; isBefore(left, l, end); l = left.next[l] as number) {
        for (let r = firstRight; isBefore(right, r, end); r = right.next[r] as number) this.#write(key, l, r, start, end);
      }
    }
  }

  /** The keys that have rows in a window, in the order in which the first of these arrived. */
  #keysBetween(start: number, end: number): number[] {
    const [left, right] = this.#rows.sides;
    const keys = this.#keys;
    keys.length = 0;
    const came = new Map<number, number>();
    for (let key = 0; key < this.#rows.keys.idsUsed; key++) {
      const l = within(left, key, start, end);
      const r = within(right, key, start, end);
      if (l === NONE && r === NONE) continue;
      keys.push(key);
      came.set(
        key,
        Math.min(l === NONE ? Number.POSITIVE_INFINITY : (left.sequences[l] as number), r === NONE ? Number.POSITIVE_INFINITY : (right.sequences[r] as number)),
      );
    }
    return keys.sort((a, b) => (came.get(a) as number) - (came.get(b) as number));
  }

  #write(key: number, left: number, right: number, start: number, end: number): void {
    const out = this.#rows.write(key, left, right);
    const { memory } = this.#context.slabs;
    const [startAt, endAt] = this.#columns.extra as [number, number];
    putTime(memory, out.columns[startAt] as ColumnSpace, out.rowCount - 1, start);
    putTime(memory, out.columns[endAt] as ColumnSpace, out.rowCount - 1, end);
  }
}

function within(side: KeyedRows, key: number, start: number, end: number): number {
  const row = side.firstFrom(key, start);
  return isBefore(side, row, end) ? row : NONE;
}

function isBefore(side: KeyedRows, row: number, end: number): boolean {
  return row !== NONE && (side.times[row] as number) < end;
}
