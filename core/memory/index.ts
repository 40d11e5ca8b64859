/**
 * The door of core/memory: the one shared memory, who owns which of its bytes, and hand-over between two
 * threads.
 */

export { copyBytes, fillBytes } from './bulk.ts';
export { Counters, sumCounters } from './counters.ts';
export { crc32c, crc32cBytes } from './crc32c.ts';
export { kernelExports } from './kernel-module.ts';
export { PagePool, type PagePoolOptions } from './page-pool.ts';
export { RingBuffer } from './ring.ts';
export { distance, Sequence } from './sequence.ts';
export { attachMemory, createMemory, MEMORY_BYTES_MAX, memoryHandle, type SharedMemory, type SharedMemoryHandle } from './shared-memory.ts';
export { SLAB_BYTES_MIN, SlabAllocator, type SlabUsage } from './slab.ts';
export { StateReader, StateWriter } from './state-bytes.ts';
