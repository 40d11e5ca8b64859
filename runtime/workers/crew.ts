/**
 * The crew: who does the work, as the coordinator sees it. Two implement it: worker threads (workers.ts) and
 * engines on the calling thread (engine-crew.ts). Which member scans a chunk makes no difference to any
 * result.
 */

import type { Counters } from '../../core/index.ts';
import type { Chunk } from '../../io/index.ts';
import type { ChunkMessage, Control, CounterName, EpochEndMessage, LedgerSample, OutputBlock } from '../shared/index.ts';

/** What the crew reports. */
export interface CrewEvents {
  /** The chunk was scanned: its slab is free. */
  chunkDone(address: Chunk['address']): void;
  output(epoch: number, block: OutputBlock): void;
  /** One member is done with the epoch, and has handed over all of its blocks. */
  epochDone(epoch: number): void;
}

export interface Crew {
  /** How many members there are. */
  readonly count: number;
  /** Counts of rows: [member][global partition]. There are none before `lay`. */
  readonly counters: readonly (readonly Counters<CounterName>[])[];
  /** Some of the rows that no result counts. */
  readonly samples: readonly LedgerSample[];
  /** Lays out what is shared with each member: its counters, and its connection. */
  lay(control: Control): void;
  /** To one of them. */
  giveChunk(message: ChunkMessage): void;
  /** To all of them. */
  endEpoch(message: EpochEndMessage): void;
  /** Takes in what they have reported since the last call. */
  receive(events: CrewEvents): void;
  /** Nothing more comes: each leaves when it has done what it has. */
  stop(): void;
}
