/**
 * The encoder of sinks whose records are what a codec writes with something around it: `{"index":{...}}` before
 * a document, a line end behind it. With key columns it knows which rows of a table's changes are written,
 * deleted, or left out because the row behind replaces them.
 */

import { Batch, isValid, readValue, type Schema, type SharedMemory, SIGN, type SlabAllocator, withoutSign } from '../../core/index.ts';
import type { Codec, EncoderContext, RecordEncoder } from '../codec.ts';
import { KeyColumns } from '../record-batch/index.ts';

/** What is around a record, or in place of it. */
export interface RecordFrame {
  /** A row that goes has a record, too: its last values. Default: none. */
  readonly hasRecordsOfGone?: boolean;
  /** Most bytes that `head` and `tail` write for a row with a key of so many bytes (0 without one). */
  bytesMax(keyBytes: number): number;
  /**
   * Writes what comes before the record, at `at`. Returns the address behind.
   *
   * @param key address of the row's key, valid during the call; `keyBytes` is -1 for none and for a null
   * @param isGone the row leaves the table: there is no record, unless `hasRecordsOfGone`
   */
  head(batch: Batch, row: number, at: number, key: number, keyBytes: number, isGone: boolean): number;
  /** Writes what comes behind it. */
  tail(at: number, isGone: boolean): number;
}

const SCRATCH_BYTES = 256 * 1_024;
const SCRATCH_BYTES_MAX = 256 * 1_024 * 1_024;
const ROWS_MAX = 4_096;
const U32 = 4;

export class FramedRecords implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #inner: RecordEncoder;
  readonly #frame: RecordFrame;
  readonly #schema: Schema;
  readonly #sign: number;
  readonly #keys: KeyColumns | undefined;
  readonly #keyAddresses: number;
  readonly #keyLengths: number;
  readonly #ends: number;
  #scratch = 0;
  #scratchBytes = 0;

  /**
   * @param schema of the batches to come, with the hidden column where the stream is a table's changes
   * @param key columns that name a record
   */
  constructor({ memory, slabs }: EncoderContext, schema: Schema, codec: Codec, key: readonly string[], frame: RecordFrame) {
    this.#memory = memory;
    this.#slabs = slabs;
    this.#schema = withoutSign(schema);
    this.#sign = schema.indexOf(SIGN);
    this.#inner = codec.encoder({ memory, slabs }, this.#schema);
    this.#frame = frame;
    const columns = key.map((name) => this.#schema.require(name, 'The key of the sink'));
    this.#keys = key.length === 0 ? undefined : new KeyColumns(slabs, this.#schema, columns);
    const lists = slabs.alloc((ROWS_MAX + 1) * U32 * 3);
    this.#keyAddresses = lists;
    this.#keyLengths = lists + (ROWS_MAX + 1) * U32;
    this.#ends = lists + (ROWS_MAX + 1) * U32 * 2;
  }

  /** A row that is left out ends where the one before it does. */
  encode(given: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u32, i32, u8 } = this.#memory;
    const isChanges = this.#sign >= 0;
    const batch = isChanges ? new Batch(given.memory, this.#schema, given.rowCount, given.columns.toSpliced(this.#sign, 1)) : given;
    const count = this.#encodeInner(batch, from, Math.min(to, from + ROWS_MAX));
    // Of changes the key behind the last row is looked at, too.
    const known = Math.min(count + (isChanges && from + count < given.rowCount ? 1 : 0), given.rowCount - from);
    this.#keys?.list(batch, from, from + known, this.#keyAddresses, this.#keyLengths);
    let at = address;
    for (let i = 0; i < count; i++) {
      const keyBytes = this.#keys === undefined ? -1 : (i32[(this.#keyLengths >>> 2) + i] as number);
      const start = i === 0 ? this.#scratch : (u32[(this.#ends >>> 2) + i - 1] as number);
      const end = u32[(this.#ends >>> 2) + i] as number;
      if (at + this.#frame.bytesMax(Math.max(0, keyBytes)) + (end - start) > limit) return i;
      const isGone = isChanges && this.#isTakenBack(given, from + i);
      if (!(isGone && i + 1 < known && !this.#isTakenBack(given, from + i + 1) && this.#hasKeyOfNext(i))) {
        at = this.#frame.head(batch, from + i, at, keyBytes < 0 ? 0 : (u32[(this.#keyAddresses >>> 2) + i] as number), keyBytes, isGone);
        if (!isGone || this.#frame.hasRecordsOfGone === true) {
          u8.copyWithin(at, start, end);
          at += end - start;
        }
        at = this.#frame.tail(at, isGone);
      }
      u32[(ends >>> 2) + i] = at;
    }
    return count;
  }

  /** Encodes as many rows into the scratch as fit; enlarges it when not even one does. Returns how many. */
  #encodeInner(batch: Batch, from: number, to: number): number {
    if (this.#scratch === 0) this.#reserve(SCRATCH_BYTES);
    for (;;) {
      const count = this.#inner.encode(batch, from, to, this.#scratch, this.#scratch + this.#scratchBytes, this.#ends);
      // The caller ends when a row is too large for a block, which is smaller than this.
      if (count > 0 || this.#scratchBytes >= SCRATCH_BYTES_MAX) return count;
      this.#reserve(this.#scratchBytes * 4);
    }
  }

  #reserve(bytes: number): void {
    if (this.#scratch !== 0) this.#slabs.free(this.#scratch);
    this.#scratch = this.#slabs.alloc(bytes);
    this.#scratchBytes = this.#slabs.slabBytes(this.#scratch);
  }

  #isTakenBack(changes: Batch, row: number): boolean {
    return readValue(this.#memory, changes.column(this.#sign), row) === true;
  }

  #hasKeyOfNext(i: number): boolean {
    const { u8, u32, i32 } = this.#memory;
    const length = i32[(this.#keyLengths >>> 2) + i] as number;
    if (length !== i32[(this.#keyLengths >>> 2) + i + 1]) return false;
    const a = u32[(this.#keyAddresses >>> 2) + i] as number;
    const b = u32[(this.#keyAddresses >>> 2) + i + 1] as number;
    for (let byte = 0; byte < length; byte++) if (u8[a + byte] !== u8[b + byte]) return false;
    return true;
  }
}

/** Milliseconds of a timestamp column, or undefined for a null. */
export function timeOf(batch: Batch, column: number, row: number): number | undefined {
  const { memory } = batch;
  return isValid(memory, batch.column(column), row) ? Number(readValue(memory, batch.column(column), row)) : undefined;
}
