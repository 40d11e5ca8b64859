/**
 * sorted: the rows of each key in the order of event time. A row waits until the watermark has passed it, since
 * an earlier one may come until then; rows behind the watermark are late. Rows of one time come in the order of
 * (source, partition, offset). The order is that of all rows of a shard, and does not depend on where epochs are
 * cut (by-key/waiting-rows.ts).
 */

import { type Batch, readTimestamp, type Schema } from '../../core/index.ts';
import { type RowOrigin, type WaitingRow, WaitingRows } from '../by-key/index.ts';
import type { StateRow } from '../exchange/index.ts';
import { type DueTimes, dueIn, type KeyedContext, type KeyedInput, type KeyedOperator, type KeyedOperatorPlan } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';
import { RowReader } from './row-values.ts';

export interface SortedRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly eventTime: string;
  readonly timeShiftMs: 0 | -1;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for an unknown key column */
export function planSorted({ input, keys, eventTime, timeShiftMs }: SortedRequest): KeyedOperatorPlan {
  const rows: KeyedInput = {
    schema: input,
    keys: keys.map((name) => input.require(name, 'keyBy')),
    columns: input.fields.map((_, c) => c),
    eventTime: input.require(eventTime, 'withWatermark'),
    timeShiftMs,
  };
  return {
    name: 'sorted',
    inputs: [rows],
    output: input,
    outputTime: { column: eventTime, shiftMs: timeShiftMs },
    lateBefore: (watermark) => watermark,
    heldUntil: (maxTimeMs) => maxTimeMs + 1,
    state: { format: 1, facts: { eventTime } },
    open: (context, from) => new Sorted(rows, context, from as Snapshot | undefined),
    whole: 'rows come out as they came in',
    describe: () => `sorted by ${keys.join(', ')}\n  by event time (${eventTime}), once the watermark has passed it`,
  };
}

interface Snapshot {
  readonly waiting: readonly WaitingRow[];
}

class Sorted implements KeyedOperator {
  readonly #input: KeyedInput;
  readonly #output: RowOutput;
  readonly #waiting: WaitingRows;

  constructor(input: KeyedInput, { slabs, output }: KeyedContext, from: Snapshot | undefined) {
    this.#input = input;
    this.#output = output;
    this.#waiting = new WaitingRows(slabs, [{ schema: input.schema, columns: input.columns, rank: 0 }]);
    this.#waiting.restore(from?.waiting ?? []);
  }

  get stateBytes(): number {
    return this.#waiting.bytes;
  }

  get due(): DueTimes {
    return dueIn(true, this.#waiting.firstTime);
  }

  onBatch(rows: Batch, _input: number, origin: RowOrigin): void {
    const { eventTime, timeShiftMs } = this.#input;
    const { data } = rows.column(eventTime);
    for (let row = 0; row < rows.rowCount; row++) this.#waiting.add(rows, row, 0, readTimestamp(rows.memory, data, row) + timeShiftMs, origin);
  }

  onWatermark(watermark: number): void {
    this.#waiting.each(watermark, ({ batches }) => this.#output.forward(batches[0] as Batch));
  }

  snapshot(): Snapshot {
    return { waiting: this.#waiting.snapshot() };
  }

  *stateRows(): Generator<StateRow> {
    const keys = new RowReader(this.#input.schema, this.#input.keys);
    const rows = new RowReader(this.#input.schema);
    for (const { time, batch } of this.#waiting.look()) yield { key: keys.read(batch, 0), time, value: rows.read(batch, 0) };
  }

  release(): void {
    this.#waiting.release();
  }
}
