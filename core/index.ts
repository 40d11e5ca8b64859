/** The door of core: the structures and kernels, with no threads, no Kafka and nothing asynchronous. */

export { assert, unreachable } from './assert.ts';
export { Batch, type Column, isValid, readText, readTimestamp, readValue } from './batch.ts';
export { BatchBuilder, type ColumnSpace } from './batch-builder.ts';
export { ERROR_CODES, type ErrorCode, MillraceError, shown } from './errors.ts';
export { kernelExports } from './kernels.ts';
export { attachMemory, createMemory, MEMORY_BYTES_MAX, memoryHandle, type SharedMemory, type SharedMemoryHandle } from './memory.ts';
export * from './schema.ts';
export { SlabAllocator, SLAB_BYTES_MIN, type SlabUsage } from './slab.ts';
export { type Clock, type Duration, durationMs } from './time.ts';
export { Counters, sumCounters } from './counters.ts';
export { RingBuffer } from './ring.ts';
export { distance, Sequence } from './sequence.ts';
