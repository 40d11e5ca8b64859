/**
 * RingBuffer: passes fixed-size records from one thread to one other, in order, through shared memory.
 *
 * Single producer, single consumer. It never waits and never allocates: `tryClaim` returns 0 when the ring is
 * full, `tryTake` when it is empty; what to do then is up to the caller. Each side keeps a copy of the
 * other's sequence and refreshes it only when the copy says full (or empty). So in the steady state neither
 * touches the other's cache line.
 *
 *     0  magic, capacity, record bytes: written once
 *    64  published: records that the producer has made visible    (a u32 that wraps)
 *   128  released: records that the consumer is done with         (likewise)
 *   192  capacity records; record n lies at (n mod capacity) * recordBytes
 *
 * Method: Lamport's queue ("Specifying Concurrent Program Modules", 1983) with the cached opposite index of
 * Lee et al., "MCRingBuffer" (IPDPS 2010).
 */

import { assert } from '../assert.ts';
import { MillraceError, shown } from '../errors.ts';
import { distance, Sequence } from './sequence.ts';
import type { SharedMemory } from './shared-memory.ts';

const MAGIC = 0x6d_72_72_62;
const CAPACITY = 4;
const RECORD_BYTES = 8;
const PUBLISHED = 64;
const RELEASED = 128;
const HEADER_BYTES = 192;
const CAPACITY_MAX = 2 ** 30;

/**
 * @example
 * const memory = attachMemory(new SharedArrayBuffer(RingBuffer.bytesFor(1024)));
 * const ring = RingBuffer.create(memory, 0, 1024);
 * const to = ring.tryClaim();
 * if (to !== 0) {
 *   memory.f64[to >>> 3] = 42;
 *   ring.publish();
 * }
 * // the other thread, after RingBuffer.attach(memory, 0):
 * const from = ring.tryTake();
 * if (from !== 0) {
 *   console.log(memory.f64[from >>> 3]);
 *   ring.release();
 * }
 */
export class RingBuffer {
  readonly memory: SharedMemory;
  readonly address: number;
  /** Most records that the ring holds: a power of two. */
  readonly capacity: number;
  readonly recordBytes: number;
  readonly #records: number;
  readonly #mask: number;
  readonly #publishedSequence: Sequence;
  readonly #releasedSequence: Sequence;
  /** Only this side changes its own sequence. The opposite one is a copy of what it was when last read. */
  #published: number;
  #released: number;

  private constructor(memory: SharedMemory, address: number) {
    this.memory = memory;
    this.address = address;
    this.capacity = memory.u32[(address + CAPACITY) >>> 2] as number;
    this.recordBytes = memory.u32[(address + RECORD_BYTES) >>> 2] as number;
    this.#records = address + HEADER_BYTES;
    this.#mask = this.capacity - 1;
    this.#publishedSequence = new Sequence(memory, address + PUBLISHED);
    this.#releasedSequence = new Sequence(memory, address + RELEASED);
    this.#published = this.#publishedSequence.get();
    this.#released = this.#releasedSequence.get();
  }

  /** Bytes of memory that a ring takes. */
  static bytesFor(capacity: number, recordBytes = 64): number {
    if (!(Number.isInteger(capacity) && capacity >= 1 && capacity <= CAPACITY_MAX && (capacity & (capacity - 1)) === 0)) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `The capacity of a ring is ${shown(capacity)}. Take a power of two from 1 to 2^30.`);
    }
    if (!(Number.isInteger(recordBytes) && recordBytes >= 8 && recordBytes % 8 === 0)) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `The records of a ring have ${shown(recordBytes)} bytes. Take a multiple of 8.`);
    }
    return HEADER_BYTES + capacity * recordBytes;
  }

  /**
   * An empty ring at `address`, to be created before the other thread attaches.
   *
   * @param address a multiple of 64, with `bytesFor(capacity, recordBytes)` bytes behind it
   * @throws MillraceError ERR_MILLRACE_OPTION when the capacity is not a power of two, or the record not a
   * multiple of 8
   */
  static create(memory: SharedMemory, address: number, capacity: number, recordBytes = 64): RingBuffer {
    const bytes = RingBuffer.bytesFor(capacity, recordBytes);
    if (!(Number.isInteger(address) && address >= 0 && address % 64 === 0 && address + bytes <= memory.byteLength)) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `A ring of ${bytes} bytes does not fit at address ${shown(address)} of ${memory.byteLength} bytes. Take a multiple of 64, and room for RingBuffer.bytesFor(capacity, recordBytes).`,
      );
    }
    memory.u8.fill(0, address, address + HEADER_BYTES);
    memory.u32[(address + CAPACITY) >>> 2] = capacity;
    memory.u32[(address + RECORD_BYTES) >>> 2] = recordBytes;
    Atomics.store(memory.i32, address >>> 2, MAGIC);
    return new RingBuffer(memory, address);
  }

  /** The ring that another thread made at `address`. */
  static attach(memory: SharedMemory, address: number): RingBuffer {
    assert(Number.isInteger(address) && address % 64 === 0 && address >= 0 && address + HEADER_BYTES <= memory.byteLength, `no ring can be at ${address}`);
    assert(Atomics.load(memory.i32, address >>> 2) === MAGIC, `no ring at ${address}`);
    return new RingBuffer(memory, address);
  }

  /**
   * Producer: the address of the next record to fill, or 0 when the ring is full. Returns the same address
   * until `publish`.
   */
  tryClaim(): number {
    if (distance(this.#released, this.#published) === this.capacity) {
      this.#released = this.#releasedSequence.get();
      if (distance(this.#released, this.#published) === this.capacity) return 0;
    }
    return this.#records + (this.#published & this.#mask) * this.recordBytes;
  }

  /** Producer: hands over the record that `tryClaim` gave. */
  publish(): void {
    assert(distance(this.#released, this.#published) < this.capacity, 'publish without a claim');
    this.#published = (this.#published + 1) >>> 0;
    this.#publishedSequence.set(this.#published);
  }

  /**
   * Consumer: the address of the oldest record, or 0 when the ring is empty. Returns the same address until
   * `release`.
   */
  tryTake(): number {
    if (this.#released === this.#published) {
      this.#published = this.#publishedSequence.get();
      if (this.#released === this.#published) return 0;
    }
    return this.#records + (this.#released & this.#mask) * this.recordBytes;
  }

  /** Consumer: returns the room of the record that `tryTake` gave to the producer. */
  release(): void {
    assert(this.#released !== this.#published, 'release without a take');
    this.#released = (this.#released + 1) >>> 0;
    this.#releasedSequence.set(this.#released);
  }

  /**
   * Records published and not released, as seen by any thread. Immediately out of date where both sides are
   * at work.
   */
  get size(): number {
    const released = this.#releasedSequence.get();
    return Math.min(this.capacity, distance(released, this.#publishedSequence.get()));
  }
}
