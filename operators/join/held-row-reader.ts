/** Reads the rows that one side of a join holds, as objects, for people. */

import { type AnyRow, BatchBuilder, type SlabAllocator } from '../../core/index.ts';
import type { KeyIndex, RowImage } from '../by-key/index.ts';
import { type KeyedInput, RowReader } from '../keyed/index.ts';
import type { SideColumns } from './join-columns.ts';

export class HeldRowReader {
  readonly #builder: BatchBuilder;
  readonly #columns: SideColumns;
  readonly #row: RowReader;
  readonly #key: RowReader;

  constructor(slabs: SlabAllocator, { schema }: KeyedInput, columns: SideColumns) {
    this.#builder = new BatchBuilder(slabs, schema, 1);
    this.#columns = columns;
    this.#row = new RowReader(
      schema,
      [...columns.keys, ...columns.values].sort((a, b) => a - b),
    );
    this.#key = new RowReader(schema, columns.keys);
  }

  /** @param record of the columns that are no keys, as `image` wrote it */
  read(keys: KeyIndex, key: number, image: RowImage, record: number): { readonly key: AnyRow; readonly value: AnyRow } {
    const builder = this.#builder;
    builder.reset();
    keys.read(key, builder, this.#columns.keys, 0);
    image.read(record, builder, this.#columns.values, 0);
    const batch = builder.finish(1);
    return { key: this.#key.read(batch, 0), value: this.#row.read(batch, 0) };
  }

  release(): void {
    this.#builder.release();
  }
}
