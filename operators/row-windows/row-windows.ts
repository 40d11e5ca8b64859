/**
 * Windows that are runs of rows, not of time: countWindow and globalWindow. Rows are kept by key until their window fires;
 * then it is evaluated, by a group table where there are aggregates, by a fold where there is one.
 *
 *   count    fires when it is full: after n rows of a key, then every `slide` rows, with the last n. In the order of rows
 *   global   all rows of a key; fires after `count` rows, or when `time` has passed since the first row since it fired last,
 *            whichever comes first, and at the end of the input. It goes on with what it had, or, with `purge`, begins anew
 *
 * Time passes by the watermark where there is event time, else by the epoch's clock. No row is late. windowStart and windowEnd are
 * the least and the greatest time of the rows in the result: their event times, or the clocks of their epochs.
 *
 * Windows of one epoch are evaluated in rounds, each with at most one window of a key, so that one pass over columns serves
 * many keys, and the windows of a key come out in order.
 */

import { type AnyRow, type Batch, readTimestamp, type Schema, type SlabAllocator } from '../../core/index.ts';
import type { AggregatePlan } from '../aggregate/aggregate-plan.ts';
import { resultSchema } from '../fold/fold.ts';
import type { RowFold } from '../fold/row-fold.ts';
import type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from '../keyed/keyed-operator.ts';
import { type Key, keyReader, RowReader, roughBytes } from '../keyed/row-values.ts';
import { TimerQueue } from '../keyed/timer-queue.ts';
import type { MixedPlan } from '../user-aggregates/aggregate-split.ts';
import { MixedEvaluator } from '../user-aggregates/mixed-evaluator.ts';
import { describeBuiltIn, describeUserAggregates } from '../user-aggregates/mixed-plan.ts';
import type { RowWindowShape } from '../windows.ts';
import { AggregateEvaluator, type Evaluator, FoldEvaluator, type Totals } from './row-window-evaluation.ts';

type Evaluation = AggregatePlan | MixedPlan | RowFold;

export interface RowWindowRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly shape: RowWindowShape;
  /** What a window's rows become: aggregates (planned without a window, with bounds), or a fold. */
  readonly evaluation: Evaluation;
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** As explain prints the window. */
  readonly title: string;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or two result columns have one name */
export function planRowWindow(request: RowWindowRequest): KeyedOperatorPlan {
  const { input, evaluation, eventTime, timeShiftMs, title } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'withWatermark');
  const rows: KeyedInput = { schema: input, keys, columns: columnsOf(request, keys, time), eventTime: -1, timeShiftMs };
  const fields = isFold(evaluation) ? evaluation.fields : evaluation.output.fields.slice(keys.length);
  const output = resultSchema(
    keys.map((key) => input.field(key)),
    true,
    fields,
  );
  // One evaluator a thread serves all its shards, and goes with the last of them.
  const evaluators = new WeakMap<SlabAllocator, { readonly evaluator: Evaluator; shards: number }>();
  return {
    name: 'window of rows',
    inputs: [rows],
    output,
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.POSITIVE_INFINITY,
    open(context, from) {
      const { slabs } = context;
      const shared = evaluators.get(slabs) ?? { evaluator: evaluatorOf(slabs, rows, evaluation), shards: 0 };
      evaluators.set(slabs, shared);
      shared.shards++;
      const released = (): void => {
        if (--shared.shards > 0) return;
        evaluators.delete(slabs);
        shared.evaluator.release();
      };
      return new RowWindows(request, rows, time, shared.evaluator, released, context, from as Snapshot | undefined);
    },
    whole: 'which window a row is in follows from the order of the rows',
    describe: () =>
      [
        `${isFold(evaluation) ? evaluation.name : 'aggregate'} by ${request.keys.join(', ') || '(none: one key)'}`,
        `  window    ${title}`,
        '  strategy  rows are kept by key until their window fires',
        ...(isMixed(evaluation)
          ? [
              ...describeUserAggregates(
                evaluation,
                evaluation.split.own.map(() => 'the rows of a window are added when it fires'),
              ),
              ...describeBuiltIn(evaluation),
            ]
          : []),
      ].join('\n'),
  };
}

function evaluatorOf(slabs: SlabAllocator, rows: KeyedInput, evaluation: Evaluation): Evaluator {
  if (isFold(evaluation)) return new FoldEvaluator(slabs, rows, evaluation);
  return isMixed(evaluation) ? new MixedEvaluator(slabs, rows, evaluation) : new AggregateEvaluator(slabs, rows, evaluation);
}

function columnsOf({ input, evaluation }: RowWindowRequest, keys: readonly number[], time: number): number[] {
  if (isFold(evaluation) || isMixed(evaluation)) return input.fields.map((_, c) => c);
  const read = new Set([...keys, time, ...evaluation.columnsRead.map((name) => input.indexOf(name))]);
  return input.fields.flatMap((_, c) => (read.has(c) ? [c] : []));
}

function isFold(evaluation: Evaluation): evaluation is RowFold {
  return 'add' in evaluation;
}

function isMixed(evaluation: Evaluation): evaluation is MixedPlan {
  return 'split' in evaluation;
}

/** The rows of a key. */
export interface Entry {
  readonly id: Key;
  readonly key: readonly unknown[];
  /** Rows that are kept, with their times beside. */
  rows: AnyRow[];
  times: number[];
  /** Rows since it fired last. */
  news: number;
  /** Global, not purging: least and greatest time of what has been evaluated already. */
  start: number;
  end: number;
  /** When the time trigger fires; undefined: it is not set. */
  deadline: number | undefined;
  /** Windows that fired in this epoch: the next one's round. */
  round: number;
}

/** A window that is due. */
export interface Firing {
  readonly entry: Entry;
  readonly rows: readonly AnyRow[];
  readonly start: number;
  readonly end: number;
}

interface Snapshot {
  readonly entries: readonly Entry[];
  /** Places of the entries whose time trigger is set, in the order in which they fire. */
  readonly deadlines: readonly number[];
  readonly totals: unknown;
}

class RowWindows implements KeyedOperator {
  readonly #shape: RowWindowShape;
  readonly #input: KeyedInput;
  readonly #time: number;
  readonly #clock: EpochClock;
  readonly #output: KeyedContext['output'];
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #reader: RowReader;
  readonly #evaluator: Evaluator;
  readonly #released: () => void;
  readonly #totals: Totals | undefined;
  readonly #entries = new Map<Key, Entry>();
  readonly #deadlines = new TimerQueue<Entry>();
  #rounds: Firing[][] = [];

  constructor(
    { shape }: RowWindowRequest,
    input: KeyedInput,
    time: number,
    evaluator: Evaluator,
    released: () => void,
    context: KeyedContext,
    from: Snapshot | undefined,
  ) {
    this.#shape = shape;
    this.#input = input;
    this.#time = time;
    this.#clock = context.clock;
    this.#output = context.output;
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

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) {
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

  snapshot(): Snapshot {
    const entries = [...this.#entries.values()];
    const places = new Map(entries.map((entry, place) => [entry, place]));
    // An entry may have timers that it no longer waits for; the first of its time is the one that fires.
    const deadlines = new Set<number>();
    for (const { time, owner } of this.#deadlines.inOrder()) {
      const place = places.get(owner);
      if (place !== undefined && owner.deadline === time) deadlines.add(place);
    }
    return structuredClone({ entries, deadlines: [...deadlines], totals: this.#totals?.snapshot() });
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

  /** The window of a key as it is now is due. */
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

  #evaluate(): void {
    for (const round of this.#rounds) {
      this.#evaluator.round(round, this.#totals, ({ entry, start, end }, values) => this.#output.append([...entry.key, start, end, ...values]));
      for (const { entry } of round) entry.round = 0;
    }
    this.#rounds = [];
    // Without rows there is nothing to know of a key.
    if (this.#totals === undefined) for (const entry of this.#entries.values()) if (entry.rows.length === 0) this.#entries.delete(entry.id);
  }

  /** Rows of windows that go on need not be kept: they go to the totals, without a result. */
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
