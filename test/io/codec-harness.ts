/** What the codec tests share: records laid out in shared memory, decoded by the kernel or by the reference, as plain rows. */

import assert from 'node:assert/strict';
import { type AnyRow, attachMemory, type Batch, createMemory, type Schema, type SharedMemory, SlabAllocator } from '../../core/index.ts';
import type { Codec } from '../../io/codec.ts';
import { allocRecordIndex } from '../../io/record-index.ts';
import type { Rejection } from '../../io/source.ts';

export const memory = createMemory(64 << 20);
export const slabs = new SlabAllocator(memory);
/** The same bytes seen without WebAssembly: codecs over it use their reference. */
export const plainMemory: SharedMemory = attachMemory(memory.buffer);
export const plainSlabs = new SlabAllocator(plainMemory);

export interface Decoded {
  readonly rows: readonly AnyRow[];
  /** Record of each row. */
  readonly records: readonly number[];
  readonly rejections: readonly Rejection[];
}

const FILLER = 0x31; // A digit: bytes behind a record must not matter, and digits would go on with a number.

/** Decodes records (null: no value) by one codec, by its kernel or by its reference. */
export function decode(
  codec: Codec,
  values: readonly (Uint8Array | null)[],
  {
    kernel = true,
    columns,
    batchRows = 16,
    firstOffset = 1000,
  }: { kernel?: boolean; columns?: readonly number[]; batchRows?: number; firstOffset?: number } = {},
): Decoded {
  const schema = codec.schema as Schema;
  const on = kernel ? slabs : plainSlabs;
  const rejections: Rejection[] = [];
  const freed: number[] = [];
  const tracked = trackSlabs(on, freed);
  const decoder = codec.decoder({
    memory: on.memory,
    slabs: tracked,
    columns: columns ?? schema.fields.map((_, i) => i),
    batchRows,
    reject: (rejection) => rejections.push(rejection),
  });
  const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0) + 24, 64);
  const frame = on.alloc(bytes);
  const index = allocRecordIndex(on, values.length + 1);
  memory.u8.fill(FILLER, frame, frame + bytes);
  let at = frame + 3;
  values.forEach((value, i) => {
    memory.u32[(index.values >>> 2) + i] = at;
    memory.i32[(index.valueLengths >>> 2) + i] = value === null ? -1 : value.length;
    memory.f64[(index.offsets >>> 3) + i] = firstOffset + i;
    if (value) {
      memory.u8.set(value, at);
      at += value.length + (i % 5);
    }
  });
  index.count = values.length;
  const rows: AnyRow[] = [];
  const records: number[] = [];
  // A decoder is used for many lists.
  for (let round = 0; round < 2; round++) {
    rows.length = 0;
    records.length = 0;
    rejections.length = 0;
    decoder.open(index);
    for (let batch = decoder.next(); batch; batch = decoder.next()) {
      assert.ok(batch.rowCount > 0 && batch.rowCount <= batchRows);
      rows.push(...batch.toRows());
      for (let row = 0; row < batch.rowCount; row++) records.push(decoder.recordOf(row));
    }
    assert.equal(decoder.next(), undefined);
  }
  index.release();
  on.free(frame);
  for (const address of freed) on.free(address);
  return { rows, records, rejections };
}

/** Encodes all rows of a batch; each record as bytes. `step` bounds the bytes given at a time. */
export function encode(codec: Codec, batch: Batch, { kernel = true, step = 1 << 16 }: { kernel?: boolean; step?: number } = {}): Uint8Array[] {
  const on = kernel ? slabs : plainSlabs;
  const freed: number[] = [];
  const encoder = codec.encoder({ memory: on.memory, slabs: trackSlabs(on, freed) }, batch.schema);
  const target = on.alloc(step + 64);
  const ends = on.alloc(batch.rowCount * 4 + 4);
  const records: Uint8Array[] = [];
  for (let row = 0; row < batch.rowCount; ) {
    memory.u8.fill(0xee, target + step, target + step + 64);
    const count = encoder.encode(batch, row, batch.rowCount, target, target + step, ends);
    assert.ok(count > 0, `row ${row} does not fit ${step} bytes`);
    let from = target;
    for (let i = 0; i < count; i++) {
      const end = memory.u32[(ends >>> 2) + i] as number;
      records.push(memory.u8.slice(from, end));
      from = end;
    }
    assert.ok(from <= target + step);
    for (let i = 0; i < 64; i++) assert.equal(memory.u8[target + step + i], 0xee, 'nothing is written behind the limit');
    row += count;
  }
  on.free(target);
  on.free(ends);
  for (const address of freed) on.free(address);
  return records;
}

/** An allocator that notes what is in use, so that a test can give it back. */
function trackSlabs(slabs: SlabAllocator, used: number[]): SlabAllocator {
  return new Proxy(slabs, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result = Reflect.apply(value, target, args) as unknown;
        if (name === 'alloc' || name === 'tryAlloc') used.push(result as number);
        if (name === 'free') used.splice(used.indexOf(args[0] as number), 1);
        return result;
      };
    },
  });
}

/** Rows of records that are all decoded. */
export function rowsOf(codec: Codec, ...values: Uint8Array[]): readonly AnyRow[] {
  const { rows, rejections } = decode(codec, values);
  assert.deepEqual(rejections, []);
  return rows;
}

/** Why a record is refused. */
export function refusal(codec: Codec, value: Uint8Array): string {
  const { rows, rejections } = decode(codec, [value]);
  assert.deepEqual(rows, []);
  return (rejections[0] as { message: string }).message;
}

/** Bytes from hexadecimal text, with or without spaces. */
export const ofHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
