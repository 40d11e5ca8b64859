/**
 * Framing of plain text: splits a run of bytes at line ends into a RecordIndex. It copies nothing and decodes
 * nothing.
 *
 * A line ends at \n; a preceding \r belongs to the line end. Where the codec says so (CSV), a lone \r ends a
 * line too. Bytes after the last \n are a line as well (the last line of a file that does not end with \n).
 * So whoever cuts a file into runs must cut after a \n. A quoted line end, which CSV allows, ends a line
 * here.
 */

import { assert, kernelExports, type SharedMemory } from '../core/index.ts';
import type { RecordSpace } from './record-index.ts';

const LF = 0x0a;
const CR = 0x0d;

export interface LineKernels {
  lineSplit(
    address: number,
    byteLength: number,
    values: number,
    valueLengths: number,
    offsets: number,
    firstOffset: number,
    capacity: number,
    breaksAtCr: number,
  ): number;
}

/**
 * Lists the lines of `byteLength` bytes at `address` in `index`, as many as fit, and sets its count. The
 * offset of a line is `firstOffset` plus the position of its first byte: a byte position in the file.
 *
 * @returns the number of lines; when the index is full there may be more after {@link lineBytes}
 */
export function splitLines(memory: SharedMemory, address: number, byteLength: number, index: RecordSpace, firstOffset: number, breaksAtCr = false): number {
  const kernels = kernelExports<LineKernels>(memory);
  index.count = kernels
    ? kernels.lineSplit(address, byteLength, index.values, index.valueLengths, index.offsets, firstOffset, index.capacity, breaksAtCr ? 1 : 0)
    : lineSplit(memory, address, byteLength, index.values, index.valueLengths, index.offsets, firstOffset, index.capacity, breaksAtCr);
  return index.count;
}

/**
 * Bytes of the run at `address` that the lines in `index` take, including the last line end: where to
 * continue when the index was full.
 */
export function lineBytes(memory: SharedMemory, address: number, byteLength: number, index: RecordSpace): number {
  if (index.count === 0) return 0;
  const last = index.count - 1;
  const end = (memory.u32[(index.values >>> 2) + last] as number) + (memory.i32[(index.valueLengths >>> 2) + last] as number);
  const left = address + byteLength - end;
  assert(left >= 0, 'the index is of another run');
  if (left === 0) return byteLength;
  return end - address + (memory.u8[end] === CR && left > 1 && memory.u8[end + 1] === LF ? 2 : 1);
}

/** The TypeScript reference of the kernel. */
export function lineSplit(
  memory: SharedMemory,
  address: number,
  byteLength: number,
  values: number,
  valueLengths: number,
  offsets: number,
  firstOffset: number,
  capacity: number,
  breaksAtCr = false,
): number {
  const { u8, u32, i32, f64 } = memory;
  const end = address + byteLength;
  let start = address;
  let count = 0;
  while (start < end && count < capacity) {
    let stop = start;
    while (stop < end && u8[stop] !== LF && !(breaksAtCr && u8[stop] === CR && !(stop + 1 < end && u8[stop + 1] === LF))) stop++;
    const isCrLf = stop < end && stop > start && u8[stop - 1] === CR;
    u32[(values >>> 2) + count] = start;
    i32[(valueLengths >>> 2) + count] = stop - start - (isCrLf ? 1 : 0);
    f64[(offsets >>> 3) + count] = firstOffset + (start - address);
    count++;
    start = stop + 1;
  }
  return count;
}
