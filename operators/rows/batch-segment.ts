/** The part of a program that is a user-defined loop over whole batches. */

import { assert, type Batch, BatchBuilder } from '../../core/index.ts';
import type { RowOperation } from './operation.ts';
import type { Report, RowContext, Segment } from './program.ts';
import { refusePromise } from './values.ts';

/**
 * mapBatches: a user-defined loop. A batch is one unit here: when the function throws, all its rows have
 * failed.
 */
export class BatchSegment implements Segment {
  readonly #fn: (RowOperation & { kind: 'mapBatches' })['fn'];
  readonly #number: number;
  readonly #report: Report;
  readonly #builder: BatchBuilder;
  #rowsIn = 0;
  #base = 0;
  #rowsOut = 0;

  constructor(operation: RowOperation & { kind: 'mapBatches' }, number: number, context: RowContext, report: Report) {
    this.#fn = operation.fn;
    this.#number = number;
    this.#report = report;
    this.#builder = new BatchBuilder(context.slabs, operation.schema, context.batchRows);
  }

  run(batch: Batch, emit: (out: Batch) => void): void {
    const builder = this.#builder;
    for (let from = 0; from < batch.rowCount; from += builder.capacity) {
      const piece = batch.slice(from, Math.min(from + builder.capacity, batch.rowCount));
      builder.reset();
      this.#base = from;
      try {
        refusePromise(this.#fn(piece, builder) as unknown);
        assert(builder.rowCount <= builder.capacity, `mapBatches set rowCount to ${builder.rowCount}; ${builder.capacity} fit`);
      } catch (cause) {
        for (let row = 0; row < piece.rowCount; row++) this.#report(cause, batch, from + row, this.#number);
        continue;
      }
      this.#rowsIn = piece.rowCount;
      this.#rowsOut = builder.rowCount;
      if (builder.rowCount > 0) emit(builder.finish());
    }
  }

  /** Exact when the function returned as many rows as it got; otherwise the nearest row of the batch. */
  originOf(row: number): number {
    return this.#base + (this.#rowsIn === this.#rowsOut ? row : Math.min(row, this.#rowsIn - 1));
  }

  release(): void {
    this.#builder.release();
  }
}
