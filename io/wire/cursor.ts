/**
 * Reads binary formats from shared memory: varints, numbers of fixed size, lengths that are checked against what is
 * left. Avro and Protocol Buffers share it. What cannot be read is thrown as a Refusal: the caller refuses the record.
 */

import type { SharedMemory } from '../../core/index.ts';

/** Bytes that are not what they have to be: where, and why. Without a stack, as there may be many. */
export class Refusal extends Error {
  /** Offset of the fault from the start of the record. */
  readonly byte: number;

  constructor(byte: number, why: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(why);
    Error.stackTraceLimit = stackTraceLimit;
    this.byte = byte;
  }
}

export class WireCursor {
  readonly u8: Uint8Array;
  readonly view: DataView;
  at = 0;
  end = 0;
  /** Where the record starts: offsets in messages count from there. */
  start = 0;
  /** Whether bits beyond the 64th of a varint are a fault, or nothing. */
  readonly isStrict: boolean;
  /** The last varint, in two words. */
  lo = 0;
  hi = 0;

  constructor(memory: SharedMemory, isStrict: boolean) {
    this.isStrict = isStrict;
    this.u8 = memory.u8;
    this.view = memory.view;
  }

  open(from: number, to: number): void {
    this.start = from;
    this.at = from;
    this.end = to;
  }

  /** Reads up to 64 bits into `lo` and `hi`, as they are. */
  varint(): void {
    const { u8, end } = this;
    const from = this.at;
    let at = from;
    let byte = at < end ? (u8[at++] as number) : this.#ends(from);
    if (byte < 0x80) {
      this.lo = byte;
      this.hi = 0;
      this.at = at;
      return;
    }
    let lo = byte & 0x7f;
    let hi = 0;
    for (let shift = 7; ; shift += 7) {
      if (at >= end) this.#ends(from);
      byte = u8[at++] as number;
      const bits = byte & 0x7f;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else {
        if (shift === 63 && byte > 1 && (this.isStrict || byte >= 0x80)) this.refuse(from, 'a varint has more than 64 bits');
        hi |= bits << (shift - 32);
      }
      if (byte < 0x80) break;
    }
    this.lo = lo | 0;
    this.hi = hi | 0;
    this.at = at;
  }

  /** The same for numbers with a sign in their last bit. */
  zigzag(): void {
    this.varint();
    const { lo, hi } = this;
    const sign = -(lo & 1);
    this.lo = ((lo >>> 1) | (hi << 31)) ^ sign;
    this.hi = (hi >>> 1) ^ sign;
  }

  /** A zigzag varint of at most 32 bits. */
  zigzag32(): number {
    const from = this.at;
    this.zigzag();
    if (this.hi !== this.lo >> 31) this.refuse(from, 'a number is not within 32 bits');
    return this.lo;
  }

  /** Moves over `bytes`, which must be there; returns where they begin. */
  take(bytes: number, what: string): number {
    const from = this.at;
    if (bytes > this.end - from) this.refuse(from, `${what} of ${bytes} bytes begins, but ${this.end - from} are left`);
    this.at = from + bytes;
    return from;
  }

  /** @throws Refusal */
  refuse(at: number, why: string): never {
    throw new Refusal(at - this.start, why);
  }

  #ends(from: number): never {
    return this.refuse(from, from < this.end ? 'a varint is not finished' : 'the record ends where a value begins');
  }
}
