/**
 * The partition of a record. It is Kafka's default partitioner, murmur2 over the key, so that other
 * producers' records of the same key land in the same partition. A record without a key is spread by the hash
 * of its value. Any partition is right for it, and this one does not depend on which thread wrote it.
 *
 * Murmur2: Appleby, 2008; the variant of org.apache.kafka.common.utils.Utils.
 */

import { kernelExports, type SharedMemory } from '../../core/index.ts';

/**
 * Fills the u32 array `out` with the partitions of `count` records.
 *
 * @param keys address of u32 addresses, 0: no record has a key
 * @param keyLengths address of i32 lengths, -1: no key
 * @param values address of the first value; value i ends at entry i of `ends`, where value i + 1 starts
 */
export type PartitionRecords = (count: number, keys: number, keyLengths: number, values: number, ends: number, partitionCount: number, out: number) => void;

/** The kernel over this memory, or the reference. */
export function partitionRecords(memory: SharedMemory): PartitionRecords {
  const kernels = kernelExports<{ recordPartitions: PartitionRecords }>(memory);
  if (kernels === undefined) return partitionReference(memory);
  return (count, keys, keyLengths, values, ends, partitionCount, out) => kernels.recordPartitions(count, keys, keyLengths, values, ends, partitionCount, out);
}

export function partitionReference(memory: SharedMemory): PartitionRecords {
  const { u8, u32, i32 } = memory;
  return (count, keys, keyLengths, values, ends, partitionCount, out) => {
    let value = values;
    for (let i = 0; i < count; i++) {
      const end = u32[(ends >>> 2) + i] as number;
      const keyLength = keys === 0 ? -1 : (i32[(keyLengths >>> 2) + i] as number);
      const hash = keyLength < 0 ? murmur2(u8, value, end - value) : murmur2(u8, u32[(keys >>> 2) + i] as number, keyLength);
      u32[(out >>> 2) + i] = (hash & 0x7fffffff) % partitionCount;
      value = end;
    }
  };
}

/** Murmur2 as Kafka's clients compute it, as a signed number. */
export function murmur2(bytes: Uint8Array, from = 0, length = bytes.length - from): number {
  const m = 0x5bd1e995;
  let h = 0x9747b28c ^ length;
  let at = from;
  for (const end = from + (length & ~3); at < end; at += 4) {
    let k = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
    k = Math.imul(k, m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = length & 3;
  if (rest > 2) h ^= (bytes[at + 2] as number) << 16;
  if (rest > 1) h ^= (bytes[at + 1] as number) << 8;
  if (rest > 0) h = Math.imul(h ^ (bytes[at] as number), m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

/** The partition of a single key. */
export function partitionOf(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}
