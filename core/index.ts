/** The door of core: the structures and kernels, with no threads, no Kafka and nothing asynchronous. */

export {
  ArrowReader,
  batchBytes,
  isNestedSchema,
  NestedArrowReader,
  nestedBatchBytes,
  nestedStreamBytes,
  readBatch,
  readSchema,
  readStream,
  streamBytes,
  writeBatch,
  writeSchema,
  writeStream,
} from './arrow/index.ts';
export { assert, unreachable } from './assert.ts';
export { Batch, BatchBuilder, type Column, type ColumnSpace, gather, isValid, readNumber, readText, readTimestamp, readValue } from './batch/index.ts';
export { SIGN, withoutSign, withSign } from './changes.ts';
export { ERROR_CODES, type ErrorCode, MillraceError, shown, shownPath } from './errors.ts';
export {
  type Accumulator,
  type AccumulatorField,
  type AccumulatorName,
  type AccumulatorOptions,
  accumulator,
  BLOCK_SLOTS,
  blockSlots,
  eachListed,
  eachUnordered,
  eachValue,
  GroupTable,
  type GroupTableOptions,
  type KeyField,
  LIVE_CELL_BYTES,
  LiveCell,
  LiveReader,
  precisionFor,
  quantileAt,
  SlotLayout,
  TORN,
  takenOff,
  varianceOf,
} from './groups/index.ts';
export { hashBytes, hashLong, hashNull, hashWord, mix32, SHARD_BITS, SHARD_COUNT, shardOf } from './hash.ts';
export { type AggregateRequestOf, type ColumnValues, HashAggregator, type HashAggregatorOptions } from './hash-aggregator.ts';
export { compactJson, comparable, elementTexts, listOf, listText, memberTexts, needsText, textOfValue } from './list-text.ts';
export { LOG_LEVELS, type Logger, type LogLevel } from './logger.ts';
export {
  attachMemory,
  Counters,
  copyBytes,
  crc32c,
  crc32cBytes,
  createMemory,
  distance,
  fillBytes,
  kernelExports,
  MEMORY_BYTES_MAX,
  memoryHandle,
  PagePool,
  type PagePoolOptions,
  RingBuffer,
  Sequence,
  type SharedMemory,
  type SharedMemoryHandle,
  SLAB_BYTES_MIN,
  SlabAllocator,
  type SlabUsage,
  StateReader,
  StateWriter,
  sumCounters,
} from './memory/index.ts';
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
export { memberOf, pathOf, rowObject, setMember } from './nested-row.ts';
export { checkOptionNames, nearNames } from './option-names.ts';
export {
  CumulativeGrid,
  EVENT_TIME_MAX,
  OpenWindows,
  PaneGrid,
  PaneGroups,
  PaneRing,
  type PaneRows,
  PaneSplit,
  type PaneSplitKernel,
  type PaneStates,
  PaneStore,
  type PaneStoreOptions,
  paneSplitReference,
  RunArena,
  smallTable,
  Watermark,
  type WatermarkOptions,
  type WatermarkPolicy,
  type WatermarkState,
  type WindowState,
  type WindowStateOptions,
  windowState,
  ZoneGrid,
  ZoneOffsets,
  type ZoneSpan,
} from './panes/index.ts';
export { type Rng, type SeekableRng, seededRng } from './prng.ts';
export * from './schema.ts';
export { newSecret, secretHashBytes } from './secret-hash.ts';
export { dataWithoutSecrets, keepSecret, keepSecretsOf, MASK, withoutSecrets } from './secrets.ts';
export { SlidingWindow, type SlidingWindowOptions, type SlidingWindowResult } from './sliding-window.ts';
export { type Clock, type Duration, durationMs } from './time.ts';
export { addExactly, addProduct, productError } from './two-doubles.ts';
