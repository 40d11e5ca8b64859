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
 *   lists        for each column the addresses and the lengths of its objects in a block, BLOCK times 4 bytes
 *                each. The kernel's own
 *   keys         the bytes of the keys, and of defaults; a comma behind each
 *
 * An object among the values has a program of its own, without powers.
 *
 * The kernel, core/kernels/json.ts and json-flat.ts, has the same numbers. With more than KNOWN_MAX keys
 * there are no entries, and every record is walked.
 */

import { type ColumnSpace, type DataType, type ElementType, isType, type SharedMemory, type SlabAllocator, type TypeName } from '../../core/index.ts';
import type { TimeUnit } from '../time-unit.ts';
import type { JsonMember } from './layout.ts';

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
export const COLUMN = {
  type: 0,
  data: 4,
  offsets: 8,
  validity: 12,
  limit: 16,
  stamp: 20,
  key: 24,
  keyLength: 28,
  nullable: 32,
  unit: 36,
  default: 40,
  defaultLength: 44,
  defaultPowers: 48,
  program: 52,
  lists: 56,
  bytes: 64,
} as const;
const PREDICTIONS = 64;
const PREDICTION_BYTES = 64;
const ENTRY_BYTES = 32;

const TYPE_CODES: Readonly<Record<TypeName, number>> = {
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
/** A timestamp whose numbers are no milliseconds. */
const INSTANT = 11;
/** The text of any value. */
const RAW = 12;
const LIST = 13;
/** An object with members of its own. */
const OBJECT = 14;
/** A member that no record for the kernel has. */
const ABSENT = 15;
const UNIT_CODES: Readonly<Record<TimeUnit, number>> = { ms: 0, s: 1, us: 2, ns: 3 };
const KNOWN_ELEMENTS: ReadonlySet<TypeName> = new Set(['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f64', 'utf8', 'timestamp']);
/** Beside the type of a list's elements. */
const MAY_BE_NULL = 0x40;
const NO_ELEMENT = 0x3f;
const COMMA = 0x2c;

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

/** What the kernel is told of the columns, besides their types. */
export interface ColumnFacts {
  /** JSON of the value that stands for a missing one. */
  readonly default: Uint8Array | undefined;
  readonly unit: TimeUnit;
}

/**
 * The program of an object with some members, and one more for each member that is an object with members of its
 * own: the kernel reads such an object as a record.
 */
export class JsonProgram {
  readonly address: number;
  readonly #memory: SharedMemory;
  /** Columns, with the addresses of what the program has about each. */
  readonly #places: (readonly [at: number, column: ColumnSpace])[] = [];
  readonly #inner: JsonProgram[] = [];

  /**
   * @param members of the object; one without a column and without members is not for the kernel: a record that has
   * it is handed back
   * @param columns that the members name by position
   * @param powers of the program around it
   */
  constructor(slabs: SlabAllocator, members: readonly JsonMember[], columns: readonly ColumnSpace[], facts: readonly ColumnFacts[], powers = 0) {
    const { memory } = slabs;
    this.#memory = memory;
    const keys = members.map(({ key }) => Buffer.from(key));
    const defaults = members.map(({ column }) => (column < 0 ? undefined : facts[column]?.default));
    const tableSize = 2 ** Math.ceil(Math.log2(Math.max(members.length, 1) * 4));
    const columnsAt = PROGRAM.bytes + BLOCK * CURSOR_BYTES + SLOTS * SLOT_BYTES;
    const predictionsAt = columnsAt + members.length * COLUMN.bytes;
    const powersAt = predictionsAt + PREDICTIONS * PREDICTION_BYTES;
    const tableAt = powersAt + (powers === 0 ? POWERS_BYTES : 0);
    const known = members.length + LEARNED <= KNOWN_MAX ? members.length + LEARNED : 0;
    const entriesAt = tableAt + tableSize * ENTRY_BYTES;
    const spansAt = entriesAt + known * KNOWN.bytes;
    const listsAt = spansAt + known * BLOCK * 8;
    const keysAt = listsAt + members.length * BLOCK * 8;
    const textBytes = [...keys, ...defaults].reduce((sum, text) => sum + (text === undefined ? 0 : text.length + 1), 0);
    const bytes = keysAt + textBytes + OVERREAD;
    const program = slabs.alloc(bytes);
    this.address = program;
    memory.u8.fill(0, program, program + bytes);
    const set = (at: number, value: number): void => {
      memory.u32[(program + at) >>> 2] = value;
    };
    const powersHere = powers === 0 ? program + powersAt : powers;
    set(PROGRAM.columnCount, members.length);
    set(PROGRAM.tableMask, tableSize - 1);
    set(PROGRAM.table, program + tableAt);
    set(PROGRAM.predictions, program + predictionsAt);
    set(PROGRAM.columns, program + columnsAt);
    set(PROGRAM.powers, powersHere);
    set(PROGRAM.entries, program + entriesAt);
    set(PROGRAM.entriesMax, known);
    for (let i = 0; i < known; i++) set(entriesAt + i * KNOWN.bytes + KNOWN.spans, program + spansAt + i * BLOCK * 8);
    let textAt = keysAt;
    const text = (bytes: Uint8Array): number => {
      const at = program + textAt;
      memory.u8.set(bytes, at);
      // What is behind a number must not go on with it.
      memory.u8[at + bytes.length] = COMMA;
      textAt += bytes.length + 1;
      return at;
    };
    if (powers === 0) {
      for (let i = 0; i < EXACT_POWERS; i++) memory.f64[((program + powersAt) >>> 3) + i] = Number(`1e${i}`);
      memory.u8.set(new Uint8Array(powersOfFive().buffer), program + powersAt + 192);
    }
    members.forEach((member, m) => {
      const at = columnsAt + m * COLUMN.bytes;
      const key = keys[m] as Buffer;
      set(at + COLUMN.key, text(key));
      set(at + COLUMN.keyLength, key.length);
      const column = columns[member.column];
      if (column === undefined) {
        const isObject = member.members.length > 0;
        set(at + COLUMN.type, isObject ? OBJECT : ABSENT);
        if (!isObject) return;
        const inner = new JsonProgram(slabs, member.members, columns, facts, powersHere);
        this.#inner.push(inner);
        set(at + COLUMN.program, inner.address);
        set(at + COLUMN.lists, program + listsAt + m * BLOCK * 8);
        return;
      }
      const { default: literal, unit } = facts[member.column] as ColumnFacts;
      const { type } = column;
      set(at + COLUMN.type, type.name === 'timestamp' && unit !== 'ms' ? INSTANT : codeOf(type));
      set(at + COLUMN.offsets, column.offsets);
      set(at + COLUMN.validity, column.validity);
      set(at + COLUMN.nullable, type.nullable ? 1 : 0);
      set(at + COLUMN.unit, type.element === undefined ? UNIT_CODES[unit] : elementCode(type.element));
      if (literal !== undefined) {
        set(at + COLUMN.default, text(literal));
        set(at + COLUMN.defaultLength, literal.length);
        set(at + COLUMN.defaultPowers, powersHere);
      }
      this.#places.push([program + at, column]);
    });
    this.refresh();
  }

  /** Makes the kernel's own tables. */
  prepare(kernels: { jsonPrepare(program: number): void }): void {
    kernels.jsonPrepare(this.address);
    for (const inner of this.#inner) inner.prepare(kernels);
  }

  /** Tells the program where the columns' data is now, and how far it may be written. */
  refresh(): void {
    const { u32 } = this.#memory;
    for (const [at, column] of this.#places) {
      u32[(at + COLUMN.data) >>> 2] = column.data;
      u32[(at + COLUMN.limit) >>> 2] = column.data + column.byteCapacity;
    }
    for (const inner of this.#inner) inner.refresh();
  }

  release(slabs: SlabAllocator): void {
    slabs.free(this.address);
    for (const inner of this.#inner) inner.release(slabs);
  }
}

/** What the kernel calls a column's type. */
function codeOf(type: DataType): number {
  return type.json ? RAW : type.element !== undefined ? LIST : TYPE_CODES[type.name];
}

/** The same for writing: what is JSON is copied. */
export function writtenCode(type: DataType): number {
  return type.json || type.element !== undefined ? RAW : TYPE_CODES[type.name];
}

/** Elements that the kernel knows: texts, numbers and bools; lists of others it hands back. */
function elementCode(element: ElementType): number {
  if (!isType(element) || element.json || element.element !== undefined || !KNOWN_ELEMENTS.has(element.name)) return NO_ELEMENT;
  return TYPE_CODES[element.name] | (element.nullable ? MAY_BE_NULL : 0);
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
