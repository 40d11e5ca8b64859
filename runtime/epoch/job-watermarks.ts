/**
 * The coordinator's view of the watermarks: how far they are once all workers have merged an epoch, until
 * when the exchanges hold rows, and what is committed of this beside the positions. commits.ts decides by it
 * what may be committed. For a worker's view see watermark-runner.ts.
 */

import { Watermark, type WatermarkState } from '../../core/index.ts';
import type { CommittedPosition } from '../../io/index.ts';
import { type ExchangePlan, eventTimeOf, type Plan, type WatermarkPlan } from '../plan/index.ts';
import { type Control, nothingRestored, PARTITION_ENDED, PARTITION_IDLE, type Restored, restoreWatermarks } from '../shared/index.ts';
import { metadataOf, restoredFrom } from './commit-metadata.ts';
import type { EpochRecord, ExchangeProgress } from './commits.ts';
import type { PartitionState } from './partitions.ts';

export class JobWatermarks {
  readonly all: readonly Watermark[];
  /** What had been written and read before this run. */
  restored: Restored;
  readonly #plan: Plan;
  readonly #control: Control;
  readonly #partitions: readonly PartitionState[];
  /** By exchange: until when (event time) it holds the rows that it has so far. */
  readonly #heldUntil: number[];
  /** By epoch under way: the clock at its end. */
  readonly #clockAt = new Map<number, number>();

  constructor(plan: Plan, control: Control, partitions: readonly PartitionState[]) {
    this.#plan = plan;
    this.#control = control;
    this.#partitions = partitions;
    this.restored = nothingRestored(partitions.length);
    this.#heldUntil = plan.exchanges.map(() => Number.NEGATIVE_INFINITY);
    this.all = plan.watermarks.map(({ strategy, sources }) => {
      const fed = partitions.filter((state) => sources.includes(state.source)).map((state) => state.global);
      return new Watermark({ delayMs: strategy.delayMs, policy: strategy.policy }, fed);
    });
  }

  /**
   * Restores what was committed.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when another pipeline wrote it
   */
  restore(committed: readonly (readonly CommittedPosition[])[], partitionCounts: readonly number[]): void {
    this.restored = restoredFrom(committed, partitionCounts, this.all.length);
    restoreWatermarks(this.all, this.restored);
  }

  /** Resumes from a checkpoint, which has them all. */
  resume(watermarks: readonly WatermarkState[], heldUntil: readonly number[], writtenEpoch: number): void {
    this.all.forEach((watermark, w) => watermark.restoreAll(watermarks[w] as WatermarkState));
    heldUntil.forEach((until, exchange) => {
      this.#heldUntil[exchange] = until;
    });
    this.restored = { ...nothingRestored(this.#partitions.length), writtenEpoch };
  }

  /** What a checkpoint keeps of them. */
  get state(): { readonly watermarks: WatermarkState[]; readonly heldUntil: number[] } {
    return { watermarks: this.all.map((watermark) => watermark.snapshotAll()), heldUntil: [...this.#heldUntil] };
  }

  /** Rows are held until an unknown time: nothing may be committed. */
  holdAll(): void {
    this.#heldUntil.fill(Number.POSITIVE_INFINITY);
  }

  /** What the clock has shown, as far as watermarks of processing time tell; -Infinity without any. */
  get clockMs(): number {
    const times = this.all.filter((_, w) => this.#isOfClock(w)).map(({ current }) => current);
    return Math.max(Number.NEGATIVE_INFINITY, ...times);
  }

  /** Something that goes by processing time is open: it closes when time passes, whether rows come or not. */
  get waitsForClock(): boolean {
    return this.#plan.exchanges.some(
      (plan, exchange) => plan.watermarks.some((w) => this.#isOfClock(w)) && (this.#heldUntil[exchange] as number) > this.#timeOf(plan),
    );
  }

  /** An epoch was cut at this time of the clock. */
  endEpoch(epoch: number, nowMs: number): void {
    this.#clockAt.set(epoch, nowMs);
  }

  /** All workers have merged the epoch. Epochs in order. */
  merged(epoch: number): ExchangeProgress[] {
    for (const [index, watermark] of this.all.entries()) this.#advance(watermark, index, epoch);
    this.#clockAt.delete(epoch);
    return this.#plan.exchanges.map((plan, exchange) => {
      for (let worker = 0; worker < this.#control.shape.workers; worker++) {
        const held = this.#control.memory.f64[this.#control.held(epoch, worker, exchange)] as number;
        if (held > (this.#heldUntil[exchange] as number)) this.#heldUntil[exchange] = held;
      }
      return {
        heldUntil: this.#heldUntil[exchange] as number,
        // Without event time nothing ever closes.
        watermark: this.#timeOf(plan),
      };
    });
  }

  /** What is committed beside the positions of the epoch that was merged last, by global partition. */
  metadata({ epoch, positions }: Pick<EpochRecord, 'epoch' | 'positions'>): string[] {
    const { writtenEpoch, readUntil } = this.restored;
    return this.#partitions.map(({ source, global }) =>
      // The last run may have written and read further than the epochs that are being repeated.
      metadataOf(Math.max(epoch, writtenEpoch), Math.max(positions[global] as number, readUntil[global] as number), this.all, global, (w) =>
        this.#planOf(w).sources.includes(source),
      ),
    );
  }

  /**
   * Like the workers, but a drained partition still counts: the committed watermark must not pass what it may
   * still bring.
   */
  #advance(watermark: Watermark, index: number, epoch: number): void {
    const { memory, shape } = this.#control;
    for (const { source, global } of this.#partitions) {
      if (!this.#planOf(index).sources.includes(source)) continue;
      let maxMs = Number.NEGATIVE_INFINITY;
      for (let worker = 0; worker < shape.workers; worker++) {
        maxMs = Math.max(maxMs, memory.f64[this.#control.maxima(epoch, worker, index) + global] as number);
      }
      watermark.observe(global, this.#isOfClock(index) ? (this.#clockAt.get(epoch) as number) : maxMs);
      const state = this.#control.partition(epoch, global);
      if (state === PARTITION_ENDED) watermark.end(global);
      else if (state === PARTITION_IDLE) watermark.idle(global);
    }
    watermark.advance();
  }

  #timeOf(exchange: ExchangePlan): number {
    return eventTimeOf(exchange, (w) => (this.all[w] as Watermark).current);
  }

  #isOfClock(watermark: number): boolean {
    return this.#planOf(watermark).strategy.isProcessingTime;
  }

  #planOf(watermark: number): WatermarkPlan {
    return this.#plan.watermarks[watermark] as WatermarkPlan;
  }
}
