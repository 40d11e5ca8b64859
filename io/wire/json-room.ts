/**
 * JSON that is made from binary formats: the texts of lists and of values of any kind, in the form that columns hold
 * (core/list-text.ts). It grows in a slab of its own, from where a column takes it.
 */

import { copyBytes, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { base64Bytes, encodeBase64 } from '../base64.ts';
import { ESCAPE_FACTOR, NUMBER_BYTES_MAX, writeAscii, writeI64, writeInteger, writeJsonString, writeNumber } from '../text-writer.ts';

/** Longest text of one value. */
export const JSON_BYTES_MAX = 16 << 20;
const FIRST_BYTES = 4_096;
const LONG_AT = 0;
const HEAD_BYTES = 8;

export class JsonRoom {
  readonly #slabs: SlabAllocator;
  readonly #memory: SharedMemory;
  #slab = 0;
  #limit = 0;
  /** Where the text begins, and where it has got to. */
  from = 0;
  at = 0;

  constructor(slabs: SlabAllocator) {
    this.#slabs = slabs;
    this.#memory = slabs.memory;
  }

  reset(): void {
    if (this.#slab === 0) this.#grow(FIRST_BYTES);
    this.from = this.#slab + HEAD_BYTES;
    this.at = this.from;
  }

  /** Whether the text has become longer than a value may be. */
  get isTooLong(): boolean {
    return this.at - this.from > JSON_BYTES_MAX;
  }

  byte(byte: number): void {
    this.#need(1);
    this.#memory.u8[this.at++] = byte;
  }

  /** ASCII, such as `null`. */
  ascii(text: string): void {
    this.#need(text.length);
    this.at = writeAscii(this.#memory.u8, this.at, text);
  }

  /** Bytes that are not in shared memory. */
  bytes(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.#memory.u8.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Text in shared memory, as it is. */
  copy(from: number, to: number): void {
    this.#need(to - from);
    copyBytes(this.#memory, this.at, from, to - from);
    this.at += to - from;
  }

  number(value: number): void {
    this.#need(NUMBER_BYTES_MAX);
    this.at = Number.isFinite(value) ? writeNumber(this.#memory.u8, this.at, value) : writeAscii(this.#memory.u8, this.at, 'null');
  }

  /** A 64-bit integer in two words. */
  long(lo: number, hi: number): void {
    this.#need(NUMBER_BYTES_MAX);
    if (hi === 0) {
      this.at = writeInteger(this.#memory.u8, this.at, lo >>> 0);
      return;
    }
    const place = this.#slab + LONG_AT;
    this.#memory.i32[place >>> 2] = lo;
    this.#memory.i32[(place >>> 2) + 1] = hi;
    this.at = writeI64(this.#memory, this.at, place);
  }

  /** UTF-8 in shared memory, as a JSON string. */
  string(from: number, to: number): void {
    this.#need((to - from) * ESCAPE_FACTOR + 2);
    this.at = writeJsonString(this.#memory.u8, this.at, from, to);
  }

  base64(from: number, to: number): void {
    this.#need(base64Bytes(to - from) + 2);
    this.#memory.u8[this.at++] = 0x22;
    this.at = encodeBase64(this.#memory.u8, from, to, this.at);
    this.#memory.u8[this.at++] = 0x22;
  }

  #need(bytes: number): void {
    if (this.at + bytes > this.#limit) this.#grow(this.at - this.from + bytes);
  }

  #grow(bytes: number): void {
    const slab = this.#slabs.alloc(HEAD_BYTES + bytes * 2);
    const length = this.at - this.from;
    if (this.#slab !== 0) {
      copyBytes(this.#memory, slab + HEAD_BYTES, this.from, length);
      this.#slabs.free(this.#slab);
    }
    this.#slab = slab;
    this.#limit = slab + this.#slabs.slabBytes(slab);
    this.from = slab + HEAD_BYTES;
    this.at = this.from + length;
  }
}
