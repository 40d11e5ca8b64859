/**
 * State as bytes: numbers and pieces of the shared memory, written one after the other by the holder of the
 * state, and read in the same order by its successor, perhaps in another process. It contains no names, no
 * types and no addresses. The layout is up to the writer and the reader, which are one class.
 *
 * Everything begins at a multiple of 8. A number is an f64 (so infinities, and whole numbers up to 2^53, are
 * exact). A piece is its bytes, padded with zeros. The same state gives the same bytes.
 */

import { MillraceError } from '../errors.ts';
import type { SharedMemory } from './shared-memory.ts';

const FIRST_BYTES = 256;
/** Below this, words are copied one by one: a view for `set` costs more. */
const SHORT_BYTES = 128;
/** A buffer of which less than this share is unused is given away as it is. */
const SPARE_SHARE = 1 / 64;

/**
 * @example
 * const out = new StateWriter();
 * out.number(3);
 * out.copy(memory, address, 40);
 * const bytes = out.finish();
 */
export class StateWriter {
  #u32 = new Uint32Array(FIRST_BYTES >>> 2);
  #f64 = new Float64Array(this.#u32.buffer);
  #at = 0;

  /** Makes room for this many bytes more. A hint: a writer that knows how much it will write grows once. */
  reserve(bytes: number): void {
    if (this.#at + bytes > this.#u32.byteLength) this.#grow(this.#at + bytes);
  }

  number(value: number): void {
    this.#need(8);
    this.#f64[this.#at >>> 3] = value;
    this.#at += 8;
  }

  /** Writes `length` bytes of the shared memory, starting at `address`, a multiple of 4. */
  copy(memory: SharedMemory, address: number, length: number): void {
    this.#need(length + 8);
    const u32 = this.#u32;
    const start = this.#at;
    // The bytes after it were never written to: zeros.
    this.#at += (length + 7) & ~7;
    if (length >= SHORT_BYTES || length % 4 !== 0) new Uint8Array(u32.buffer, start).set(memory.u8.subarray(address, address + length));
    else for (let w = 0; w < length >>> 2; w++) u32[(start >>> 2) + w] = memory.u32[(address >>> 2) + w] as number;
  }

  /** The position of the next item, so that {@link setWord} can change words of it afterwards. */
  get position(): number {
    return this.#at;
  }

  setWord(position: number, value: number): void {
    this.#u32[position >>> 2] = value;
  }

  /** What was written. The writer is not used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    const { buffer } = this.#u32;
    // What is left over of a large buffer, whose size was known, is not worth a copy.
    return this.#at * SPARE_SHARE < buffer.byteLength - this.#at ? new Uint8Array(buffer.slice(0, this.#at)) : new Uint8Array(buffer, 0, this.#at);
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#u32.byteLength) this.#grow(Math.max(this.#u32.byteLength * 2, this.#at + bytes));
  }

  #grow(bytes: number): void {
    const larger = new Uint32Array(Math.ceil(bytes / 8) * 2);
    larger.set(this.#u32.subarray(0, this.#at >>> 2));
    this.#u32 = larger;
    this.#f64 = new Float64Array(larger.buffer);
  }
}

/** Reads what a {@link StateWriter} wrote, in the same order. */
export class StateReader {
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  #at = 0;

  /** @throws MillraceError ERR_MILLRACE_CHECKPOINT when they cannot be bytes of a StateWriter */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array) || bytes.length % 8 !== 0) throw broken('its length is no multiple of 8');
    // Bytes from a message or a file may be unaligned.
    const own = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
    this.#u8 = own;
    this.#u32 = new Uint32Array(own.buffer, own.byteOffset, own.length >>> 2);
    this.#f64 = new Float64Array(own.buffer, own.byteOffset, own.length >>> 3);
  }

  /** @throws MillraceError ERR_MILLRACE_CHECKPOINT at the end of the bytes */
  number(): number {
    const value = this.#f64[this.#at >>> 3];
    if (value === undefined) throw broken('it ends too early');
    this.#at += 8;
    return value;
  }

  /** A number that is a count. */
  count(): number {
    const value = this.number();
    if (!(Number.isSafeInteger(value) && value >= 0)) throw broken(`it has ${value} where it should count`);
    return value;
  }

  /** Copies a piece of `length` bytes to `address`, a multiple of 4. */
  copy(memory: SharedMemory, address: number, length: number): void {
    const start = this.#at;
    const end = start + ((length + 7) & ~7);
    if (end > this.#u8.length) throw broken('it ends too early');
    this.#at = end;
    if (length >= SHORT_BYTES || length % 4 !== 0) memory.u8.set(this.#u8.subarray(start, start + length), address);
    else for (let w = 0; w < length >>> 2; w++) memory.u32[(address >>> 2) + w] = this.#u32[(start >>> 2) + w] as number;
  }

  /** @throws MillraceError ERR_MILLRACE_CHECKPOINT unless everything was read */
  end(): void {
    if (this.#at !== this.#u8.length) throw broken(`it has ${this.#u8.length - this.#at} bytes too many`);
  }
}

function broken(what: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The state to go on from cannot be read: ${what}. It was cut off, or is of another version of millrace or of the pipeline.`,
  );
}
