/**
 * Panes of rows: pieces of one size in shared memory, each with room for some rows of one key. The rows of a key
 * are a chain of panes, so that the oldest go by pane and the next row of one is mostly beside it.
 *
 *   pane   u32 next pane (0: none) | u32 number of the page | rows
 *
 * A pane that is given back is taken again before another page is. A page without panes in use goes back to the
 * slabs, except for one. Cost: O(1).
 */

import { assert, SLAB_BYTES_MIN, type SlabAllocator } from '../../core/index.ts';

/** Rows of a pane. */
export const PANE_ROWS = 8;
/** Bytes before the first row. */
export const PANE_HEAD = 8;
const PAGE_BYTES_MAX = 256 << 10;

export class RowPanes {
  readonly #slabs: SlabAllocator;
  readonly #u32: Uint32Array;
  readonly #paneBytes: number;
  /** By page: address (0: the number is free), panes in use, first free pane, where the part begins that was never used, its end. */
  readonly #address: number[] = [];
  readonly #live: number[] = [];
  readonly #free: number[] = [];
  readonly #fresh: number[] = [];
  readonly #end: number[] = [];
  /** Pages that may have room. */
  readonly #open: number[] = [];
  readonly #isOpen: boolean[] = [];
  readonly #spareNumbers: number[] = [];
  #unused = -1;
  /** Bytes of slabs held. */
  bytes = 0;

  constructor(slabs: SlabAllocator, rowBytes: number) {
    this.#slabs = slabs;
    this.#u32 = slabs.memory.u32;
    this.#paneBytes = PANE_HEAD + PANE_ROWS * rowBytes;
  }

  /**
   * The address of a pane without a next one. Its rows are undefined.
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  take(): number {
    for (;;) {
      const page = this.#open.length === 0 ? this.#openPage() : (this.#open[this.#open.length - 1] as number);
      let pane = this.#free[page] as number;
      if (pane !== 0) this.#free[page] = this.#u32[pane >>> 2] as number;
      else {
        pane = this.#fresh[page] as number;
        if (pane + this.#paneBytes > (this.#end[page] as number)) {
          this.#open.pop();
          this.#isOpen[page] = false;
          continue;
        }
        this.#fresh[page] = pane + this.#paneBytes;
      }
      this.#u32[pane >>> 2] = 0;
      this.#u32[(pane >>> 2) + 1] = page;
      if ((this.#live[page] as number) === 0 && page === this.#unused) this.#unused = -1;
      this.#live[page] = (this.#live[page] as number) + 1;
      return pane;
    }
  }

  /** The pane is no longer used. */
  drop(pane: number): void {
    const page = this.#u32[(pane >>> 2) + 1] as number;
    const live = (this.#live[page] as number) - 1;
    if (!(live >= 0)) assert(false, `page ${page} has no pane in use`);
    this.#live[page] = live;
    this.#u32[pane >>> 2] = this.#free[page] as number;
    this.#free[page] = pane;
    if (this.#isOpen[page] !== true) {
      this.#isOpen[page] = true;
      this.#open.push(page);
    }
    if (live > 0) return;
    if (this.#unused < 0) this.#unused = page;
    else this.#close(page);
  }

  /** Gives all memory back. */
  release(): void {
    for (const address of this.#address) if (address !== 0) this.#slabs.free(address);
    this.#address.length = 0;
  }

  #openPage(): number {
    const wanted = Math.max(this.#paneBytes, Math.min(PAGE_BYTES_MAX, Math.max(SLAB_BYTES_MIN, this.bytes / 2)));
    const address = this.#slabs.alloc(wanted);
    const size = this.#slabs.slabBytes(address);
    const page = this.#spareNumbers.pop() ?? this.#address.length;
    this.#address[page] = address;
    this.#live[page] = 0;
    this.#free[page] = 0;
    this.#fresh[page] = address;
    this.#end[page] = address + size;
    this.#isOpen[page] = true;
    this.#open.push(page);
    this.bytes += size;
    return page;
  }

  #close(page: number): void {
    const address = this.#address[page] as number;
    this.bytes -= (this.#end[page] as number) - address;
    this.#slabs.free(address);
    this.#address[page] = 0;
    this.#isOpen[page] = false;
    this.#open.splice(this.#open.indexOf(page), 1);
    this.#spareNumbers.push(page);
  }
}
