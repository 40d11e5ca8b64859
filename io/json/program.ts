/**
 * What the JSON kernel must know about the columns, as bytes in shared memory: keys, types and addresses, a
 * hash table of the keys, and the keys of the previous record (records of a topic mostly have their keys in
 * one order).
 *
 *   header       64 bytes, PROGRAM
 *   cursors      24 bytes each, BLOCK of them, then 4 bytes each: the records in work. The kernel's own
 *   slots        64 bytes each, SLOTS of them: known keys by their hash, and what follows them.
 *                The kernel's own
 *   columns      64 bytes each, COLUMN
 *   predictions  64 bytes each, PREDICTIONS of them: what preceded value i in the previous record.
 *                The kernel's own
 *   table        32 bytes each: 16 bytes of a key, its column, its length. Linear probing, at most a
 *                quarter full. The kernel builds it
 *   powers       10^0 to 10^22 as f64; then 5^-342 to 5^308, 128 bits each, high half first
 *                (see powersOfFive)
 *   entries      128 bytes each, KNOWN: known keys, first those of columns, then others.
 *                The kernel builds them
 *   spans        for each entry the starts and the ends of its values in a block, BLOCK times 4 bytes each.
 *                The kernel's own
 *   keys         the bytes of the keys
 *
 * The kernel, core/kernels/json.ts and json-flat.ts, has the same numbers. With more than KNOWN_MAX keys
 * there are no entries, and every record is walked.
 */

import type { ColumnSpace, SharedMemory, SlabAllocator, TypeName } from '../../core/index.ts';

export const PROGRAM = {
  columnCount: 0,
  tableMask: 4,
  table: 8,
  stamp: 12,
  predictions: 16,
  columns: 20,
  powers: 24,
  entries: 28,
  entriesMax: 36,
  bytes: 64,
} as const;
export const COLUMN = { type: 0, data: 4, offsets: 8, validity: 12, limit: 16, stamp: 20, key: 24, keyLength: 28, nullable: 32, bytes: 64 } as const;
const PREDICTIONS = 64;
const PREDICTION_BYTES = 64;
const ENTRY_BYTES = 32;

export const TYPE_CODES: Readonly<Record<TypeName, number>> = {
  bool: 0,
  i8: 1,
  i16: 2,
  i32: 3,
  u32: 4,
  i64: 5,
  f32: 6,
  f64: 7,
  utf8: 8,
  binary: 9,
  timestamp: 10,
};

const EXACT_POWERS = 23;
const FIVE_MIN = -342;
const FIVE_MAX = 308;
const POWERS_BYTES = 192 + (FIVE_MAX - FIVE_MIN + 1) * 16;
const OVERREAD = 64;
/** Keys without a column that the kernel remembers. */
const LEARNED = 16;
const KNOWN_MAX = 64;
const KNOWN = { bytes: 128, spans: 32 } as const;
/** Records whose values are found at a time. */
const BLOCK = 64;
const CURSOR_BYTES = 24 + 4;
const SLOTS = 1 + 512 + 64;
const SLOT_BYTES = 64;

/**
 * Lays out the program of some columns. `refreshProgram` must follow whenever their data has moved. @returns
 * its address, a slab
 */
export function writeProgram(slabs: SlabAllocator, columns: readonly ColumnSpace[]): number {
  const { memory } = slabs;
  const keys = columns.map((column) => Buffer.from(column.name));
  const tableSize = 2 ** Math.ceil(Math.log2(Math.max(columns.length, 1) * 4));
  const columnsAt = PROGRAM.bytes + BLOCK * CURSOR_BYTES + SLOTS * SLOT_BYTES;
  const predictionsAt = columnsAt + columns.length * COLUMN.bytes;
  const powersAt = predictionsAt + PREDICTIONS * PREDICTION_BYTES;
  const tableAt = powersAt + POWERS_BYTES;
  const known = columns.length + LEARNED <= KNOWN_MAX ? columns.length + LEARNED : 0;
  const entriesAt = tableAt + tableSize * ENTRY_BYTES;
  const spansAt = entriesAt + known * KNOWN.bytes;
  const keysAt = spansAt + known * BLOCK * 8;
  const bytes = keysAt + keys.reduce((sum, key) => sum + key.length, 0) + OVERREAD;
  const program = slabs.alloc(bytes);
  memory.u8.fill(0, program, program + bytes);
  const set = (at: number, value: number): void => {
    memory.u32[(program + at) >>> 2] = value;
  };
  set(PROGRAM.columnCount, columns.length);
  set(PROGRAM.tableMask, tableSize - 1);
  set(PROGRAM.table, program + tableAt);
  set(PROGRAM.predictions, program + predictionsAt);
  set(PROGRAM.columns, program + columnsAt);
  set(PROGRAM.powers, program + powersAt);
  set(PROGRAM.entries, program + entriesAt);
  set(PROGRAM.entriesMax, known);
  for (let i = 0; i < known; i++) set(entriesAt + i * KNOWN.bytes + KNOWN.spans, program + spansAt + i * BLOCK * 8);
  let keyAt = keysAt;
  columns.forEach((column, w) => {
    const at = columnsAt + w * COLUMN.bytes;
    const key = keys[w] as Buffer;
    set(at + COLUMN.type, TYPE_CODES[column.type.name]);
    set(at + COLUMN.offsets, column.offsets);
    set(at + COLUMN.validity, column.validity);
    set(at + COLUMN.nullable, column.type.nullable ? 1 : 0);
    set(at + COLUMN.key, program + keyAt);
    set(at + COLUMN.keyLength, key.length);
    memory.u8.set(key, program + keyAt);
    keyAt += key.length;
  });
  for (let i = 0; i < EXACT_POWERS; i++) memory.f64[((program + powersAt) >>> 3) + i] = Number(`1e${i}`);
  memory.u8.set(new Uint8Array(powersOfFive().buffer), program + powersAt + 192);
  refreshProgram(memory, program, columns);
  return program;
}

/** Tells the program where the columns' data is now, and how far it may be written. */
export function refreshProgram(memory: SharedMemory, program: number, columns: readonly ColumnSpace[]): void {
  const columnsAt = memory.u32[(program + PROGRAM.columns) >>> 2] as number;
  columns.forEach((column, w) => {
    const at = (columnsAt + w * COLUMN.bytes) >>> 2;
    memory.u32[at + (COLUMN.data >>> 2)] = column.data;
    memory.u32[at + (COLUMN.limit >>> 2)] = column.data + column.byteCapacity;
  });
}

let fives: BigUint64Array | undefined;

/**
 * 5^q to 128 bits, the top bit set, for q from -342 to 308. The kernel multiplies with them to find the
 * nearest double of a decimal. Negative powers are rounded up, positive ones cut. Lemire, "Number Parsing at
 * a Gigabyte per Second", Software: Practice and Experience 51(8), 2021.
 */
function powersOfFive(): BigUint64Array {
  if (fives) return fives;
  fives = new BigUint64Array((FIVE_MAX - FIVE_MIN + 1) * 2);
  for (let q = FIVE_MIN; q <= FIVE_MAX; q++) {
    let value: bigint;
    if (q >= 0) value = top128(5n ** BigInt(q));
    else {
      const power = 5n ** BigInt(-q);
      let bits = power.toString(2).length;
      if (power === 1n << BigInt(bits - 1)) bits--;
      value = top128((1n << BigInt(q >= -27 ? bits + 127 : 2 * bits + 128)) / power + 1n);
    }
    fives[(q - FIVE_MIN) * 2] = value >> 64n;
    fives[(q - FIVE_MIN) * 2 + 1] = value & 0xffff_ffff_ffff_ffffn;
  }
  return fives;
}

/** A number shifted so that its top bit is bit 127. */
function top128(value: bigint): bigint {
  const excess = BigInt(value.toString(2).length - 128);
  return excess >= 0n ? value >> excess : value << -excess;
}
