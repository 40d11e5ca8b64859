/**
 * Records whose fields are numbers, texts and bytes (nullable or not, in structs or not), as a program in shared memory for
 * the kernel, core/kernels/avro.ts, which has the same numbers. Lists, maps, unions of several types, enums, decimals,
 * UUIDs and defaults are none of these: records with them are read by row.ts alone.
 *
 *   header  64 bytes: the number of fields (u32), bytes that precede a record (u32), at 16 these bytes
 *   fields  64 bytes each, FIELD, in the order of the wire; `op` as in steps.ts
 */

import type { ColumnSpace, SharedMemory, SlabAllocator } from '../../core/index.ts';
import { OP, type Step } from './steps.ts';

/** See core/kernels/avro.ts. */
export interface AvroKernels {
  avroDecode(program: number, values: number, lengths: number, count: number, row: number): number;
}

const HEADER = { fields: 0, prefixBytes: 4, prefix: 16, bytes: 64 } as const;
const FIELD = { op: 0, wire: 4, data: 8, offsets: 12, validity: 16, limit: 20, nullIndex: 24, size: 28, bytes: 64 } as const;
const SKIPS: ReadonlySet<number> = new Set([OP.skipFixed, OP.skipVarint, OP.skipBytes]);
const VALUES: ReadonlySet<number> = new Set([OP.bool, OP.i32, OP.i64, OP.f32, OP.f64, OP.timestamp, OP.date, OP.utf8, OP.binary, OP.fixed]);

interface FlatField {
  readonly step: Step;
  /** Which of two branches is null; -1: it is no union. */
  readonly nullIndex: number;
}

/** The fields of a record's step, one after the other; undefined: there are others than the kernel knows. */
function flatFields(step: Step, nullIndex = -1): readonly FlatField[] | undefined {
  if (SKIPS.has(step.op) || (VALUES.has(step.op) && step.column >= 0)) return [{ step, nullIndex }];
  if (step.op === OP.record && nullIndex < 0) {
    const fields: FlatField[] = [];
    for (const inner of step.steps) {
      const found = flatFields(inner);
      if (found === undefined) return undefined;
      fields.push(...found);
    }
    return fields;
  }
  if (step.op !== OP.union || step.steps.length !== 2 || nullIndex >= 0) return step.op === OP.nothing && nullIndex < 0 ? [] : undefined;
  const [first, second] = step.steps as [Step, Step];
  const isNull = (branch: Step, other: Step): boolean =>
    branch.op === OP.nothing || (branch.op === OP.nulls && branch.columns.length === 1 && branch.columns[0] === other.column);
  // A value that is null where nobody wants it is nothing; one that is wanted has its column set to null.
  if (isNull(first, second) && (SKIPS.has(second.op) || VALUES.has(second.op))) return flatFields(second, 0);
  if (isNull(second, first) && (SKIPS.has(first.op) || VALUES.has(first.op))) return flatFields(first, 1);
  return undefined;
}

export class FlatProgram {
  readonly address: number;
  readonly #memory: SharedMemory;
  /** Whether it knows what precedes records. */
  isReady = false;
  readonly #places: (readonly [at: number, column: ColumnSpace])[] = [];

  /** Undefined: the kernel does not know such records. */
  static of(slabs: SlabAllocator, step: Step, columns: readonly ColumnSpace[]): FlatProgram | undefined {
    const fields = flatFields(step);
    return fields === undefined || fields.length === 0 ? undefined : new FlatProgram(slabs, fields, columns);
  }

  private constructor(slabs: SlabAllocator, fields: readonly FlatField[], columns: readonly ColumnSpace[]) {
    const { memory } = slabs;
    this.#memory = memory;
    const bytes = HEADER.bytes + fields.length * FIELD.bytes;
    const program = slabs.alloc(bytes);
    this.address = program;
    memory.u8.fill(0, program, program + bytes);
    const set = (at: number, value: number): void => {
      memory.u32[(program + at) >>> 2] = value;
    };
    set(HEADER.fields, fields.length);
    for (const [n, { step, nullIndex }] of fields.entries()) {
      const at = HEADER.bytes + n * FIELD.bytes;
      set(at + FIELD.op, step.op);
      set(at + FIELD.nullIndex, nullIndex);
      // Steps of fixed values have their size in `wire`.
      set(at + FIELD.wire, Math.max(0, step.wire));
      set(at + FIELD.size, step.op === OP.fixed ? step.wire : step.size);
      const column = columns[step.column];
      if (column === undefined) continue;
      set(at + FIELD.offsets, column.offsets);
      set(at + FIELD.validity, column.validity);
      this.#places.push([program + at, column]);
    }
    this.refresh();
  }

  /** What precedes the records to come. */
  setPrefix(from: number, bytes: number): void {
    this.isReady = true;
    const { u8, u32 } = this.#memory;
    u32[(this.address + HEADER.prefixBytes) >>> 2] = bytes;
    for (let i = 0; i < bytes; i++) u8[this.address + HEADER.prefix + i] = u8[from + i] as number;
  }

  /** Tells the program where the columns' data is now, and how far it may be written. */
  refresh(): void {
    const { u32 } = this.#memory;
    for (const [at, column] of this.#places) {
      u32[(at + FIELD.data) >>> 2] = column.data;
      u32[(at + FIELD.limit) >>> 2] = column.data + column.byteCapacity;
    }
  }
}
