/**
 * Result batches of session windows. The ResultWriter gathers the aggregates. Keys and bounds are written
 * beside them, row by row, and both become one batch over the bytes of both. One per thread, shared by its
 * shards: each flushes before it returns.
 */

import { type AnyRow, Batch, BatchBuilder, type ColumnSpace, type GroupTable, Schema, type SlabAllocator } from '../../core/index.ts';
import { RESULT_ROWS_MAX, ResultWriter } from '../aggregate/index.ts';
import { type KeyIndex, putTime } from '../by-key/index.ts';
import { type KeyedContext, type RowFailures, type RowOutput, RowReader } from '../keyed/index.ts';
import { type SessionStates, UserColumns } from '../user-aggregates/index.ts';
import type { SessionPlan } from './session-layout.ts';

/** What is written of a session beside its aggregates, by session: a SessionList, or copies from one. */
export type WrittenSessions = { readonly [P in 'starts' | 'lasts' | 'keys' | 'numbers']: ArrayLike<number> };

const writers = new WeakMap<RowOutput, SessionWriter>();

export class SessionWriter {
  readonly #plan: SessionPlan;
  readonly #values: ResultWriter;
  readonly #head: BatchBuilder;
  readonly #keysTo: readonly number[];
  readonly #emit: (values: Batch) => void;
  /** Results of the user-defined aggregates, by row of what is written and not yet handed on. */
  #own: (readonly unknown[] | undefined)[] = [];
  readonly #failures: RowFailures;
  readonly #ownColumns: UserColumns | undefined;
  /** Takes the built-in results in place of the output, while somebody looks at the state. */
  #taker: ((batch: Batch) => void) | undefined;

  /** How many shards use it. */
  #users = 0;

  /** The writer of this output, for one more shard. */
  static taken({ output, slabs, failures }: KeyedContext, plan: SessionPlan): SessionWriter {
    let writer = writers.get(output);
    if (writer === undefined) {
      writer = new SessionWriter(output, slabs, failures, plan);
      writers.set(output, writer);
    }
    writer.#users++;
    return writer;
  }

  constructor(output: RowOutput, slabs: SlabAllocator, failures: RowFailures, plan: SessionPlan) {
    this.#plan = plan;
    this.#failures = failures;
    this.#values = new ResultWriter(slabs, plan.values);
    this.#head = new BatchBuilder(slabs, plan.head, RESULT_ROWS_MAX);
    this.#keysTo = plan.input.keys.map((_, k) => k);
    const { mixed } = plan;
    this.#ownColumns = mixed === undefined ? undefined : new UserColumns(slabs, mixed, plan.head.length);
    const builtIn = new Schema([...plan.head.fields, ...plan.values.output.fields]);
    this.#emit = (values) => {
      const head = this.#head.finish(values.rowCount);
      const batch = new Batch(values.memory, builtIn, values.rowCount, [...head.columns, ...values.columns]);
      if (this.#taker !== undefined) this.#taker(batch);
      else output.forward(this.#ownColumns?.beside(batch, (row) => this.#own[row]) ?? batch);
      this.#head.reset();
      this.#own = [];
    };
  }

  /** Writes sessions whose slots are at `slots` (u32[]), at most 1,024. */
  write(
    table: GroupTable,
    slots: number,
    sessions: readonly number[],
    list: WrittenSessions,
    keys: KeyIndex,
    own: SessionStates | undefined,
    isRetracted = false,
  ): void {
    const { gapMs, values } = this.#plan;
    if (sessions.length > 1 && values.results.some(({ form }) => form === 'rate')) {
      // A rate depends on the length of its window: one at a time.
      for (let i = 0; i < sessions.length; i++) this.write(table, slots + i * 4, [sessions[i] as number], list, keys, own, isRetracted);
      return;
    }
    const [first] = sessions as [number];
    // This hands on what is full, head and values of the same rows, before it writes.
    this.#values.writeSlots(table, slots, sessions.length, list.starts[first] as number, (list.lasts[first] as number) + gapMs, this.#emit);
    const head = this.#head;
    const starts = head.columns[this.#keysTo.length] as ColumnSpace;
    const ends = head.columns[this.#keysTo.length + 1] as ColumnSpace;
    for (const session of sessions) {
      const row = head.rowCount++;
      keys.read(list.keys[session] as number, head, this.#keysTo, row);
      putTime(head.memory, starts, row, list.starts[session] as number);
      putTime(head.memory, ends, row, (list.lasts[session] as number) + gapMs);
      if (this.#plan.isRevised) head.setValue(this.#keysTo.length + 2, row, isRetracted);
      if (own !== undefined)
        this.#own.push(this.#resultsOf(own, list.numbers[session] as number, () => new RowReader(this.#plan.head, this.#keysTo).read(head.finish(), row)));
    }
  }

  /** Frees the memory of the writer of this output when the last of its shards is released. */
  static leave(output: RowOutput): void {
    const writer = writers.get(output);
    if (writer === undefined || --writer.#users > 0) return;
    writers.delete(output);
    writer.#values.release();
    writer.#head.release();
    writer.#ownColumns?.release();
  }

  /** @returns undefined: a function failed, and the result is left out */
  #resultsOf(own: SessionStates, session: number, keyOf: () => AnyRow): readonly unknown[] | undefined {
    try {
      return own.results(session);
    } catch (error) {
      this.#failures.skip(error, keyOf());
      return undefined;
    }
  }

  /** What `write` writes goes to `take`, without user-defined results. */
  divert(take: (batch: Batch) => void, write: () => void): void {
    this.#taker = take;
    write();
    this.flush();
    this.#taker = undefined;
  }

  flush(): void {
    this.#values.flush(this.#emit);
  }
}
