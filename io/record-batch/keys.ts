/**
 * Keys of records from key columns: the text of one column, or a JSON array of several. Where the column's
 * bytes are the key (utf8 and binary) they are not copied: only their addresses are listed.
 */

import { assert, type Batch, isValid, type Schema, type SharedMemory, type SlabAllocator } from '../../core/index.ts';

const TEXT_BYTES_MIN = 1 << 16;

/** Lists keys of a run of rows: addresses (u32) and lengths (i32, -1 for a null key). */
export class KeyColumns {
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #columns: readonly number[];
  readonly #isDirect: boolean;
  #text = 0;
  #textBytes = 0;
  #used = 0;

  /** @param columns positions in the schema, at least one */
  constructor(slabs: SlabAllocator, schema: Schema, columns: readonly number[]) {
    assert(columns.length > 0, 'keys of no column');
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#columns = columns;
    const type = schema.field(columns[0] as number).type.name;
    this.#isDirect = columns.length === 1 && (type === 'utf8' || type === 'binary');
  }

  /**
   * Fills `keys` and `lengths` for rows `from` to `to` of a batch. The bytes they refer to are valid until
   * the next call.
   */
  list(batch: Batch, from: number, to: number, keys: number, lengths: number): void {
    const { u32, i32 } = this.#memory;
    const first = batch.column(this.#columns[0] as number);
    this.#used = 0;
    if (!this.#isDirect) this.#reserve(batch, from, to);
    for (let row = from; row < to; row++) {
      const at = row - from;
      if (this.#columns.length === 1 && !isValid(this.#memory, first, row)) i32[(lengths >>> 2) + at] = -1;
      else if (this.#isDirect) {
        const start = i32[(first.offsets >>> 2) + row] as number;
        u32[(keys >>> 2) + at] = first.data + start;
        i32[(lengths >>> 2) + at] = (i32[(first.offsets >>> 2) + row + 1] as number) - start;
      } else {
        const text = this.#textOf(batch, row);
        u32[(keys >>> 2) + at] = this.#text + this.#used;
        i32[(lengths >>> 2) + at] = text.length;
        this.#memory.u8.set(text, this.#text + this.#used);
        this.#used += text.length;
      }
    }
  }

  #textOf(batch: Batch, row: number): Uint8Array {
    if (this.#columns.length === 1) return Buffer.from(String(batch.value(this.#columns[0] as number, row)));
    const parts = this.#columns.map((column) => {
      const value = batch.value(column, row);
      if (typeof value === 'bigint') return String(value);
      return JSON.stringify(value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value);
    });
    return Buffer.from(`[${parts.join(',')}]`);
  }

  /**
   * Makes room for the texts of all rows, with one pass over the column's lengths: a JSON string takes at
   * most six bytes per byte.
   */
  #reserve(batch: Batch, from: number, to: number): void {
    let bytes = (to - from) * (2 + this.#columns.length * 40);
    for (const index of this.#columns) {
      const column = batch.column(index);
      if (column.offsets === 0) continue;
      const { i32 } = this.#memory;
      bytes += 6 * ((i32[(column.offsets >>> 2) + to] as number) - (i32[(column.offsets >>> 2) + from] as number));
    }
    if (bytes <= this.#textBytes) return;
    if (this.#text !== 0) this.#slabs.free(this.#text);
    this.#text = this.#slabs.alloc(Math.max(bytes, TEXT_BYTES_MIN));
    this.#textBytes = this.#slabs.slabBytes(this.#text);
  }
}
