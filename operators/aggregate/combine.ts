/**
 * The first half of an aggregation, in the worker that scans. Rows of one chunk go into small group tables,
 * one per pane, which become an exchange block at the end of the chunk. The second half is in the shards
 * (window-aggregate.ts, running-aggregate.ts).
 *
 *   beginEpoch -> { beginChunk -> add(batch) ... -> endChunk } ... -> takeBlocks
 *
 * The tables are small, so that a hot key costs one cache line and many keys do not fill the cache. A table
 * has one of a few fixed sizes, since one chunk may have rows for one pane or for hundreds. A full table is
 * exchanged for the next size. When all tables together are too large, they are written out as a block and
 * start empty. Where few keys of a chunk repeat, combining does not pay: the rest of its rows are passed on,
 * one slot each, without a look-up.
 *
 * The contents and order of a block follow from the rows of the chunk alone: partial sums are cut at chunk
 * ends, never where a thread happened to be. (So tables do not grow by themselves: a recycled table that had
 * grown would order its slots differently.)
 *
 * Late rows (see windows.ts) are counted, handed to the `late` hook by number, and not added.
 */

import { assert, type Batch, type Column, GroupTable, PaneSplit, type SlabAllocator } from '../../core/index.ts';
import type { ChunkOrigin, EpochStart, Scatter, ScatterHooks } from '../exchange/index.ts';
import type { AggregatePlan } from './aggregate-plan.ts';
import { writeGroupBlock } from './group-block.ts';

/**
 * Bytes of the slots of all open tables together. They should stay in the L2 cache, beside the columns of a
 * batch.
 */
const OPEN_BYTES_MAX = 1 << 20;
/** Bytes of the slots of a table: the sizes that the table of a pane goes through as it fills. */
const SIZES = [4_096, 16_384, 131_072, 524_288] as const;
const SIZE_LAST = SIZES.length - 1;
/** The greatest size to start with. */
const SIZE_FIRST_MAX = 2;
/**
 * A full table of that size grows further only if it has taken this many rows per group. With fewer, most
 * keys do not repeat within the chunk, and a larger table would be slower and combine no more (measured:
 * growing is 1.2 times faster with 10 k keys, 1.1 times slower with 30 k). Then the rest of the chunk is
 * passed on.
 */
const ROWS_PER_GROUP_MIN = 1.07;

/**
 * Combines the rows of chunks for one aggregation. One per thread; synchronous.
 *
 * @example
 * combiner.beginEpoch({ watermark, timeBound: Infinity });
 * combiner.beginChunk({ source: 0, partition: 3, first: 1_000 });
 * for (let batch = decoder.next(); batch; batch = decoder.next()) combiner.add(batch);
 * const { maxTimeMs } = combiner.endChunk();
 * exchange.push(...combiner.takeBlocks());
 */
export class Combiner implements Scatter {
  readonly plan: AggregatePlan;
  readonly #slabs: SlabAllocator;
  readonly #late: ((batch: Batch, rows: Uint32Array) => void) | undefined;
  readonly #split: PaneSplit | undefined;
  /** Slots of each size, and recycled tables of it. */
  readonly #slotCounts: readonly number[];
  readonly #spare: GroupTable[][] = SIZES.map(() => []);
  // The open panes of the chunk, with their tables and sizes; and the place of each pane.
  readonly #panes: number[] = [];
  readonly #tables: GroupTable[] = [];
  readonly #sizes: number[] = [];
  readonly #rows: number[] = [];
  readonly #places = new Map<number, number>();
  #openBytes = 0;
  #blocks: number[] = [];
  #origin: ChunkOrigin | undefined;
  #sequence = 0;
  /** The rows of this chunk are passed on: few of its keys repeat. */
  #passes = false;
  #lateBefore = Number.NEGATIVE_INFINITY;
  #timeBound = Number.POSITIVE_INFINITY;
  #maxTimeMs = Number.NEGATIVE_INFINITY;
  #lateCount = 0;

  constructor(slabs: SlabAllocator, plan: AggregatePlan, hooks: ScatterHooks = {}) {
    this.plan = plan;
    this.#slabs = slabs;
    this.#late = hooks.late?.bind(hooks);
    this.#split = plan.grid === undefined ? undefined : new PaneSplit(slabs, plan.grid, plan.timeShiftMs);
    this.#slotCounts = SIZES.map((bytes) => Math.floor(bytes / plan.layout.slotBytes));
  }

  /** Bytes of the tables held, without blocks. */
  get bytes(): number {
    let bytes = 0;
    for (const table of this.#tables) bytes += table.bytes;
    for (const tables of this.#spare) for (const table of tables) bytes += table.bytes;
    return bytes;
  }

  beginEpoch({ watermark, timeBound }: EpochStart): void {
    assert(this.#origin === undefined, 'an epoch begins within a chunk');
    this.#lateBefore = this.plan.openWindows?.lateBefore(watermark) ?? Number.NEGATIVE_INFINITY;
    this.#timeBound = timeBound;
  }

  beginChunk(origin: ChunkOrigin): void {
    assert(this.#origin === undefined, 'a chunk begins within a chunk');
    this.#origin = origin;
    this.#sequence = 0;
    this.#passes = false;
    this.#maxTimeMs = Number.NEGATIVE_INFINITY;
    this.#lateCount = 0;
  }

  /**
   * Adds the rows of a batch whose schema is the plan's input.
   *
   * @returns how many of them were late
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room for a block
   */
  add(batch: Batch): number {
    assert(this.#origin !== undefined, 'a batch outside a chunk');
    const keys = this.plan.keys.map((column) => batch.column(column));
    const inputs = this.plan.inputs.map((column) => (column < 0 ? undefined : batch.column(column)));
    const split = this.#split;
    if (split === undefined) {
      this.#update(0, keys, inputs, batch.rowCount, 0);
      return 0;
    }
    split.split(batch.column(this.plan.eventTime), batch.rowCount, this.#lateBefore, this.#timeBound);
    for (let i = 0; i < split.paneCount; i++) {
      const { pane, count, selection } = split.panes[i] as (typeof split.panes)[number];
      this.#update(pane, keys, inputs, count, selection);
    }
    if (split.maxTimeMs > this.#maxTimeMs) this.#maxTimeMs = split.maxTimeMs;
    if (split.lateCount > 0) {
      this.#lateCount += split.lateCount;
      const from = split.lateRows >>> 2;
      this.#late?.(batch, this.#slabs.memory.u32.subarray(from, from + split.lateCount));
    }
    return split.lateCount;
  }

  /**
   * Ends the chunk: what is in the tables becomes a block.
   *
   * @returns the greatest event time of the chunk's rows that may move the watermark (-Infinity: none), and
   * its late rows
   */
  endChunk(): { readonly maxTimeMs: number; readonly lateCount: number } {
    this.#flush();
    this.#origin = undefined;
    return { maxTimeMs: this.#maxTimeMs, lateCount: this.#lateCount };
  }

  /**
   * Addresses of the blocks since the last call. The caller now owns them and frees them when all shards have
   * merged them.
   */
  takeBlocks(): number[] {
    const blocks = this.#blocks;
    this.#blocks = [];
    return blocks;
  }

  /** Gives all memory back, including blocks that nobody took. */
  release(): void {
    for (const block of this.takeBlocks()) this.#slabs.free(block);
    this.#recycle();
    for (const tables of this.#spare) for (const table of tables.splice(0)) table.release();
    this.#split?.release();
    this.#origin = undefined;
  }

  #update(pane: number, keys: readonly Column[], inputs: readonly (Column | undefined)[], count: number, selection: number): void {
    for (let done = 0; done < count; ) {
      const place = this.#places.get(pane) ?? this.#open(pane, count - done);
      const table = this.#tables[place] as GroupTable;
      const taken = this.#passes ? table.append(keys, inputs, done, count, selection) : table.update(keys, inputs, done, count, selection);
      this.#rows[place] = (this.#rows[place] as number) + taken;
      done += taken;
      if (done < count) this.#makeRoom(place);
    }
  }

  /** Opens the table of a pane, in a size that takes some rows before it is exchanged. */
  #open(pane: number, rowCount: number): number {
    let size = 0;
    const slotCount = this.#passes ? rowCount : rowCount * 2;
    while (size < SIZE_FIRST_MAX && slotCount > (this.#slotCounts[size] as number)) size++;
    if (this.#openBytes + this.#slotBytes(size) > OPEN_BYTES_MAX) this.#flush();
    const place = this.#tables.length;
    this.#panes.push(pane);
    this.#tables.push(this.#take(size));
    this.#sizes.push(size);
    this.#rows.push(0);
    this.#places.set(pane, place);
    this.#openBytes += this.#slotBytes(size);
    return place;
  }

  /**
   * A table is full. It is exchanged for the next size; where there is none, all are written out. Rows that
   * are passed on go to one more table of that pane.
   */
  #makeRoom(place: number): void {
    if (this.#passes) {
      this.#places.delete(this.#panes[place] as number);
      return;
    }
    const size = this.#sizes[place] as number;
    const full = this.#tables[place] as GroupTable;
    const grows = size < SIZE_FIRST_MAX || (size < SIZE_LAST && (this.#rows[place] as number) >= full.size * ROWS_PER_GROUP_MIN);
    const more = grows ? this.#slotBytes(size + 1) - this.#slotBytes(size) : 0;
    if (!grows || this.#openBytes + more > OPEN_BYTES_MAX) {
      this.#flush();
      this.#passes = !grows && size < SIZE_LAST;
      return;
    }
    const larger = this.#take(size + 1);
    larger.mergeTable(full);
    full.clear();
    this.#spare[size]?.push(full);
    this.#tables[place] = larger;
    this.#sizes[place] = size + 1;
    this.#openBytes += more;
  }

  #take(size: number): GroupTable {
    return this.#spare[size]?.pop() ?? new GroupTable(this.#slabs, this.plan.layout, { capacityMin: this.#slotCounts[size] as number, fixed: true });
  }

  #slotBytes(size: number): number {
    return (this.#slotCounts[size] as number) * this.plan.layout.slotBytes;
  }

  #flush(): void {
    const block = writeGroupBlock(this.#slabs, this.#origin as ChunkOrigin, this.#sequence, this.#panes, this.#tables, this.#rows);
    if (block !== 0) {
      this.#sequence++;
      this.#blocks.push(block);
    }
    this.#recycle();
  }

  #recycle(): void {
    for (let place = 0; place < this.#tables.length; place++) {
      const table = this.#tables[place] as GroupTable;
      table.clear();
      this.#spare[this.#sizes[place] as number]?.push(table);
    }
    this.#tables.length = 0;
    this.#panes.length = 0;
    this.#sizes.length = 0;
    this.#rows.length = 0;
    this.#places.clear();
    this.#openBytes = 0;
  }
}
