/** The door of runtime/shared: layouts that threads share, and the one file that waits. */

export { type Balance, EpochBalance, type ExchangeBalance, type SourceBalance, WorkerBalance } from './balance.ts';
export { OF_EXCHANGE, OF_SOURCE } from './balance-counts.ts';
export { Aborted, Control, type ControlShape, type StateBytes, type WorkerActivity } from './control.ts';
export { COUNTER_NAMES, type CounterName, type FailedRowsPolicy, type LedgerSample, SAMPLES_MAX } from './ledger.ts';
export {
  type ChunkMessage,
  type EpochEndMessage,
  epochOf,
  FROM_WORKER,
  kindOf,
  MESSAGE_BYTES,
  RING_CAPACITY,
  readChunk,
  readChunkDone,
  readEpochEnd,
  readOutput,
  TO_WORKER,
  writeChunk,
  writeChunkDone,
  writeEpochDone,
  writeEpochEnd,
  writeOutput,
  writeStop,
} from './messages.ts';
export { type OutputBlock, orderBlocks } from './output-block.ts';
export { PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from './partition-codes.ts';
export { nothingRestored, type Restored, restoreWatermarks } from './restored.ts';
export { RowAtWork, type SeenRow } from './row-at-work.ts';
export { ring, spinUntil, waitAsync, waitBlocking } from './wait.ts';
