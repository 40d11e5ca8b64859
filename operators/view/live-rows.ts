/**
 * LiveRows: the groups of a running aggregate as result rows, while the owners of its shards go on changing
 * them. A row is what a sink would get: key columns, then the aggregates, by the same code (result-writer.ts)
 * over copies (core/groups/live-reader.ts).
 *
 * Every call reads one shard and gives undefined where the shard changed meanwhile. For how shards make an
 * answer, and when to look again, see runtime/job/view.ts. One thread; nothing here waits.
 */

import {
  type AnyRow,
  type Batch,
  type Field,
  type GroupTable,
  type LiveCell,
  LiveReader,
  MillraceError,
  memberOf,
  Schema,
  SHARD_BITS,
  type SlabAllocator,
  shown,
  smallTable,
  TORN,
} from '../../core/index.ts';
import { type AggregatePlan, type ResultColumn, ResultWriter } from '../aggregate/index.ts';
import type { LiveCandidate, LiveRanks } from './live-ranks.ts';

/** The column by which groups are ranked. Made by {@link LiveRows.ranking}. */
export interface LiveRanking {
  /** Writes that column alone. */
  readonly writer: ResultWriter;
  /** Whether it depends on what lies outside the slots. */
  readonly needsStates: boolean;
}

const RANKED = new Set(['i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'timestamp']);

/** Reads the shards of one running aggregate. `version` is always what `cell.tryRead` returned. */
export class LiveRows {
  readonly #slabs: SlabAllocator;
  readonly #plan: AggregatePlan;
  readonly #keys: readonly Field[];
  readonly #reader: LiveReader;
  readonly #writer: ResultWriter;
  /** Empty: a table of the layout, for code that reads slots. */
  readonly #model: GroupTable;
  readonly #rankings = new Map<string, LiveRanking>();

  constructor(slabs: SlabAllocator, plan: AggregatePlan) {
    this.#slabs = slabs;
    this.#plan = plan;
    this.#keys = plan.keys.map((key) => plan.input.field(key));
    this.#reader = new LiveReader(slabs, plan.layout, this.#keys);
    this.#writer = new ResultWriter(slabs, plan);
    this.#model = smallTable(slabs, plan.layout, SHARD_BITS);
  }

  /**
   * Sets the key that {@link tryRow} looks for: the value of the only key column or, for several, an object
   * by column or an array in their order.
   *
   * @returns its shard
   * @throws MillraceError ERR_MILLRACE_SCHEMA when it is not a key of these columns
   */
  setKey(key: unknown): number {
    return this.#reader.setKey(this.#keyValues(key));
  }

  /** The row of the key that was set, null where there is none; undefined: look again. */
  tryRow(cell: LiveCell, version: number): AnyRow | null | undefined {
    const found = this.#reader.tryFind(cell, version);
    return found === TORN ? undefined : found === 0 ? null : (this.#rowsOf(1)[0] as AnyRow);
  }

  /** The row of a candidate; undefined: look for candidates again. */
  tryCandidate({ cell, version, place }: LiveCandidate): AnyRow | undefined {
    return this.#reader.tryCopy(cell, version, place) === TORN ? undefined : this.#rowsOf(1)[0];
  }

  /** All rows of the shard, in no particular order; undefined: look again. */
  tryRows(cell: LiveCell, version: number): AnyRow[] | undefined {
    const rows: AnyRow[] = [];
    return this.tryEach(cell, version, (row) => rows.push(row)) ? rows : undefined;
  }

  /** Calls `visit` with all rows of the shard, and with where they are in this version; false: look again. */
  tryEach(cell: LiveCell, version: number, visit: (row: AnyRow, place: number) => void): boolean {
    const reader = this.#reader;
    const { u32 } = this.#slabs.memory;
    for (let from = 0; ; from = reader.next) {
      const count = reader.tryTile(cell, version, from, true);
      if (count === TORN) return false;
      if (count === 0) return true;
      this.#rowsOf(count).forEach((row, i) => {
        visit(row, u32[(reader.places >>> 2) + i] as number);
      });
    }
  }

  /** Number of groups in the shard; undefined: look again. */
  trySize(cell: LiveCell, version: number): number | undefined {
    const size = this.#reader.trySize(cell, version);
    return size === TORN ? undefined : size;
  }

  /**
   * The groups of the shard that may be among the first, together with earlier ones; undefined: look again.
   */
  tryRanks(cell: LiveCell, version: number, { writer, needsStates }: LiveRanking, before: LiveRanks): LiveRanks | undefined {
    const reader = this.#reader;
    const ranks = before.fork();
    const take = (batch: Batch): void => ranks.takeBatch(batch, cell, version, reader.places);
    for (let from = 0; ; from = reader.next) {
      const count = reader.tryTile(cell, version, from, needsStates);
      if (count === TORN) return undefined;
      if (count === 0) return ranks;
      this.#write(writer, count, take);
    }
  }

  /**
   * @param by name of an aggregate whose values are numbers or times; undefined: the only one there is
   * @throws MillraceError ERR_MILLRACE_OPTION when there is no such aggregate
   */
  ranking(by: string | undefined): LiveRanking {
    const column = this.#rankedColumn(by);
    const known = this.#rankings.get(column.name);
    if (known !== undefined) return known;
    const { accumulators } = this.#plan.layout;
    const uses = [column.accumulator, column.squares, column.validBy].filter((index) => index >= 0);
    const only = { ...this.#plan, keys: [], results: [column], output: new Schema([{ name: column.name, type: column.type }]) };
    const ranking = {
      writer: new ResultWriter(this.#slabs, only),
      needsStates: uses.some((index) => (accumulators[index]?.accumulator.pointers.length ?? 0) > 0),
    };
    this.#rankings.set(column.name, ranking);
    return ranking;
  }

  /** Frees memory that only large groups needed. */
  trim(): void {
    this.#reader.trim();
  }

  /** The groups that the reader has copied, as rows. */
  #rowsOf(count: number): AnyRow[] {
    const rows: AnyRow[] = [];
    const take = (batch: Batch): void => {
      for (const row of batch.toRows()) rows.push(row);
    };
    this.#write(this.#writer, count, take);
    return rows;
  }

  #write(writer: ResultWriter, count: number, take: (batch: Batch) => void): void {
    try {
      writer.writeSlots(this.#model, this.#reader.slots, count, 0, 0, take);
      writer.flush(take);
    } catch (error) {
      // A sum of i64 may be too large to show. The next row must not start with the rest of this one.
      writer.discard();
      throw error;
    }
  }

  #keyValues(key: unknown): readonly unknown[] {
    const names = this.#keys.map((field) => field.name);
    if (Array.isArray(key)) {
      if (key.length === names.length) return key;
    } else if (typeof key === 'object' && key !== null && !(key instanceof Uint8Array)) {
      if (this.#keys.every((field) => (field.type.nested ? memberOf(key, field) !== undefined : Object.hasOwn(key, field.name)))) {
        return this.#keys.map((field) => memberOf(key, field));
      }
    } else if (names.length === 1) return [key];
    const wanted = names.length === 1 ? `its value` : `an object with them, or an array of ${names.length} values in their order`;
    throw new MillraceError('ERR_MILLRACE_SCHEMA', `${shown(key)} is no key here: the key is ${names.join(', ')}. Give ${wanted}.`);
  }

  #rankedColumn(by: string | undefined): ResultColumn {
    const ranked = this.#plan.results.filter(({ type }) => RANKED.has(type.name));
    const found = by === undefined ? (ranked.length === 1 ? ranked[0] : undefined) : ranked.find(({ name }) => name === by);
    if (found !== undefined) return found;
    const names = ranked.map(({ name }) => name).join(', ') || '(none)';
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      by === undefined
        ? `top() is not told by which aggregate, and those that are numbers are ${names}. Name one: top(10, { by: 'clicks' }).`
        : `top() goes by ${shown(by)}; the aggregates that are numbers are ${names}. Name one of them.`,
    );
  }
}
