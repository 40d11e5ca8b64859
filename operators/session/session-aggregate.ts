/**
 * One shard of an aggregation in session windows. For what a session is and when it closes see
 * session-plan.ts.
 *
 *   row -> key id -> session (session-list.ts: extended, merged, or begun) -> the session's number
 *       -> one group table by number, updated one batch at a time, so that every aggregate works as elsewhere
 *
 * A group table frees no single slot, so those of closed sessions stay until they are the majority; then the
 * table is rebuilt. Cost per row: a key lookup, a look at the end of the key's list, and a group table's
 * update.
 */

import { type Batch, type Column, GroupTable, readTimestamp, SLAB_BYTES_MIN, StateReader, StateWriter, u32 } from '../../core/index.ts';
import { KeyIndex } from '../by-key/index.ts';
import { hashKeys, resultParts, type StateRow } from '../exchange/index.ts';
import { type DueTimes, type KeyedContext, type KeyedOperator, RowReader } from '../keyed/index.ts';
import { namedValues, SessionStates } from '../user-aggregates/index.ts';
import { type PublishedSessions, type Retraction, SessionEmission } from './session-emission.ts';
import type { SessionPlan } from './session-layout.ts';
import { BEHIND_MS, SessionList } from './session-list.ts';
import { SessionWriter } from './session-writer.ts';

const TILE = 1_024;
/** Slots of closed sessions that a table may hold in addition to as many as are open. */
const DEAD_MAX = 256;

/** The state of a shard. Structured clone can copy it, and it is valid in any memory. */
export interface HeldSessions {
  /** In the order of their numbers. */
  readonly sessions: readonly HeldSession[];
  readonly nextNumber: number;
  /** The group table, including slots of closed sessions. */
  readonly table: Uint8Array;
  /** Sessions whose results are out. */
  readonly published: PublishedSessions;
}

/** Sessions as they were when their results came out: what is retracted where these no longer hold. */
interface SavedSessions {
  readonly table: GroupTable;
  readonly own: SessionStates | undefined;
  /** By number: the key. */
  readonly keys: Map<number, number>;
}

interface HeldSession {
  readonly number: number;
  readonly start: number;
  readonly last: number;
  readonly hash: number;
  readonly key: Uint8Array;
  /** States of the user-defined aggregates. */
  readonly own: readonly unknown[];
}

export class SessionAggregate implements KeyedOperator {
  readonly #context: KeyedContext;
  readonly #plan: SessionPlan;
  readonly #keys: KeyIndex;
  readonly #list: SessionList;
  readonly #writer: SessionWriter;
  #table: GroupTable;
  /** The session numbers of a batch's rows: u32[], in a slab that is held while there is a batch. */
  #numbers: Column = { type: u32, data: 0, offsets: 0, validity: 0 };
  #hashes = new Uint32Array(64);
  /** For the user-defined aggregates, where there are any. */
  readonly #own: SessionStates | undefined;
  readonly #reader: RowReader;
  readonly #emission: SessionEmission;
  /** Of this epoch, where results may be retracted. */
  #saved: SavedSessions | undefined;

  constructor(context: KeyedContext, plan: SessionPlan, from: HeldSessions | undefined) {
    this.#context = context;
    this.#plan = plan;
    this.#keys = new KeyIndex(context.slabs, plan.keyTypes);
    this.#list = new SessionList(plan.gapMs);
    this.#writer = SessionWriter.taken(context, plan);
    this.#own = plan.mixed === undefined ? undefined : new SessionStates(plan.mixed.split.own);
    this.#reader = new RowReader(plan.input.schema, plan.columns);
    this.#emission = new SessionEmission(this.#list, plan.gapMs, plan.window.emission);
    this.#table = this.#newTable();
    if (from !== undefined) this.#restore(from);
  }

  get stateBytes(): number {
    return this.#keys.bytes + this.#list.bytes + this.#table.bytes + (this.#own?.bytes ?? 0) + this.#emission.bytes + (this.#saved?.table.bytes ?? 0);
  }

  get due(): DueTimes {
    const closing = this.#list.firstEnd + this.#plan.window.latenessMs;
    return { time: Math.min(closing, this.#emission.firstDue) + BEHIND_MS, clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch): void {
    const { slabs, atWork } = this.#context;
    const { u32: words } = slabs.memory;
    const { time: timeColumn, timeShiftMs, end } = this.#plan;
    const { rowCount } = rows;
    const list = this.#list;
    const keyColumns = this.#plan.input.keys.map((key) => rows.column(key));
    if (rowCount > this.#hashes.length) this.#hashes = new Uint32Array(rowCount * 2);
    hashKeys(slabs.memory, keyColumns, rowCount, this.#hashes);
    const times = rows.column(timeColumn).data;
    const ends = end < 0 ? 0 : rows.column(end).data;
    const inputs = this.#plan.values.inputs.map((column) => (column < 0 ? undefined : rows.column(column)));
    const data = slabs.alloc(rowCount * 4);
    const numbers: Column = { ...this.#numbers, data };
    let done = 0;
    for (let row = 0; row < rowCount; row++) {
      const key = this.#keys.intern(keyColumns, row, this.#hashes[row] as number);
      list.reserveKeys(this.#keys.idLimit);
      const time = readTimestamp(slabs.memory, times, row) + timeShiftMs;
      const last = end < 0 ? time : readTimestamp(slabs.memory, ends, row);
      atWork[0] = row;
      let tried: unknown[] | undefined;
      if (this.#own !== undefined && this.#context.failures.areSkipped) {
        tried = this.#try(this.#own, rows, row, key, time, last);
        if (tried === undefined) {
          // The row is left out.
          if (done < row) this.#table.update([numbers], inputs, done, row);
          done = row + 1;
          if (list.lastOf(key) < 0) this.#keys.remove(key);
          continue;
        }
      }
      const session = list.add(key, time, last);
      const { merged } = list;
      words[(data >>> 2) + row] = session;
      if (this.#plan.isRevised) {
        this.#save(session, key);
        for (const { from } of merged) this.#save(from, key);
      }
      if (tried !== undefined) {
        for (const { from } of merged) this.#own?.forget(from);
        this.#own?.put(session, tried);
      } else if (this.#own !== undefined) {
        for (const { from, to } of merged) this.#own.merge(to, from);
        this.#own.add(session, Object.freeze(this.#reader.read(rows, row)));
      }
      if (merged.length === 0) continue;
      // Sessions have become one: the rows so far, this one included, go into their slots before these are
      // merged.
      this.#table.update([numbers], inputs, done, row + 1);
      done = row + 1;
      for (const { from, to } of merged) this.#mergeSlot(from, to);
    }
    if (done < rowCount) this.#table.update([numbers], inputs, done, rowCount);
    slabs.free(data);
  }

  /** @returns undefined: a function failed, and nothing has changed */
  #try(own: SessionStates, rows: Batch, row: number, key: number, time: number, last: number): unknown[] | undefined {
    const { into, from } = this.#list.lookAt(key, time, last);
    try {
      return own.tried(into, from, Object.freeze(this.#reader.read(rows, row)));
    } catch (error) {
      this.#context.failures.skip(error, row);
      return undefined;
    }
  }

  onWatermark(watermark: number): void {
    const { window } = this.#plan;
    const list = this.#list;
    const changed = list.takeChanged();
    const closed = list.close(watermark - window.latenessMs);
    const { retracted, due } = this.#emission.settle(watermark, changed, closed);
    if (retracted.length > 0) this.#retract(retracted);
    const numbers = due.map((session) => list.numbers[session] as number);
    this.#eachTile(this.#table, numbers, (from, count, slots) =>
      this.#writer.write(this.#table, slots, due.slice(from, from + count), list, this.#keys, this.#own),
    );
    this.#writer.flush();
    this.#saved?.table.clear();
    this.#saved?.keys.clear();
    for (const session of closed) {
      this.#emission.forget(list.numbers[session] as number);
      this.#own?.forget(list.numbers[session] as number);
      if (list.remove(session)) this.#keys.remove(list.keys[session] as number);
    }
    if (this.#table.size > list.size * 2 + DEAD_MAX) this.#compact();
  }

  snapshot(): HeldSessions {
    const list = this.#list;
    const sessions = list.inOrder().map((session): HeldSession => {
      const key = list.keys[session] as number;
      const number = list.numbers[session] as number;
      return {
        number,
        start: list.starts[session] as number,
        last: list.lasts[session] as number,
        hash: this.#keys.hashOf(key),
        key: this.#keys.copyOut(key),
        own: this.#own?.copy(number) ?? [],
      };
    });
    const table = new StateWriter();
    this.#table.snapshot(table);
    return { sessions, nextNumber: list.nextNumber, table: table.finish(), published: this.#emission.snapshot() };
  }

  stateRows(): StateRow[] {
    const list = this.#list;
    const sessions = list.inOrder();
    const numbers = sessions.map((session) => list.numbers[session] as number);
    const { keyTypes, head, mixed } = this.#plan;
    const rows: StateRow[] = [];
    const take = (batch: Batch): void => {
      for (let row = 0; row < batch.rowCount; row++) {
        const { key, bounds, names, values } = resultParts(batch, row, keyTypes.length, true, head.length);
        const own = this.#own?.copy(numbers[rows.length] as number) ?? [];
        rows.push({ key, ...bounds, value: namedValues(mixed, names, values, own) });
      }
    };
    const write = (from: number, count: number, slots: number): void =>
      this.#writer.write(this.#table, slots, sessions.slice(from, from + count), list, this.#keys, undefined);
    this.#writer.divert(take, () => this.#eachTile(this.#table, numbers, write));
    return rows;
  }

  release(): void {
    this.#keys.release();
    this.#table.release();
    this.#saved?.table.release();
    SessionWriter.leave(this.#context.output);
  }

  #restore({ sessions, nextNumber, table, published }: HeldSessions): void {
    const list = this.#list;
    // Lists are in the order of time, numbers in the order of creation.
    for (const held of [...sessions].sort((a, b) => a.start - b.start)) {
      const key = this.#keys.internRecord(held.key, held.hash);
      list.reserveKeys(this.#keys.idLimit);
      list.insert(key, held.start, held.last, held.number, list.lastOf(key));
      this.#own?.restore(held.number, held.own);
    }
    list.nextNumber = nextNumber;
    this.#table.restore(new StateReader(table));
    this.#emission.restore(published);
  }

  /** Keeps what a session is made of before rows of this epoch go into it, where its result is out. */
  #save(number: number, key: number): void {
    if (!this.#emission.touch(number)) return;
    this.#saved ??= {
      table: this.#newTable(),
      own: this.#plan.mixed === undefined ? undefined : new SessionStates(this.#plan.mixed.split.own),
      keys: new Map(),
    };
    const { table, own, keys } = this.#saved;
    this.#eachTile(this.#table, [number], (_, count, slots) => table.mergeSlots(this.#context.slabs.memory.u32[slots >>> 2] as number, count));
    if (this.#own !== undefined) own?.restore(number, this.#own.copy(number));
    keys.set(number, key);
  }

  /** Writes retracted results. */
  #retract(retracted: readonly Retraction[]): void {
    const { table, own, keys } = this.#saved as SavedSessions;
    const numbers = retracted.map(({ number }) => number);
    const written = {
      numbers,
      keys: numbers.map((number) => keys.get(number) as number),
      starts: retracted.map(({ start }) => start),
      lasts: retracted.map(({ last }) => last),
    };
    const places = numbers.map((_, place) => place);
    this.#eachTile(table, numbers, (from, count, slots) => this.#writer.write(table, slots, places.slice(from, from + count), written, this.#keys, own, true));
    this.#writer.flush();
    for (const number of numbers) own?.forget(number);
  }

  /** Merges the slot of number `from` into that of `to`. The former stays behind as a dead one. */
  #mergeSlot(from: number, to: number): void {
    const { slabs } = this.#context;
    const { u8, u32: words } = slabs.memory;
    const { slotBytes, keyBytes } = this.#plan.values.layout;
    const work = slabs.alloc(16 + slotBytes);
    words[work >>> 2] = from;
    words[(work + 4) >>> 2] = to;
    this.#table.lookupKeys([{ ...this.#numbers, data: work }], 0, 2, work + 8);
    const source = words[(work + 8) >>> 2] as number;
    const target = words[(work + 12) >>> 2] as number;
    // A copy under the other's number: merging finds its slot by that.
    u8.copyWithin(work + 16, source, source + slotBytes);
    u8.copyWithin(work + 16, target, target + keyBytes);
    this.#table.mergeSlots(work + 16, 1);
    slabs.free(work);
  }

  /**
   * Calls `visit` with runs of session numbers, at most 1,024 at a time, and the address of a list of their
   * slots' addresses in a table.
   */
  #eachTile(table: GroupTable, numbers: readonly number[], visit: (from: number, count: number, slots: number) => void): void {
    if (numbers.length === 0) return;
    const { slabs } = this.#context;
    const work = slabs.alloc(TILE * 8);
    const column: Column = { ...this.#numbers, data: work };
    for (let from = 0; from < numbers.length; from += TILE) {
      const count = Math.min(TILE, numbers.length - from);
      for (let i = 0; i < count; i++) slabs.memory.u32[(work >>> 2) + i] = numbers[from + i] as number;
      table.lookupKeys([column], 0, count, work + TILE * 4);
      visit(from, count, work + TILE * 4);
    }
    slabs.free(work);
  }

  /** A new table with the slots of the open sessions. */
  #compact(): void {
    const { slabs } = this.#context;
    const { u8, u32: words } = slabs.memory;
    const { slotBytes } = this.#plan.values.layout;
    const table = this.#newTable();
    const pack = slabs.alloc(TILE * slotBytes);
    const numbers = this.#list.inOrder().map((session) => this.#list.numbers[session] as number);
    this.#eachTile(this.#table, numbers, (_, count, slots) => {
      for (let i = 0; i < count; i++) {
        const slot = words[(slots >>> 2) + i] as number;
        u8.copyWithin(pack + i * slotBytes, slot, slot + slotBytes);
      }
      table.mergeSlots(pack, count);
    });
    slabs.free(pack);
    this.#table.release();
    this.#table = table;
  }

  #newTable(): GroupTable {
    const { layout } = this.#plan.values;
    return new GroupTable(this.#context.slabs, layout, { capacityMin: Math.floor(SLAB_BYTES_MIN / layout.slotBytes) });
  }
}
