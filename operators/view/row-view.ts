/**
 * Rows of any operator, kept to be viewed: the latest of each key, whole. An operator of its own behind the one
 * that is viewed holds them, as a running aggregate whose one value is the row: bytes, without the key columns. So they are in shared memory, in checkpoints, and read in place like any
 * other view. A key that went has no bytes; its group is dropped when such groups are many.
 */

import { type AnyRow, binary, type Field, type LiveCell, MillraceError, Schema, type SlabAllocator, shown, timestamp } from '../../core/index.ts';
import { AggregateExchange, last, planAggregate } from '../aggregate/index.ts';
import type { LiveCandidate, LiveRanks, Rank } from './live-ranks.ts';
import { LiveRows } from './live-rows.ts';

const ROW = '[row]';
const TIME = '[time]';
const NOTHING = new Uint8Array(0);

/** How the values of a row become bytes, and values again. The bytes are never none. */
export interface RowBytes {
  write(values: readonly unknown[]): Uint8Array;
  read(bytes: Uint8Array): unknown;
}

/** What is viewed, where it is no running aggregate. */
export interface ViewedRows {
  readonly schema: Schema;
  readonly bytes: RowBytes;
}

export interface RowViewRequest {
  readonly bytes: RowBytes;
  /** The rows that are viewed. */
  readonly rows: Schema;
  /** Names of the columns by which a row replaces another. Without any, there is one row. */
  readonly keys: readonly string[];
  /** A bool column, perhaps a hidden one: true in a row that takes its key out. */
  readonly gone?: string | undefined;
  /** A timestamp column: a row replaces those up to its time. Default: all that came before. */
  readonly time?: string | undefined;
}

export interface RowView {
  /** Of what `image` makes. */
  readonly schema: Schema;
  /** What the operator takes for a row. */
  image(row: AnyRow): AnyRow;
  readonly operator: AggregateExchange;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when a key is no column */
export function planRowView({ bytes, rows, keys, gone, time }: RowViewRequest): RowView {
  const values = valuesOf(rows, keys);
  const schema = new Schema([...rows.select(keys, 'as').fields, { name: ROW, type: binary }, ...(time === undefined ? [] : [{ name: TIME, type: timestamp }])]);
  const aggregates = { [ROW]: last(ROW) };
  const plan = planAggregate({ input: schema, keys, aggregates, ...(time === undefined ? {} : { eventTime: TIME }) });
  const described = `rows by ${keys.join(', ') || '(none: one row)'}, to be viewed: the latest of each key, as bytes${gone === undefined ? '' : '; none where it went'}`;
  return {
    schema,
    image(row) {
      const image: Record<string, unknown> = {};
      for (const key of keys) image[key] = row[key];
      image[ROW] = gone !== undefined && row[gone] === true ? NOTHING : bytes.write(values.map(({ name }) => row[name]));
      if (time !== undefined) image[TIME] = row[time];
      return image;
    },
    operator: new AggregateExchange({ ...plan, dropsEmpty: gone !== undefined, describe: () => described }),
  };
}

const NUMBERS = new Set(['i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'timestamp']);

/** Reads the shards of the operator of a {@link RowView}. */
export class LiveImages {
  readonly #inner: LiveRows;
  readonly #rows: Schema;
  readonly #bytes: RowBytes;
  readonly #values: readonly Field[];

  constructor(slabs: SlabAllocator, { plan }: AggregateExchange, { schema, bytes }: ViewedRows) {
    this.#inner = new LiveRows(slabs, plan);
    this.#rows = schema;
    this.#bytes = bytes;
    this.#values = valuesOf(
      schema,
      plan.keys.map((key) => plan.input.field(key).name),
    );
  }

  setKey(key: unknown): number {
    return this.#inner.setKey(key);
  }

  tryRow(cell: LiveCell, version: number): AnyRow | null | undefined {
    const image = this.#inner.tryRow(cell, version);
    return image === undefined ? undefined : image === null ? null : this.#row(image);
  }

  tryCandidate(candidate: LiveCandidate): AnyRow | undefined {
    const image = this.#inner.tryCandidate(candidate);
    // Of the same version, so it is there.
    return image === undefined ? undefined : (this.#row(image) as AnyRow);
  }

  tryRows(cell: LiveCell, version: number): AnyRow[] | undefined {
    const rows: AnyRow[] = [];
    return this.#tryEach(cell, version, (row) => rows.push(row)) ? rows : undefined;
  }

  trySize(cell: LiveCell, version: number): number | undefined {
    let size = 0;
    const count = (image: AnyRow): void => {
      if ((image[ROW] as Uint8Array).length > 0) size++;
    };
    return this.#inner.tryEach(cell, version, count) ? size : undefined;
  }

  tryRanks(cell: LiveCell, version: number, by: string, before: LiveRanks): LiveRanks | undefined {
    const ranks = before.fork();
    const take = (row: AnyRow, place: number): void => ranks.take((row[by] ?? undefined) as Rank, cell, version, place);
    return this.#tryEach(cell, version, take) ? ranks : undefined;
  }

  /**
   * @param by name of a column of numbers or times; undefined: the only one there is
   * @throws MillraceError ERR_MILLRACE_OPTION when there is no such column
   */
  ranking(by: string | undefined): string {
    const ranked = this.#rows.fields.filter(({ type }) => NUMBERS.has(type.name)).map(({ name }) => name);
    if (by === undefined ? ranked.length === 1 : ranked.includes(by)) return by ?? (ranked[0] as string);
    const names = ranked.join(', ') || '(none)';
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      by === undefined
        ? `top() is not told by which column, and those that are numbers or times are ${names}. Name one: top(10, { by: 'clicks' }).`
        : `top() goes by ${shown(by)}; the columns that are numbers or times are ${names}. Name one of them.`,
    );
  }

  trim(): void {
    this.#inner.trim();
  }

  #tryEach(cell: LiveCell, version: number, visit: (row: AnyRow, place: number) => void): boolean {
    return this.#inner.tryEach(cell, version, (image, place) => {
      const row = this.#row(image);
      if (row !== null) visit(row, place);
    });
  }

  /** Null: the key went. */
  #row(image: AnyRow): AnyRow | null {
    const bytes = image[ROW] as Uint8Array;
    if (bytes.length === 0) return null;
    const values = this.#bytes.read(bytes) as unknown[];
    const row: Record<string, unknown> = {};
    for (const { name } of this.#rows.fields) row[name] = image[name];
    this.#values.forEach(({ name }, i) => {
      row[name] = values[i];
    });
    return row;
  }
}

/** The columns that are no keys. */
function valuesOf(rows: Schema, keys: readonly string[]): readonly Field[] {
  return rows.fields.filter(({ name }) => !keys.includes(name));
}
