/**
 * Interval join: rows of two streams with equal keys whose times lie near each other. A row of the left at time t meets the
 * rows of the right in [t - before, t + after], both ends included.
 *
 * A pair comes out when its second row arrives, in the order of the arriving rows, and for one row in the order of the
 * others' times. A row that may be without a match (left, right, full) comes out when the watermark says that none can
 * come any more: with the watermark past t + after on the left, t + before on the right. At the same moment it is
 * forgotten, so what is held is the rows of about `before + after` of event time, with or without matches.
 *
 * A row is late when its time is before the watermark: its match may be forgotten already. A null key is equal to no key,
 * as in SQL; NaN is equal to NaN.
 *
 * Each result has `joinTime`: the later of both times, the row's own where there is no match. Those may come out up to the
 * interval's length after the watermark has passed their time, which `outputTime.delayMs` says to operators behind.
 *
 * Symmetric: Wilschut and Apers, "Dataflow Query Execution in a Parallel Main-Memory Environment", 1991; the interval and its
 * state by watermark as in Flink's interval join and Spark's stream-stream join.
 */

import type { Batch, ColumnSpace } from '../../core/index.ts';
import type { KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from '../keyed-operator.ts';
import { isKept, type JoinColumns, type JoinSide, type JoinType, joinColumns } from './join-columns.ts';
import { type HeldRows, JoinRows, putTime } from './join-rows.ts';
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
 * @throws MillraceError ERR_MILLRACE_PIPELINE when keys or columns do not fit together; ERR_MILLRACE_OPTION for another type of join
 */
export function planIntervalJoin(request: IntervalJoinRequest): KeyedOperatorPlan {
  const { left, right, type, beforeMs, afterMs } = request;
  const columns = joinColumns(left, right, type, request.suffix, [JOIN_TIME]);
  const inputs = [inputOf(left), inputOf(right)];
  const reach = [afterMs, beforeMs] as const;
  const delayMs = Math.max(0, ...reach.filter((_, input) => isKept(type, input)));
  return {
    name: 'interval join',
    inputs,
    output: columns.output,
    outputTime: { column: JOIN_TIME, shiftMs: 0, delayMs },
    lateBefore: (watermark) => watermark,
    heldUntil: (maxTimeMs, input) => maxTimeMs + (reach[input] as number) + 1,
    open: (context, from) => new IntervalJoin(context, columns, inputs, beforeMs, afterMs, from as HeldRows | undefined),
    describe: () =>
      [
        `${type} interval join by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`}`,
        `  within    right.time from left.time - ${beforeMs} ms to left.time + ${afterMs} ms`,
        `  state     rows of ${beforeMs + afterMs} ms of event time and the watermark's delay, dropped by the watermark`,
      ].join('\n'),
  };
}

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
  /** How far behind and ahead of a row of each input its matches lie. */
  readonly #behind: readonly [number, number];
  readonly #ahead: readonly [number, number];
  #input: 0 | 1 = 0;

  constructor(context: KeyedContext, columns: JoinColumns, inputs: readonly KeyedInput[], beforeMs: number, afterMs: number, from: HeldRows | undefined) {
    this.#context = context;
    this.#columns = columns;
    this.#timeColumn = columns.extra[0] as number;
    this.#behind = [beforeMs, afterMs];
    this.#ahead = [afterMs, beforeMs];
    this.#rows = new JoinRows(context, columns, inputs);
    if (from !== undefined) this.#rows.restore(from);
  }

  get stateBytes(): number {
    return this.#rows.bytes;
  }

  onBatch(rows: Batch, input: number): void {
    this.#input = input as 0 | 1;
    this.#rows.addBatch(rows, input, this.#match);
  }

  onWatermark(watermark: number): void {
    for (const input of [0, 1] as const) {
      const side = this.#rows.sides[input];
      const comesOut = isKept(this.#columns.type, input);
      const ahead = this.#ahead[input];
      while (side.size > 0 && (side.firstTime + ahead < watermark || watermark === Number.POSITIVE_INFINITY)) {
        const time = side.firstTime;
        const row = side.popFirst();
        if (comesOut && side.matched[row] === 0) this.#write(side.keys[row] as number, input === 0 ? row : NONE, input === 0 ? NONE : row, time);
        this.#rows.drop(input, row);
      }
    }
  }

  snapshot(): HeldRows {
    return this.#rows.snapshot();
  }

  // One closure for all batches.
  readonly #match = (key: number, row: number, time: number): void => {
    const rows = this.#rows;
    if (rows.isNullKey(key)) return;
    const input = this.#input;
    const own = rows.sides[input];
    const other = rows.sides[input === 0 ? 1 : 0];
    const last = time + this.#ahead[input];
    let at = other.firstFrom(key, time - this.#behind[input]);
    if (at === NONE || (other.times[at] as number) > last) return;
    own.matched[row] = 1;
    for (; at !== NONE; at = other.next[at] as number) {
      const otherTime = other.times[at] as number;
      if (otherTime > last) return;
      other.matched[at] = 1;
      this.#write(key, input === 0 ? row : at, input === 0 ? at : row, Math.max(time, otherTime));
    }
  };

  #write(key: number, left: number, right: number, time: number): void {
    const out = this.#rows.write(key, left, right);
    putTime(this.#context.slabs.memory, out.columns[this.#timeColumn] as ColumnSpace, out.rowCount - 1, time);
  }
}
