/**
 * dropDuplicates: the first row of a key passes; rows within a time of it do not. Elsewhere it is called
 * dropDuplicates and dropDuplicatesWithinWatermark.
 *
 * With event time, a row is a duplicate when its time is less than `within` away, before or after, from that
 * of a row of its key that passed. Only the order of rows decides this. A time is kept until the watermark
 * has passed it by `within`: no row that is not late can be that close afterwards. Without event time the
 * epoch's clock takes its place; without `within` a key is kept for ever.
 *
 * With `extend` a row that is dropped counts, too: a row is a duplicate when any row of its key was that close,
 * so a key that comes again and again passes once, until it has paused for `within`. What is kept then is not
 * each time, but the spans that they make: first and last time of rows that are that close to each other.
 */

import { type Batch, readTimestamp, type Schema } from '../../core/index.ts';
import { named, type StateRow } from '../exchange/index.ts';
import { type DueTimes, dueIn, type EpochClock, type KeyedContext, type KeyedInput, type KeyedOperator, type KeyedOperatorPlan } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';
import { type Key, keyReader, keyValues, roughBytes } from './row-values.ts';
import { TimerQueue } from './timer-queue.ts';

export interface DropDuplicatesRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  /** Undefined: for ever. */
  readonly withinMs: number | undefined;
  /** Duplicates count as rows that passed do. Default: no. */
  readonly isExtended?: boolean;
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for an unknown key column */
export function planDropDuplicates({ input, keys, withinMs, isExtended = false, eventTime, timeShiftMs }: DropDuplicatesRequest): KeyedOperatorPlan {
  const time = eventTime === undefined || withinMs === undefined ? -1 : input.require(eventTime, 'withWatermark');
  const rows: KeyedInput = {
    schema: input,
    keys: keys.map((name) => input.require(name, 'keyBy')),
    columns: input.fields.map((_, c) => c),
    eventTime: time,
    timeShiftMs,
  };
  return {
    name: 'dropDuplicates',
    isOrdered: true,
    inputs: [rows],
    output: input,
    outputTime: eventTime === undefined ? undefined : { column: eventTime, shiftMs: timeShiftMs },
    lateBefore: (watermark) => (time < 0 ? Number.NEGATIVE_INFINITY : watermark),
    // A span may have begun at any time before.
    heldUntil: (maxTimeMs) => (time < 0 || isExtended ? Number.POSITIVE_INFINITY : maxTimeMs + (withinMs as number)),
    state: { format: 1, facts: { withinMs, eventTime, ...(isExtended ? { isExtended } : {}) } },
    open: (context, from) => new DropDuplicates(rows, withinMs ?? Number.POSITIVE_INFINITY, isExtended, context, from as Snapshot | undefined),
    whole: 'the first row of a key is the result',
    describe: () =>
      `dropDuplicates by ${keys.join(', ')}\n  ${withinMs === undefined ? 'each key is kept for ever' : `within ${withinMs} ms of ${time < 0 ? "the epoch's clock" : `event time (${eventTime})`}${isExtended ? ', from the last row of the key' : ''}`}`,
  };
}

interface Snapshot {
  /** In the order in which they passed. With `extend` times are pairs: the first and the last of a span. */
  readonly passed: readonly (readonly [key: Key, times: readonly number[]])[];
}

const NO_ROWS = new Int32Array(0);

class DropDuplicates implements KeyedOperator {
  readonly #input: KeyedInput;
  readonly #withinMs: number;
  readonly #isExtended: boolean;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #clock: EpochClock;
  readonly #output: RowOutput;
  /** Times of the rows that passed and may still have duplicates, or the bounds of spans. Mostly one. */
  readonly #passed = new Map<Key, number[]>();
  readonly #expiries = new TimerQueue<Key>();
  #selected = NO_ROWS;

  constructor(input: KeyedInput, withinMs: number, isExtended: boolean, context: KeyedContext, from: Snapshot | undefined) {
    this.#input = input;
    this.#withinMs = withinMs;
    this.#isExtended = isExtended;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#clock = context.clock;
    this.#output = context.output;
    for (const [key, times] of from?.passed ?? []) {
      if (isExtended) this.#restoreSpans(key, times);
      else for (const time of times) this.#pass(key, time);
    }
  }

  get stateBytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const key of this.#passed.keys()) {
      if (looked++ === 100) break;
      bytes += 120 + roughBytes(key);
    }
    return Math.round(looked === 0 ? 0 : bytes * Math.max(1, this.#passed.size / 100)) + this.#expiries.size * 56;
  }

  get due(): DueTimes {
    return dueIn(this.#input.eventTime >= 0, this.#expiries.firstTime);
  }

  onBatch(rows: Batch): void {
    if (this.#selected.length < rows.rowCount) this.#selected = new Int32Array(2 ** Math.ceil(Math.log2(rows.rowCount)));
    const { eventTime, timeShiftMs } = this.#input;
    const now = this.#clock.nowMs;
    let count = 0;
    for (let row = 0; row < rows.rowCount; row++) {
      const key = this.#keyOf(rows, row);
      const time = eventTime < 0 ? now : readTimestamp(rows.memory, rows.column(eventTime).data, row) + timeShiftMs;
      if (this.#isExtended) {
        if (this.#extend(key, time)) continue;
        this.#selected[count++] = row;
        continue;
      }
      const times = this.#passed.get(key);
      if (times?.some((passed) => Math.abs(time - passed) < this.#withinMs)) continue;
      this.#pass(key, time);
      this.#selected[count++] = row;
    }
    if (count > 0) this.#output.appendSelected(rows, this.#selected, count);
  }

  onWatermark(watermark: number): void {
    const until = this.#input.eventTime >= 0 ? watermark : this.#clock.nowMs;
    // The end of the input is not a passing of time.
    while (until !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= until) {
      const { owner: key } = this.#expiries.take();
      if (this.#isExtended) {
        this.#forgetSpans(key, until);
        continue;
      }
      // Two times of a key may both be over: the first of them removed the key.
      const times = (this.#passed.get(key) ?? []).filter((time) => time + this.#withinMs > until);
      if (times.length === 0) this.#passed.delete(key);
      else this.#passed.set(key, times);
    }
  }

  snapshot(): Snapshot {
    return { passed: [...this.#passed].map(([key, times]) => [key, [...times]]) };
  }

  *stateRows(): Generator<StateRow> {
    const fields = this.#input.keys.map((key) => this.#input.schema.field(key));
    const names = fields.map(({ name }) => name);
    for (const [key, times] of this.#passed) {
      const expires = Math.max(...times) + this.#withinMs;
      yield { key: named(names, keyValues(key, fields)), expires: Number.isFinite(expires) ? expires : null };
    }
  }

  /** Puts a row into the span that it is close to. False: there is none, and it begins one. */
  #extend(key: Key, time: number): boolean {
    const spans = this.#passed.get(key);
    if (spans === undefined) {
      this.#restoreSpans(key, [time, time]);
      return false;
    }
    let first = time;
    let last = time;
    const others: number[] = [];
    for (let s = 0; s < spans.length; s += 2) {
      const [from, to] = [spans[s] as number, spans[s + 1] as number];
      // One row may join two spans, and no more: they are not close to each other.
      if (time - to < this.#withinMs && from - time < this.#withinMs) {
        first = Math.min(first, from);
        last = Math.max(last, to);
      } else others.push(from, to);
    }
    const isNew = others.length === spans.length;
    this.#passed.set(key, [...others, first, last]);
    if (isNew) this.#expiries.add(last + this.#withinMs, key);
    return !isNew;
  }

  /** Each span has a timer, which may be earlier than its end: then there is another one. */
  #forgetSpans(key: Key, until: number): void {
    const spans = this.#passed.get(key) ?? [];
    const kept: number[] = [];
    for (let s = 0; s < spans.length; s += 2) if ((spans[s + 1] as number) + this.#withinMs > until) kept.push(spans[s] as number, spans[s + 1] as number);
    if (kept.length === 0) this.#passed.delete(key);
    else {
      this.#passed.set(key, kept);
      this.#expiries.add(Math.min(...kept.filter((_, i) => i % 2 === 1)) + this.#withinMs, key);
    }
  }

  #restoreSpans(key: Key, spans: readonly number[]): void {
    this.#passed.set(key, [...spans]);
    for (let s = 1; s < spans.length; s += 2) this.#expiries.add((spans[s] as number) + this.#withinMs, key);
  }

  #pass(key: Key, time: number): void {
    const times = this.#passed.get(key);
    if (times === undefined) this.#passed.set(key, [time]);
    else times.push(time);
    if (this.#withinMs !== Number.POSITIVE_INFINITY) this.#expiries.add(time + this.#withinMs, key);
  }
}
