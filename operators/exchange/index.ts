/**
 * The door of operators/exchange: the contract behind an exchange, its blocks, and the scatter of whole rows.
 */

export {
  BLOCK_HEAD_BYTES,
  blockCount,
  blockInput,
  type ChunkOrigin,
  exchangeBlockBytes,
  exchangeBlockOrigin,
  exchangeBlockRows,
  GROUPS_MAGIC,
  isExchangeBlock,
  orderExchangeBlocks,
  writeBlockHead,
} from './exchange-block.ts';
export {
  type DueTimes,
  type Emit,
  type EpochClock,
  type EpochStart,
  type ExchangeInput,
  type ExchangeOperator,
  type ExchangeShard,
  type HeldRows,
  type LeftOut,
  type Migration,
  NEVER_DUE,
  type OpenShard,
  type OrderOfRows,
  type OutputTime,
  type RowFailures,
  type Scatter,
  type ScatterHooks,
  type ShardContext,
  type ShardPublisher,
  type StateFacts,
} from './exchange-operator.ts';
export { hashKeys } from './key-hash.ts';
export { type BlockColumns, offsetInShard, rowBlockMaxTime, shardOrders, shardRows, shardsWithRows } from './row-block.ts';
export { RowMerger } from './row-order.ts';
export { type RowInput, RowPartitioner, type RowStage } from './row-partition.ts';
export { sliceRowBlock } from './row-slice.ts';
export { named, type ResultParts, resultParts, type StateRow } from './state-row.ts';
