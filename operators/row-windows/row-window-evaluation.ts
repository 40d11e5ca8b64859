/**
 * From the rows of windows (row-windows.ts) to results: by the group table of an aggregation, or by a fold.
 * One evaluator per thread, shared by its shards. Values that continue over windows, where these do not
 * purge, are kept per shard.
 */

import {
  type AnyRow,
  assert,
  type Batch,
  BatchBuilder,
  type Column,
  type GroupTable,
  nullable,
  Schema,
  type SlabAllocator,
  StateReader,
  StateWriter,
  smallTable,
} from '../../core/index.ts';
import { type AggregatePlan, ResultWriter } from '../aggregate/index.ts';
import { named } from '../exchange/index.ts';
import type { RowFold } from '../fold/index.ts';
import { type Key, type KeyedInput, keyReader, type RowFailures, RowReader, stateCopy } from '../keyed/index.ts';

/** The rows of a key. */
export interface Entry {
  readonly id: Key;
  readonly key: readonly unknown[];
  /** Rows that are kept, with their times beside. */
  rows: AnyRow[];
  times: number[];
  /** Rows since it last fired. */
  news: number;
  /** Global, not purging: least and greatest time of the rows evaluated so far. */
  start: number;
  end: number;
  /** When the time trigger fires; undefined: it is not set. */
  deadline: number | undefined;
  /** Number of windows that fired in this epoch: the round of the next one. */
  round: number;
}

/** A window that is due. */
export interface Firing {
  readonly entry: Entry;
  readonly rows: readonly AnyRow[];
  readonly start: number;
  readonly end: number;
}

/** Turns the rows of windows into result values. */
export interface Evaluator {
  /** Values that continue over windows, for one shard; undefined: each window starts empty. */
  totals(from: unknown): Totals;
  /**
   * Adds the rows of one round. Afterwards `results` gives the results of these rows together with what
   * `totals` held.
   */
  round(firings: readonly Firing[], totals: Totals | undefined, put: ((firing: Firing, values: readonly unknown[]) => void) | undefined): void;
  /** What `totals` has of windows, for people: results; of user-defined aggregates and of folds, the values. */
  show(firings: readonly Firing[], totals: Totals, put: (firing: Firing, value: unknown) => void): void;
  /** Gives shared memory back. Not used afterwards. */
  release(): void;
}

export interface Totals {
  readonly bytes: number;
  /** As values that structured clone can copy. */
  snapshot(): unknown;
  /** Gives shared memory back. Not used afterwards. */
  release(): void;
}

/** Rows of a batch, and slots of a tile. */
const ROWS_MAX = 1_024;

/** Rows of firings, as batches. */
class FiringBatches {
  readonly #builder: BatchBuilder;

  constructor(slabs: SlabAllocator, input: KeyedInput) {
    this.#builder = new BatchBuilder(slabs, travelling(input), ROWS_MAX);
  }

  release(): void {
    this.#builder.release();
  }

  each(firings: readonly Firing[], visit: (batch: Batch) => void): void {
    const builder = this.#builder;
    builder.reset();
    for (const { rows } of firings) {
      for (const row of rows) {
        if (builder.rowCount === builder.capacity) {
          visit(builder.finish());
          builder.reset();
        }
        builder.appendRow(row);
      }
    }
    if (builder.rowCount > 0) visit(builder.finish());
  }
}

/** The input's schema, with null for the columns that did not travel. */
function travelling({ schema, columns }: KeyedInput): Schema {
  return new Schema(schema.fields.map(({ name, type }, c) => ({ name, type: columns.includes(c) ? type : nullable(type) })));
}

/** The evaluation by aggregates: a group table for the round, and one that continues. */
export class AggregateEvaluator implements Evaluator {
  readonly #slabs: SlabAllocator;
  readonly #plan: AggregatePlan;
  readonly #batches: FiringBatches;
  readonly #fresh: GroupTable;
  readonly #writer: ResultWriter;
  readonly #keyOf: (batch: Batch, row: number) => Key;

  constructor(slabs: SlabAllocator, input: KeyedInput, plan: AggregatePlan) {
    this.#slabs = slabs;
    this.#plan = plan;
    this.#batches = new FiringBatches(slabs, input);
    this.#fresh = smallTable(slabs, plan.layout, 0);
    this.#writer = new ResultWriter(slabs, plan);
    this.#keyOf = keyReader(
      plan.keys.map((_, c) => c),
      plan.output,
    );
  }

  totals(from: unknown): Totals {
    return new TableTotals(this.#slabs, this.#plan, from as Uint8Array | undefined);
  }

  round(firings: readonly Firing[], totals: Totals | undefined, put: ((firing: Firing, values: readonly unknown[]) => void) | undefined): void {
    const { keys, inputs } = this.#plan;
    const fresh = this.#fresh;
    this.#batches.each(firings, (batch) => {
      const keyColumns = keys.map((column) => batch.column(column));
      const values = inputs.map((column): Column | undefined => (column < 0 ? undefined : batch.column(column)));
      for (let done = 0; done < batch.rowCount; ) done += fresh.update(keyColumns, values, done, batch.rowCount, 0);
    });
    const table = (totals as TableTotals | undefined)?.table;
    table?.mergeTable(fresh);
    if (put !== undefined) this.#write(firings, table, put);
    fresh.clear();
  }

  show(firings: readonly Firing[], totals: Totals, put: (firing: Firing, value: unknown) => void): void {
    const names = this.#plan.results.map(({ name }) => name);
    this.#write(firings, (totals as TableTotals).table, (firing, values) => put(firing, named(names, values)));
  }

  release(): void {
    this.#batches.release();
    this.#fresh.release();
    this.#writer.release();
  }

  #write(firings: readonly Firing[], table: GroupTable | undefined, put: (firing: Firing, values: readonly unknown[]) => void): void {
    const keyCount = this.#plan.keys.length;
    const byKey = new Map<Key, unknown[]>();
    const emit = (batch: Batch): void => {
      for (let row = 0; row < batch.rowCount; row++) {
        byKey.set(
          this.#keyOf(batch, row),
          this.#plan.results.map((_, c) => batch.value(keyCount + c, row)),
        );
      }
    };
    const writer = this.#writer;
    if (this.#plan.results.some(({ form }) => form === 'rate')) {
      // A rate depends on the length of its window: one at a time.
      const of = table ?? this.#fresh;
      for (const { entry, start, end } of firings) {
        this.#slabs.memory.u32[writer.found >>> 2] = of.find(entry.key);
        writer.writeSlots(of, writer.found, 1, start, end, emit);
      }
    } else if (table === undefined) writer.writeTable(this.#fresh, 0, 0, emit);
    else {
      // A window that fires by time may have no row in this round.
      const { u32 } = this.#slabs.memory;
      for (let from = 0; from < firings.length; from += ROWS_MAX) {
        const tile = firings.slice(from, from + ROWS_MAX);
        tile.forEach(({ entry }, i) => {
          u32[(writer.found >>> 2) + i] = table.find(entry.key);
        });
        writer.writeSlots(table, writer.found, tile.length, 0, 0, emit);
      }
    }
    writer.flush(emit);
    // Windows come out in the order in which they fired. The table belongs to the thread, and its order
    // depends on what other shards had in it.
    for (const firing of firings) {
      const values = byKey.get(firing.entry.id);
      assert(values, 'a window that has no group');
      put(firing, values);
    }
  }
}

/** The groups of a shard whose windows are kept after they fire. */
class TableTotals implements Totals {
  readonly table: GroupTable;

  constructor(slabs: SlabAllocator, plan: AggregatePlan, from: Uint8Array | undefined) {
    this.table = smallTable(slabs, plan.layout, 0);
    if (from !== undefined) this.table.restore(new StateReader(from));
  }

  get bytes(): number {
    return this.table.bytes;
  }

  snapshot(): Uint8Array {
    const out = new StateWriter();
    this.table.snapshot(out);
    return out.finish();
  }

  release(): void {
    this.table.release();
  }
}

/** The evaluation by a fold. */
export class FoldEvaluator implements Evaluator {
  readonly #fold: RowFold;
  readonly #failures: RowFailures;
  readonly #reader: RowReader;
  readonly #batches: FiringBatches;
  readonly #keyOf: (batch: Batch, row: number) => Key;

  constructor(slabs: SlabAllocator, input: KeyedInput, fold: RowFold, failures: RowFailures) {
    this.#fold = fold;
    this.#failures = failures;
    this.#reader = new RowReader(input.schema, input.columns);
    this.#batches = new FiringBatches(slabs, input);
    this.#keyOf = keyReader(input.keys, input.schema);
  }

  totals(from: unknown): Totals {
    return new FoldTotals(from as ReadonlyMap<Key, unknown> | undefined);
  }

  round(firings: readonly Firing[], totals: Totals | undefined, put: ((firing: Firing, values: readonly unknown[]) => void) | undefined): void {
    const values = (totals as FoldTotals | undefined)?.values ?? new Map<Key, unknown>();
    const isGuarded = this.#failures.areSkipped && this.#fold.callsFunctions;
    this.#batches.each(firings, (batch) => {
      for (let row = 0; row < batch.rowCount; row++) {
        const key = this.#keyOf(batch, row);
        const value = values.get(key);
        const kept = isGuarded ? stateCopy(value) : undefined;
        try {
          values.set(key, this.#fold.add(value, batch, row));
        } catch (error) {
          this.#failures.skip(error, this.#reader.read(batch, row));
          values.set(key, kept);
        }
      }
    });
    if (put !== undefined) for (const firing of firings) this.#fold.results(values.get(firing.entry.id), (row) => put(firing, row));
  }

  show(firings: readonly Firing[], totals: Totals, put: (firing: Firing, value: unknown) => void): void {
    for (const firing of firings) put(firing, (totals as FoldTotals).values.get(firing.entry.id));
  }

  release(): void {
    this.#batches.release();
  }
}

class FoldTotals implements Totals {
  readonly values: Map<Key, unknown>;

  constructor(from: ReadonlyMap<Key, unknown> | undefined) {
    this.values = new Map(from);
  }

  get bytes(): number {
    return this.values.size * 200;
  }

  snapshot(): ReadonlyMap<Key, unknown> {
    return new Map(this.values);
  }

  release(): void {
    this.values.clear();
  }
}
