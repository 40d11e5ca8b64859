/**
 * CRC32C (Castagnoli): the checksum of Kafka's record batches, of the embedded log and of checkpoints.
 * zlib.crc32 does not serve: it has another polynomial.
 *
 * Slicing by 16 (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
 * Generation", IEEE Transactions on Computers, 2008): sixteen tables of 256 words; table k advances a byte by
 * k more bytes of zeros.
 *
 *   crc of 16 bytes = T15[b0 ^ crc0] ^ T14[b1 ^ crc1] ^ T13[b2 ^ crc2] ^ T12[b3 ^ crc3] ^ T11[b4] ^ ... ^
 *   T0[b15]
 *
 * The kernel finds its tables in the last 16 KiB of the 64 KiB before the slabs, which hold the kernels'
 * statics (slab.ts). Every thread writes them with the same values; no thread ever sees others.
 */

import { kernelExports } from './kernel-module.ts';
import type { SharedMemory } from './shared-memory.ts';

interface Crc32cKernels {
  crc32cTables(tables: number): void;
  crc32c(tables: number, address: number, bytes: number, seed: number): number;
}

const KERNEL_TABLES = 49_152;
const POLYNOMIAL = 0x82f63b78;
const SLICES = 16;
const tables = makeTables();
const kernelsOf = new WeakMap<SharedMemory, Crc32cKernels | 'reference'>();

/**
 * Checksum of bytes in the shared memory, as an unsigned number.
 *
 * @param seed the checksum of what comes before: crc32c(a then b) = crc32c(b, crc32c(a))
 */
export function crc32c(memory: SharedMemory, address: number, bytes: number, seed = 0): number {
  const kernels = kernelsOf.get(memory) ?? findKernels(memory);
  if (kernels === 'reference') return crcOf(memory.u8, address, address + bytes, seed);
  return kernels.crc32c(KERNEL_TABLES, address, bytes, seed) >>> 0;
}

/** Checksum of plain bytes, for the coordinator and for files: the TypeScript reference of the kernel. */
export function crc32cBytes(bytes: Uint8Array, from = 0, to = bytes.length, seed = 0): number {
  return crcOf(bytes, from, to, seed);
}

function findKernels(memory: SharedMemory): Crc32cKernels | 'reference' {
  const kernels = kernelExports<Crc32cKernels>(memory) ?? 'reference';
  if (kernels !== 'reference') kernels.crc32cTables(KERNEL_TABLES);
  kernelsOf.set(memory, kernels);
  return kernels;
}

function makeTables(): Int32Array {
  const words = new Int32Array(SLICES * 256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    words[i] = crc;
  }
  for (let i = 256; i < SLICES * 256; i++) {
    const before = words[i - 256] as number;
    words[i] = (before >>> 8) ^ (words[before & 255] as number);
  }
  return words;
}

function crcOf(bytes: Uint8Array, from: number, to: number, seed: number): number {
  const t = tables;
  let crc = ~seed;
  let at = from;
  for (; at + 16 <= to; at += 16) {
    // What does not depend on the previous round comes first.
    const rest =
      (t[2816 + (bytes[at + 4] as number)] as number) ^
      (t[2560 + (bytes[at + 5] as number)] as number) ^
      (t[2304 + (bytes[at + 6] as number)] as number) ^
      (t[2048 + (bytes[at + 7] as number)] as number) ^
      (t[1792 + (bytes[at + 8] as number)] as number) ^
      (t[1536 + (bytes[at + 9] as number)] as number) ^
      (t[1280 + (bytes[at + 10] as number)] as number) ^
      (t[1024 + (bytes[at + 11] as number)] as number) ^
      (t[768 + (bytes[at + 12] as number)] as number) ^
      (t[512 + (bytes[at + 13] as number)] as number) ^
      (t[256 + (bytes[at + 14] as number)] as number) ^
      (t[bytes[at + 15] as number] as number);
    const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
    crc ^= low;
    crc =
      (t[3840 + (crc & 255)] as number) ^
      (t[3584 + ((crc >>> 8) & 255)] as number) ^
      ((t[3328 + ((crc >>> 16) & 255)] as number) ^ (t[3072 + (crc >>> 24)] as number)) ^
      rest;
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 255] as number);
  return ~crc >>> 0;
}
