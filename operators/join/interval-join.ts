/**
 * Interval join: rows of two streams with equal keys whose times are close to each other. A row of the left
 * at time t matches the rows of the right in [t - before, t + after], both ends included.
 *
 * A pair comes out when its second row arrives, in the order of arrival; the pairs of one row come in the
 * order of the others' times. A row that may stay without a match (left, right, full) comes out when the
 * watermark says that no match can come any more: when it has passed t + after on the left, t + before on the
 * right. The row is then decided.
 *
 * Rows of both sides are held until the watermark has passed t + before + after: until no undecided row can
 * match them. So a row that comes behind the watermark, but before it is decided, finds all its matches. A
 * row that came out alone has no matches afterwards.
 *
 * A row is late when nothing can come of it. For a row that may come out alone, that is when the watermark at
 * the start of its epoch has passed the time for that. For any other, it is when the watermark has passed t +
 * before + after. A row that is not behind the watermark is never late. So each row of a side that is kept
 * comes out alone once, or with its matches, or is late.
 *
 * A restart reads the held rows again. Those that were decided before it are not late then: they are taken in
 * once more so that their matches find them, and they do not come out alone. A null key equals no key, as in
 * SQL; NaN equals NaN.
 *
 * Each result has `joinTime`: the later of both times, or the row's own where there is no match. Results
 * without a match come out after the watermark has passed their time; `outputTime.delayMs` tells operators
 * behind this one by how much.
 *
 * Symmetric: Wilschut and Apers, "Dataflow Query Execution in a Parallel Main-Memory Environment", 1991. The
 * interval, and state bounded by the watermark, are as in Flink's interval join and Spark's stream-stream
 * join.
 */

import type { Batch, ColumnSpace } from '../../core/index.ts';
import { putTime, TimeHeap } from '../by-key/index.ts';
import type { StateRow } from '../exchange/index.ts';
import type { DueTimes, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from '../keyed/index.ts';
import { isKept, type JoinColumns, type JoinSide, type JoinType, joinColumns } from './join-columns.ts';
import { type HeldRows, JoinRows } from './join-rows.ts';
import { NONE } from './keyed-rows.ts';

export const JOIN_TIME = 'joinTime';

export interface IntervalJoinRequest {
  readonly left: JoinSide;
  readonly right: JoinSide;
  readonly type: JoinType;
  readonly suffix: string;
  /** Any sign; together at least 0. */
  readonly beforeMs: number;
  readonly afterMs: number;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when keys or columns do not fit together; ERR_MILLRACE_OPTION
 * for an unknown type of join
 */
export function planIntervalJoin(request: IntervalJoinRequest): KeyedOperatorPlan {
  const { left, right, type, beforeMs, afterMs } = request;
  const columns = joinColumns(left, right, type, request.suffix, [JOIN_TIME]);
  const inputs = [inputOf(left), inputOf(right)];
  const ahead = [afterMs, beforeMs] as const;
  const hold = [afterMs + Math.max(beforeMs, 0), beforeMs + Math.max(afterMs, 0)] as const;
  const useful = [0, 1].map((input) => (isKept(type, input) ? Math.max(ahead[input] as number, 0) : (hold[input] as number))) as [number, number];
  const interval: Interval = { ahead, hold, useful };
  const delayMs = Math.max(0, ...ahead.filter((_, input) => isKept(type, input)));
  return {
    name: 'interval join',
    inputs,
    output: columns.output,
    outputTime: { column: JOIN_TIME, shiftMs: 0, delayMs },
    lateBefore: (watermark, input) => watermark - (useful[input] as number),
    uselessBefore: (watermark, input) => watermark - (hold[input] as number),
    heldUntil: (maxTimeMs, input) => maxTimeMs + (hold[input] as number) + 1,
    state: { format: 1, facts: { type, beforeMs, afterMs } },
    open: (context, from) => new IntervalJoin(context, columns, inputs, interval, from as HeldRows | undefined),
    whole: 'rows are joined with rows',
    describe: () =>
      [
        `${type} interval join by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`}`,
        `  within    right.time from left.time - ${beforeMs} ms to left.time + ${afterMs} ms`,
        `  state     rows of ${Math.max(...hold)} ms of event time behind the watermark`,
      ].join('\n'),
  };
}

interface Interval {
  /** By input: how far ahead of a row its latest match may be. */
  readonly ahead: readonly [number, number];
  /** By input: how long after its time a held row may be needed. */
  readonly hold: readonly [number, number];
  /** By input: how long after its time an arriving row may be needed. */
  readonly useful: readonly [number, number];
}

/** The fate of a held row, in KeyedRows.matched; 0: nothing yet. */
const PAIRED = 1;
const ALONE = 2;

/** The input of a join that needs whole rows with times. */
export function inputOf(side: JoinSide): KeyedInput {
  return {
    schema: side.schema,
    keys: side.keys.map((name) => side.schema.indexOf(name)),
    columns: side.schema.fields.map((_, c) => c),
    eventTime: side.eventTime === undefined ? -1 : side.schema.indexOf(side.eventTime),
    timeShiftMs: side.timeShiftMs,
  };
}

class IntervalJoin implements KeyedOperator {
  readonly #rows: JoinRows;
  readonly #context: KeyedContext;
  readonly #columns: JoinColumns;
  readonly #timeColumn: number;
  readonly #interval: Interval;
  /** By input: rows that may still come out alone. Undefined: none ever does. */
  readonly #undecided: readonly [TimeHeap | undefined, TimeHeap | undefined];
  #input: 0 | 1 = 0;

  constructor(context: KeyedContext, columns: JoinColumns, inputs: readonly KeyedInput[], interval: Interval, from: HeldRows | undefined) {
    this.#context = context;
    this.#columns = columns;
    this.#timeColumn = columns.extra[0] as number;
    this.#interval = interval;
    this.#undecided = [isKept(columns.type, 0) ? new TimeHeap() : undefined, isKept(columns.type, 1) ? new TimeHeap() : undefined];
    this.#rows = new JoinRows(context, columns, inputs);
    if (from === undefined) return;
    this.#rows.restore(from);
    for (const input of [0, 1] as const) {
      const side = this.#rows.sides[input];
      for (const row of side.inOrder())
        if (side.matched[row] === 0) this.#undecided[input]?.push(side.times[row] as number, side.sequences[row] as number, row);
    }
  }

  get stateBytes(): number {
    return this.#rows.bytes + (this.#undecided[0]?.bytes ?? 0) + (this.#undecided[1]?.bytes ?? 0);
  }

  /** When a row comes out alone, or goes: once the watermark has passed these times. */
  get due(): DueTimes {
    const { ahead, hold } = this.#interval;
    const decided = [0, 1].map((input) => (this.#undecided[input as 0 | 1]?.firstTime ?? Number.POSITIVE_INFINITY) + (ahead[input as 0 | 1] as number));
    const gone = [0, 1].map((input) => this.#rows.sides[input as 0 | 1].firstTime + (hold[input as 0 | 1] as number));
    return { time: Math.min(...decided, ...gone) + 1, clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch, input: number): void {
    this.#input = input as 0 | 1;
    this.#rows.addBatch(rows, input, this.#match);
  }

  onWatermark(watermark: number): void {
    const { ahead, hold } = this.#interval;
    for (const input of [0, 1] as const) {
      const side = this.#rows.sides[input];
      const undecided = this.#undecided[input];
      while (undecided !== undefined && undecided.size > 0 && undecided.firstTime + ahead[input] < watermark) {
        const time = undecided.firstTime;
        const row = undecided.pop();
        if (side.matched[row] === PAIRED) continue;
        side.matched[row] = ALONE;
        this.#write(side.keys[row] as number, input === 0 ? row : NONE, input === 0 ? NONE : row, time);
      }
    }
    for (const input of [0, 1] as const) {
      const side = this.#rows.sides[input];
      while (side.size > 0 && side.firstTime + hold[input] < watermark) this.#rows.drop(input, side.popFirst());
    }
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

  // One closure for all batches.
  readonly #match = (key: number, row: number, time: number): void => {
    const rows = this.#rows;
    const input = this.#input;
    const own = rows.sides[input];
    const { ahead, useful } = this.#interval;
    const undecided = this.#undecided[input];
    const last = time + ahead[input];
    // A row that would be late, had a restart not read it again, was decided before the restart.
    if (undecided === undefined || time < this.#context.clock.watermark - useful[input]) own.matched[row] = PAIRED;
    else undecided.push(time, own.sequences[row] as number, row);
    if (rows.isNullKey(key)) return;
    const other = rows.sides[input === 0 ? 1 : 0];
    for (let at = other.firstFrom(key, time - ahead[input === 0 ? 1 : 0]); at !== NONE; at = other.next[at] as number) {
      const otherTime = other.times[at] as number;
      if (otherTime > last) return;
      if (other.matched[at] === ALONE) continue;
      own.matched[row] = PAIRED;
      other.matched[at] = PAIRED;
      this.#write(key, input === 0 ? row : at, input === 0 ? at : row, Math.max(time, otherTime));
    }
  };

  #write(key: number, left: number, right: number, time: number): void {
    const out = this.#rows.write(key, left, right);
    putTime(this.#context.slabs.memory, out.columns[this.#timeColumn] as ColumnSpace, out.rowCount - 1, time);
  }
}
