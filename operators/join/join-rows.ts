/**
 * What interval joins and windowed joins of one shard share: the keys, the rows held by each side, and
 * writing a result. A key is held as long as one of its rows is.
 */

import { type Batch, type BatchBuilder, type Column, readTimestamp, type SharedMemory } from '../../core/index.ts';
import { KeyIndex } from '../by-key/index.ts';
import { hashKeys, type StateRow } from '../exchange/index.ts';
import type { KeyedContext, KeyedInput } from '../keyed/index.ts';
import { HeldRowReader } from './held-row-reader.ts';
import { type JoinColumns, pick, type SideColumns } from './join-columns.ts';
import { KeyedRows, NONE } from './keyed-rows.ts';

/** The rows held, in order of arrival: values that structured clone can copy. */
export interface HeldRows {
  readonly rows: readonly HeldRow[];
}

interface HeldRow {
  readonly input: 0 | 1;
  readonly time: number;
  readonly matched: number;
  readonly hash: number;
  /** Records, as row-image.ts has them. */
  readonly key: Uint8Array;
  readonly values: Uint8Array;
}

export class JoinRows {
  readonly keys: KeyIndex;
  readonly sides: readonly [KeyedRows, KeyedRows];
  readonly #memory: SharedMemory;
  readonly #context: KeyedContext;
  readonly #columns: JoinColumns;
  readonly #inputs: readonly KeyedInput[];
  /** By key: 1 where one of its columns is null, so that it equals no key. */
  #isNull = new Uint8Array(0);
  readonly #nullable: boolean;
  #hashes = new Uint32Array(64);
  readonly #keyColumns: Column[] = [];
  readonly #valueColumns: Column[] = [];
  #sequence = 0;

  constructor(context: KeyedContext, columns: JoinColumns, inputs: readonly KeyedInput[]) {
    const { slabs } = context;
    this.#context = context;
    this.#memory = slabs.memory;
    this.#columns = columns;
    this.#inputs = inputs;
    const keyTypes = columns.keysTo.map((to) => columns.output.field(to).type);
    this.keys = new KeyIndex(slabs, keyTypes);
    this.#nullable = keyTypes.some((type) => type.nullable);
    const side = (input: 0 | 1): KeyedRows => {
      const { schema } = inputs[input] as KeyedInput;
      return new KeyedRows(
        slabs,
        columns.sides[input].values.map((c) => schema.field(c).type),
      );
    };
    this.sides = [side(0), side(1)];
  }

  get bytes(): number {
    return this.keys.bytes + this.sides[0].bytes + this.sides[1].bytes;
  }

  isNullKey(key: number): boolean {
    return this.#isNull[key] === 1;
  }

  /** Takes in all rows of a batch, and calls `added` for each. */
  addBatch(rows: Batch, input: number, added: (key: number, row: number, time: number) => void): void {
    const { keys, values } = this.#columns.sides[input as 0 | 1] as SideColumns;
    const { eventTime, timeShiftMs } = this.#inputs[input] as KeyedInput;
    const side = this.sides[input as 0 | 1];
    const keyColumns = pick(rows.columns, keys, this.#keyColumns);
    const valueColumns = pick(rows.columns, values, this.#valueColumns);
    valueColumns.length = values.length;
    if (rows.rowCount > this.#hashes.length) this.#hashes = new Uint32Array(rows.rowCount * 2);
    const hashes = this.#hashes;
    hashKeys(this.#memory, keyColumns, rows.rowCount, hashes);
    const times = rows.column(eventTime).data;
    for (let row = 0; row < rows.rowCount; row++) {
      const key = this.keys.intern(keyColumns, row, hashes[row] as number);
      if (this.keys.idLimit > this.#isNull.length) this.#reserve();
      this.#isNull[key] = this.#nullable && this.keys.isNull(key) ? 1 : 0;
      const time = readTimestamp(this.#memory, times, row) + timeShiftMs;
      this.#context.output.at(row);
      added(key, side.add(key, time, this.#sequence++, valueColumns, row), time);
    }
  }

  /** Drops a row that popFirst of its side gave. */
  drop(input: 0 | 1, row: number): void {
    const key = this.sides[input].keys[row] as number;
    this.sides[input].drop(row);
    if (this.sides[0].isEmpty(key) && this.sides[1].isEmpty(key)) this.keys.remove(key);
  }

  /**
   * Appends a result: the values of a row of each side, or nulls where it is NONE. Returns the builder and
   * the row in it, so that times can be set.
   */
  write(key: number, left: number, right: number): BatchBuilder {
    const { keysTo, sides } = this.#columns;
    const out = this.#context.output.claim();
    const row = out.rowCount++;
    this.keys.read(key, out, keysTo, row);
    const [first, second] = this.sides;
    if (left === NONE) first.image.readNulls(out, sides[0].to, row);
    else first.image.read(first.records[left] as number, out, sides[0].to, row);
    if (right === NONE) second.image.readNulls(out, sides[1].to, row);
    else second.image.read(second.records[right] as number, out, sides[1].to, row);
    return out;
  }

  snapshot(): HeldRows {
    const rows = ([0, 1] as const).flatMap((input) => {
      const side = this.sides[input];
      return side.inOrder().map((row) => ({ input, row, sequence: side.sequences[row] as number }));
    });
    rows.sort((a, b) => a.sequence - b.sequence);
    return {
      rows: rows.map(({ input, row }): HeldRow => {
        const side = this.sides[input];
        const key = side.keys[row] as number;
        const matched = side.matched[row] as number;
        return { input, time: side.times[row] as number, matched, hash: this.keys.hashOf(key), key: this.keys.copyOut(key), values: side.copyOut(row) };
      }),
    };
  }

  /** The rows held, by side. */
  *stateRows(): Generator<StateRow> {
    for (const input of [0, 1] as const) {
      const held = this.sides[input];
      const reader = new HeldRowReader(this.#context.slabs, this.#inputs[input] as KeyedInput, this.#columns.sides[input]);
      for (const row of held.inOrder()) {
        const { key, value } = reader.read(this.keys, held.keys[row] as number, held.image, held.records[row] as number);
        yield { key, side: input === 0 ? 'left' : 'right', time: held.times[row] as number, value };
      }
      reader.release();
    }
  }

  restore({ rows }: HeldRows): void {
    for (const { input, time, matched, hash, key: record, values } of rows) {
      const key = this.keys.internRecord(record, hash);
      if (this.keys.idLimit > this.#isNull.length) this.#reserve();
      this.#isNull[key] = this.keys.isNull(key) ? 1 : 0;
      const row = this.sides[input].addRecord(key, time, this.#sequence++, values);
      this.sides[input].matched[row] = matched;
    }
  }

  release(): void {
    this.keys.release();
    for (const side of this.sides) side.release();
  }

  #reserve(): void {
    const limit = this.keys.idLimit;
    const isNull = new Uint8Array(limit);
    isNull.set(this.#isNull);
    this.#isNull = isNull;
    for (const side of this.sides) side.reserveKeys(limit);
  }
}
