/**
 * Who owns which bytes of the shared memory: a buddy allocator that every thread may call.
 *
 * A slab is a power-of-two block of at least 4 KiB: the bytes of one fetch, of a scan's columns, of one
 * exchange block, of a table. Freed slabs merge with their buddy and are reused last-in first-out, so that
 * warm pages are used first (fresh pages cost more than the work done on them: 3 s for 10 M keys, measured).
 * Allocation is per batch, never per row, so one spin lock guards it. The lock is held for a few hundred
 * nanoseconds.
 *
 *   0         64 KiB: statics of the WebAssembly kernels
 *   64 KiB    header: lock, counters, one free-list head per order
 *   ...       order map: one byte per 4 KiB block (0 inside a block, order + 1 at the head of a used one,
 *             |0x80 of a free one)
 *   heapBase  the blocks; a free block holds the list links (next, previous) in its first 8 bytes
 *
 * Buddy system: Knowlton, "A Fast Storage Allocator", CACM 8(10), 1965.
 */

import { assert } from '../assert.ts';
import { MillraceError } from '../errors.ts';
import type { SharedMemory } from './shared-memory.ts';

const HEADER = 65_536;
const LOCK = HEADER + 4;
const USED_BLOCKS = HEADER + 8;
const PEAK_BLOCKS = HEADER + 12;
const HEAP_BASE = HEADER + 16;
const BLOCK_COUNT = HEADER + 20;
const FREE_HEADS = HEADER + 64;
const ORDER_MAP = HEADER + 4_096;
const MAGIC = 0x6d_72_61_31;
const BLOCK_SHIFT = 12;
const ORDER_COUNT = 21;
const NONE = 0xffff_ffff;

export const SLAB_BYTES_MIN = 1 << BLOCK_SHIFT;

export interface SlabUsage {
  readonly usedBytes: number;
  readonly peakBytes: number;
  readonly totalBytes: number;
}

/**
 * Allocates and frees slabs of one shared memory. Any thread may make one over the same memory: the state is
 * in the memory itself. Addresses are multiples of 4096.
 *
 * @example
 * const slabs = new SlabAllocator(createMemory(64 << 20));
 * const address = slabs.alloc(100_000); // 128 KiB
 * slabs.free(address);
 */
export class SlabAllocator {
  readonly memory: SharedMemory;
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #heapBase: number;
  readonly #blockCount: number;

  constructor(memory: SharedMemory) {
    this.memory = memory;
    this.#u8 = memory.u8;
    this.#u32 = memory.u32;
    this.#i32 = memory.i32;
    this.#lock();
    try {
      if (this.#u32[HEADER >> 2] !== MAGIC) this.#format();
    } finally {
      this.#unlock();
    }
    this.#heapBase = this.#u32[HEAP_BASE >> 2] as number;
    this.#blockCount = this.#u32[BLOCK_COUNT >> 2] as number;
  }

  /**
   * The address of a slab of at least `bytes`, with undefined content.
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when no block of that size is free
   */
  alloc(bytes: number): number {
    const address = this.tryAlloc(bytes);
    if (address === 0) {
      const { usedBytes, totalBytes } = this.usage();
      throw new MillraceError(
        'ERR_MILLRACE_MEMORY',
        `The memory budget is used up: ${bytes} bytes asked for, ${usedBytes} of ${totalBytes} in use. Raise the memory option, shorten the windows, or reduce the number of distinct keys.`,
      );
    }
    return address;
  }

  /** Like {@link alloc}, but 0 when no block of that size is free. */
  tryAlloc(bytes: number): number {
    assert(bytes > 0 && bytes <= this.memory.byteLength, `a slab of ${bytes} bytes`);
    const order = orderOf(bytes);
    this.#lock();
    try {
      let from = order;
      while (from < ORDER_COUNT && this.#u32[(FREE_HEADS >> 2) + from] === NONE) from++;
      if (from >= ORDER_COUNT) return 0;
      const block = this.#u32[(FREE_HEADS >> 2) + from] as number;
      this.#unlink(block, from);
      while (from > order) {
        from--;
        this.#link(block + (1 << from), from);
      }
      this.#u8[ORDER_MAP + block] = order + 1;
      const used = ((this.#u32[USED_BLOCKS >> 2] as number) + (1 << order)) >>> 0;
      this.#u32[USED_BLOCKS >> 2] = used;
      if (used > (this.#u32[PEAK_BLOCKS >> 2] as number)) this.#u32[PEAK_BLOCKS >> 2] = used;
      return this.#heapBase + block * SLAB_BYTES_MIN;
    } finally {
      this.#unlock();
    }
  }

  /** Gives a slab back. `address` must be one that `alloc` returned. */
  free(address: number): void {
    let block = (address - this.#heapBase) / SLAB_BYTES_MIN;
    this.#lock();
    try {
      const mark = this.#u8[ORDER_MAP + block] as number;
      assert(Number.isInteger(block) && mark > 0 && mark < 0x80, `free of ${address}, which is no slab in use`);
      let order = mark - 1;
      this.#u32[USED_BLOCKS >> 2] = (this.#u32[USED_BLOCKS >> 2] as number) - (1 << order);
      this.#u8[ORDER_MAP + block] = 0;
      while (order < ORDER_COUNT - 1) {
        const buddy = block ^ (1 << order);
        if (buddy + (1 << order) > this.#blockCount || this.#u8[ORDER_MAP + buddy] !== (0x80 | (order + 1))) break;
        this.#unlink(buddy, order);
        this.#u8[ORDER_MAP + buddy] = 0;
        block = Math.min(block, buddy);
        order++;
      }
      this.#link(block, order);
    } finally {
      this.#unlock();
    }
  }

  /** The actual size of the slab at this address. */
  slabBytes(address: number): number {
    const mark = this.#u8[ORDER_MAP + (address - this.#heapBase) / SLAB_BYTES_MIN] as number;
    assert(mark > 0 && mark < 0x80, `${address} is no slab in use`);
    return SLAB_BYTES_MIN * 2 ** (mark - 1);
  }

  usage(): SlabUsage {
    return {
      usedBytes: (this.#u32[USED_BLOCKS >> 2] as number) * SLAB_BYTES_MIN,
      peakBytes: (this.#u32[PEAK_BLOCKS >> 2] as number) * SLAB_BYTES_MIN,
      totalBytes: this.#blockCount * SLAB_BYTES_MIN,
    };
  }

  #format(): void {
    const bytes = this.memory.byteLength;
    const mapBytes = bytes >>> BLOCK_SHIFT;
    const heapBase = Math.ceil((ORDER_MAP + mapBytes) / SLAB_BYTES_MIN) * SLAB_BYTES_MIN;
    assert(bytes > heapBase, `a shared memory of ${bytes} bytes has no room for slabs; take at least 256 KiB`);
    const blockCount = Math.floor((bytes - heapBase) / SLAB_BYTES_MIN);
    this.#u32.fill(NONE, FREE_HEADS >> 2, (FREE_HEADS >> 2) + ORDER_COUNT);
    this.#u32[HEAP_BASE >> 2] = heapBase;
    this.#u32[BLOCK_COUNT >> 2] = blockCount;
    // Cut from the top down, so that the free lists start with the low addresses.
    const pieces: [block: number, order: number][] = [];
    for (let block = 0; block < blockCount; ) {
      let order = ORDER_COUNT - 1;
      while (block % 2 ** order !== 0 || block + 2 ** order > blockCount) order--;
      pieces.push([block, order]);
      block += 2 ** order;
    }
    // #link needs the base, which the constructor reads afterwards.
    for (const [block, order] of pieces.reverse()) this.#link(block, order, heapBase);
    this.#u32[HEADER >> 2] = MAGIC;
  }

  #link(block: number, order: number, heapBase = this.#heapBase): void {
    const head = (FREE_HEADS >> 2) + order;
    const next = this.#u32[head] as number;
    const links = (heapBase + block * SLAB_BYTES_MIN) >>> 2;
    this.#u32[links] = next;
    this.#u32[links + 1] = NONE;
    if (next !== NONE) this.#u32[((heapBase + next * SLAB_BYTES_MIN) >>> 2) + 1] = block;
    this.#u32[head] = block;
    this.#u8[ORDER_MAP + block] = 0x80 | (order + 1);
  }

  #unlink(block: number, order: number): void {
    const links = (this.#heapBase + block * SLAB_BYTES_MIN) >>> 2;
    const next = this.#u32[links] as number;
    const previous = this.#u32[links + 1] as number;
    if (previous === NONE) this.#u32[(FREE_HEADS >> 2) + order] = next;
    else this.#u32[(this.#heapBase + previous * SLAB_BYTES_MIN) >>> 2] = next;
    if (next !== NONE) this.#u32[((this.#heapBase + next * SLAB_BYTES_MIN) >>> 2) + 1] = previous;
  }

  #lock(): void {
    while (Atomics.compareExchange(this.#i32, LOCK >> 2, 0, 1) !== 0) {
      // Another thread holds it, for a few hundred nanoseconds.
    }
  }

  #unlock(): void {
    Atomics.store(this.#i32, LOCK >> 2, 0);
  }
}

function orderOf(bytes: number): number {
  return 32 - Math.clz32(Math.max(1, Math.ceil(bytes / SLAB_BYTES_MIN)) - 1);
}
