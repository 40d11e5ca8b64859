/**
 * The records that travel in the rings between coordinator and workers: 64 bytes each, at the offsets below. A ring
 * hands over addresses and numbers; the bytes they speak of lie in slabs.
 */

/** `kind` of a record to a worker. */
export const TO_WORKER = {
  /** Scan this chunk. */
  chunk: 1,
  /** The epoch ends here: flush, meet the others, merge, emit. */
  endEpoch: 2,
  /** Leave the loop. */
  stop: 3,
} as const;

/** `kind` of a record from a worker. */
export const FROM_WORKER = {
  /** A chunk was scanned: its slab is free. */
  chunkDone: 1,
  /** A block for a sink. */
  output: 2,
  /** All of an epoch's blocks were handed over. */
  epochDone: 3,
} as const;

/** Offsets of the fields. Those of chunk and output share places: a record is one or the other. */
export const MESSAGE = {
  kind: 0, // u32
  epoch: 4, // u32
  address: 8, // u32: the slab
  bytes: 12, // u32
  // chunk
  source: 16, // u32
  partition: 20, // u32: within its source
  sequence: 24, // u32: chunks of a partition are numbered
  first: 32, // f64
  next: 40, // f64
  // end of an epoch
  nowMs: 32, // f64: the coordinator's clock
  // chunk, end of an epoch
  startMs: 48, // f64: the coordinator's clock at the epoch's first row
  // output
  sink: 16, // u32
  outputPartition: 20, // u32
  rows: 24, // u32
  stage: 28, // u32: 0 for a scan, 1 + n for exchange n
  unit: 32, // u32: what orders blocks within a stage: global partition (scan) or shard
  unitSequence: 36, // u32: chunk (scan); 0 for a shard
  order: 40, // u32: number of the block within its unit
} as const;

export const MESSAGE_BYTES = 64;
export const RING_CAPACITY = 1_024;
