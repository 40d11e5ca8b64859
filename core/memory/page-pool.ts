/**
 * Room for pieces of any size, much smaller than a slab, that come and go in roughly the order of time: rows
 * that a join holds, keys, the runs of panes. One owner.
 *
 * Pieces are cut from the newest page one after the other, and a page is freed when its last piece is
 * dropped. There are no lists and no search, and what is written together lies together. State that ages by
 * time frees its memory as it ages; a piece that is kept long keeps its page. Cost: O(1) per piece.
 */

import { assert } from '../assert.ts';
import { SLAB_BYTES_MIN, type SlabAllocator } from './slab.ts';

export interface PagePoolOptions {
  /** Pages are at most this large, unless a single piece is larger. */
  readonly pageBytesMax: number;
  /** A new page takes this share of what is held: small pools have small pages, large ones few. */
  readonly pageShare: number;
}

export class PagePool {
  readonly #slabs: SlabAllocator;
  readonly #pageBytesMax: number;
  readonly #pageShare: number;
  /** By page number: address (0: the number is free), bytes, pieces in use. */
  readonly #address: number[] = [];
  readonly #bytes: number[] = [];
  readonly #live: number[] = [];
  readonly #freeNumbers: number[] = [];
  #page = -1;
  #at = 0;
  #end = 0;
  #pageCount = 0;
  /** Page of the last piece taken. */
  page = 0;
  /** Bytes of slabs held. */
  bytes = 0;

  constructor(slabs: SlabAllocator, { pageBytesMax, pageShare }: PagePoolOptions) {
    this.#slabs = slabs;
    this.#pageBytesMax = pageBytesMax;
    this.#pageShare = pageShare;
  }

  /**
   * The address of a piece of this many bytes, a multiple of 8, with undefined content. `page` is its page,
   * which `drop` needs.
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  take(bytes: number): number {
    if (this.#page < 0 || this.#at + bytes > this.#end) this.#open(bytes);
    const piece = this.#at;
    this.#at = (piece + bytes + 7) & ~7;
    this.page = this.#page;
    this.#live[this.#page] = (this.#live[this.#page] as number) + 1;
    return piece;
  }

  /** One piece of the page is no longer used. */
  drop(page: number): void {
    const live = (this.#live[page] as number) - 1;
    if (!(live >= 0)) assert(false, `page ${page} has no piece in use`);
    this.#live[page] = live;
    if (live > 0) return;
    if (page === this.#page) this.#at = this.#address[page] as number;
    else this.#free(page);
  }

  /** Gives all memory back. */
  release(): void {
    for (let page = 0; page < this.#address.length; page++) if (this.#address[page] !== 0) this.#free(page);
    this.#page = -1;
    this.#at = 0;
    this.#end = 0;
  }

  #open(bytes: number): void {
    const former = this.#page;
    // A page without pieces that is too small for this one is not left behind.
    if (former >= 0 && this.#live[former] === 0) this.#free(former);
    this.#page = -1;
    this.#at = 0;
    this.#end = 0;
    const wanted = Math.max(bytes, Math.min(this.#pageBytesMax, Math.max(SLAB_BYTES_MIN, this.bytes * this.#pageShare)));
    const address = this.#slabs.alloc(wanted);
    const size = this.#slabs.slabBytes(address);
    const page = this.#freeNumbers.pop() ?? this.#pageCount++;
    this.#address[page] = address;
    this.#bytes[page] = size;
    this.#live[page] = 0;
    this.bytes += size;
    this.#page = page;
    this.#at = address;
    this.#end = address + size;
  }

  #free(page: number): void {
    this.#slabs.free(this.#address[page] as number);
    this.bytes -= this.#bytes[page] as number;
    this.#address[page] = 0;
    this.#freeNumbers.push(page);
  }
}
