/**
 * process: functions of the user's over rows by key, with state, timers and results: what updateStateByKey, mapWithState,
 * transformWithState and KeyedProcessFunction are elsewhere.
 *
 *   rows of the epoch, in the order of (source, partition, offset)   -> onRow(row, ctx)
 *   then event-time timers up to the watermark, in order of time      -> onTimer(time, ctx)
 *   then processing-time timers up to the epoch's clock               -> onTimer(time, ctx)
 *   then state that is out of its time-to-live is dropped, with its timers
 *
 * A timer that onTimer sets for a time behind its own fires in the same epoch, if it is due; one for its own time or before
 * fires at the end of the next epoch. When the input has ended (watermark +Infinity) every event-time timer that is set
 * fires, and those set by then do not. State is JavaScript values, kept by shard in a Map by key; it must be something that structured
 * clone can copy, or `snapshot` refuses it.
 */

import { type AnyRow, type Batch, MillraceError, readTimestamp, type Schema, shown } from '../../core/index.ts';
import { refusePromise } from '../rows/values.ts';
import type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';
import { type Key, keyReader, RowReader, roughBytes } from './row-values.ts';
import { TimerQueue } from './timer-queue.ts';

/** What a function of process sees besides its row. One object a shard: good during the call only. */
export interface ProcessContext<S = unknown, K = AnyRow, O = AnyRow> {
  /** The key's state: what `state()` made for its first row, and whatever the functions did with it. May be assigned. */
  state: S;
  /** The key columns. */
  readonly key: K;
  /** Event time of the row, or the time of the timer; of a row without event time: the epoch's clock. */
  readonly time: number;
  /** Event time that the stream has passed, as of the start of the epoch for rows, its end for timers; -Infinity: nothing is known. */
  readonly watermark: number;
  /** The epoch's clock, ms since 1970: the same for all rows of the epoch, and the same for all workers. */
  readonly now: number;
  /** During onTimer: what the timer went by. */
  readonly timeDomain: 'event' | 'processing';
  /** Puts a result row out. */
  emit(row: O): void;
  /** Calls onTimer with `time` when the watermark has reached it. One timer a key and time. */
  timer(time: number): void;
  /** Calls onTimer with `time` when the epoch's clock has reached it. */
  processingTimer(time: number): void;
  /** Takes a timer back; nothing happens when there is none. */
  deleteTimer(time: number): void;
  deleteProcessingTimer(time: number): void;
  /** Forgets the key: its state and its timers, and those that the call still sets. The next row starts from `state()`. */
  clear(): void;
}

export interface ProcessFunctions {
  readonly state: (() => unknown) | undefined;
  readonly onRow: (row: AnyRow, context: ProcessContext) => unknown;
  readonly onTimer: ((time: number, context: ProcessContext) => unknown) | undefined;
  /** Drops the state of a key for which no row came for so long: in event time where there is one, else by the epoch's clock. */
  readonly ttlMs: number | undefined;
}

export interface ProcessRequest extends ProcessFunctions {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly output: Schema;
  /** Name of the event time column; undefined: there is none. */
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for an unknown key column */
export function planProcess(request: ProcessRequest): KeyedOperatorPlan {
  const { input, output, eventTime, timeShiftMs } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'withWatermark');
  // Late rows are rows like all others here: the function has the watermark and may decide.
  const rows: KeyedInput = { schema: input, keys, columns: input.fields.map((_, c) => c), eventTime: -1, timeShiftMs };
  const carriesTime = eventTime !== undefined && output.indexOf(eventTime) >= 0 && output.field(output.indexOf(eventTime)).type.name === 'timestamp';
  const extras = [
    request.state === undefined ? 'no state' : 'state by key',
    ...(request.onTimer === undefined ? [] : ['timers']),
    ...(request.ttlMs === undefined ? [] : [`dropped ${request.ttlMs} ms after the last row`]),
  ];
  return {
    name: 'process',
    inputs: [rows],
    output,
    outputTime: carriesTime ? { column: eventTime, shiftMs: timeShiftMs } : undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => (request.state === undefined && request.onTimer === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY),
    open: (context, from) => new ProcessOperator(request, rows, time, context, from as Snapshot | undefined),
    whole: 'your function takes each row of a key, in order',
    describe: () => `process by ${request.keys.join(', ') || '(none: one key)'}\n  ${extras.join(', ')}`,
  };
}

interface Entry {
  readonly id: Key;
  readonly key: AnyRow;
  state: unknown;
  /** Number of the timer set for a time, to tell timers that were taken back. */
  readonly timers: Map<number, number>;
  readonly processingTimers: Map<number, number>;
  /** When the state is dropped, in the domain of the time-to-live. */
  expiry: number;
  isGone: boolean;
}

interface Snapshot {
  readonly entries: readonly { readonly id: Key; readonly key: AnyRow; readonly state: unknown; readonly expiry: number }[];
  /** Place of the entry and time, in the order in which they fire. */
  readonly timers: readonly (readonly [entry: number, time: number])[];
  readonly processingTimers: readonly (readonly [entry: number, time: number])[];
}

/** In place of a timer's number: it is set, and in no queue yet. */
const LATER = -1;

class ProcessOperator implements KeyedOperator {
  readonly #functions: ProcessFunctions;
  readonly #input: KeyedInput;
  readonly #time: number;
  readonly #clock: EpochClock;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #rows: RowReader;
  readonly #keys: RowReader;
  readonly #entries = new Map<Key, Entry>();
  readonly #timers = new TimerQueue<Entry>();
  readonly #processingTimers = new TimerQueue<Entry>();
  /** One for each key with a time-to-live, at the earliest time at which it may expire. */
  readonly #expiries = new TimerQueue<Entry>();
  readonly #context: Context;
  /** Timers that onTimer set for times that have passed: they go to the queue when all that is due has fired. */
  readonly #later: { readonly entry: Entry; readonly time: number; readonly isEvent: boolean }[] = [];
  #hasEnded = false;

  constructor(functions: ProcessFunctions, input: KeyedInput, time: number, context: KeyedContext, from: Snapshot | undefined) {
    this.#functions = functions;
    this.#input = input;
    this.#time = time;
    this.#clock = context.clock;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#rows = new RowReader(input.schema);
    this.#keys = new RowReader(input.schema, input.keys);
    this.#context = new Context(
      context.clock,
      context.output,
      (entry, at, isEvent) => this.#set(entry, at, isEvent),
      (entry) => this.#forget(entry),
    );
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
    return Math.round(bytes * scale) + (this.#timers.size + this.#processingTimers.size + this.#expiries.size) * 56;
  }

  onBatch(rows: Batch): void {
    const context = this.#context;
    const { onRow } = this.#functions;
    for (let row = 0; row < rows.rowCount; row++) {
      const entry = this.#entryOf(rows, row);
      const time = this.#timeOf(rows, row);
      this.#touch(entry, time);
      context.enter(entry, time, 'event', Number.NEGATIVE_INFINITY);
      const object = this.#rows.read(rows, row);
      try {
        refusePromise(onRow(object, context));
      } catch (cause) {
        throw failed('onRow', object, cause);
      }
      context.leave();
      if (this.#isEmpty(entry)) this.#forget(entry);
    }
  }

  onWatermark(watermark: number): void {
    if (!this.#hasEnded) this.#fire(this.#timers, 'event', watermark);
    this.#hasEnded = watermark === Number.POSITIVE_INFINITY;
    this.#fire(this.#processingTimers, 'processing', this.#clock.nowMs);
    for (const { entry, time, isEvent } of this.#later.splice(0)) {
      const timers = timersOf(entry, isEvent);
      if (!entry.isGone && timers.get(time) === LATER) timers.set(time, (isEvent ? this.#timers : this.#processingTimers).add(time, entry));
    }
    const expired = this.#time >= 0 ? watermark : this.#clock.nowMs;
    // The end of the input is no time that passes.
    while (expired !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= expired) {
      const { owner } = this.#expiries.take();
      if (owner.isGone) continue;
      if (owner.expiry <= expired) this.#forget(owner);
      else this.#expiries.add(owner.expiry, owner);
    }
  }

  snapshot(): Snapshot {
    const places = new Map<Entry, number>();
    const entries = [...this.#entries.values()].map((entry, place) => {
      places.set(entry, place);
      const { id, key, expiry } = entry;
      return { id, key, state: cloned(entry.state, key), expiry };
    });
    const timers = (queue: TimerQueue<Entry>, isEvent: boolean) =>
      queue
        .inOrder()
        .flatMap(({ owner, time, number }) =>
          !owner.isGone && timersOf(owner, isEvent).get(time) === number ? [[places.get(owner) as number, time] as const] : [],
        );
    return { entries, timers: timers(this.#timers, true), processingTimers: timers(this.#processingTimers, false) };
  }

  #restore({ entries, timers, processingTimers }: Snapshot): void {
    const made = entries.map((saved): Entry => {
      const entry = {
        ...saved,
        key: Object.freeze({ ...saved.key }),
        state: structuredClone(saved.state),
        timers: new Map(),
        processingTimers: new Map(),
        isGone: false,
      };
      this.#entries.set(entry.id, entry);
      if (this.#functions.ttlMs !== undefined) this.#expiries.add(entry.expiry, entry);
      return entry;
    });
    for (const [place, time] of timers) this.#set(made[place] as Entry, time, true);
    for (const [place, time] of processingTimers) this.#set(made[place] as Entry, time, false);
  }

  #fire(queue: TimerQueue<Entry>, domain: 'event' | 'processing', until: number): void {
    const context = this.#context;
    const isEvent = domain === 'event';
    // At the end of the input only what was set before fires: a timer that sets the next one would never end.
    const due = until === Number.POSITIVE_INFINITY ? queue.inOrder() : undefined;
    for (let i = 0; due === undefined ? queue.firstTime <= until : i < due.length; i++) {
      const { owner, time, number } = due === undefined ? queue.take() : (due[i] as (typeof due)[number]);
      const timers = timersOf(owner, isEvent);
      if (owner.isGone || timers.get(time) !== number) continue;
      timers.delete(time);
      context.enter(owner, time, domain, time);
      try {
        refusePromise(this.#functions.onTimer?.(time, context));
      } catch (cause) {
        throw failed(`onTimer at ${time}`, owner.key, cause);
      }
      context.leave();
      if (this.#isEmpty(owner)) this.#forget(owner);
    }
  }

  #set(entry: Entry, time: number, isEvent: boolean): void {
    const timers = timersOf(entry, isEvent);
    if (timers.has(time) || entry.isGone) return;
    const queue = isEvent ? this.#timers : this.#processingTimers;
    const { firedFrom, timeDomain } = this.#context;
    if (time <= firedFrom && (timeDomain === 'event') === isEvent) {
      timers.set(time, LATER);
      this.#later.push({ entry, time, isEvent });
    } else timers.set(time, queue.add(time, entry));
  }

  #entryOf(rows: Batch, row: number): Entry {
    const id = this.#keyOf(rows, row);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const key = Object.freeze(this.#keys.read(rows, row));
      entry = { id, key, state: this.#newState(key), timers: new Map(), processingTimers: new Map(), expiry: Number.NEGATIVE_INFINITY, isGone: false };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  #newState(key: AnyRow): unknown {
    let state: unknown;
    try {
      state = this.#functions.state?.();
    } catch (cause) {
      throw failed('state', key, cause);
    }
    // The first one stands for all.
    if (this.#entries.size === 0) refuseInstances(state);
    return state;
  }

  #timeOf(rows: Batch, row: number): number {
    if (this.#time < 0) return this.#clock.nowMs;
    return readTimestamp(rows.memory, rows.column(this.#time).data, row) + this.#input.timeShiftMs;
  }

  #touch(entry: Entry, time: number): void {
    const { ttlMs } = this.#functions;
    if (ttlMs === undefined) return;
    const isNew = entry.expiry === Number.NEGATIVE_INFINITY;
    entry.expiry = Math.max(entry.expiry, time + ttlMs);
    if (isNew) this.#expiries.add(entry.expiry, entry);
  }

  /** Whether nothing needs to be kept of a key. */
  #isEmpty(entry: Entry): boolean {
    return this.#functions.state === undefined && entry.state === undefined && entry.timers.size === 0 && entry.processingTimers.size === 0;
  }

  #forget(entry: Entry): void {
    entry.isGone = true;
    this.#entries.delete(entry.id);
  }
}

/** The one context of a shard, set to one key after the other. */
class Context implements ProcessContext {
  readonly #clock: EpochClock;
  readonly #output: RowOutput;
  readonly #set: (entry: Entry, time: number, isEvent: boolean) => void;
  readonly #forget: (entry: Entry) => void;
  #entry: Entry | undefined;
  time = 0;
  timeDomain: 'event' | 'processing' = 'event';
  /** Time of the timer that is firing; -Infinity: none is. */
  firedFrom = Number.NEGATIVE_INFINITY;

  constructor(clock: EpochClock, output: RowOutput, set: (entry: Entry, time: number, isEvent: boolean) => void, forget: (entry: Entry) => void) {
    this.#clock = clock;
    this.#output = output;
    this.#set = set;
    this.#forget = forget;
  }

  enter(entry: Entry, time: number, domain: 'event' | 'processing', firedFrom: number): void {
    this.#entry = entry;
    this.time = time;
    this.timeDomain = domain;
    this.firedFrom = firedFrom;
  }

  leave(): void {
    this.#entry = undefined;
    this.firedFrom = Number.NEGATIVE_INFINITY;
  }

  get state(): unknown {
    return this.#current().state;
  }

  set state(value: unknown) {
    this.#current().state = value;
  }

  get key(): AnyRow {
    return this.#current().key;
  }

  get watermark(): number {
    return this.#clock.watermark;
  }

  get now(): number {
    return this.#clock.nowMs;
  }

  emit = (row: AnyRow): void => {
    this.#current();
    this.#output.appendRow(row);
  };

  timer = (time: number): void => this.#set(this.#current(), wholeTime(time, 'timer'), true);

  processingTimer = (time: number): void => this.#set(this.#current(), wholeTime(time, 'processingTimer'), false);

  deleteTimer = (time: number): void => void this.#current().timers.delete(time);

  deleteProcessingTimer = (time: number): void => void this.#current().processingTimers.delete(time);

  clear = (): void => this.#forget(this.#current());

  #current(): Entry {
    if (this.#entry === undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_USER_FUNCTION',
        'The context of process() was used after the function had returned. Use it during the call only; for later, set a timer.',
      );
    }
    return this.#entry;
  }
}

function timersOf(entry: Entry, isEvent: boolean): Map<number, number> {
  return isEvent ? entry.timers : entry.processingTimers;
}

function wholeTime(time: number, what: string): number {
  if (typeof time === 'number' && Number.isFinite(time)) return Math.ceil(time);
  throw new MillraceError('ERR_MILLRACE_USER_FUNCTION', `${what}() got ${shown(time)}. Give a time in milliseconds since 1970, such as ctx.time + 60_000.`);
}

function cloned(state: unknown, key: AnyRow): unknown {
  try {
    return structuredClone(state);
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `The state of process() for the key ${shown(key)} cannot be copied: ${cause instanceof Error ? cause.message : String(cause)} Keep plain values in it: numbers, strings, arrays, objects, Maps, Sets, dates, bytes; no functions and no class instances with methods.`,
      { cause },
    );
  }
}

const CLONED = new Set<unknown>(
  [Object, Array, Map, Set, Date, RegExp, Boolean, Number, String, ArrayBuffer, SharedArrayBuffer, DataView].map(({ prototype }) => prototype as unknown),
);

/** Refuses what structured clone would copy without its class, and so without its methods: in the state, and one level deep in it. */
function refuseInstances(state: unknown): void {
  const inner = state instanceof Map || state instanceof Set ? [...state.values()] : typeof state === 'object' && state !== null ? Object.values(state) : [];
  for (const value of [state, ...inner]) {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Error) continue;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === null || CLONED.has(prototype)) continue;
    const { name } = (prototype as { readonly constructor: { readonly name: string } }).constructor;
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `state() of process() gives an instance of ${name}, whose methods would be lost when state is saved and read back. Keep its data, and make the instance anew for the call: state: () => new Gaussian().state, then new Gaussian(ctx.state).`,
    );
  }
}

function failed(what: string, row: AnyRow, cause: unknown): MillraceError {
  if (cause instanceof MillraceError && cause.code === 'ERR_MILLRACE_MEMORY') return cause;
  const reason = cause instanceof Error ? `${cause.name === 'MillraceError' ? '' : `${cause.name}: `}${cause.message}` : String(cause);
  return new MillraceError('ERR_MILLRACE_USER_FUNCTION', `process: ${what} failed on ${shown(row)}: ${reason}`, { cause });
}
