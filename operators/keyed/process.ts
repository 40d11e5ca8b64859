/**
 * process: user-defined functions over rows by key, with state, timers and results. Elsewhere it is called
 * updateStateByKey, mapWithState, transformWithState, KeyedProcessFunction and KeyedCoProcessFunction.
 *
 *   rows of the epoch, in the order of (source, partition, offset)   -> onRow(row, ctx)
 *   then event-time timers up to the watermark, in order of time      -> onTimer(time, ctx)
 *   then processing-time timers up to the epoch's clock               -> onTimer(time, ctx)
 *   then state whose time-to-live is over is dropped, with its timers
 *
 * In the order of event time rows wait until the watermark has passed them (by-key/waiting-rows.ts). They, the
 * timers, and what is dropped come in the order of their times, whatever the epochs are. At one time the timers
 * come first, then what is dropped, then the rows. A timer that a row sets for a time that has passed fires
 * behind it. One that a timer sets for its own time or earlier fires a millisecond later. So the calls for a
 * key follow from its rows alone; only the epoch's clock does not.
 *
 * In the order of arrival a timer that onTimer sets for a time after its own fires in the same epoch, if it is
 * due. One for its own time or earlier fires at the end of the next epoch. When the input has ended (watermark
 * +Infinity), every event-time timer fires that is set or that these calls set for later (key-timers.ts).
 *
 * Rows of several streams share the state of their key. A table is held by every shard as it is at the end of
 * the epoch; in the order of event time as it was at the time of the row or timer.
 *
 * State is JavaScript values, kept per shard in a Map by key. Structured clone must be able to copy it;
 * `snapshot` refuses it otherwise. State that an earlier `version` of the functions has left goes through
 * `migrate`, key by key, when a shard is opened with it. A checkpoint is the state as of some epoch, and the
 * rows behind that: these are taken in by the functions as they are now.
 */

import { type AnyRow, type Batch, readTimestamp } from '../../core/index.ts';
import { type RowOrigin, type RowPlace, WaitingRows } from '../by-key/index.ts';
import type { DueTimes, StateRow } from '../exchange/index.ts';
import { refusePromise } from '../rows/index.ts';
import { KeyTimers } from './key-timers.ts';
import type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, RowFailures } from './keyed-operator.ts';
import { type Before, beforeCall, takeBackCall } from './process-attempt.ts';
import { type ProcessEntry, ShardContext } from './process-context.ts';
import { cloned, failed, refuseInstances } from './process-errors.ts';
import { OutputRows } from './process-outputs.ts';
import type { ProcessPlan, ProcessRequest, ProcessSnapshot, RowFunction } from './process-request.ts';
import { ProcessTable } from './process-table.ts';
import type { RowOutput } from './row-output.ts';
import { type Key, keyReader, RowReader, roughBytes } from './row-values.ts';
import { TimerQueue } from './timer-queue.ts';

/** In place of a state that could not be made. */
const NO_STATE = Symbol('no state');

/** Where a row was read; undefined: unknown. */
type PlaceOf = () => RowPlace | undefined;

/** How the rows of one stream are read. */
interface StreamReader {
  readonly keyOf: (batch: Batch, row: number) => Key;
  readonly rows: RowReader;
  /** Under the names of the first stream. */
  readonly keys: RowReader;
}

export class ProcessOperator implements KeyedOperator {
  readonly #plan: ProcessPlan;
  readonly #functions: ProcessRequest;
  readonly #shard: number;
  readonly #clock: EpochClock;
  readonly #failures: RowFailures;
  readonly #atWork: Int32Array;
  readonly #streams: readonly StreamReader[];
  readonly #entries = new Map<Key, ProcessEntry>();
  readonly #timers = {
    event: new KeyTimers<ProcessEntry>((entry) => entry.timers),
    processing: new KeyTimers<ProcessEntry>((entry) => entry.processingTimers),
  };
  /** One per key with a time-to-live, at the earliest time at which it may expire. */
  readonly #expiries = new TimerQueue<ProcessEntry>();
  readonly #output: RowOutput;
  readonly #context: ShardContext;
  readonly #table: ProcessTable | undefined;
  /** In the order of event time. */
  readonly #waiting: WaitingRows | undefined;
  #hasEnded = false;
  /** A call is under way that may be taken back. */
  #isTrying = false;
  /** In the order of event time: how far this epoch's rows and timers have come. */
  #reached = Number.NEGATIVE_INFINITY;

  constructor(plan: ProcessPlan, context: KeyedContext, from: ProcessSnapshot | undefined) {
    const { request, inputs, isInOrder, tableAt } = plan;
    this.#plan = plan;
    this.#functions = request;
    this.#shard = context.shard;
    this.#clock = context.clock;
    this.#failures = context.failures;
    this.#atWork = context.atWork;
    const names = request.inputs[0]?.keys;
    this.#streams = inputs.map(({ schema, keys }, input) => ({
      keyOf: keyReader(keys, schema),
      rows: new RowReader(schema),
      keys: new RowReader(schema, keys, input === tableAt ? undefined : names),
    }));
    this.#output = context.output;
    this.#table = tableAt < 0 ? undefined : new ProcessTable(inputs[tableAt] as KeyedInput, request.inputs[tableAt]?.deleted, from?.table);
    // Of one time the table's rows come first.
    const rankOf = (input: number): number => (tableAt < 0 ? input : input === tableAt ? 0 : input + 1);
    this.#waiting = isInOrder
      ? new WaitingRows(
          context.slabs,
          inputs.map(({ schema, columns }, input) => ({ schema, columns, rank: rankOf(input) })),
          true,
        )
      : undefined;
    const rows = new OutputRows(request.output, request.outputs);
    this.#context = new ShardContext(context.clock, context.output, rows, this.#timers, this.#table?.rows, (entry) => this.#forget(entry));
    // Timers that were set at the end of the input do not fire.
    this.#hasEnded = context.clock.watermark === Number.POSITIVE_INFINITY;
    if (from !== undefined) this.#restore(from);
  }

  get stateBytes(): number {
    let bytes = 0;
    let looked = 0;
    // The first hundred stand for all.
    for (const { id, state } of this.#entries.values()) {
      if (looked++ === 100) break;
      bytes += 160 + roughBytes(id) + roughBytes(state);
    }
    const scale = this.#entries.size <= 100 ? 1 : this.#entries.size / 100;
    const timers = this.#timers.event.size + this.#timers.processing.size + this.#expiries.size;
    return Math.round(bytes * scale) + timers * 56 + (this.#table?.bytes ?? 0) + (this.#waiting?.bytes ?? 0);
  }

  get due(): DueTimes {
    const event = this.#hasEnded ? Number.POSITIVE_INFINITY : this.#timers.event.firstTime;
    const processing = this.#timers.processing.firstTime;
    const expiry = this.#expiries.firstTime;
    if (!this.#plan.hasTime) return { time: event, clock: Math.min(processing, expiry) };
    return { time: Math.min(event, expiry, this.#waiting?.firstTime ?? Number.POSITIVE_INFINITY), clock: processing };
  }

  onBatch(rows: Batch, input: number, origin: RowOrigin): void {
    const { inputs, tableAt } = this.#plan;
    if (this.#waiting !== undefined) {
      const { eventTime, timeShiftMs } = inputs[input] as KeyedInput;
      const times = rows.column(eventTime).data;
      for (let row = 0; row < rows.rowCount; row++) this.#waiting.add(rows, row, input, readTimestamp(rows.memory, times, row) + timeShiftMs, origin);
      return;
    }
    if (input === tableAt) {
      for (let row = 0; row < rows.rowCount; row++) this.#table?.take(rows, row);
      return;
    }
    for (let row = 0; row < rows.rowCount; row++) {
      this.#output.at(row);
      this.#atWork[0] = row;
      this.#call(rows, row, input, this.#timeOf(rows, row, input), undefined);
    }
  }

  onWatermark(watermark: number): void {
    const context = this.#context;
    if (watermark === Number.POSITIVE_INFINITY && this.#waiting === undefined) this.#timers.event.end();
    if (this.#waiting !== undefined) this.#advance(this.#waiting, watermark);
    else if (!this.#hasEnded) this.#fire('event', watermark);
    this.#hasEnded = watermark === Number.POSITIVE_INFINITY;
    context.passed = undefined;
    this.#fire('processing', this.#clock.nowMs);
    this.#timers.event.settle();
    this.#timers.processing.settle();
    if (this.#waiting !== undefined) return;
    const passed = this.#plan.hasTime ? watermark : this.#clock.nowMs;
    // The end of the input is not a passing of time.
    if (passed !== Number.POSITIVE_INFINITY) this.#expire(passed);
  }

  snapshot(): ProcessSnapshot {
    const places = new Map<ProcessEntry, number>();
    const entries = [...this.#entries.values()].map((entry, place) => {
      places.set(entry, place);
      const { id, key, expiry } = entry;
      return { id, key, state: cloned(entry.state, key), expiry };
    });
    const timers = (of: KeyTimers<ProcessEntry>) => of.inOrder().map(({ owner, time }) => [places.get(owner) as number, time] as const);
    return {
      entries,
      timers: timers(this.#timers.event),
      processingTimers: timers(this.#timers.processing),
      ...(this.#table === undefined ? {} : { table: this.#table.snapshot() }),
      ...(this.#waiting === undefined ? {} : { waiting: this.#waiting.snapshot() }),
    };
  }

  *stateRows(): Generator<StateRow> {
    const inOrder = (timers: ReadonlyMap<number, number>): number[] => [...timers.keys()].sort((a, b) => a - b);
    for (const { key, state, timers, processingTimers, expiry } of this.#entries.values()) {
      const expires = this.#functions.ttlMs === undefined ? {} : { expires: expiry };
      yield { key, value: state, timers: inOrder(timers), processingTimers: inOrder(processingTimers), ...expires };
    }
    // What all shards hold is shown once.
    if (this.#table !== undefined && this.#shard === 0) yield* this.#table.stateRows();
    const { tableAt, inputs } = this.#plan;
    for (const { input, time, batch } of this.#waiting?.look() ?? []) {
      if (input === tableAt && this.#shard > 0) continue;
      const { keys, rows } = this.#streams[input] as StreamReader;
      yield { key: keys.read(batch, 0), waits: inputs.length === 1 ? 'row' : `row of stream ${input + 1}`, time, value: rows.read(batch, 0) };
    }
  }

  release(): void {
    this.#waiting?.release();
  }

  #restore({ entries, timers, processingTimers, waiting }: ProcessSnapshot): void {
    const made = entries.map((saved): ProcessEntry => {
      const entry = {
        ...saved,
        key: Object.freeze({ ...saved.key }),
        state: structuredClone(saved.state),
        timers: new Map(),
        processingTimers: new Map(),
        isGone: false,
      };
      this.#entries.set(entry.id, entry);
      // Without a time of a row it is due after the next row.
      if (this.#functions.ttlMs !== undefined && entry.expiry !== Number.NEGATIVE_INFINITY) this.#expiries.add(entry.expiry, entry);
      return entry;
    });
    for (const [place, time] of timers) this.#timers.event.set(made[place] as ProcessEntry, time);
    for (const [place, time] of processingTimers) this.#timers.processing.set(made[place] as ProcessEntry, time);
    this.#waiting?.restore(waiting ?? []);
  }

  /** In the order of event time: all that is before the watermark, and the timers that it has reached. */
  #advance(waiting: WaitingRows, watermark: number): void {
    const { tableAt } = this.#plan;
    const context = this.#context;
    this.#reached = Number.NEGATIVE_INFINITY;
    waiting.each(watermark, (taken) => {
      const { count, times, inputs, rows, batches } = taken;
      for (let at = 0; at < count; at++) {
        const time = times[at] as number;
        this.#pass(time);
        this.#reached = time;
        context.passed = time;
        const input = inputs[at] as number;
        const batch = batches[input] as Batch;
        const row = rows[at] as number;
        if (input === tableAt) this.#table?.take(batch, row);
        else this.#call(batch, row, input, time, () => taken.placeOf(at));
      }
    });
    if (watermark === Number.POSITIVE_INFINITY) this.#timers.event.end();
    this.#pass(watermark);
  }

  /** Calls the timers up to `until`, and drops what is over by then, in the order of their times. */
  #pass(until: number): void {
    const { event } = this.#timers;
    const isEnd = until === Number.POSITIVE_INFINITY;
    // The end of the input is not a passing of time: what is over between its timers goes, and no more.
    while (event.firstTime <= until || this.#expiries.firstTime <= until) {
      if (isEnd && event.firstTime === Number.POSITIVE_INFINITY) break;
      const expiry = this.#expiries.firstTime;
      this.#fire('event', Math.min(until, expiry), isEnd);
      if (expiry > until || expiry === Number.POSITIVE_INFINITY) break;
      this.#expire(expiry);
    }
    this.#context.earliest = Number.NEGATIVE_INFINITY;
  }

  #expire(until: number): void {
    while (this.#expiries.size > 0 && this.#expiries.firstTime <= until) {
      const { owner } = this.#expiries.take();
      if (owner.isGone) continue;
      if (owner.expiry <= until) this.#forget(owner);
      else this.#expiries.add(owner.expiry, owner);
    }
  }

  /**
   * Calls the function of its stream for a row.
   *
   * @param placeOf where the row was read, if it has waited; undefined: it is one of the batch that is being taken
   */
  #call(rows: Batch, row: number, input: number, time: number, placeOf: PlaceOf | undefined): void {
    const context = this.#context;
    const reader = (this.#streams[input] as StreamReader).rows;
    const keys = this.#entries.size;
    const entry = this.#entryOf(rows, row, input, placeOf);
    if (entry === undefined) return;
    const before = this.#failures.areSkipped ? this.#before(entry, this.#entries.size > keys) : undefined;
    this.#touch(entry, time);
    context.enter(entry, time, 'event');
    const object = reader.read(rows, row);
    try {
      refusePromise((this.#functions.onRow[input] as RowFunction)(object, context));
    } catch (cause) {
      this.#skip(failed('onRow', object, cause), rows, row, input, placeOf);
      this.#takeBack(entry, before as Before);
      return;
    }
    this.#leave(entry, before);
  }

  #fire(domain: 'event' | 'processing', until: number, isEnd = false): void {
    const context = this.#context;
    this.#timers[domain].fire(until, (entry, time) => {
      const before = this.#failures.areSkipped ? this.#before(entry, false) : undefined;
      context.enter(entry, time, domain);
      if (this.#waiting !== undefined && domain === 'event') {
        // A row may have set it for a time before its own.
        this.#reached = Math.max(this.#reached, time);
        context.passed = isEnd ? Number.POSITIVE_INFINITY : this.#reached;
        context.earliest = this.#reached + 1;
      }
      try {
        refusePromise(this.#functions.onTimer?.(time, context));
      } catch (cause) {
        this.#failures.skip(failed(`onTimer at ${time}`, entry.key, cause), entry.key);
        this.#takeBack(entry, before as Before);
        return;
      }
      this.#leave(entry, before);
    });
  }

  /** What a call may change. */
  #before(entry: ProcessEntry, isNew: boolean): Before {
    this.#output.mark();
    this.#isTrying = true;
    return beforeCall(entry, isNew);
  }

  /** The call has returned: what it did stays. */
  #leave(entry: ProcessEntry, before: Before | undefined): void {
    this.#context.leave();
    if (before !== undefined) {
      this.#isTrying = false;
      this.#output.keep();
    }
    if (entry.isGone || this.#isEmpty(entry)) this.#forget(entry);
  }

  /**
   * The call has failed: as if it had never been made. Timers that it set stay in the queue, but nobody waits
   * for them.
   */
  #takeBack(entry: ProcessEntry, before: Before): void {
    this.#context.leave();
    this.#isTrying = false;
    this.#output.takeBack();
    takeBackCall(entry, before);
    if (before.isNew || this.#isEmpty(entry)) this.#forget(entry);
  }

  /** @returns undefined: its first state could not be made, and the row is left out */
  #entryOf(rows: Batch, row: number, input: number, placeOf: PlaceOf | undefined): ProcessEntry | undefined {
    const stream = this.#streams[input] as StreamReader;
    const id = stream.keyOf(rows, row);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const key = Object.freeze(stream.keys.read(rows, row));
      const state = this.#newState(key, (error) => this.#skip(error, rows, row, input, placeOf));
      if (state === NO_STATE) return undefined;
      entry = { id, key, state, timers: new Map(), processingTimers: new Map(), expiry: Number.NEGATIVE_INFINITY, isGone: false };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** A function has failed for a row. */
  #skip(error: unknown, rows: Batch, row: number, input: number, placeOf: PlaceOf | undefined): void {
    if (placeOf === undefined) this.#failures.skip(error, row);
    else this.#failures.skip(error, (this.#streams[input] as StreamReader).rows.read(rows, row), placeOf());
  }

  #newState(key: AnyRow, skip: (error: unknown) => void): unknown {
    let state: unknown;
    try {
      state = this.#functions.state?.();
    } catch (cause) {
      skip(failed('state', key, cause));
      return NO_STATE;
    }
    // The first one stands for all.
    if (this.#entries.size === 0) refuseInstances(state);
    return state;
  }

  #timeOf(rows: Batch, row: number, input: number): number {
    const time = this.#plan.times[input] as number;
    if (time < 0) return this.#clock.nowMs;
    return readTimestamp(rows.memory, rows.column(time).data, row) + (this.#plan.inputs[input] as KeyedInput).timeShiftMs;
  }

  #touch(entry: ProcessEntry, time: number): void {
    const { ttlMs } = this.#functions;
    if (ttlMs === undefined) return;
    const isNew = entry.expiry === Number.NEGATIVE_INFINITY;
    entry.expiry = Math.max(entry.expiry, time + ttlMs);
    if (isNew) this.#expiries.add(entry.expiry, entry);
  }

  /** Whether nothing needs to be kept for a key. */
  #isEmpty(entry: ProcessEntry): boolean {
    return this.#functions.state === undefined && entry.state === undefined && entry.timers.size === 0 && entry.processingTimers.size === 0;
  }

  /** While a call may be taken back, its key stays in its place. */
  #forget(entry: ProcessEntry): void {
    entry.isGone = true;
    if (!this.#isTrying) this.#entries.delete(entry.id);
  }
}
