/**
 * What a coordinator needs from outside, and what it asks for. A job (execution.ts), a test driver and a simulation each
 * give it their own (../driver/).
 */

import type { MillraceError, SlabAllocator, WatermarkState } from '../../core/index.ts';
import type { CommittedPosition, Offset } from '../../io/index.ts';
import type { Drain, EpochState, JournalRecord } from '../epoch/index.ts';
import type { JobWatch } from '../observe/index.ts';
import type { Plan } from '../plan/index.ts';
import type { OutputBlock } from '../shared/index.ts';
import type { Crew } from '../workers/index.ts';
import type { BadRows } from './bad-rows.ts';
import type { SinksProgress } from './sinks.ts';
import type { AtLimit } from './state-limit.ts';

/** What a checkpoint is made of, on the coordinator's side. */
export interface CheckpointCut {
  /** The epoch whose state it has. */
  readonly checkpoint: number;
  /** The last epoch whose output has been written; it may be a later one. */
  readonly written: number;
  /** By global partition. */
  readonly positions: readonly Offset[];
  /** Where this run, or the one before it, was drained: that output is written; undefined: it was not. */
  readonly drainedAt: readonly Offset[] | undefined;
  readonly state: EpochState;
}

/** What a run resumes from. */
export interface Resume {
  readonly checkpoint: number;
  readonly written: number;
  readonly watermarks: readonly WatermarkState[];
  readonly heldUntil: readonly number[];
  readonly drainedAt: readonly Offset[] | undefined;
}

/**
 * What the coordinator asks for. Each request is answered by the call that it names, at once or later.
 * Requests may be answered in any order.
 */
export interface Effects {
  /** Keep the decisions of an epoch: `recorded`. Not asked for where there is no store. */
  record(record: JournalRecord): void;
  /** Write an epoch's blocks, in their order, and make them final: `written`. One epoch at a time. */
  write(epoch: number, blocks: readonly OutputBlock[]): void;
  /**
   * Make a checkpoint, and with it the output so far, final: `checkpointed`. Not asked for without
   * checkpoints.
   */
  checkpoint(cut: CheckpointCut): void;
  /** Commit positions of one source: `committed`. One source at a time. */
  commit(source: number, positions: readonly CommittedPosition[]): void;
  /** Everything is done. No answer. */
  finished(): void;
  /** How the sinks stand: the answer is what it returns. */
  sinks?(): SinksProgress;
  /** End the job with this error. `source`: the one that reported it. No answer. */
  failed(error: unknown, source?: number): void;
  /** End the job with the error that this returns, once the crew's samples have come. No answer. */
  refuse(reason: () => MillraceError): void;
  /** Warn people: the job goes on, but not as they may expect. No answer. */
  warn(message: string): void;
  /** A member of the crew does not return from what it is doing. No answer. */
  hangs?(what: string): void;
}

/** What it needs from outside. */
export interface CoordinatorParts {
  readonly plan: Plan;
  readonly slabs: SlabAllocator;
  readonly crew: Crew;
  readonly effects: Effects;
  readonly clocks: {
    /** ms since 1970; it may be set. */
    readonly wall: () => number;
    /** ms of a monotonic clock. */
    readonly elapsed: () => number;
  };
  readonly limits: {
    readonly chunkBytes: number;
    /** With many partitions chunks are made smaller, down to this. */
    readonly chunkBytesMin: number;
    readonly creditBytes: number;
    readonly epochBytes: number;
    /** What may come out of an epoch before it is cut early, about. */
    readonly outputBytes: number;
    /** What the first epoch takes in where functions may make many rows of one. */
    readonly firstEpochBytes: number;
    /** State may take this much, including what lies in JavaScript's heap. */
    readonly stateBytes: number;
    readonly atLimit: AtLimit;
  };
  readonly drain: Drain;
  readonly badRows: BadRows;
  /** Is told what happens. A test driver has none. */
  readonly watch?: JobWatch;
  /** ms between checkpoints; undefined: there are none. */
  readonly checkpointMs?: number | undefined;
  /** ms after which a member of the crew that does not return counts as hanging; undefined: never. */
  readonly hangMs?: number | undefined;
  /**
   * Makes a call soon, but not within this one. With it epochs end by themselves, without it when `endEpoch`
   * is called.
   */
  readonly later?: (call: () => void) => void;
}
