/**
 * The records that travel in the rings between coordinator and workers: 64 bytes each. A ring hands over
 * addresses and numbers; the bytes they refer to lie in slabs. Each kind of record has functions here that
 * write and read it; only this file knows offsets.
 *
 *   kind u32 | epoch u32 | up to nine u32 from 8 on | an f64 each at 40, 48, 56
 */

import type { SharedMemory } from '../../core/index.ts';
import type { Chunk } from '../../io/index.ts';
import { OUTPUT_BLOCK_FIELDS, type OutputBlock } from './output-block.ts';

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

export const MESSAGE_BYTES = 64;
export const RING_CAPACITY = 1_024;

const KIND = 0;
const EPOCH = 4;
const WORDS = 8;
const START_MS = 40;
/** An epoch's end has a time in the place where a chunk has its first position. */
const FIRST = 48;
const NOW_MS = 48;
const NEXT = 56;

/** What a worker is to scan. */
export interface ChunkMessage {
  readonly epoch: number;
  readonly source: number;
  readonly chunk: Chunk;
  /** The number of the chunk within its partition. */
  readonly sequence: number;
  /** The coordinator's clock at the epoch's first row: the same for all chunks of an epoch, and its end. */
  readonly startMs: number;
}

export interface EpochEndMessage {
  readonly epoch: number;
  readonly startMs: number;
  /** The coordinator's clock when it ended the epoch. */
  readonly nowMs: number;
}

export function kindOf({ u32 }: SharedMemory, at: number): number {
  return u32[(at + KIND) >>> 2] as number;
}

export function epochOf({ u32 }: SharedMemory, at: number): number {
  return u32[(at + EPOCH) >>> 2] as number;
}

export function writeChunk({ u32, f64 }: SharedMemory, at: number, { epoch, source, chunk, sequence, startMs }: ChunkMessage): void {
  const words = (at + WORDS) >>> 2;
  u32[(at + KIND) >>> 2] = TO_WORKER.chunk;
  u32[(at + EPOCH) >>> 2] = epoch;
  u32[words] = source;
  u32[words + 1] = chunk.partition;
  u32[words + 2] = chunk.address;
  u32[words + 3] = chunk.byteLength;
  u32[words + 4] = sequence;
  f64[(at + START_MS) >>> 3] = startMs;
  f64[(at + FIRST) >>> 3] = chunk.first;
  f64[(at + NEXT) >>> 3] = chunk.next;
}

export function readChunk(memory: SharedMemory, at: number): ChunkMessage {
  const { u32, f64 } = memory;
  const words = (at + WORDS) >>> 2;
  return {
    epoch: epochOf(memory, at),
    source: u32[words] as number,
    chunk: {
      partition: u32[words + 1] as number,
      address: u32[words + 2] as number,
      byteLength: u32[words + 3] as number,
      first: f64[(at + FIRST) >>> 3] as number,
      next: f64[(at + NEXT) >>> 3] as number,
    },
    sequence: u32[words + 4] as number,
    startMs: f64[(at + START_MS) >>> 3] as number,
  };
}

export function writeEpochEnd({ u32, f64 }: SharedMemory, at: number, { epoch, startMs, nowMs }: EpochEndMessage): void {
  u32[(at + KIND) >>> 2] = TO_WORKER.endEpoch;
  u32[(at + EPOCH) >>> 2] = epoch;
  f64[(at + START_MS) >>> 3] = startMs;
  f64[(at + NOW_MS) >>> 3] = nowMs;
}

export function readEpochEnd(memory: SharedMemory, at: number): EpochEndMessage {
  const { f64 } = memory;
  return { epoch: epochOf(memory, at), startMs: f64[(at + START_MS) >>> 3] as number, nowMs: f64[(at + NOW_MS) >>> 3] as number };
}

export function writeStop({ u32 }: SharedMemory, at: number): void {
  u32[(at + KIND) >>> 2] = TO_WORKER.stop;
}

/** The chunk's address, and its bytes in the worker's load. */
export function writeChunkDone({ u32 }: SharedMemory, at: number, { address, byteLength }: Chunk): void {
  u32[(at + KIND) >>> 2] = FROM_WORKER.chunkDone;
  u32[(at + WORDS) >>> 2] = address;
  u32[(at + WORDS + 4) >>> 2] = byteLength;
}

export function readChunkDone({ u32 }: SharedMemory, at: number): Pick<Chunk, 'address' | 'byteLength'> {
  return { address: u32[(at + WORDS) >>> 2] as number, byteLength: u32[(at + WORDS + 4) >>> 2] as number };
}

export function writeOutput({ u32 }: SharedMemory, at: number, epoch: number, block: OutputBlock): void {
  u32[(at + KIND) >>> 2] = FROM_WORKER.output;
  u32[(at + EPOCH) >>> 2] = epoch;
  for (let i = 0; i < OUTPUT_BLOCK_FIELDS.length; i++) u32[((at + WORDS) >>> 2) + i] = block[OUTPUT_BLOCK_FIELDS[i] as keyof OutputBlock];
}

export function readOutput({ u32 }: SharedMemory, at: number): OutputBlock {
  const block = {} as Record<keyof OutputBlock, number>;
  for (let i = 0; i < OUTPUT_BLOCK_FIELDS.length; i++) block[OUTPUT_BLOCK_FIELDS[i] as keyof OutputBlock] = u32[((at + WORDS) >>> 2) + i] as number;
  return block;
}

export function writeEpochDone({ u32 }: SharedMemory, at: number, epoch: number): void {
  u32[(at + KIND) >>> 2] = FROM_WORKER.epochDone;
  u32[(at + EPOCH) >>> 2] = epoch;
}
