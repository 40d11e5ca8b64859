/**
 * A flow at work: what happens, in one worker, to the batches that arrive at one place of the plan. Row functions first,
 * then event times are noted, then the batch goes to combiners, to encoders of sinks, and to further flows.
 *
 * Late rows leave it sideways: a combiner names them, and they go on, with their coordinates, in a flow of their own.
 */

import { type Batch, BatchBuilder, type ColumnSpace, type Schema, type SlabAllocator } from '../core/index.ts';
import type { SinkEncoder } from '../io/index.ts';
import { gather, type RowProgram } from '../operators/index.ts';

/** What a flow is made of. */
export interface FlowParts {
  readonly program: RowProgram;
  /** Notes the event times of a batch. */
  readonly observe: ((batch: Batch) => void) | undefined;
  /** Hands a batch to the combiner of an exchange; `from` knows where its rows come from. */
  readonly combiners: readonly ((batch: Batch, from: Flow) => void)[];
  readonly encoders: readonly SinkEncoder[];
  readonly next: readonly Flow[];
  /** Everything that it feeds, further flows and late rows included. */
  readonly exchanges: ReadonlySet<number>;
  readonly sinks: ReadonlySet<number>;
}

export class Flow {
  readonly exchanges: ReadonlySet<number>;
  readonly sinks: ReadonlySet<number>;
  readonly #parts: FlowParts;
  readonly #emit = (batch: Batch): void => this.#forward(batch);
  #offsetOf: (row: number) => number = () => -1;

  constructor(parts: FlowParts) {
    this.#parts = parts;
    this.exchanges = parts.exchanges;
    this.sinks = parts.sinks;
    for (const flow of parts.next) flow.#offsetOf = (row) => this.offsetOf(row);
  }

  /** Says where the rows of this flow come from: the offset of row `row` of the batch that `run` was given. */
  set origin(offsetOf: (row: number) => number) {
    this.#offsetOf = offsetOf;
  }

  run(batch: Batch): void {
    this.#parts.program.run(batch, this.#emit);
  }

  /** Offset, in its source, of row `row` of the batch that is being forwarded; -1 for the result of an exchange. */
  offsetOf(row: number): number {
    return this.#offsetOf(this.#parts.program.originOf(row));
  }

  #forward(batch: Batch): void {
    if (batch.rowCount === 0) return;
    const { observe, combiners, encoders, next } = this.#parts;
    observe?.(batch);
    for (const combine of combiners) combine(batch, this);
    for (const encoder of encoders) encoder.write(batch);
    for (const flow of next) flow.run(batch);
  }
}

/** The columns that a late row has besides its own. */
export const LATE_COLUMNS = ['lateSource', 'latePartition', 'lateOffset'] as const;

/** Where a late row came from. */
export interface LateOrigin {
  readonly source: string;
  readonly partition: number;
  offsetOf(row: number): number;
}

/** Copies late rows out of their batch and sends them on. */
export class LateRows {
  readonly #builder: BatchBuilder;
  readonly #flow: Flow;
  readonly #inputColumns: number;

  /** @param schema the columns of the exchange's input, then LATE_COLUMNS */
  constructor(slabs: SlabAllocator, schema: Schema, batchRows: number, flow: Flow) {
    this.#builder = new BatchBuilder(slabs, schema, batchRows);
    this.#flow = flow;
    this.#inputColumns = schema.length - LATE_COLUMNS.length;
  }

  /** @param rows numbers of the late rows of `batch`, ascending */
  write(batch: Batch, rows: Uint32Array, origin: LateOrigin): void {
    const builder = this.#builder;
    for (let from = 0; from < rows.length; from += builder.capacity) {
      const part = Int32Array.from(rows.subarray(from, from + builder.capacity));
      builder.reset();
      for (let c = 0; c < this.#inputColumns; c++) gather(builder, batch.column(c), builder.columns[c] as ColumnSpace, part, part.length);
      part.forEach((row, n) => {
        builder.setValue(this.#inputColumns, n, origin.source);
        builder.setValue(this.#inputColumns + 1, n, origin.partition);
        builder.setValue(this.#inputColumns + 2, n, BigInt(origin.offsetOf(row)));
      });
      this.#flow.run(builder.finish(part.length));
    }
  }
}
