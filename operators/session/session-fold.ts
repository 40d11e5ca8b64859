/**
 * Folds (reduce, top) in session windows: one value per session, in the heap. For what a session is and when
 * it comes out see session-plan.ts. A row that joins two sessions merges their values, that of the earlier
 * one first.
 */

import { type Batch, MillraceError, readTimestamp } from '../../core/index.ts';
import type { StateRow } from '../exchange/index.ts';
import { type FoldRequest, type Group, Groups, type RowFold, resultSchema, sampledBytes } from '../fold/index.ts';
import { type DueTimes, type Key, type KeyedContext, type KeyedInput, type KeyedOperator, type KeyedOperatorPlan, stateCopy } from '../keyed/index.ts';
import type { WindowSpec } from '../windows.ts';
import { type PublishedSessions, retractedField, SessionEmission } from './session-emission.ts';
import { BEHIND_MS, SessionList } from './session-list.ts';
import { windowFacts } from './session-plan.ts';

/**
 * @param request with a window whose shape is a session, and with event time
 * @param ends where rows have gaps of their own: the column with their ends, the last one, of which the fold knows nothing
 * @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or two result columns have one name
 */
export function planSessionFold({ input, keys, fold, window, eventTime, timeShiftMs }: FoldRequest, ends?: string): KeyedOperatorPlan {
  if (window === undefined || window.shape.kind !== 'session' || eventTime === undefined) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window ?? 'A session'} needs event time. Put .withWatermark(column, delay) before it.`);
  }
  const { gapMs } = window.shape;
  const isRevised = window.emission !== 'final';
  const keyColumns = keys.map((name) => input.require(name, 'keyBy'));
  const rows: KeyedInput = {
    schema: input,
    keys: keyColumns,
    columns: input.fields.map((_, c) => c),
    eventTime: input.require(ends ?? eventTime, 'session()'),
    timeShiftMs: ends === undefined ? timeShiftMs : 0,
  };
  const timing: RowTiming = { time: input.require(eventTime, 'withWatermark'), timeShiftMs, end: ends === undefined ? -1 : rows.eventTime };
  return {
    name: fold.kind,
    isOrdered: true,
    callsFunctions: fold.callsFunctions,
    inputs: [rows],
    output: resultSchema(
      keyColumns.map((key) => input.field(key)),
      true,
      isRevised ? [retractedField(), ...fold.fields] : fold.fields,
    ),
    outputTime: { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs + 1 },
    lateBefore: (watermark) => watermark - gapMs - window.latenessMs,
    // A session may last for ever, and a restart needs all of its rows.
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { fold: fold.facts, window: windowFacts(window) } },
    open: (context, from) => new SessionFold(fold, rows, timing, window, gapMs, context, from as SessionFoldSnapshot | undefined),
    whole: fold.whole,
    describe: () =>
      [
        `${fold.name} by ${keys.join(', ') || '(none: one key)'} in sessions`,
        `  window    ${window}`,
        '  state     one value a session; values of sessions that a row puts together are merged',
      ].join('\n'),
  };
}

/** Where a row says when it happened, and its end. */
interface RowTiming {
  readonly time: number;
  readonly timeShiftMs: 0 | -1;
  /** -1: all have one gap. */
  readonly end: number;
}

interface SessionFoldSnapshot {
  /** In the order of their numbers. */
  readonly sessions: readonly { readonly number: number; readonly start: number; readonly last: number; readonly group: Group }[];
  readonly published: PublishedSessions;
}

class SessionFold implements KeyedOperator {
  readonly #fold: RowFold;
  readonly #input: KeyedInput;
  readonly #timing: RowTiming;
  readonly #window: WindowSpec;
  readonly #gapMs: number;
  readonly #groups: Groups;
  readonly #list: SessionList;
  /** Numbers of keys, as the list takes them; and those that are free. */
  readonly #keys = new Map<Key, number>();
  readonly #free: number[] = [];
  #keyLimit = 0;
  /** By the session's number. */
  readonly #values = new Map<number, Group>();
  readonly #emission: SessionEmission;
  readonly #isRevised: boolean;
  /** By number: sessions as they were when their results came out, of those touched by rows of this epoch. */
  readonly #saved = new Map<number, Group>();

  constructor(
    fold: RowFold,
    input: KeyedInput,
    timing: RowTiming,
    window: WindowSpec,
    gapMs: number,
    context: KeyedContext,
    from: SessionFoldSnapshot | undefined,
  ) {
    this.#fold = fold;
    this.#input = input;
    this.#timing = timing;
    this.#window = window;
    this.#gapMs = gapMs;
    this.#groups = new Groups(fold, input, context);
    this.#list = new SessionList(gapMs);
    this.#emission = new SessionEmission(this.#list, gapMs, window.emission);
    this.#isRevised = window.emission !== 'final';
    for (const { number, start, last, group } of [...(structuredClone(from)?.sessions ?? [])].sort((a, b) => a.start - b.start)) {
      const key = this.#intern(group.id);
      this.#list.insert(key, start, last, number, this.#list.lastOf(key));
      this.#list.nextNumber = Math.max(this.#list.nextNumber, number + 1);
      this.#values.set(number, group);
    }
    this.#emission.restore(from?.published ?? []);
  }

  get stateBytes(): number {
    return this.#list.bytes + sampledBytes(this.#values) + this.#keys.size * 40 + this.#emission.bytes;
  }

  get due(): DueTimes {
    const closing = this.#list.firstEnd + this.#window.latenessMs;
    return { time: Math.min(closing, this.#emission.firstDue) + BEHIND_MS, clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch): void {
    const { time: timeColumn, timeShiftMs, end } = this.#timing;
    const { data } = rows.column(timeColumn);
    const ends = end < 0 ? 0 : rows.column(end).data;
    const list = this.#list;
    for (let row = 0; row < rows.rowCount; row++) {
      const id = this.#groups.keyOf(rows, row);
      const key = this.#intern(id);
      const time = readTimestamp(rows.memory, data, row) + timeShiftMs;
      const last = end < 0 ? time : readTimestamp(rows.memory, ends, row);
      const tried = this.#groups.isGuarded ? this.#try(rows, row, key, time, last) : undefined;
      if (tried?.isLeftOut) {
        if (list.lastOf(key) < 0) this.#freeKey(id);
        continue;
      }
      const number = list.add(key, time, last);
      const { merged } = list;
      if (this.#isRevised) {
        this.#save(number);
        for (const { from } of merged) this.#save(from);
      }
      const group = this.#values.get(number);
      if (tried !== undefined) {
        for (const { from } of merged) this.#values.delete(from);
        if (group !== undefined) group.value = tried.value;
        else this.#values.set(number, { id, key: this.#input.keys.map((column) => rows.value(column, row)), value: tried.value });
        continue;
      }
      for (const { from, to } of merged) this.#merge(to, from);
      if (group !== undefined) group.value = this.#fold.add(group.value, rows, row);
      else this.#values.set(number, { id, key: this.#input.keys.map((key) => rows.value(key, row)), value: this.#fold.add(undefined, rows, row) });
    }
  }

  /** The value of a row's session with the row, made of copies: nothing has changed if a function fails. */
  #try(rows: Batch, row: number, key: number, time: number, last: number): { readonly isLeftOut: boolean; readonly value?: unknown } {
    const { into, from } = this.#list.lookAt(key, time, last);
    const valueOf = (number: number): unknown => stateCopy(this.#values.get(number)?.value);
    const others = from.map(valueOf);
    try {
      const value = others.reduce((merged, other) => this.#fold.merge(merged, other), into < 0 ? undefined : valueOf(into));
      return { isLeftOut: false, value: this.#fold.add(value, rows, row) };
    } catch (error) {
      this.#groups.failed(error, row);
      return { isLeftOut: true };
    }
  }

  onWatermark(watermark: number): void {
    const list = this.#list;
    const changed = list.takeChanged();
    const closed = list.close(watermark - this.#window.latenessMs);
    const { retracted, due } = this.#emission.settle(watermark, changed, closed);
    for (const { number, start, last } of retracted) this.#groups.put(this.#saved.get(number) as Group, [start, last + this.#gapMs, true]);
    this.#saved.clear();
    for (const session of due) {
      const bounds = [list.starts[session] as number, (list.lasts[session] as number) + this.#gapMs];
      this.#groups.put(this.#valueOf(session), this.#isRevised ? [...bounds, false] : bounds);
    }
    for (const session of closed) {
      this.#emission.forget(list.numbers[session] as number);
      const { id } = this.#valueOf(session);
      this.#values.delete(list.numbers[session] as number);
      if (!list.remove(session)) continue;
      this.#freeKey(id);
    }
  }

  /** Keeps the value of a session before rows of this epoch go into it, where its result is out. */
  #save(number: number): void {
    if (!this.#emission.touch(number)) return;
    const group = this.#values.get(number) as Group;
    this.#saved.set(number, { ...group, value: this.#fold.merge(undefined, group.value) });
  }

  snapshot(): SessionFoldSnapshot {
    const list = this.#list;
    const sessions = list.inOrder().map((session) => ({
      number: list.numbers[session] as number,
      start: list.starts[session] as number,
      last: list.lasts[session] as number,
      group: this.#valueOf(session),
    }));
    return structuredClone({ sessions, published: this.#emission.snapshot() });
  }

  *stateRows(): Generator<StateRow> {
    const list = this.#list;
    for (const session of list.inOrder()) {
      const group = this.#valueOf(session);
      const bounds = { windowStart: list.starts[session] as number, windowEnd: (list.lasts[session] as number) + this.#gapMs };
      yield { key: this.#groups.keyRow(group), ...bounds, value: group.value };
    }
  }

  #valueOf(session: number): Group {
    return this.#values.get(this.#list.numbers[session] as number) as Group;
  }

  #merge(earlier: number, later: number): void {
    const into = this.#values.get(earlier) as Group;
    into.value = this.#fold.merge(into.value, (this.#values.get(later) as Group).value);
    this.#values.delete(later);
  }

  #freeKey(id: Key): void {
    this.#free.push(this.#keys.get(id) as number);
    this.#keys.delete(id);
  }

  #intern(id: Key): number {
    let key = this.#keys.get(id);
    if (key === undefined) {
      key = this.#free.pop() ?? this.#keyLimit++;
      this.#keys.set(id, key);
      this.#list.reserveKeys(this.#keyLimit <= 64 ? 64 : 2 ** Math.ceil(Math.log2(this.#keyLimit)));
    }
    return key;
  }
}
