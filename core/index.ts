/** The door of core: the structures and kernels, with no threads, no Kafka and nothing asynchronous. */

export { precisionFor } from './accumulators/hyper-log-log.ts';
export { quantileAt } from './accumulators/quantile-sketch.ts';
export { varianceOf } from './accumulators/sum-squares.ts';
export { eachListed } from './accumulators/value-list.ts';
export { eachValue, takenOff } from './accumulators/value-table.ts';
export { type Accumulator, type AccumulatorName, type AccumulatorOptions, accumulator } from './accumulators.ts';
export { ArrowReader, batchBytes, readBatch, readSchema, readStream, streamBytes, writeBatch, writeSchema, writeStream } from './arrow/index.ts';
export { assert, unreachable } from './assert.ts';
export { Batch, type Column, isValid, readText, readTimestamp, readValue } from './batch.ts';
export { BatchBuilder, type ColumnSpace } from './batch-builder.ts';
export { copyBytes, fillBytes } from './bulk.ts';
export { Counters, sumCounters } from './counters.ts';
export { crc32c, crc32cBytes } from './crc32c.ts';
export { ERROR_CODES, type ErrorCode, MillraceError, shown } from './errors.ts';
export { blockSlots, GroupTable, type GroupTableOptions } from './group-table.ts';
export { hashBytes, hashLong, hashNull, hashWord, mix32, SHARD_BITS, SHARD_COUNT, shardOf } from './hash.ts';
export { type AggregateRequestOf, type ColumnValues, HashAggregator, type HashAggregatorOptions } from './hash-aggregator.ts';
export { kernelExports } from './kernels.ts';
export { LIVE_CELL_BYTES, LiveCell } from './live-cell.ts';
export { LiveReader, TORN } from './live-reader.ts';
export { attachMemory, createMemory, MEMORY_BYTES_MAX, memoryHandle, type SharedMemory, type SharedMemoryHandle } from './memory.ts';
export { CumulativeGrid, EVENT_TIME_MAX, PaneGrid } from './pane-grid.ts';
export { PaneGroups, PaneStore, type PaneStoreOptions, smallTable } from './pane-groups.ts';
export { PaneRing, type PaneStates } from './pane-ring.ts';
export { type PaneRows, PaneSplit, type PaneSplitKernel, paneSplitReference } from './pane-split.ts';
export { type Rng, type SeekableRng, seededRng } from './prng.ts';
export {
  Bernoulli,
  Cooccurrence,
  ExponentialSmoothing,
  Gaussian,
  type Interval,
  LinearCounter,
  MovingAverage,
  normalDensity,
  wilsonInterval,
  zScore,
} from './probability.ts';
export { RingBuffer } from './ring.ts';
export { RunArena } from './run-arena.ts';
export * from './schema.ts';
export { distance, Sequence } from './sequence.ts';
export { SLAB_BYTES_MIN, SlabAllocator, type SlabUsage } from './slab.ts';
export { SlidingWindow, type SlidingWindowOptions, type SlidingWindowResult } from './sliding-window.ts';
export { type AccumulatorField, type KeyField, SlotLayout } from './slot-layout.ts';
export { StateReader, StateWriter } from './state-bytes.ts';
export { type Clock, type Duration, durationMs } from './time.ts';
export { Watermark, type WatermarkOptions, type WatermarkState } from './watermark.ts';
export { type WindowState, type WindowStateOptions, windowState } from './window-state.ts';
