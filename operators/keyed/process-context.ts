/**
 * What the functions of process() see besides rows (process.ts): one object per shard, set to one key after
 * the other.
 */

import { type AnyRow, MillraceError, shown } from '../../core/index.ts';
import type { KeyTimers } from './key-timers.ts';
import type { EpochClock } from './keyed-operator.ts';
import type { OutputRows } from './process-outputs.ts';
import type { RowOutput } from './row-output.ts';
import type { Key } from './row-values.ts';

/**
 * What a function of process sees besides its row. One object per shard, valid during the call only. S: state,
 * K: key columns, O: rows of the result, X: rows of further results by name.
 */
export interface ProcessContext<S = unknown, K = AnyRow, O = AnyRow, X = Readonly<Record<string, AnyRow>>> {
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
   * -Infinity: nothing is known. With `order: 'eventTime'`: that of the row or timer, as all before it have
   * come. +Infinity: the input has ended, and a timer that is set now fires at once.
   */
  readonly watermark: number;
  /** The epoch's clock, ms since 1970: the same for all rows of the epoch and for all workers. */
  readonly now: number;
  /** During onTimer: the time domain of the timer. */
  readonly timeDomain: 'event' | 'processing';
  /** Emits a result row. */
  emit(row: O): void;
  /** Emits a row of one of the `outputs`. */
  emit<N extends keyof X & string>(output: N, row: X[N]): void;
  /**
   * Calls onTimer with `time` when the watermark has reached it. One timer per key and time. With `order:
   * 'eventTime'` a time that is not later than that of the timer that is firing counts as a millisecond later.
   */
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
  readonly #rows: OutputRows;
  readonly #timers: Timers;
  readonly #forget: (entry: ProcessEntry) => void;
  #entry: ProcessEntry | undefined;
  time = 0;
  timeDomain: 'event' | 'processing' = 'event';
  /** Where rows and timers come in the order of event time: what it has passed. Undefined: the clock says. */
  passed: number | undefined;
  /** Timers of event time are set for no earlier time. */
  earliest = Number.NEGATIVE_INFINITY;
  /** The table that all shards hold, where there is one. */
  readonly table: ReadonlyMap<Key, AnyRow> | undefined;

  constructor(
    clock: EpochClock,
    output: RowOutput,
    rows: OutputRows,
    timers: Timers,
    table: ReadonlyMap<Key, AnyRow> | undefined,
    forget: (entry: ProcessEntry) => void,
  ) {
    this.#clock = clock;
    this.#output = output;
    this.#rows = rows;
    this.#timers = timers;
    this.table = table;
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
    return this.passed ?? this.#clock.watermark;
  }

  get now(): number {
    return this.#clock.nowMs;
  }

  emit = (output: unknown, row?: AnyRow): void => {
    this.#current();
    this.#output.appendRow(this.#rows.rowOf(output, row));
  };

  timer = (time: number): void => this.#timers.event.set(this.#current(), Math.max(wholeTime(time, 'timer'), this.earliest));

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
