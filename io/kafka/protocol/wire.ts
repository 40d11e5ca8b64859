/**
 * Numbers, texts and lists as the Kafka protocol writes them. A message is either classic (lengths of two or
 * four bytes) or flexible (varint lengths, tagged fields after every structure), depending on its version.
 */

import { MillraceError } from '../../../core/index.ts';

const TWO_32 = 4_294_967_296;

/** One request: what it is, its bytes after the header, and how its answer is read. */
export interface Request<T> {
  readonly apiKey: number;
  readonly apiName: string;
  readonly version: number;
  readonly isFlexible: boolean;
  readonly body: Uint8Array;
  /** Milliseconds that the broker may take for it, in addition to the time that any request may take. */
  readonly waitMs?: number;
  read(answer: WireReader): T;
}

export class WireWriter {
  readonly isFlexible: boolean;
  #bytes: Buffer = Buffer.allocUnsafe(256);
  #length = 0;

  constructor(isFlexible = false) {
    this.isFlexible = isFlexible;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  i8(value: number): this {
    this.#length = this.#room(1).writeInt8(value, this.#length);
    return this;
  }

  i16(value: number): this {
    this.#length = this.#room(2).writeInt16BE(value, this.#length);
    return this;
  }

  i32(value: number): this {
    this.#length = this.#room(4).writeInt32BE(value, this.#length);
    return this;
  }

  i64(value: number | bigint): this {
    this.#length = this.#room(8).writeBigInt64BE(BigInt(value), this.#length);
    return this;
  }

  flag(value: boolean): this {
    return this.i8(value ? 1 : 0);
  }

  /** Sixteen bytes, given as 32 hexadecimal digits. */
  uuid(hex: string): this {
    return this.raw(Buffer.from(hex, 'hex'));
  }

  string(value: string | null): this {
    if (value === null) return this.isFlexible ? this.#varint(0) : this.i16(-1);
    const bytes = Buffer.from(value, 'utf8');
    if (this.isFlexible) this.#varint(bytes.length + 1);
    else this.i16(bytes.length);
    return this.raw(bytes);
  }

  blob(bytes: Uint8Array): this {
    if (this.isFlexible) this.#varint(bytes.length + 1);
    else this.i32(bytes.length);
    return this.raw(bytes);
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    if (this.isFlexible) this.#varint(items.length + 1);
    else this.i32(items.length);
    for (const item of items) write(item);
    return this;
  }

  /** The end of a structure: no tagged fields. */
  end(): this {
    return this.isFlexible ? this.#varint(0) : this;
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length).set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  #varint(value: number): this {
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.i8(((rest & 0x7f) | 0x80) - 256);
    return this.i8(rest);
  }

  #room(bytes: number): Buffer {
    if (this.#length + bytes > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + bytes));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}

/** Reads an answer. A read beyond its bytes throws a RangeError. */
export class WireReader {
  readonly isFlexible: boolean;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer, isFlexible = false) {
    this.#bytes = bytes;
    this.isFlexible = isFlexible;
  }

  i8(): number {
    return this.#bytes.readInt8(this.#step(1));
  }

  i16(): number {
    return this.#bytes.readInt16BE(this.#step(2));
  }

  i32(): number {
    return this.#bytes.readInt32BE(this.#step(4));
  }

  /** @throws MillraceError ERR_MILLRACE_SOURCE for a number that a double cannot hold exactly */
  i64(): number {
    const at = this.#step(8);
    const value = this.#bytes.readInt32BE(at) * TWO_32 + this.#bytes.readUInt32BE(at + 4);
    if (Number.isSafeInteger(value)) return value;
    throw new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `the broker names the offset ${this.#bytes.readBigInt64BE(at)}. Offsets are counted exactly from 0 to ${Number.MAX_SAFE_INTEGER} (2^53 - 1) only: read from a topic, or with a group, whose offsets are in that range.`,
    );
  }

  bigint(): bigint {
    return this.#bytes.readBigInt64BE(this.#step(8));
  }

  flag(): boolean {
    return this.i8() !== 0;
  }

  uuid(): string {
    return this.raw(16).toString('hex');
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  nullableString(): string | null {
    const length = this.isFlexible ? this.#varint() - 1 : this.i16();
    return length < 0 ? null : this.raw(length).toString('utf8');
  }

  /** A view of the answer; empty for null. */
  blob(): Buffer {
    return this.raw(Math.max(0, this.isFlexible ? this.#varint() - 1 : this.i32()));
  }

  list<T>(read: () => T): T[] {
    const length = this.isFlexible ? this.#varint() - 1 : this.i32();
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(read());
    return items;
  }

  /** The end of a structure: skips its tagged fields. */
  end(): void {
    if (!this.isFlexible) return;
    for (let count = this.#varint(); count > 0; count--) {
      this.#varint();
      this.raw(this.#varint());
    }
  }

  raw(length: number): Buffer {
    const at = this.#step(length);
    return this.#bytes.subarray(at, at + length);
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#step(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a varint of more than five bytes in the answer of a Kafka broker');
  }

  #step(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.length - at) throw new RangeError(`the answer of a Kafka broker ends after ${this.#bytes.length} bytes, in the middle of a field`);
    this.#at += bytes;
    return at;
  }
}
