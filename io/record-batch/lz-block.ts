/**
 * LZ4 and Snappy blocks, decompressed from shared memory to shared memory.
 *
 * Both are our own, in the kernel (core/kernels/lz-block.ts) and here as its reference, because none of the
 * packages is safe on a topic that strangers write to. snappyjs loops forever on a literal of length 2^31 and
 * more, and lz4js does not check the ends of its buffers. The native ones neither limit their output nor
 * write to our memory. Each format is a page: lz4_Block_format.md and google/snappy's format_description.txt.
 */

import { kernelExports, type SharedMemory } from '../../core/index.ts';

export interface LzBlocks {
  /**
   * One LZ4 block: the bytes from `from` to `fromEnd`, written to `to`, not beyond `toEnd`. Matches may reach
   * back to `toStart` (linked blocks of a frame). Returns the address after what was written; 0 when the
   * block is broken or does not fit. Bytes between the result and `toEnd` may be overwritten as well.
   */
  lz4Block(from: number, fromEnd: number, to: number, toEnd: number, toStart: number): number;
  /** One Snappy block without its preamble (the varint with its decompressed size). Like `lz4Block`. */
  snappyBlock(from: number, fromEnd: number, to: number, toEnd: number): number;
}

/** The kernels over this memory, or the references. */
export function lzBlocks(memory: SharedMemory): LzBlocks {
  const kernels = kernelExports<LzBlocks>(memory);
  if (kernels === undefined) return lzReference(memory);
  // WebAssembly returns addresses beyond 2 GiB as negative numbers.
  return {
    lz4Block: (from, fromEnd, to, toEnd, toStart) => kernels.lz4Block(from, fromEnd, to, toEnd, toStart) >>> 0,
    snappyBlock: (from, fromEnd, to, toEnd) => kernels.snappyBlock(from, fromEnd, to, toEnd) >>> 0,
  };
}

export function lzReference(memory: SharedMemory): LzBlocks {
  const { u8 } = memory;
  return {
    lz4Block: (from, fromEnd, to, toEnd, toStart) => lz4Block(u8, from, fromEnd, to, toEnd, toStart),
    snappyBlock: (from, fromEnd, to, toEnd) => snappyBlock(u8, from, fromEnd, to, toEnd),
  };
}

function copyMatch(u8: Uint8Array, to: number, distance: number, length: number): void {
  if (distance >= length) u8.copyWithin(to, to - distance, to - distance + length);
  else for (let at = to; at < to + length; at++) u8[at] = u8[at - distance] as number;
}

function lz4Block(u8: Uint8Array, from: number, fromEnd: number, to: number, toEnd: number, toStart: number): number {
  let at = from;
  let out = to;
  while (at < fromEnd) {
    const token = u8[at++] as number;
    let length = token >>> 4;
    if (length === 15) {
      let byte = 255;
      while (byte === 255) {
        if (at >= fromEnd) return 0;
        byte = u8[at++] as number;
        length += byte;
      }
    }
    if (length > fromEnd - at || length > toEnd - out) return 0;
    u8.copyWithin(out, at, at + length);
    at += length;
    out += length;
    // The last sequence has no match.
    if (at === fromEnd) return out;
    if (fromEnd - at < 2) return 0;
    const distance = (u8[at] as number) | ((u8[at + 1] as number) << 8);
    at += 2;
    length = (token & 15) + 4;
    if (length === 19) {
      let byte = 255;
      while (byte === 255) {
        if (at >= fromEnd) return 0;
        byte = u8[at++] as number;
        length += byte;
      }
    }
    if (distance === 0 || distance > out - toStart || length > toEnd - out) return 0;
    copyMatch(u8, out, distance, length);
    out += length;
  }
  return 0;
}

function snappyBlock(u8: Uint8Array, from: number, fromEnd: number, to: number, toEnd: number): number {
  let at = from;
  let out = to;
  while (at < fromEnd) {
    const tag = u8[at++] as number;
    const kind = tag & 3;
    if (kind === 0) {
      let length = (tag >>> 2) + 1;
      if (length > 60) {
        const extra = length - 60;
        if (extra > fromEnd - at) return 0;
        length = 0;
        for (let i = 0; i < extra; i++) length += (u8[at + i] as number) * 2 ** (8 * i);
        at += extra;
        length++;
      }
      if (length > fromEnd - at || length > toEnd - out) return 0;
      u8.copyWithin(out, at, at + length);
      at += length;
      out += length;
      continue;
    }
    const bytes = kind === 1 ? 1 : kind === 2 ? 2 : 4;
    if (bytes > fromEnd - at) return 0;
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    let distance = kind === 1 ? (tag >>> 5) << 8 : 0;
    for (let i = 0; i < bytes; i++) distance += (u8[at + i] as number) * 2 ** (8 * i);
    at += bytes;
    if (distance === 0 || distance > out - to || length > toEnd - out) return 0;
    copyMatch(u8, out, distance, length);
    out += length;
  }
  return out;
}
