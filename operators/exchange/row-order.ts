/**
 * The order of rows behind an operator by key. Results come from 64 shards, so rows of one key here that had different
 * keys there come in the order of these shards. Where an operator needs the rows of a key in the order in which they were
 * read, each row carries its place in the epoch, and the shard merges what comes from the shards before it by that.
 *
 *   scan       block of rows, with the place of each in its batch
 *   shard      place in the epoch = (number of the block among all of the epoch + 1) * 2^24 + place in the block
 *   operator   says of which row a result is made; the result has its place. What a timer gives comes behind all rows.
 *   exchange   block of rows, with their places in the epoch
 *   shard      rows of all blocks of that exchange, by their places
 *
 * Blocks are numbered in the order (source, partition, first, sequence), whoever scanned them: so places are the same for any
 * number of workers. Only exchanges that the plan says this of carry places (ExchangePlan.carriesOrder). Cost there: eight
 * bytes a row, and a copy of each row that comes from another exchange.
 */

import { type Batch, BatchBuilder, type Column, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { RowImage } from '../by-key/row-image.ts';
import type { KeyedInput } from '../keyed/keyed-operator.ts';
import { blockInput, exchangeBlockOrigin } from './exchange.ts';
import { shardOrders, shardRows } from './row-partition.ts';

/** Greater than any place in a block. */
const BLOCK_PLACES = 2 ** 24;
const ROWS_MAX = 4_096;

/** The rows of one block for a shard. */
interface Piece {
  readonly block: number;
  readonly input: number;
  readonly source: number;
  readonly rows: Batch;
  /** In the epoch. */
  readonly places: Float64Array;
  /** They come from another exchange. */
  readonly isBehind: boolean;
}

interface Copy {
  readonly builder: BatchBuilder;
  readonly image: RowImage;
  readonly columns: readonly number[];
}

export type OrderedVisit = (rows: Batch, input: number, places: Float64Array, block: number) => void;

/** Hands the rows of an epoch to shards in their order. One for all shards of a thread. */
export class RowMerger {
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #inputs: readonly KeyedInput[];
  /** By input: what rows are copied by. */
  readonly #copies: Copy[] = [];
  #work = 0;
  #workBytes = 0;

  constructor(slabs: SlabAllocator, inputs: readonly KeyedInput[]) {
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#inputs = inputs;
  }

  /**
   * Calls `visit` with all rows of a shard, in batches that are good during the call.
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
      if (isAscending(run)) for (const { rows, input, places, block } of run) visit(rows, input, places, block);
      else this.#merge(run, visit);
      from = to;
    }
    return rowCount;
  }

  #piece(block: number, number: number, shard: number): Piece | undefined {
    const memory = this.#memory;
    const input = blockInput(memory, block);
    const { schema } = this.#inputs[input] as KeyedInput;
    const rows = shardRows(memory, schema, block, shard);
    if (rows === undefined) return undefined;
    const at = shardOrders(memory, schema, block, shard) >>> 3;
    const places = memory.f64.slice(at, at + rows.rowCount);
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
    // Of the same place as they came; what has none comes last.
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
      );
    }
  }

  #copyOf(input: number): Copy {
    const { schema, columns } = this.#inputs[input] as KeyedInput;
    const image = new RowImage(
      this.#memory,
      columns.map((c) => schema.field(c).type),
    );
    return { builder: new BatchBuilder(this.#slabs, schema, ROWS_MAX), image, columns };
  }

  /** Address of so many bytes to work in. */
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
