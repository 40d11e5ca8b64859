/**
 * One engine's view of a watermark: what it saw itself in an epoch, and, once all have published, what all
 * saw. See core/panes/watermark.ts for how a watermark moves.
 */

import { type Batch, readTimestamp, type SharedMemory, type SlabAllocator, Watermark } from '../../core/index.ts';
import type { WatermarkPlan } from '../plan/index.ts';
import { type Control, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from '../shared/index.ts';
import { StampColumn } from './stamp-column.ts';

/** What a runner needs to know of its engine. */
export interface WatermarkPlace {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly batchRows: number;
  readonly control: Control;
  readonly worker: number;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
}

/** One worker's view of a watermark: what it saw itself, and what all saw. */
export class WatermarkRunner {
  readonly watermark: Watermark;
  readonly #plan: WatermarkPlan;
  readonly #index: number;
  readonly #context: WatermarkPlace;
  readonly #globals: readonly number[];
  readonly #maxima: Float64Array;
  #timeBound = Number.POSITIVE_INFINITY;
  /** The column of processing time, where rows go by it. */
  readonly #stamps: StampColumn | undefined;
  /** The clock when the epoch began. */
  stampMs = 0;

  constructor(plan: WatermarkPlan, index: number, context: WatermarkPlace, firstGlobal: readonly number[]) {
    this.#plan = plan;
    this.#index = index;
    this.#context = context;
    this.#globals = plan.sources.flatMap((source) =>
      Array.from({ length: context.partitions[source] as number }, (_, p) => (firstGlobal[source] as number) + p),
    );
    this.#maxima = new Float64Array(context.control.shape.partitions).fill(Number.NEGATIVE_INFINITY);
    const { delayMs, maxSkewMs, policy } = plan.strategy;
    this.watermark = new Watermark(maxSkewMs === undefined ? { delayMs, policy } : { delayMs, maxSkewMs, policy }, this.#globals);
    this.#stamps = plan.strategy.isProcessingTime ? new StampColumn(context.slabs, plan.schema, context.batchRows) : undefined;
  }

  /** Begins an epoch, and forgets what was seen in the one before. */
  begin(nowMs: number): void {
    this.#maxima.fill(Number.NEGATIVE_INFINITY);
    this.#timeBound = this.watermark.timeBound(nowMs);
  }

  /**
   * Notes the newest event time of a batch, as far as it may move the watermark. Rows that go by processing
   * time get their time here.
   *
   * @returns the batch that goes on
   */
  observe(batch: Batch, global: number): Batch {
    if (this.#stamps !== undefined) return this.#stamps.added(batch, this.stampMs);
    const { memory, rowCount } = batch;
    const { data } = batch.column(this.#plan.strategy.columnIndex);
    const bound = this.#timeBound;
    let max = this.#maxima[global] as number;
    for (let row = 0; row < rowCount; row++) {
      const time = readTimestamp(memory, data, row);
      if (time > max && time <= bound) max = time;
    }
    this.#maxima[global] = max;
    return batch;
  }

  /** Publishes to the other engines what this one saw in the epoch. */
  publish(epoch: number): void {
    const { control, memory, worker } = this.#context;
    memory.f64.set(this.#maxima, control.maxima(epoch, worker, this.#index));
  }

  /**
   * Takes in what all workers saw in the epoch. The result is the same in every worker.
   *
   * @param nowMs the clock at its end; later rows are not stamped with an earlier time
   */
  advance(epoch: number, nowMs: number): void {
    const { control, memory } = this.#context;
    for (const global of this.#globals) {
      if (this.#stamps !== undefined) this.watermark.observe(global, nowMs);
      for (let worker = 0; worker < control.shape.workers; worker++) {
        this.watermark.observe(global, memory.f64[control.maxima(epoch, worker, this.#index) + global] as number);
      }
      const state = control.partition(epoch, global);
      if (state === PARTITION_ENDED || state === PARTITION_DRAINED) this.watermark.end(global);
      else if (state === PARTITION_IDLE) this.watermark.idle(global);
    }
    this.watermark.advance();
  }
}
