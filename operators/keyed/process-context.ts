/**
 * What the functions of process() see besides rows (process.ts): one object per shard, set to one key after
 * the other.
 */

import { type AnyRow, MillraceError, shown } from '../../core/index.ts';
import type { KeyTimers } from './key-timers.ts';
import type { EpochClock } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';
import type { Key } from './row-values.ts';

/** What a function of process sees besides its row. One object per shard, valid during the call only. */
export interface ProcessContext<S = unknown, K = AnyRow, O = AnyRow> {
  /**
   * The key's state: what `state()` made for its first row, as the functions have changed it since. May be
   * assigned.
   */
  state: S;
  /** The key columns. */
  readonly key: K;
  /** Event time of the row, or the time of the timer. For a row without event time: the epoch's clock. */
  readonly time: number;
  /**
   * Event time that the stream has passed: for rows as of the start of the epoch, for timers as of its end.
   * -Infinity: nothing is known.
   */
  readonly watermark: number;
  /** The epoch's clock, ms since 1970: the same for all rows of the epoch and for all workers. */
  readonly now: number;
  /** During onTimer: the time domain of the timer. */
  readonly timeDomain: 'event' | 'processing';
  /** Emits a result row. */
  emit(row: O): void;
  /** Calls onTimer with `time` when the watermark has reached it. One timer per key and time. */
  timer(time: number): void;
  /** Calls onTimer with `time` when the epoch's clock has reached it. */
  processingTimer(time: number): void;
  /** Deletes a timer. Does nothing when there is none. */
  deleteTimer(time: number): void;
  deleteProcessingTimer(time: number): void;
  /**
   * Drops the key: its state and its timers, including those that this call sets later. The next row starts
   * from `state()`.
   */
  clear(): void;
}

/** What is kept for a key. */
export interface ProcessEntry {
  readonly id: Key;
  readonly key: AnyRow;
  state: unknown;
  /** Number of the timer by its time, which tells it from deleted ones. */
  readonly timers: Map<number, number>;
  readonly processingTimers: Map<number, number>;
  /** When the state is dropped, in the domain of the time-to-live. */
  expiry: number;
  isGone: boolean;
}

/** The timers of a shard, by time domain. */
export interface Timers {
  readonly event: KeyTimers<ProcessEntry>;
  readonly processing: KeyTimers<ProcessEntry>;
}

export class ShardContext implements ProcessContext {
  readonly #clock: EpochClock;
  readonly #output: RowOutput;
  readonly #timers: Timers;
  readonly #forget: (entry: ProcessEntry) => void;
  #entry: ProcessEntry | undefined;
  time = 0;
  timeDomain: 'event' | 'processing' = 'event';

  constructor(clock: EpochClock, output: RowOutput, timers: Timers, forget: (entry: ProcessEntry) => void) {
    this.#clock = clock;
    this.#output = output;
    this.#timers = timers;
    this.#forget = forget;
  }

  enter(entry: ProcessEntry, time: number, domain: 'event' | 'processing'): void {
    this.#entry = entry;
    this.time = time;
    this.timeDomain = domain;
  }

  leave(): void {
    this.#entry = undefined;
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

  timer = (time: number): void => this.#timers.event.set(this.#current(), wholeTime(time, 'timer'));

  processingTimer = (time: number): void => this.#timers.processing.set(this.#current(), wholeTime(time, 'processingTimer'));

  deleteTimer = (time: number): void => void this.#current().timers.delete(time);

  deleteProcessingTimer = (time: number): void => void this.#current().processingTimers.delete(time);

  clear = (): void => this.#forget(this.#current());

  #current(): ProcessEntry {
    if (this.#entry === undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_USER_FUNCTION',
        'The context of process() was used after the function had returned. Use it during the call only; for later, set a timer.',
      );
    }
    return this.#entry;
  }
}

function wholeTime(time: number, what: string): number {
  if (typeof time === 'number' && Number.isFinite(time)) return Math.ceil(time);
  throw new MillraceError('ERR_MILLRACE_USER_FUNCTION', `${what}() got ${shown(time)}. Give a time in milliseconds since 1970, such as ctx.time + 60_000.`);
}
