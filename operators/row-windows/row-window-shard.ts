/** One shard of windows of rows (row-windows.ts): the rows by key, and the windows that fire. */

import { type AnyRow, type Batch, readTimestamp } from '../../core/index.ts';
import { named, type StateRow } from '../exchange/index.ts';
import {
  type DueTimes,
  dueIn,
  type EpochClock,
  type Key,
  type KeyedContext,
  type KeyedInput,
  type KeyedOperator,
  keyReader,
  RowReader,
  roughBytes,
  TimerQueue,
} from '../keyed/index.ts';
import type { RowWindowShape } from '../windows.ts';
import type { Entry, Evaluator, Firing, Totals } from './row-window-evaluation.ts';

export interface RowWindowsSnapshot {
  readonly entries: readonly Entry[];
  /** Places of the entries whose time trigger is set, in the order in which they fire. */
  readonly deadlines: readonly number[];
  readonly totals: unknown;
}

export class RowWindows implements KeyedOperator {
  readonly #shape: RowWindowShape;
  readonly #input: KeyedInput;
  readonly #time: number;
  readonly #clock: EpochClock;
  readonly #output: KeyedContext['output'];
  readonly #failures: KeyedContext['failures'];
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #reader: RowReader;
  readonly #evaluator: Evaluator;
  readonly #released: () => void;
  readonly #totals: Totals | undefined;
  readonly #entries = new Map<Key, Entry>();
  readonly #deadlines = new TimerQueue<Entry>();
  #rounds: Firing[][] = [];

  constructor(
    shape: RowWindowShape,
    input: KeyedInput,
    time: number,
    evaluator: Evaluator,
    released: () => void,
    context: KeyedContext,
    from: RowWindowsSnapshot | undefined,
  ) {
    this.#shape = shape;
    this.#input = input;
    this.#time = time;
    this.#clock = context.clock;
    this.#output = context.output;
    this.#failures = context.failures;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#reader = new RowReader(input.schema, input.columns);
    this.#evaluator = evaluator;
    this.#released = released;
    this.#totals = shape.kind === 'global' && !shape.purges ? evaluator.totals(from?.totals) : undefined;
    const entries = (from?.entries ?? []).map((saved): Entry => ({ ...saved }));
    for (const entry of entries) this.#entries.set(entry.id, entry);
    for (const place of from?.deadlines ?? []) {
      const entry = entries[place] as Entry;
      this.#deadlines.add(entry.deadline as number, entry);
    }
  }

  get stateBytes(): number {
    let bytes = this.#totals?.bytes ?? 0;
    for (const { id, rows } of this.#entries.values()) bytes += 200 + roughBytes(id) + (rows.length === 0 ? 0 : rows.length * (16 + roughBytes(rows[0])));
    return bytes;
  }

  get due(): DueTimes {
    const { time, clock } = dueIn(this.#time >= 0, this.#deadlines.firstTime);
    if (this.#shape.kind !== 'global') return { time, clock };
    // What has not fired comes out at the end of the input.
    for (const entry of this.#entries.values()) if (entry.news > 0) return { time: Math.min(time, Number.MAX_VALUE), clock };
    return { time, clock };
  }

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) {
      this.#output.at(row);
      const id = this.#keyOf(rows, row);
      let entry = this.#entries.get(id);
      if (entry === undefined) {
        const key = this.#input.keys.map((column) => rows.value(column, row));
        entry = { id, key, rows: [], times: [], news: 0, start: Number.POSITIVE_INFINITY, end: Number.NEGATIVE_INFINITY, deadline: undefined, round: 0 };
        this.#entries.set(id, entry);
      }
      const time = this.#time < 0 ? this.#clock.nowMs : readTimestamp(rows.memory, rows.column(this.#time).data, row) + this.#input.timeShiftMs;
      entry.rows.push(this.#reader.read(rows, row));
      entry.times.push(time);
      entry.news++;
      this.#trigger(entry, time);
    }
  }

  onWatermark(watermark: number): void {
    const until = this.#time < 0 ? this.#clock.nowMs : watermark;
    while (this.#deadlines.size > 0 && this.#deadlines.firstTime <= until) {
      const { time, owner } = this.#deadlines.take();
      if (owner.deadline === time && owner.news > 0) this.#fire(owner);
    }
    const hasEnded = watermark === Number.POSITIVE_INFINITY;
    if (hasEnded && this.#shape.kind === 'global') for (const entry of this.#entries.values()) if (entry.news > 0) this.#fire(entry);
    this.#evaluate();
    if (this.#totals !== undefined) this.#digest(this.#totals);
  }

  snapshot(): RowWindowsSnapshot {
    const entries = [...this.#entries.values()];
    const places = new Map(entries.map((entry, place) => [entry, place]));
    // An entry may have timers that it no longer waits for. The first of its time is the one that fires.
    const deadlines = new Set<number>();
    for (const { time, owner } of this.#deadlines.inOrder()) {
      const place = places.get(owner);
      if (place !== undefined && owner.deadline === time) deadlines.add(place);
    }
    return structuredClone({ entries, deadlines: [...deadlines], totals: this.#totals?.snapshot() });
  }

  stateRows(): StateRow[] {
    const rows: StateRow[] = [];
    const totalled: Firing[] = [];
    for (const entry of this.#entries.values()) {
      const { start, end, deadline } = entry;
      if (this.#totals === undefined) rows.push({ key: this.#keyRow(entry), value: entry.rows, ...(deadline === undefined ? {} : { fires: deadline }) });
      else totalled.push({ entry, rows: [], start, end });
    }
    if (this.#totals !== undefined && totalled.length > 0) {
      this.#evaluator.show(totalled, this.#totals, ({ entry, start, end }, value) => {
        rows.push({ key: this.#keyRow(entry), windowStart: start, windowEnd: end, value });
      });
    }
    return rows;
  }

  #keyRow({ key }: Entry): AnyRow {
    return named(
      this.#input.keys.map((column) => this.#input.schema.field(column).name),
      key,
    );
  }

  release(): void {
    this.#totals?.release();
    this.#released();
  }

  #trigger(entry: Entry, time: number): void {
    const shape = this.#shape;
    if (shape.kind === 'count') {
      if (entry.rows.length === shape.rows) this.#fire(entry);
      return;
    }
    if (shape.countRows !== undefined && entry.news >= shape.countRows) this.#fire(entry);
    else if (shape.timeMs !== undefined && entry.news === 1) {
      entry.deadline = time + shape.timeMs;
      this.#deadlines.add(entry.deadline, entry);
    }
  }

  /** The current window of a key is due. */
  #fire(entry: Entry): void {
    const shape = this.#shape;
    let { start, end } = entry;
    for (const time of entry.times) {
      if (time < start) start = time;
      if (time > end) end = time;
    }
    const firing: Firing = { entry, rows: entry.rows, start, end };
    const round = this.#rounds[entry.round++];
    if (round === undefined) this.#rounds.push([firing]);
    else round.push(firing);
    const kept = shape.kind === 'count' ? shape.slideRows : entry.rows.length;
    entry.rows = entry.rows.slice(kept);
    entry.times = entry.times.slice(kept);
    entry.news = 0;
    entry.deadline = undefined;
    if (this.#totals !== undefined) {
      entry.start = start;
      entry.end = end;
    }
  }

  readonly #put = ({ entry, start, end }: Firing, values: readonly unknown[]): void => {
    const { areSkipped } = this.#failures;
    if (areSkipped) this.#output.mark();
    try {
      this.#output.append([...entry.key, start, end, ...values]);
    } catch (error) {
      this.#failures.skip(error, this.#keyRow(entry));
      this.#output.takeBack();
      return;
    }
    if (areSkipped) this.#output.keep();
  };

  #evaluate(): void {
    for (const round of this.#rounds) {
      this.#evaluator.round(round, this.#totals, this.#put);
      for (const { entry } of round) entry.round = 0;
    }
    this.#rounds = [];
    // Without rows there is nothing to keep for a key.
    if (this.#totals === undefined) for (const entry of this.#entries.values()) if (entry.rows.length === 0) this.#entries.delete(entry.id);
  }

  /** Rows of windows that continue need not be kept: they go into the totals, without a result. */
  #digest(totals: Totals): void {
    const firings: Firing[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.rows.length === 0) continue;
      for (const time of entry.times) {
        entry.start = Math.min(entry.start, time);
        entry.end = Math.max(entry.end, time);
      }
      firings.push({ entry, rows: entry.rows, start: entry.start, end: entry.end });
      entry.rows = [];
      entry.times = [];
    }
    if (firings.length > 0) this.#evaluator.round(firings, totals, undefined);
  }
}
