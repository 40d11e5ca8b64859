/**
 * The place where an engine is at work: the chunk that it scans, or the shards that it ends an epoch for.
 * Blocks for sinks, counts of the ledger and messages go by it. It also finds where a single row was read,
 * for rows that are late or fail.
 */

import type { Batch, Counters } from '../../core/index.ts';
import type { Chunk, ChunkDecoder } from '../../io/index.ts';
import type { RowCoordinates } from '../plan/index.ts';
import type { CounterName, Restored, RowAtWork } from '../shared/index.ts';

/** The part of a flow by which rows are traced back: its row program, and where its batches come from. */
export interface RowTrail {
  readonly program: { originOf(row: number): number };
  readonly parent: RowTrail | undefined;
  /** The batch that its program is at work on. */
  readonly input?: Batch | undefined;
  /** Where its rows were read, for rows that have waited: the decoder is on another batch since. */
  offsetAt?(row: number): number;
  /** Likewise its place in the epoch, behind an exchange. */
  placeAt?(row: number): number;
}

export class Place {
  epoch = 0;
  /** 0: the scan; n + 1: behind exchange n. */
  stage = 0;
  /** A partition, among those of all sources, or a group of shards. */
  unit = 0;
  unitSequence = 0;
  /** How many blocks for sinks were handed over here. */
  order = 0;
  source = 0;
  partition = 0;
  /** The partition that counts go to. Behind an exchange there is none, so they go to the first. */
  global = 0;
  /** The flow that is adding rows to an exchange, for the coordinates of late ones. */
  adding: RowTrail | undefined;
  readonly #sources: readonly string[];
  readonly #counters: readonly Counters<CounterName>[];
  readonly #restored: Restored;
  /** At which row functions are, for whoever watches this thread. */
  readonly row: RowAtWork;
  #decoder: ChunkDecoder | undefined;
  #chunkFirst = 0;

  /**
   * @param sources names of the sources
   * @param counters one region per global partition
   * @param restored what had been read before the restart
   */
  constructor(sources: readonly string[], counters: readonly Counters<CounterName>[], restored: Restored, row: RowAtWork) {
    this.#sources = sources;
    this.#counters = counters;
    this.#restored = restored;
    this.row = row;
  }

  /** Moves to a chunk, which `decoder` will open. */
  atChunk(source: number, chunk: Chunk, sequence: number, global: number, decoder: ChunkDecoder): void {
    this.stage = 0;
    this.source = source;
    this.partition = chunk.partition;
    this.global = global;
    this.unit = global;
    this.unitSequence = sequence;
    this.order = 0;
    this.#decoder = decoder;
    this.#chunkFirst = chunk.first;
  }

  /** Moves to a group of shards of an exchange. */
  atShards(exchange: number, group: number): void {
    this.stage = 1 + exchange;
    this.unit = group;
    this.unitSequence = 0;
    this.order = 0;
    this.global = 0;
  }

  /** Moves to what goes to other tasks: what is for exchange `which`; of their number, the end of the epoch. */
  atTasks(exchanges: number, which: number): void {
    this.atShards(exchanges + which, 0);
  }

  /** The same for rows that have waited: what they lead to comes behind what the group has handed over in earlier rounds. */
  goOnAtShards(exchange: number, group: number, round: number): void {
    this.atShards(exchange, group);
    this.unitSequence = round;
  }

  get sourceName(): string {
    return this.#sources[this.source] ?? '';
  }

  /**
   * Functions are called for rows of the batch that came to a flow.
   *
   * @param parent of the flow
   * @param isAscending each row of the batch is of a row of its own that was read, in their order
   */
  atBatch(parent: RowTrail | undefined, rowCount: number, isAscending: boolean): void {
    if (this.stage > 0 || rowCount === 0) return;
    this.row.atBatch(this.offset(parent, 0), this.offset(parent, rowCount - 1) + 1, isAscending ? rowCount : 0);
  }

  /** Adds to a count of the ledger. */
  count(name: CounterName, count: number): void {
    this.#counters[this.global]?.add(name, count);
  }

  /**
   * Where row `row` of the last output of `flow` was read. Without a flow: of the last batch of the source's
   * decoder.
   */
  coordinates(flow: RowTrail | undefined, row: number): RowCoordinates {
    if (this.stage > 0) return { source: `exchange ${this.stage - 1}`, partition: this.unit, offset: -1 };
    return { source: this.sourceName, partition: this.partition, offset: this.offset(flow, row) };
  }

  /** The offset at which row `row` of the last output of `flow` was read; -1: behind an exchange. */
  offset(flow: RowTrail | undefined, row: number): number {
    if (this.stage > 0) return -1;
    let origin = row;
    for (let at = flow; at !== undefined; at = at.parent) {
      if (at.offsetAt !== undefined) return at.offsetAt(origin);
      origin = at.program.originOf(origin);
    }
    return (this.#decoder as ChunkDecoder).offsetOf(origin);
  }

  /**
   * Whether a row of the last output of `flow` had been read when the positions that this run began with were
   * committed.
   */
  isReplayed(flow: RowTrail | undefined, row: number): boolean {
    const { readUntil, writtenEpoch } = this.#restored;
    if (this.stage > 0) return this.epoch <= writtenEpoch;
    const until = readUntil[this.global] as number;
    return until > this.#chunkFirst && this.coordinates(flow, row).offset < until;
  }
}
