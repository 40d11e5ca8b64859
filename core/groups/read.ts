/**
 * From slots to result columns: keys and finished accumulator values into a BatchBuilder, one column at a
 * time.
 */

import { assert } from '../assert.ts';
import { BatchBuilder, type ColumnSpace } from '../batch/index.ts';
import { MillraceError } from '../errors.ts';
import type { SharedMemory, SlabAllocator } from '../memory/index.ts';
import { type DataType, Schema } from '../schema.ts';
import { type GroupKernels, TILE_ROWS } from './kernel-signatures.ts';
import type { Scratch } from './scratch.ts';
import type { SlotLayout } from './slot-layout.ts';

/** @param lane work space of 8 * TILE_ROWS bytes */
export function readKeyColumn(
  kernels: GroupKernels,
  layout: SlotLayout,
  slots: number,
  count: number,
  key: number,
  out: BatchBuilder,
  column: number,
  row: number,
  lane: number,
): void {
  const field = layout.keys[key];
  const space = out.columns[column];
  // Texts of assertions are made only on failure: tiles are small where shards and windows are many.
  if (!field || space?.type.name !== field.type.name || (field.type.nullable && !space.type.nullable)) {
    assert(false, `key ${key} to a column of ${space?.type.name}`);
  }
  if (row + count > out.capacity || count > TILE_ROWS) assert(false, `${count} rows at ${row} of ${out.capacity}`);
  const { offset, inlineBytes } = field;
  if (field.shape === 'bytes') {
    const length = kernels.groupGatherLength(slots, count, offset);
    out.reserve(space, length);
    kernels.groupGatherBytes(slots, count, offset, inlineBytes, space.data, space.byteLength, space.offsets + (row + 1) * 4);
    space.byteLength += length;
  } else if (field.shape === 'long') {
    kernels.groupGatherLongs(slots, count, offset, space.data + row * 8);
  } else if (space.type.width === 4) {
    kernels.groupGatherWords(slots, count, offset, space.data + row * 4);
  } else {
    kernels.groupGatherWords(slots, count, offset, lane);
    for (let i = 0; i < count; i++) putNumber(out.memory, space, row + i, out.memory.i32[(lane >>> 2) + i] as number);
  }
  if (field.type.nullable) kernels.groupGatherNulls(slots, count, 1 << key, space.validity, row);
}

/** @param lane work space of 8 * TILE_ROWS bytes */
export function readValueColumn(
  kernels: GroupKernels,
  layout: SlotLayout,
  slots: number,
  count: number,
  index: number,
  out: BatchBuilder,
  column: number,
  row: number,
  validBy: number,
  lane: number,
): void {
  const field = layout.accumulators[index];
  const space = out.columns[column];
  if (!field || !space) assert(false, `accumulator ${index} to column ${column}`);
  if (row + count > out.capacity || count > TILE_ROWS) assert(false, `${count} rows at ${row} of ${out.capacity}`);
  const { accumulator, offset } = field;
  const { name } = space.type;
  const asI64 = name === 'i64' || name === 'timestamp';
  if (accumulator.textOffset !== undefined && (accumulator.result.name === 'utf8' || accumulator.result.name === 'binary')) {
    assert(name === accumulator.result.name, `a ${accumulator.name} of type ${accumulator.result.name} to a column of ${name}`);
    const at = offset + accumulator.textOffset;
    const length = kernels.groupGatherLength(slots, count, at);
    out.reserve(space, length);
    kernels.groupGatherBytes(slots, count, at, 0, space.data, space.byteLength, space.offsets + (row + 1) * 4);
    space.byteLength += length;
    if (validBy >= 0) clearEmpty();
    return;
  }
  if (name !== 'f64' && name !== accumulator.result.name) assert(false, `a ${accumulator.name} of type ${accumulator.result.name} to a column of ${name}`);
  if (space.type.width === 8) {
    const overflows = accumulator.finish(kernels, slots, count, offset, space.data + row * 8, asI64, out.memory);
    if (overflows > 0) {
      throw new MillraceError(
        'ERR_MILLRACE_CAPACITY',
        `The sum of i64 values for column ${JSON.stringify(space.name)} does not fit 64 bits in ${overflows} groups. Take the sum as f64, or divide the values first.`,
      );
    }
  } else {
    accumulator.finish(kernels, slots, count, offset, lane, false, out.memory);
    for (let i = 0; i < count; i++) putNumber(out.memory, space, row + i, out.memory.f64[(lane >>> 3) + i] as number);
  }
  if (validBy >= 0) clearEmpty();

  function clearEmpty(): void {
    const counter = layout.accumulators[validBy];
    if (!counter || !space || space.validity === 0)
      throw new Error(`millrace: assertion failed: accumulator ${validBy} says which rows of a ${name} column are valid`);
    kernels.groupGatherEmpty(slots, count, counter.offset, space.validity, row);
  }
}

/** Writes numbers to a column of at most 4 bytes per value. */
function putNumber(memory: SharedMemory, { type, data }: ColumnSpace, row: number, value: number): void {
  switch (type.name) {
    case 'bool': {
      const bit = 1 << (row & 7);
      const at = data + (row >>> 3);
      memory.u8[at] = value === 1 ? (memory.u8[at] as number) | bit : (memory.u8[at] as number) & ~bit;
      return;
    }
    case 'i8':
      memory.i8[data + row] = value;
      return;
    case 'i16':
      memory.i16[(data >>> 1) + row] = value;
      return;
    case 'i32':
      memory.i32[(data >>> 2) + row] = value;
      return;
    case 'f32':
      memory.f32[(data >>> 2) + row] = value;
      return;
    default:
      memory.u32[(data >>> 2) + row] = value;
  }
}

/** One value of one slot, as in a row; `read` writes it to row 0 of a builder's only column. Cold path. */
export function readSlot(slabs: SlabAllocator, scratch: Scratch, slot: number, type: DataType, read: (slots: number, out: BatchBuilder) => void): unknown {
  const out = new BatchBuilder(slabs, new Schema([{ name: 'value', type }]), 8);
  const list = scratch.takeList();
  try {
    slabs.memory.u32[list >>> 2] = slot;
    read(list, out);
    return out.finish(1).value(0, 0);
  } finally {
    scratch.returnList(list);
    out.release();
  }
}
