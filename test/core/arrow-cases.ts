/** Seeded rows of every type, as plain values: the model that the Arrow tests compare with. */

import {
  type AnyRow,
  type Batch,
  BatchBuilder,
  binary,
  bool,
  createMemory,
  type DataType,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  Schema,
  SlabAllocator,
  type TypeName,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import { fc } from '../seed.ts';

export const slabs = new SlabAllocator(createMemory(32 << 20));
export const { memory } = slabs;

export const TYPES: readonly DataType[] = [bool, i8, i16, i32, u32, i64, f32, f64, utf8, binary, timestamp];

const values: Readonly<Record<TypeName, fc.Arbitrary<unknown>>> = {
  bool: fc.boolean(),
  i8: fc.integer({ min: -128, max: 127 }),
  i16: fc.integer({ min: -32_768, max: 32_767 }),
  i32: fc.integer(),
  u32: fc.integer({ min: 0, max: 0xffff_ffff }),
  i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  f32: fc.float({ noNaN: false }),
  f64: fc.double(),
  utf8: fc.string({ unit: 'grapheme', maxLength: 12 }),
  binary: fc.uint8Array({ maxLength: 9 }),
  timestamp: fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
};

export interface Case {
  readonly schema: Schema;
  readonly rows: readonly AnyRow[];
}

/** A schema of up to six columns and up to 70 rows for it. */
export const cases: fc.Arbitrary<Case> = fc
  .uniqueArray(
    fc.record({
      name: fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('__proto__', 'constructor', 'é', '')),
      type: fc.constantFrom(...TYPES),
      isNullable: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6, selector: (column) => column.name },
  )
  .chain((columns) => {
    const fields = columns.map(({ name, type, isNullable }) => ({ name, type: isNullable ? nullable(type) : type }));
    const row = fc.tuple(...fields.map(({ type }) => (type.nullable ? fc.option(values[type.name], { freq: 3 }) : values[type.name])));
    return fc.array(row, { maxLength: 70 }).map((rows) => ({
      schema: new Schema(fields),
      rows: rows.map((cells) => Object.fromEntries(fields.map(({ name }, c) => [name, cells[c]]))),
    }));
  });

/** Rows as a batch in the shared memory. Call `release` when done. */
export function batchOf({ schema, rows }: Case): { batch: Batch; release: () => void } {
  const builder = new BatchBuilder(slabs, schema, Math.max(8, rows.length));
  for (const row of rows) builder.appendRow(row);
  return { batch: builder.finish(), release: () => builder.release() };
}

/** Copies bytes to a slab, at `shift` bytes behind its start. */
export function place(bytes: Uint8Array, shift = 0): number {
  const address = slabs.alloc(bytes.length + shift + 8);
  memory.u8.set(bytes, address + shift);
  return address;
}

/** Runs `use` on a slab of `bytes`, which is freed behind it. */
export function withSlab<T>(bytes: number, use: (address: number, limit: number) => T): T {
  const address = slabs.alloc(Math.max(8, bytes));
  try {
    return use(address, address + bytes);
  } finally {
    slabs.free(address);
  }
}
