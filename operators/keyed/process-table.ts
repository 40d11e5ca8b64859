/**
 * A table that every shard of process() holds whole: the latest row of each key, as objects that functions may
 * read and not change.
 */

import type { AnyRow, Batch } from '../../core/index.ts';
import type { StateRow } from '../exchange/index.ts';
import type { KeyedInput } from './keyed-operator.ts';
import { type Key, keyReader, RowReader, roughBytes } from './row-values.ts';

/** In the order in which keys came. */
export type SavedTable = readonly (readonly [key: Key, row: AnyRow])[];

export class ProcessTable {
  /** As functions see it. */
  readonly rows: ReadonlyMap<Key, AnyRow> = new ReadOnlyRows();
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #reader: RowReader;
  readonly #keys: RowReader;
  readonly #deleted: string | undefined;

  constructor({ schema, keys }: KeyedInput, deleted: string | undefined, from: SavedTable | undefined) {
    this.#keyOf = keyReader(keys, schema);
    this.#reader = new RowReader(schema);
    this.#keys = new RowReader(schema, keys);
    this.#deleted = deleted;
    for (const [key, row] of from ?? []) this.#set(key, Object.freeze({ ...row }));
  }

  take(batch: Batch, row: number): void {
    const key = this.#keyOf(batch, row);
    const object = Object.freeze(this.#reader.read(batch, row));
    if (this.#deleted !== undefined && object[this.#deleted] === true) Map.prototype.delete.call(this.rows, key);
    else this.#set(key, object);
  }

  get bytes(): number {
    let bytes = 0;
    let looked = 0;
    // The first hundred stand for all.
    for (const [key, row] of this.rows) {
      if (looked++ === 100) break;
      bytes += 64 + roughBytes(key) + roughBytes(row);
    }
    return this.rows.size <= 100 ? bytes : Math.round((bytes * this.rows.size) / 100);
  }

  snapshot(): SavedTable {
    return [...this.rows].map(([key, row]) => [key, { ...row }]);
  }

  *stateRows(): Generator<StateRow> {
    for (const row of this.rows.values()) yield { key: this.#keys.pick(row), side: 'right', value: row };
  }

  #set(key: Key, row: AnyRow): void {
    Map.prototype.set.call(this.rows, key, row);
  }
}

/** A Map that functions can only read. */
class ReadOnlyRows extends Map<Key, AnyRow> {
  override set(): this {
    return refused('set');
  }

  override delete(): boolean {
    return refused('delete');
  }

  override clear(): void {
    refused('clear');
  }
}

function refused(name: string): never {
  throw new TypeError(`The table of process() is read-only: ${name}() would change it on one shard of 64. Its rows come from its stream.`);
}
