/**
 * The order of rows behind an operator by key. Results come from 64 shards, so rows of one key here that had
 * different keys there come in the order of those shards. Where an operator needs the rows of a key in the
 * order in which they were read, each row carries its place in the epoch. The shard merges the rows from the
 * shards before it by these places.
 *
 *   scan       block of rows, with the place of each in its batch
 *   shard      place in the epoch = (number of the block among all of the epoch + 1) * 2^24 + place in the
 *              block
 *   operator   says which row a result is made of; the result gets its place. Results of timers come behind
 *              all rows.
 *   exchange   block of rows, with their places in the epoch
 *   shard      rows of all blocks of that exchange, by their places
 *
 * Blocks are numbered in the order (source, partition, first, sequence), whoever scanned them. So places are
 * the same for any number of workers. Only exchanges marked by the plan carry places
 * (ExchangePlan.carriesOrder). The cost there is eight bytes per row, and a copy of each row that comes from
 * another exchange.
 */

import { type Batch, BatchBuilder, type Column, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { RowImage } from '../by-key/index.ts';
import { blockInput, exchangeBlockOrigin } from './exchange-block.ts';
import { shardOrders, shardRows } from './row-block.ts';
import type { RowInput } from './row-partition.ts';

/** Greater than any place in a block. */
const BLOCK_PLACES = 2 ** 24;
const ROWS_MAX = 4_096;

/** The rows of one block for a shard. */
interface Piece {
  readonly block: number;
  readonly input: number;
  readonly source: number;
  readonly rows: Batch;
  /** Place in the epoch. */
  readonly places: Float64Array;
  /** True where they come from another exchange. */
  readonly isBehind: boolean;
}

interface Copy {
  readonly builder: BatchBuilder;
  readonly image: RowImage;
  readonly columns: readonly number[];
}

/** `isBehind`: the rows come from another exchange, and may be of several of its shards. */
export type OrderedVisit = (rows: Batch, input: number, places: Float64Array, block: number, isBehind: boolean) => void;

/** Hands the rows of an epoch to shards in their order. One per thread, shared by its shards. */
export class RowMerger {
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #inputs: readonly RowInput[];
  /** By input: the copiers of rows. */
  readonly #copies: Copy[] = [];
  #work = 0;
  #workBytes = 0;

  constructor(slabs: SlabAllocator, inputs: readonly RowInput[]) {
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#inputs = inputs;
  }

  /**
   * Calls `visit` with all rows of a shard, in batches that are valid during the call.
   *
   * @param blocks of the epoch, in the order in which they are merged
   * @returns how many rows there were
   */
  each(blocks: readonly number[], shard: number, visit: OrderedVisit): number {
    const pieces = blocks.flatMap((block, number) => this.#piece(block, number, shard) ?? []);
    let rowCount = 0;
    for (let from = 0; from < pieces.length; ) {
      const first = pieces[from] as Piece;
      let to = from + 1;
      const isSame = ({ isBehind, source, input }: Piece): boolean => isBehind && source === first.source && input === first.input;
      if (first.isBehind) while (to < pieces.length && isSame(pieces[to] as Piece)) to++;
      const run = pieces.slice(from, to);
      for (const { rows } of run) rowCount += rows.rowCount;
      if (isAscending(run)) for (const { rows, input, places, block, isBehind } of run) visit(rows, input, places, block, isBehind);
      else this.#merge(run, visit);
      from = to;
    }
    return rowCount;
  }

  #piece(block: number, number: number, shard: number): Piece | undefined {
    const memory = this.#memory;
    const input = blockInput(memory, block);
    const rows = shardRows(memory, this.#inputs[input] as RowInput, block, shard);
    if (rows === undefined) return undefined;
    const at = shardOrders(memory, block, shard) >>> 3;
    // Blocks of a state log are as the plan was then: without places their rows come as they are.
    const places = at === 0 ? Float64Array.from({ length: rows.rowCount }, (_, row) => row) : memory.f64.slice(at, at + rows.rowCount);
    const isBehind = (places[0] as number) >= BLOCK_PLACES;
    if (!isBehind) for (let row = 0; row < places.length; row++) places[row] = (places[row] as number) + (number + 1) * BLOCK_PLACES;
    return { block, input, source: exchangeBlockOrigin(memory, block).source, rows, places, isBehind };
  }

  #merge(run: readonly Piece[], visit: OrderedVisit): void {
    const { input, block } = run[0] as Piece;
    const { builder, image, columns } = (this.#copies[input] ??= this.#copyOf(input));
    let count = 0;
    for (const { rows } of run) count += rows.rowCount;
    const places = new Float64Array(count);
    const pieces = new Uint32Array(count);
    const rows = new Uint32Array(count);
    let at = 0;
    run.forEach((piece, p) => {
      places.set(piece.places, at);
      for (let row = 0; row < piece.rows.rowCount; row++, at++) {
        pieces[at] = p;
        rows[at] = row;
      }
    });
    // Rows of the same place keep their order of arrival; rows without a place come last.
    const order = Uint32Array.from(places, (_, i) => i).sort((a, b) => {
      const [first, second] = [places[a] as number, places[b] as number];
      return first < second ? -1 : first > second ? 1 : a - b;
    });
    const columnsOf = run.map((piece) => columns.map((c) => piece.rows.column(c)));
    for (let from = 0; from < count; from += ROWS_MAX) {
      const part = order.subarray(from, from + ROWS_MAX);
      builder.reset();
      for (const i of part) {
        const values = columnsOf[pieces[i] as number] as Column[];
        const row = rows[i] as number;
        const record = this.#reserve(image.size(values, row));
        image.write(values, row, record);
        image.read(record, builder, columns, builder.rowCount++);
      }
      visit(
        builder.finish(),
        input,
        Float64Array.from(part, (i) => places[i] as number),
        block,
        true,
      );
    }
  }

  #copyOf(input: number): Copy {
    const { schema, columns } = this.#inputs[input] as RowInput;
    const image = new RowImage(
      this.#memory,
      columns.map((c) => schema.field(c).type),
    );
    return { builder: new BatchBuilder(this.#slabs, schema, ROWS_MAX), image, columns };
  }

  /** Address of a work area of the given size. */
  #reserve(bytes: number): number {
    if (bytes <= this.#workBytes) return this.#work;
    if (this.#work !== 0) this.#slabs.free(this.#work);
    this.#work = this.#slabs.alloc(bytes);
    this.#workBytes = bytes;
    return this.#work;
  }
}

function isAscending(run: readonly Piece[]): boolean {
  let last = Number.NEGATIVE_INFINITY;
  for (const { places } of run) {
    for (const place of places) {
      if (place < last) return false;
      last = place;
    }
  }
  return true;
}
