/**
 * Room for records (row-image.ts) in pages of shared memory: they are written one behind the other, and a page is given back
 * when the last of its records is dropped. Records of about one age lie in one page, so state that ages by time gives its
 * memory back as it ages. Cost a record: O(1).
 */

import { SLAB_BYTES_MIN, type SlabAllocator } from '../../core/index.ts';

const PAGE_BYTES_MAX = 256 << 10;

export class RecordPages {
  readonly #slabs: SlabAllocator;
  /** By page number: address (0: free number), bytes, records in use. */
  readonly #address: number[] = [];
  readonly #bytes: number[] = [];
  readonly #live: number[] = [];
  readonly #freeNumbers: number[] = [];
  #page = -1;
  #at = 0;
  #end = 0;
  #pageCount = 0;
  /** Page of the last record taken. */
  page = 0;
  /** Bytes of slabs held. */
  bytes = 0;

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
  }

  /** Room for a record of this many bytes, at a multiple of 8; `page` says in which page, which `drop` wants back. */
  take(bytes: number): number {
    if (this.#page < 0 || this.#at + bytes > this.#end) this.#open(bytes);
    const record = this.#at;
    this.#at = (record + bytes + 7) & ~7;
    this.page = this.#page;
    this.#live[this.#page] = (this.#live[this.#page] as number) + 1;
    return record;
  }

  /** One record of the page is of no more use. */
  drop(page: number): void {
    const live = (this.#live[page] as number) - 1;
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
    if (former >= 0 && this.#live[former] === 0) this.#free(former);
    // Small state takes small pages; a page is at most as large as all others together.
    const wanted = Math.max(bytes, Math.min(PAGE_BYTES_MAX, Math.max(SLAB_BYTES_MIN, this.bytes / 2)));
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
