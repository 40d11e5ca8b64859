/**
 * SlidingWindow: sliding-window aggregation by key over typed arrays, for an app without a pipeline or Kafka.
 *
 * Times, keys and values go in as arrays. When the caller says how far time has come, the windows that have
 * ended come out, with one array for the keys and one per aggregate. A row costs one update of one pane,
 * whatever the number of its windows. Rows may come in any order as long as their windows are open. One
 * thread; nothing is asynchronous.
 *
 * It combines the pane grid, pane ring and group tables of this folder for one value column. For aggregations
 * of any keys and columns, over workers, use a pipeline.
 */

import { assert } from './assert.ts';
import type { Column } from './batch/index.ts';
import { MillraceError, shown } from './errors.ts';
import { type AccumulatorName, accumulator, type GroupTable, SlotLayout } from './groups/index.ts';
import { createMemory, type SharedMemory, SlabAllocator } from './memory/index.ts';
import { OpenWindows, PaneGrid, PaneGroups, PaneRing, PaneSplit, PaneStore, type WindowState, windowState } from './panes/index.ts';
import { type DataType, f64, i32, timestamp, u32 } from './schema.ts';
import { type Duration, durationMs } from './time.ts';

const TILE_ROWS = 4_096;
const MEMORY_BYTES_DEFAULT = 256 << 20;
/** Number of panes that are tables: rows usually come for about as many at a time. */
const OPEN_MAX = 32;

export type SlidingAggregate = 'count' | 'sum' | 'mean' | 'min' | 'max';

export interface SlidingWindowOptions {
  readonly size: Duration;
  /** Default: the size, which gives consecutive windows. */
  readonly slide?: Duration;
  /** How long a window stays open after its end. Default 0. */
  readonly lateness?: Duration;
  /** The type of the keys. Default 'u32'. */
  readonly key?: 'u32' | 'i32' | 'f64';
  /** Default: all of them. Windows without min and max slide by adding and subtracting, which is cheapest. */
  readonly aggregates?: readonly SlidingAggregate[];
  /** Where the state is. Default: its own 256 MiB, reserved and used as needed. */
  readonly slabs?: SlabAllocator;
}

/**
 * One window: `keys[i]` has `sum[i]`, ... The caller owns the arrays. An aggregate that was not requested is
 * undefined.
 */
export interface SlidingWindowResult {
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly keys: Uint32Array | Int32Array | Float64Array;
  readonly count?: Float64Array;
  readonly sum?: Float64Array;
  readonly mean?: Float64Array;
  readonly min?: Float64Array;
  readonly max?: Float64Array;
}

const ALL: readonly SlidingAggregate[] = ['count', 'sum', 'mean', 'min', 'max'];

/**
 * @example
 * const window = new SlidingWindow({ size: '1m', slide: '10s', aggregates: ['count', 'mean'] });
 * window.add(Float64Array.of(1_000, 12_000), Uint32Array.of(7, 7), Float64Array.of(1.5, 2.5));
 * window.advance(20_000, ({ windowEnd, keys, mean }) => console.log(windowEnd, keys[0], mean?.[0]));
 * // 10000 7 1.5
 * // 20000 7 2
 */
export class SlidingWindow {
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #grid: PaneGrid;
  readonly #windows: OpenWindows;
  readonly #keyType: DataType;
  readonly #aggregates: readonly SlidingAggregate[];
  readonly #names: AccumulatorName[];
  readonly #store: PaneStore;
  readonly #panes: PaneRing<PaneGroups>;
  readonly #state: WindowState;
  readonly #split: PaneSplit;
  readonly #canSubtract: boolean;
  readonly #scratch: number;
  #next = Number.NEGATIVE_INFINITY;
  #watermark = Number.NEGATIVE_INFINITY;

  /** @throws MillraceError ERR_MILLRACE_OPTION when an option has an invalid value */
  constructor({ size, slide = size, lateness = 0, key = 'u32', aggregates = ALL, slabs }: SlidingWindowOptions) {
    const sizeMs = durationMs(size, 'The size of a SlidingWindow', 1);
    const slideMs = durationMs(slide, 'The slide of a SlidingWindow', 1);
    if (slideMs > sizeMs)
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `A SlidingWindow has a slide of ${slideMs} ms, longer than its size of ${sizeMs} ms. Make the slide at most the size.`,
      );
    const keyType = new Map<string, DataType>([
      ['u32', u32],
      ['i32', i32],
      ['f64', f64],
    ]).get(key);
    if (keyType === undefined) throw new MillraceError('ERR_MILLRACE_OPTION', `The key of a SlidingWindow is ${shown(key)}. Use 'u32', 'i32' or 'f64'.`);
    const unknown = aggregates.find((name) => !ALL.includes(name));
    if (unknown !== undefined || aggregates.length === 0)
      throw new MillraceError('ERR_MILLRACE_OPTION', `The aggregates of a SlidingWindow are ${shown(aggregates)}. Use some of ${ALL.join(', ')}.`);

    this.#slabs = slabs ?? new SlabAllocator(createMemory(MEMORY_BYTES_DEFAULT));
    this.#memory = this.#slabs.memory;
    this.#grid = new PaneGrid(sizeMs, slideMs);
    this.#windows = new OpenWindows(this.#grid, durationMs(lateness, 'The lateness of a SlidingWindow'));
    this.#keyType = keyType;
    this.#aggregates = ALL.filter((name) => aggregates.includes(name));
    // There is always a count: a group is gone when it falls to 0.
    this.#names = ['count'];
    if (aggregates.includes('sum') || aggregates.includes('mean')) this.#names.push('sum');
    for (const name of ['min', 'max'] as const) if (aggregates.includes(name)) this.#names.push(name);
    const layout = new SlotLayout(
      [keyType],
      this.#names.map((name) => (name === 'count' ? accumulator('count') : accumulator(name, f64))),
    );
    this.#store = new PaneStore(this.#slabs, layout, { openMax: OPEN_MAX });
    this.#panes = new PaneRing<PaneGroups>({ make: () => new PaneGroups(this.#store), recycle: (pane) => pane.clear(), drop: (pane) => pane.clear() });
    this.#canSubtract = !aggregates.includes('min') && !aggregates.includes('max');
    const strategy = this.#grid.panesPerWindow <= 2 ? 'merge' : this.#canSubtract ? 'running' : 'two-stack';
    this.#state = windowState(this.#grid, this.#panes, this.#store, { strategy, drifts: true });
    this.#split = new PaneSplit(this.#slabs, this.#grid);
    this.#scratch = this.#slabs.alloc(TILE_ROWS * 24);
  }

  /** Bytes of state held. */
  get bytes(): number {
    return this.#state.bytes + this.#store.bytes;
  }

  /**
   * Adds rows: `times[i]` in ms since 1970, `keys[i]`, `values[i]`. Cost: O(1) per row.
   *
   * @returns how many rows were too late for all their windows, or had no usable time, and were left out
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  add(times: Float64Array, keys: Uint32Array | Int32Array | Float64Array, values: Float64Array): number {
    assert(times.length === keys.length && times.length === values.length, `${times.length} times, ${keys.length} keys and ${values.length} values`);
    let lateCount = 0;
    for (let from = 0; from < times.length; from += TILE_ROWS) {
      const to = Math.min(times.length, from + TILE_ROWS);
      lateCount += this.#addTile(times.subarray(from, to), keys.subarray(from, to), values.subarray(from, to));
    }
    return lateCount;
  }

  /**
   * Tells that time has come to `watermarkMs`. Every window that ended at least the lateness before is passed
   * to `emit` and closed, in ascending order, without windows that have no rows. +Infinity closes all.
   */
  advance(watermarkMs: number, emit: (result: SlidingWindowResult) => void): void {
    assert(watermarkMs >= this.#watermark, `a watermark of ${watermarkMs} after ${this.#watermark}`);
    this.#watermark = watermarkMs;
    const grid = this.#grid;
    const next = this.#windows.firstOpen(watermarkMs);
    const visit = (window: number): void => {
      const result = this.#read(this.#state.moveTo(window), window);
      // A sum that is not finite cannot be subtracted again.
      if (result.sum?.some((sum) => !Number.isFinite(sum)) || result.mean?.some((mean) => !Number.isFinite(mean))) this.#state.restart();
      emit(result);
      this.#close(grid.firstPane(window + 1));
    };
    this.#windows.eachClosed(this.#next, next, () => this.#panes.first, visit);
    if (next > this.#next) {
      this.#next = next;
      this.#close(grid.firstPane(next));
    }
  }

  /** Gives the memory back. It must not be used afterwards. */
  release(): void {
    this.#state.release();
    this.#panes.release();
    this.#store.release();
    this.#split.release();
    this.#slabs.free(this.#scratch);
  }

  #addTile(times: Float64Array, keys: Uint32Array | Int32Array | Float64Array, values: Float64Array): number {
    const { i32: words, u32: keys32, f64: doubles } = this.#memory;
    const rowCount = times.length;
    const [timesAt, keysAt, valuesAt] = [this.#scratch, this.#scratch + TILE_ROWS * 8, this.#scratch + TILE_ROWS * 16];
    writeTimestamps(words, timesAt >>> 2, times);
    if (this.#keyType.name === 'f64') doubles.set(keys, keysAt >>> 3);
    else if (this.#keyType.name === 'i32') words.set(keys, keysAt >>> 2);
    else keys32.set(keys, keysAt >>> 2);
    doubles.set(values, valuesAt >>> 3);
    const keyColumns: Column[] = [{ type: this.#keyType, data: keysAt, offsets: 0, validity: 0 }];
    const valueColumn: Column = { type: f64, data: valuesAt, offsets: 0, validity: 0 };
    const inputs = this.#names.map((name) => (name === 'count' ? undefined : valueColumn));
    const split = this.#split;
    const lateBefore = this.#windows.lateBefore(this.#watermark);
    split.split({ type: timestamp, data: timesAt, offsets: 0, validity: 0 }, rowCount, lateBefore, Number.POSITIVE_INFINITY);
    for (let i = 0; i < split.paneCount; i++) {
      const { pane, count, selection } = split.panes[i] as (typeof split.panes)[number];
      this.#panes.open(pane).toTable().update(keyColumns, inputs, 0, count, selection);
      this.#state.touched(pane);
    }
    return split.lateCount;
  }

  #read(table: GroupTable, window: number): SlidingWindowResult {
    const groups = table.size;
    const keys = this.#keyType.name === 'f64' ? new Float64Array(groups) : this.#keyType.name === 'i32' ? new Int32Array(groups) : new Uint32Array(groups);
    const columns = new Map<AccumulatorName, Float64Array>(this.#names.map((name) => [name, new Float64Array(groups)]));
    const { u32: words, i32: ints, f64: doubles } = this.#memory;
    const keyOffset = (table.layout.keys[0] as SlotLayout['keys'][number]).offset;
    let at = 0;
    table.eachTile((slots, count) => {
      for (let i = 0; i < count; i++) {
        const key = (words[(slots >>> 2) + i] as number) + keyOffset;
        keys[at + i] = (this.#keyType.name === 'f64' ? doubles[key >>> 3] : this.#keyType.name === 'i32' ? ints[key >>> 2] : words[key >>> 2]) as number;
      }
      this.#names.forEach((name, index) => {
        table.gatherF64(slots, count, index, this.#scratch);
        columns.get(name)?.set(doubles.subarray(this.#scratch >>> 3, (this.#scratch >>> 3) + count), at);
      });
      at += count;
    });
    const counts = columns.get('count') as Float64Array;
    const of = (name: SlidingAggregate) =>
      name === 'mean' ? (columns.get('sum') as Float64Array).map((sum, i) => sum / (counts[i] as number)) : (columns.get(name) as Float64Array);
    return {
      windowStart: this.#grid.windowStart(window),
      windowEnd: this.#grid.windowEnd(window),
      keys,
      ...Object.fromEntries(this.#aggregates.map((name) => [name, of(name)])),
    };
  }

  #close(pane: number): void {
    this.#state.leave(pane);
    this.#panes.closeBelow(pane);
  }
}

/**
 * The two halves of an i64 for each time. A value that is not a number becomes a time that no calendar has.
 */
function writeTimestamps(words: Int32Array, at: number, times: Float64Array): void {
  for (let i = 0; i < times.length; i++) {
    const time = Math.floor(times[i] as number);
    const isUsable = time >= -9e15 && time <= 9e15;
    const high = isUsable ? Math.floor(time / 4_294_967_296) : 0x7fff_ffff;
    words[at + i * 2] = isUsable ? (time - high * 4_294_967_296) | 0 : 0;
    words[at + i * 2 + 1] = high;
  }
}
