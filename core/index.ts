/** The door of core: the structures and kernels, with no threads, no Kafka and nothing asynchronous. */

export { ArrowReader, batchBytes, readBatch, readSchema, readStream, streamBytes, writeBatch, writeSchema, writeStream } from './arrow/index.ts';
export { assert, unreachable } from './assert.ts';
export { Batch, type Column, isValid, readText, readTimestamp, readValue } from './batch/batch.ts';
export { BatchBuilder, type ColumnSpace } from './batch/batch-builder.ts';
export { ERROR_CODES, type ErrorCode, MillraceError, shown, shownPath } from './errors.ts';
export { precisionFor } from './groups/accumulators/hyper-log-log.ts';
export { quantileAt } from './groups/accumulators/quantile-sketch.ts';
export { varianceOf } from './groups/accumulators/sum-squares.ts';
export { eachListed } from './groups/accumulators/value-list.ts';
export { eachValue, takenOff } from './groups/accumulators/value-table.ts';
export { type Accumulator, type AccumulatorName, type AccumulatorOptions, accumulator } from './groups/accumulators.ts';
export { blockSlots, GroupTable, type GroupTableOptions } from './groups/group-table.ts';
export { LIVE_CELL_BYTES, LiveCell } from './groups/live-cell.ts';
export { LiveReader, TORN } from './groups/live-reader.ts';
export { type AccumulatorField, type KeyField, SlotLayout } from './groups/slot-layout.ts';
export { hashBytes, hashLong, hashNull, hashWord, mix32, SHARD_BITS, SHARD_COUNT, shardOf } from './hash.ts';
export { type AggregateRequestOf, type ColumnValues, HashAggregator, type HashAggregatorOptions } from './hash-aggregator.ts';
export { kernelExports } from './kernels.ts';
export { copyBytes, fillBytes } from './memory/bulk.ts';
export { Counters, sumCounters } from './memory/counters.ts';
export { crc32c, crc32cBytes } from './memory/crc32c.ts';
export { PagePool, type PagePoolOptions } from './memory/page-pool.ts';
export { RingBuffer } from './memory/ring.ts';
export { distance, Sequence } from './memory/sequence.ts';
export { attachMemory, createMemory, MEMORY_BYTES_MAX, memoryHandle, type SharedMemory, type SharedMemoryHandle } from './memory/shared-memory.ts';
export { SLAB_BYTES_MIN, SlabAllocator, type SlabUsage } from './memory/slab.ts';
export { StateReader, StateWriter } from './memory/state-bytes.ts';
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
} from './models/index.ts';
export { checkOptionNames, nearNames } from './option-names.ts';
export { OpenWindows } from './panes/open-windows.ts';
export { CumulativeGrid, EVENT_TIME_MAX, PaneGrid } from './panes/pane-grid.ts';
export { PaneGroups } from './panes/pane-groups.ts';
export { PaneRing, type PaneStates } from './panes/pane-ring.ts';
export { type PaneRows, PaneSplit, type PaneSplitKernel, paneSplitReference } from './panes/pane-split.ts';
export { PaneStore, type PaneStoreOptions, smallTable } from './panes/pane-store.ts';
export { RunArena } from './panes/run-arena.ts';
export { Watermark, type WatermarkOptions, type WatermarkPolicy, type WatermarkState } from './panes/watermark.ts';
export type { WindowState, WindowStateOptions } from './panes/window-state.ts';
export { windowState } from './panes/window-strategy.ts';
export { ZoneGrid } from './panes/zone-grid.ts';
export { type Rng, type SeekableRng, seededRng } from './prng.ts';
export * from './schema.ts';
export { newSecret, secretHashBytes } from './secret-hash.ts';
export { SlidingWindow, type SlidingWindowOptions, type SlidingWindowResult } from './sliding-window.ts';
export { type Clock, type Duration, durationMs } from './time.ts';
