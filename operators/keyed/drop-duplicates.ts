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
 *
 * Keys are in shared memory (by-key/key-index.ts), and the span of each in arrays by its id; the few keys that
 * have more spans have them in a Map. Without `extend` a span is one time.
 */

import { type Batch, BatchBuilder, readTimestamp, type Schema } from '../../core/index.ts';
import { KeyIndex, TimeHeap } from '../by-key/index.ts';
import { hashKeys, type StateRow } from '../exchange/index.ts';
import { type DueTimes, dueIn, type KeyedContext, type KeyedInput, type KeyedOperator, type KeyedOperatorPlan } from './keyed-operator.ts';
import { type Key, keyValues, RowReader } from './row-values.ts';

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
  readonly keys: readonly (readonly [hash: number, key: Uint8Array, spans: readonly number[]])[];
}

/** As versions before 0.1 wrote it: without `extend`, times in place of spans. */
interface FormerSnapshot {
  readonly passed: readonly (readonly [key: Key, times: readonly number[]])[];
}

const NO_ROWS = new Int32Array(0);

class DropDuplicates implements KeyedOperator {
  readonly #input: KeyedInput;
  readonly #withinMs: number;
  readonly #isExtended: boolean;
  readonly #context: KeyedContext;
  readonly #keys: KeyIndex;
  readonly #keySchema: Schema;
  /** By key: bounds of its first span, and how many it has. Where there are more, `#more` has all of them. */
  #first = new Float64Array(0);
  #last = new Float64Array(0);
  #count = new Uint8Array(0);
  /** From, to, from, to, ..., ascending. */
  readonly #more = new Map<number, number[]>();
  readonly #expiries = new TimeHeap();
  #sequence = 0;
  #hashes = new Uint32Array(0);
  #selected = NO_ROWS;

  constructor(input: KeyedInput, withinMs: number, isExtended: boolean, context: KeyedContext, from: Snapshot | FormerSnapshot | undefined) {
    const { schema } = input;
    this.#input = input;
    this.#withinMs = withinMs;
    this.#isExtended = isExtended;
    this.#context = context;
    this.#keySchema = schema.select(
      input.keys.map((key) => schema.field(key).name),
      'dropDuplicates',
    );
    this.#keys = new KeyIndex(
      context.slabs,
      this.#keySchema.fields.map(({ type }) => type),
    );
    if (from === undefined) return;
    if ('passed' in from) this.#restoreFormer(from);
    else for (const [hash, key, spans] of from.keys) this.#restore(this.#keys.internRecord(key, hash), spans);
  }

  get stateBytes(): number {
    return this.#keys.bytes + this.#count.length * 17 + this.#expiries.bytes + this.#more.size * 200;
  }

  get due(): DueTimes {
    return dueIn(this.#input.eventTime >= 0, this.#expiries.firstTime);
  }

  onBatch(rows: Batch): void {
    const { memory, rowCount } = rows;
    const { keys, eventTime, timeShiftMs } = this.#input;
    if (this.#selected.length < rowCount) {
      this.#selected = new Int32Array(2 ** Math.ceil(Math.log2(rowCount)));
      this.#hashes = new Uint32Array(this.#selected.length);
    }
    const columns = keys.map((key) => rows.column(key));
    hashKeys(memory, columns, rowCount, this.#hashes);
    const times = eventTime < 0 ? 0 : rows.column(eventTime).data;
    const now = this.#context.clock.nowMs;
    let count = 0;
    for (let row = 0; row < rowCount; row++) {
      const key = this.#keys.intern(columns, row, this.#hashes[row] as number);
      const time = eventTime < 0 ? now : readTimestamp(memory, times, row) + timeShiftMs;
      if (!this.#isDuplicate(key, time)) this.#selected[count++] = row;
    }
    if (count > 0) this.#context.output.appendSelected(rows, this.#selected, count);
  }

  onWatermark(watermark: number): void {
    const until = this.#input.eventTime >= 0 ? watermark : this.#context.clock.nowMs;
    // The end of the input is not a passing of time.
    while (until !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= until) this.#forget(this.#expiries.pop(), until);
  }

  snapshot(): Snapshot {
    return { keys: Array.from(this.#held(), (key) => [this.#keys.hashOf(key), this.#keys.copyOut(key), [...this.#spansOf(key)]] as const) };
  }

  *stateRows(): Generator<StateRow> {
    const all = this.#keySchema.fields.map((_, column) => column);
    const builder = new BatchBuilder(this.#context.slabs, this.#keySchema, 1);
    const reader = new RowReader(this.#keySchema, all);
    for (const key of this.#held()) {
      builder.reset();
      this.#keys.read(key, builder, all, 0);
      const expires = (this.#spansOf(key).at(-1) as number) + this.#withinMs;
      yield { key: reader.read(builder.finish(1), 0), expires: Number.isFinite(expires) ? expires : null };
    }
    builder.release();
  }

  release(): void {
    this.#keys.release();
  }

  /** Whether a row is close to one of its key. If not it passes; with `extend` it counts in any case. */
  #isDuplicate(key: number, time: number): boolean {
    if (key >= this.#count.length) this.#reserve();
    const withinMs = this.#withinMs;
    const count = this.#count[key] as number;
    if (count === 1) {
      const [from, to] = [this.#first[key] as number, this.#last[key] as number];
      if (time - to < withinMs && from - time < withinMs) {
        if (this.#isExtended) {
          if (time > to) this.#last[key] = time;
          else if (time < from) this.#first[key] = time;
        }
        return true;
      }
    }
    if (count > 1) return this.#isNear(key, this.#more.get(key) as number[], time);
    if (count === 0) this.#put(key, [time, time]);
    else {
      const spans = [this.#first[key] as number, this.#last[key] as number];
      spans.splice(time < (spans[0] as number) ? 0 : 2, 0, time, time);
      this.#put(key, spans);
    }
    this.#expire(key, time);
    return false;
  }

  /** The same for a key with several spans, which change. */
  #isNear(key: number, spans: number[], time: number): boolean {
    const withinMs = this.#withinMs;
    // Most rows are at the end.
    let next = spans.length;
    while (next > 0 && (spans[next - 2] as number) > time) next -= 2;
    const isNearBefore = next > 0 && time - (spans[next - 1] as number) < withinMs;
    const isNearAfter = next < spans.length && (spans[next] as number) - time < withinMs;
    if (!isNearBefore && !isNearAfter) {
      spans.splice(next, 0, time, time);
      this.#expire(key, time);
      return false;
    }
    if (!this.#isExtended) return true;
    if (isNearBefore && isNearAfter) {
      spans.splice(next - 1, 2);
      if (spans.length === 2) this.#put(key, spans);
    } else if (isNearAfter) spans[next] = time;
    else if (time > (spans[next - 1] as number)) spans[next - 1] = time;
    return true;
  }

  /** Each span has a time in the heap, which may be earlier than its end: then there is another one. */
  #forget(key: number, until: number): void {
    // Of two spans that are over the first removed the key.
    if (this.#count[key] === 0) return;
    const spans = this.#spansOf(key);
    let over = 0;
    while (over < spans.length && (spans[over + 1] as number) + this.#withinMs <= until) over += 2;
    if (over > 0) this.#put(key, spans.slice(over));
    if (over === spans.length) this.#keys.remove(key);
    else if (this.#isExtended) this.#expire(key, spans[over + 1] as number);
  }

  #expire(key: number, time: number): void {
    if (this.#withinMs !== Number.POSITIVE_INFINITY) this.#expiries.push(time + this.#withinMs, this.#sequence++, key);
  }

  #spansOf(key: number): readonly number[] {
    return this.#more.get(key) ?? (this.#count[key] === 0 ? [] : [this.#first[key] as number, this.#last[key] as number]);
  }

  #put(key: number, spans: number[]): void {
    if (spans.length > 2) this.#more.set(key, spans);
    else if (this.#count[key] === 2) this.#more.delete(key);
    this.#count[key] = Math.min(2, spans.length / 2);
    this.#first[key] = spans[0] ?? 0;
    this.#last[key] = spans[1] ?? 0;
  }

  *#held(): Generator<number> {
    for (let key = 0; key < this.#count.length; key++) if (this.#count[key] !== 0) yield key;
  }

  #restore(key: number, spans: readonly number[]): void {
    if (key >= this.#count.length) this.#reserve();
    this.#put(key, [...spans]);
    for (let s = 1; s < spans.length; s += 2) this.#expire(key, spans[s] as number);
  }

  #restoreFormer({ passed }: FormerSnapshot): void {
    const { fields } = this.#keySchema;
    const builder = new BatchBuilder(this.#context.slabs, this.#keySchema, 1);
    for (const [key, times] of passed) {
      builder.reset();
      for (const [column, value] of keyValues(key, fields).entries()) builder.setValue(column, 0, value);
      const { memory, columns } = builder.finish(1);
      const hash = new Uint32Array(1);
      hashKeys(memory, columns, 1, hash);
      this.#restore(this.#keys.intern(columns, 0, hash[0] as number), inOrder(times, this.#isExtended));
    }
    builder.release();
  }

  #reserve(): void {
    const limit = this.#keys.idLimit;
    const [first, last, count] = [new Float64Array(limit), new Float64Array(limit), new Uint8Array(limit)];
    first.set(this.#first);
    last.set(this.#last);
    count.set(this.#count);
    this.#first = first;
    this.#last = last;
    this.#count = count;
  }
}

/** Times, or the bounds of spans, as spans that ascend. */
function inOrder(times: readonly number[], areSpans: boolean): number[] {
  const spans = areSpans
    ? times.flatMap((from, i) => (i % 2 === 0 ? [[from, times[i + 1] as number] as const] : []))
    : times.map((time) => [time, time] as const);
  return spans.sort((a, b) => a[0] - b[0]).flat();
}
