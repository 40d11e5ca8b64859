/**
 * A job on the calling thread: the coordinator of a job with a crew of engines, and with sources and sinks in
 * memory. Its driver does what is asked for. A test driver does it at once; a simulation later, in any order
 * that a job could see, or not at all.
 */

import { type AnyRow, createMemory, SlabAllocator } from '../../core/index.ts';
import type { CommittedPosition, Offset, SourceContext } from '../../io/index.ts';
import type { EngineState } from '../engine/index.ts';
import { positionOf } from '../epoch/index.ts';
import { type CheckpointCut, Coordinator, type Effects } from '../job/index.ts';
import type { Plan, SinkPlan, SourcePlan } from '../plan/index.ts';
import type { FailedRowsPolicy } from '../shared/index.ts';
import { type SegmentRange, StateReader } from '../state-log/index.ts';
import { EngineCrew } from '../workers/index.ts';
import { FRAME_OF_RECORDS, FRAME_OF_ROWS, Held, handFed, keptRows } from './hand-fed.ts';
import { KeptShards } from './kept-shards.ts';
import type { Outside } from './outside.ts';
import { type RawRecord, rawFrame } from './raw-records.ts';

const BATCH_ROWS = 4_096;
/** Small: every run of rows that is handed over is a chunk of its own. */
const CHUNK_BYTES = 64;

/** Something that the coordinator asked for. */
export interface Wish {
  readonly kind: 'record' | 'write' | 'checkpoint' | 'publish' | 'commit';
  readonly epoch: number;
  /** Does it, outside. */
  act(): void;
  /** Tells the coordinator that it is done. */
  tell(): void;
}

export interface ThreadlessJobParts {
  readonly plan: Plan;
  readonly shards: number;
  /** Of each source. */
  readonly partitions: number;
  readonly memoryBytes: number;
  readonly failedRows?: FailedRowsPolicy | undefined;
  readonly clock: () => number;
  /** Which engine scans the next chunk. */
  readonly choose: (shards: number) => number;
  readonly outside: Outside;
  /** The state to resume from, in place of what is committed outside. */
  readonly from?: EngineState | undefined;
  /** Most bytes of state in memory: the rest is put away, as bytes. Undefined: no limit. */
  readonly stateBytesMax?: number | undefined;
  /** Takes what is asked for. */
  readonly wish: (wish: Wish) => void;
  /** Where `outside` has a store for state: ms between checkpoints, and whether output is final with them. */
  readonly checkpoints?: { readonly intervalMs: number; readonly isExact: boolean } | undefined;
}

export class ThreadlessJob {
  readonly coordinator: Coordinator;
  readonly crew: EngineCrew;
  readonly outside: Outside;
  readonly #partitions: number;
  readonly #sources: readonly SourceContext[];
  readonly #sent = new Held<readonly AnyRow[]>();
  readonly #kept = new Held<readonly AnyRow[]>();
  readonly #slabs: SlabAllocator;
  readonly #wish: (wish: Wish) => void;
  readonly #clock: () => number;
  readonly #isExact: boolean;
  /** Segments that this run has resumed from. */
  readonly #carried: readonly SegmentRange[];

  constructor(parts: ThreadlessJobParts) {
    const { shards, partitions, clock, outside, from, checkpoints, stateBytesMax } = parts;
    const { state } = outside;
    const resumed = state?.newest;
    this.#isExact = checkpoints?.isExact ?? false;
    this.#carried = resumed?.segments ?? [];
    if (state !== undefined) state.run++;
    if (this.#isExact) outside.recover(resumed?.cut.written ?? -1);
    const plan: Plan = {
      ...parts.plan,
      sources: parts.plan.sources.map((source): SourcePlan => ({ ...source, source: handFed(source.source, this.#sent) })),
      sinks: parts.plan.sinks.map((sink): SinkPlan => ({ ...sink, sink: keptRows(sink.sink, this.#kept) })),
    };
    this.outside = outside;
    this.#partitions = partitions;
    this.#wish = parts.wish;
    this.#clock = clock;
    this.#slabs = new SlabAllocator(createMemory(parts.memoryBytes));
    this.crew = new EngineCrew(this.#slabs, shards, () => parts.choose(shards));
    this.coordinator = new Coordinator({
      plan,
      slabs: this.#slabs,
      crew: this.crew,
      effects: this.#effects(),
      clocks: { wall: clock, elapsed: clock },
      limits: {
        chunkBytes: CHUNK_BYTES,
        chunkBytesMin: CHUNK_BYTES,
        creditBytes: Number.POSITIVE_INFINITY,
        epochBytes: Number.POSITIVE_INFINITY,
        outputBytes: Number.POSITIVE_INFINITY,
        firstEpochBytes: Number.POSITIVE_INFINITY,
        stateBytes: Number.POSITIVE_INFINITY,
        atLimit: 'fail',
      },
      drain: { bounded: false, open: 'hold' },
      badRows: 'ledger',
      checkpointMs: checkpoints?.intervalMs,
    });
    const { coordinator } = this;
    coordinator.isAtRest = true;
    const { signal } = new AbortController();
    this.#sources = plan.sources.map(({ source }, index) => {
      coordinator.intake.addSource(partitions, 0, source.frameRows?.bind(source));
      return coordinator.intake.context(index, { drain: false, signal });
    });
    const counts = plan.sources.map(() => partitions);
    coordinator.lay(counts);
    if (from === undefined) {
      const stored = coordinator.begin(
        resumed === undefined ? outside.committed : this.#positionsOf(resumed.cut),
        outside.decisions,
        resumed === undefined
          ? undefined
          : { checkpoint: resumed.cut.checkpoint, written: resumed.cut.written, drainedAt: resumed.cut.drainedAt, ...resumed.cut.state },
      );
      if (stored !== undefined) outside.decisions?.begin(stored.head, stored.kept);
      if (resumed === undefined) state?.write(coordinator.firstCut, []);
    } else coordinator.beginFrom(from.epoch, from.nowMs);
    this.crew.start({
      plan,
      partitions: counts,
      restored: coordinator.restored,
      firstEpoch: coordinator.first.epoch,
      nowMs: coordinator.first.nowMs,
      sinks: plan.sinks.map(() => ({ partitionCount: 1 })),
      batchRows: BATCH_ROWS,
      failedRows: parts.failedRows ?? 'fail',
      from,
      stored:
        state === undefined || resumed === undefined || resumed.segments.length === 0
          ? undefined
          : { log: new StateReader(resumed.segments, resumed.cut.checkpoint, state.open), watermarks: resumed.cut.state.watermarks },
      stateLog: state === undefined ? undefined : (engine) => state.log(engine),
      spill: stateBytesMax === undefined ? undefined : () => ({ limitBytes: stateBytesMax, store: new KeptShards() }),
    });
  }

  /** The position of a partition of a source. */
  positionOf(source: number, partition: number): Offset {
    return positionOf(this.#partition(source, partition));
  }

  /**
   * Hands rows over, as one chunk: the crew has it, and has not scanned it yet. `first`: the offset of the
   * first row, where some are held back.
   */
  send(source: number, partition: number, rows: readonly AnyRow[], first: Offset = this.positionOf(source, partition)): void {
    const slot = new Uint8Array(Uint32Array.of(this.#sent.hold(rows)).buffer);
    this.#emit(source, partition, slot, first, first + rows.length, FRAME_OF_ROWS);
  }

  /** The same for raw records. The source must have a codec. */
  sendRecords(source: number, partition: number, records: readonly RawRecord[]): void {
    const first = this.positionOf(source, partition);
    this.#emit(source, partition, rawFrame(records, this.#clock()), first, first + records.length, FRAME_OF_RECORDS);
  }

  /** A partition has no more rows. */
  end(source: number, partition: number): void {
    (this.#sources[source] as SourceContext).end(partition);
  }

  /**
   * Cuts the epoch. Sources have looked, and everything there is was taken in: a partition that had nothing
   * for long enough is idle.
   */
  endEpoch(): void {
    for (const { source, partition } of this.coordinator.intake.partitions) {
      (this.#sources[source] as SourceContext).high(partition, this.positionOf(source, partition));
    }
    this.coordinator.endEpoch();
  }

  /** Lets the crew do all its work, and tells the coordinator. */
  work(): void {
    this.crew.work();
    this.coordinator.receive();
  }

  /** Rows of a sink that the crew has handed over and that are not written yet. */
  unwritten(sink: number): AnyRow[] {
    return this.coordinator.outputs.pending.flatMap((block) =>
      block.sink === sink ? [...this.#kept.get(this.#slabs.memory.u32[block.address >>> 2] as number)] : [],
    );
  }

  #emit(source: number, partition: number, bytes: Uint8Array, first: Offset, next: Offset, kind: number): void {
    (this.#sources[source] as SourceContext).emit(partition, bytes, first, next, kind, kind);
    this.coordinator.intake.handOn();
  }

  #partition(source: number, partition: number) {
    return this.coordinator.intake.partitions[source * this.#partitions + partition] as Coordinator['intake']['partitions'][number];
  }

  #positionsOf({ positions }: CheckpointCut): CommittedPosition[][] {
    return this.outside.committed.map((_, source) =>
      Array.from({ length: this.#partitions }, (__, partition) => ({
        partition,
        offset: positions[source * this.#partitions + partition] as number,
        metadata: 'checkpoint',
      })),
    );
  }

  #effects(): Effects {
    const { outside } = this;
    return {
      record: (record) => {
        const { epoch } = record;
        this.#wish({ kind: 'record', epoch, act: () => outside.decisions?.append(record), tell: () => this.coordinator.recorded(epoch) });
      },
      write: (epoch, blocks) => {
        // Noted now, as the slabs are gone once the coordinator has been told.
        const noted = blocks.map(({ sink, address }) => ({ sink, kept: this.#slabs.memory.u32[address >>> 2] as number }));
        const act = () => {
          for (const { sink, kept } of noted) {
            const rows = this.#kept.take(kept);
            if (this.#isExact) outside.stage(sink, epoch, rows);
            else outside.write(sink, rows);
          }
        };
        this.#wish({ kind: 'write', epoch, act, tell: () => this.coordinator.written(epoch) });
      },
      checkpoint: (cut) => {
        const { written: epoch } = cut;
        const told = (): void => this.coordinator.checkpointed();
        const publish = (): void => this.#wish({ kind: 'publish', epoch, act: () => outside.publish(epoch), tell: told });
        this.#wish({ kind: 'checkpoint', epoch, act: () => outside.keep(cut, this.#carried), tell: this.#isExact ? publish : told });
      },
      commit: (source, positions) => {
        const epoch = this.coordinator.commits.committed;
        this.#wish({ kind: 'commit', epoch, act: () => outside.commit(source, positions), tell: () => this.coordinator.committed(source) });
      },
      finished: () => {},
      failed: (error) => {
        throw error;
      },
      refuse: (reason) => {
        throw reason();
      },
      warn: () => {},
    };
  }
}
