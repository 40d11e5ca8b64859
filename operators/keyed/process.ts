/**
 * process: user-defined functions over rows by key, with state, timers and results. Elsewhere it is called
 * updateStateByKey, mapWithState, transformWithState and KeyedProcessFunction.
 *
 *   rows of the epoch, in the order of (source, partition, offset)   -> onRow(row, ctx)
 *   then event-time timers up to the watermark, in order of time      -> onTimer(time, ctx)
 *   then processing-time timers up to the epoch's clock               -> onTimer(time, ctx)
 *   then state whose time-to-live is over is dropped, with its timers
 *
 * A timer that onTimer sets for a time after its own fires in the same epoch, if it is due. One for its own
 * time or earlier fires at the end of the next epoch. When the input has ended (watermark +Infinity), every
 * event-time timer that is set fires; timers set by these calls do not. State is JavaScript values, kept per
 * shard in a Map by key. Structured clone must be able to copy it; `snapshot` refuses it otherwise.
 *
 * State that an earlier `version` of the functions has left goes through `migrate`, key by key, when a shard
 * is opened with it. A checkpoint is the state as of some epoch, and the rows behind that: these are taken in
 * by the functions as they are now.
 */

import { type AnyRow, type Batch, readTimestamp, type Schema } from '../../core/index.ts';
import type { DueTimes, Migration, StateRow } from '../exchange/index.ts';
import { refusePromise } from '../rows/index.ts';
import { KeyTimers } from './key-timers.ts';
import type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan, RowFailures } from './keyed-operator.ts';
import { type ProcessContext, type ProcessEntry, ShardContext } from './process-context.ts';
import { cloned, copied, failed, refuseInstances } from './process-errors.ts';
import type { RowOutput } from './row-output.ts';
import { type Key, keyReader, RowReader, roughBytes } from './row-values.ts';
import { TimerQueue } from './timer-queue.ts';

export interface ProcessFunctions {
  readonly state: (() => unknown) | undefined;
  readonly onRow: (row: AnyRow, context: ProcessContext) => unknown;
  readonly onTimer: ((time: number, context: ProcessContext) => unknown) | undefined;
  /**
   * Drops the state of a key without rows for this long: in event time where there is one, else by the
   * epoch's clock.
   */
  readonly ttlMs: number | undefined;
  /** Of the state; raised when it becomes another one. */
  readonly version: number;
  /** Makes the state of a key of one of an earlier version. */
  readonly migrate: ((state: unknown, fromVersion: number) => unknown) | undefined;
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
  // Late rows are ordinary rows here: the function sees the watermark and may decide.
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
    isOrdered: true,
    callsFunctions: true,
    isStateOfOutput: false,
    outputTime: carriesTime ? { column: eventTime, shiftMs: timeShiftMs } : undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => (request.state === undefined && request.onTimer === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY),
    state: {
      format: STATE_FORMAT,
      facts: {
        version: request.version,
        hasState: request.state !== undefined,
        hasTimers: request.onTimer !== undefined,
        ttlMs: request.ttlMs,
        eventTime,
        timeShiftMs,
      },
      migration: ({ format, facts }) => migrationOf(request, format, facts),
    },
    open: (context, from) => new ProcessOperator(request, rows, time, context, from as Snapshot | undefined),
    whole: 'your function takes each row of a key, in order',
    describe: () => `process by ${request.keys.join(', ') || '(none: one key)'}\n  ${extras.join(', ')}`,
  };
}

const STATE_FORMAT = 1;

/** What has time-to-live, timers or state now need not have had them; but times must mean the same. */
function migrationOf({ version, migrate, eventTime, timeShiftMs }: ProcessRequest, format: number, facts: unknown): Migration | undefined {
  const was = facts as { readonly version?: unknown; readonly eventTime?: unknown; readonly timeShiftMs?: unknown } | null;
  const from = was?.version;
  if (migrate === undefined || format !== STATE_FORMAT || typeof from !== 'number' || from >= version) return undefined;
  if (was?.eventTime !== eventTime || was?.timeShiftMs !== timeShiftMs) return undefined;
  return (snapshot) => {
    const { entries, ...rest } = snapshot as Snapshot;
    const migrated = entries.map((entry) => {
      let state: unknown;
      try {
        state = migrate(entry.state, from);
        refusePromise(state);
      } catch (cause) {
        throw failed(`migrate of the state of version ${from}`, entry.key, cause);
      }
      refuseInstances(state);
      return { ...entry, state };
    });
    return { ...rest, entries: migrated } satisfies Snapshot;
  };
}

interface Snapshot {
  readonly entries: readonly { readonly id: Key; readonly key: AnyRow; readonly state: unknown; readonly expiry: number }[];
  /** Place of the entry and its time, in firing order. */
  readonly timers: readonly (readonly [entry: number, time: number])[];
  readonly processingTimers: readonly (readonly [entry: number, time: number])[];
}

/** A key as it was before a call. */
interface Before {
  readonly state: unknown;
  readonly expiry: number;
  readonly isNew: boolean;
  readonly timers: readonly (readonly [time: number, number: number])[];
  readonly processingTimers: readonly (readonly [time: number, number: number])[];
}

const NO_TIMERS: readonly (readonly [number, number])[] = [];
/** In place of a state that could not be made. */
const NO_STATE = Symbol('no state');

function restore(timers: Map<number, number>, before: Before['timers']): void {
  timers.clear();
  for (const [time, number] of before) timers.set(time, number);
}

class ProcessOperator implements KeyedOperator {
  readonly #functions: ProcessFunctions;
  readonly #input: KeyedInput;
  readonly #time: number;
  readonly #clock: EpochClock;
  readonly #failures: RowFailures;
  readonly #atWork: Int32Array;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #rows: RowReader;
  readonly #keys: RowReader;
  readonly #entries = new Map<Key, ProcessEntry>();
  readonly #timers = {
    event: new KeyTimers<ProcessEntry>((entry) => entry.timers),
    processing: new KeyTimers<ProcessEntry>((entry) => entry.processingTimers),
  };
  /** One per key with a time-to-live, at the earliest time at which it may expire. */
  readonly #expiries = new TimerQueue<ProcessEntry>();
  readonly #output: RowOutput;
  readonly #context: ShardContext;
  #hasEnded = false;
  /** A call is under way that may be taken back. */
  #isTrying = false;

  constructor(functions: ProcessFunctions, input: KeyedInput, time: number, context: KeyedContext, from: Snapshot | undefined) {
    this.#functions = functions;
    this.#input = input;
    this.#time = time;
    this.#clock = context.clock;
    this.#failures = context.failures;
    this.#atWork = context.atWork;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#rows = new RowReader(input.schema);
    this.#keys = new RowReader(input.schema, input.keys);
    this.#output = context.output;
    this.#context = new ShardContext(context.clock, context.output, this.#timers, (entry) => this.#forget(entry));
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
    return Math.round(bytes * scale) + (this.#timers.event.size + this.#timers.processing.size + this.#expiries.size) * 56;
  }

  get due(): DueTimes {
    const event = this.#hasEnded ? Number.POSITIVE_INFINITY : this.#timers.event.firstTime;
    const processing = this.#timers.processing.firstTime;
    const expiry = this.#expiries.firstTime;
    return this.#time >= 0 ? { time: Math.min(event, expiry), clock: processing } : { time: event, clock: Math.min(processing, expiry) };
  }

  onBatch(rows: Batch): void {
    const context = this.#context;
    const { onRow } = this.#functions;
    for (let row = 0; row < rows.rowCount; row++) {
      const keys = this.#entries.size;
      const entry = this.#entryOf(rows, row);
      if (entry === undefined) continue;
      const before = this.#failures.areSkipped ? this.#before(entry, this.#entries.size > keys) : undefined;
      const time = this.#timeOf(rows, row);
      this.#touch(entry, time);
      this.#output.at(row);
      context.enter(entry, time, 'event');
      this.#atWork[0] = row;
      const object = this.#rows.read(rows, row);
      try {
        refusePromise(onRow(object, context));
      } catch (cause) {
        this.#failures.skip(failed('onRow', object, cause), row);
        this.#takeBack(entry, before as Before);
        continue;
      }
      this.#leave(entry, before);
    }
  }

  onWatermark(watermark: number): void {
    if (!this.#hasEnded) this.#fire('event', watermark);
    this.#hasEnded = watermark === Number.POSITIVE_INFINITY;
    this.#fire('processing', this.#clock.nowMs);
    this.#timers.event.settle();
    this.#timers.processing.settle();
    const expired = this.#time >= 0 ? watermark : this.#clock.nowMs;
    // The end of the input is not a passing of time.
    while (expired !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= expired) {
      const { owner } = this.#expiries.take();
      if (owner.isGone) continue;
      if (owner.expiry <= expired) this.#forget(owner);
      else this.#expiries.add(owner.expiry, owner);
    }
  }

  snapshot(): Snapshot {
    const places = new Map<ProcessEntry, number>();
    const entries = [...this.#entries.values()].map((entry, place) => {
      places.set(entry, place);
      const { id, key, expiry } = entry;
      return { id, key, state: cloned(entry.state, key), expiry };
    });
    const timers = (of: KeyTimers<ProcessEntry>) => of.inOrder().map(({ owner, time }) => [places.get(owner) as number, time] as const);
    return { entries, timers: timers(this.#timers.event), processingTimers: timers(this.#timers.processing) };
  }

  *stateRows(): Generator<StateRow> {
    const inOrder = (timers: ReadonlyMap<number, number>): number[] => [...timers.keys()].sort((a, b) => a - b);
    for (const { key, state, timers, processingTimers, expiry } of this.#entries.values()) {
      const expires = this.#functions.ttlMs === undefined ? {} : { expires: expiry };
      yield { key, value: state, timers: inOrder(timers), processingTimers: inOrder(processingTimers), ...expires };
    }
  }

  #restore({ entries, timers, processingTimers }: Snapshot): void {
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
  }

  #fire(domain: 'event' | 'processing', until: number): void {
    const context = this.#context;
    this.#timers[domain].fire(until, (entry, time) => {
      const before = this.#failures.areSkipped ? this.#before(entry, false) : undefined;
      context.enter(entry, time, domain);
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
    const { state, expiry, timers, processingTimers, key } = entry;
    this.#output.mark();
    this.#isTrying = true;
    return {
      state: typeof state === 'object' ? copied(state, key) : state,
      expiry,
      isNew,
      timers: timers.size === 0 ? NO_TIMERS : [...timers],
      processingTimers: processingTimers.size === 0 ? NO_TIMERS : [...processingTimers],
    };
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
  #takeBack(entry: ProcessEntry, { state, expiry, isNew, timers, processingTimers }: Before): void {
    this.#context.leave();
    this.#isTrying = false;
    this.#output.takeBack();
    Object.assign(entry, { state, expiry, isGone: false });
    restore(entry.timers, timers);
    restore(entry.processingTimers, processingTimers);
    if (isNew || this.#isEmpty(entry)) this.#forget(entry);
  }

  /** @returns undefined: its first state could not be made, and the row is left out */
  #entryOf(rows: Batch, row: number): ProcessEntry | undefined {
    const id = this.#keyOf(rows, row);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const key = Object.freeze(this.#keys.read(rows, row));
      const state = this.#newState(key, row);
      if (state === NO_STATE) return undefined;
      entry = { id, key, state, timers: new Map(), processingTimers: new Map(), expiry: Number.NEGATIVE_INFINITY, isGone: false };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  #newState(key: AnyRow, row: number): unknown {
    let state: unknown;
    try {
      state = this.#functions.state?.();
    } catch (cause) {
      this.#failures.skip(failed('state', key, cause), row);
      return NO_STATE;
    }
    // The first one stands for all.
    if (this.#entries.size === 0) refuseInstances(state);
    return state;
  }

  #timeOf(rows: Batch, row: number): number {
    if (this.#time < 0) return this.#clock.nowMs;
    return readTimestamp(rows.memory, rows.column(this.#time).data, row) + this.#input.timeShiftMs;
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
