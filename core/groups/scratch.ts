/**
 * Work space of the group tables of one thread: the lanes, key images and slot addresses of one tile. One per
 * slab allocator (a thread has one), shared by all its tables, kept for the life of the thread.
 */

import type { SlabAllocator } from '../memory/index.ts';
import { TILE_ROWS } from './kernel-signatures.ts';

export interface TileScratch {
  /** One lane: 8 bytes per row. */
  readonly lane: number;
  /** Another lane, for what orders the values. */
  readonly orders: number;
  /** One byte per row. */
  readonly nulls: number;
  /** Slot addresses of a tile that is being updated or merged. */
  readonly slots: number;
}

const LANE_BYTES = TILE_ROWS * 8;
const NULLS_BYTES = TILE_ROWS;
const SLOTS_BYTES = TILE_ROWS * 4;

const known = new WeakMap<SlabAllocator, Scratch>();

export class Scratch implements TileScratch {
  readonly lane: number;
  readonly orders: number;
  readonly nulls: number;
  readonly slots: number;
  readonly #slabs: SlabAllocator;
  readonly #lists: number[] = [];
  #images = 0;
  #imagesBytes = 0;

  static of(slabs: SlabAllocator): Scratch {
    let scratch = known.get(slabs);
    if (scratch === undefined) {
      scratch = new Scratch(slabs);
      known.set(slabs, scratch);
    }
    return scratch;
  }

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
    this.lane = slabs.alloc(LANE_BYTES * 2 + NULLS_BYTES + SLOTS_BYTES);
    this.orders = this.lane + LANE_BYTES;
    this.nulls = this.orders + LANE_BYTES;
    this.slots = this.nulls + NULLS_BYTES;
  }

  /** Room for `bytes` of key images or packed slots, valid until the next call. */
  images(bytes: number): number {
    if (bytes > this.#imagesBytes) {
      if (this.#images !== 0) this.#slabs.free(this.#images);
      this.#images = 0;
      this.#imagesBytes = 0;
      this.#images = this.#slabs.alloc(bytes);
      this.#imagesBytes = this.#slabs.slabBytes(this.#images);
    }
    return this.#images;
  }

  /**
   * A list for a tile of slot addresses and one more number. The caller owns it until {@link returnList}, so
   * that scans may nest.
   */
  takeList(): number {
    return this.#lists.pop() ?? this.#slabs.alloc((TILE_ROWS + 1) * 4);
  }

  returnList(list: number): void {
    this.#lists.push(list);
  }
}
