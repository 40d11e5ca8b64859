/** Tags and values of Protocol Buffers on the wire: reads them, and moves over those that nobody knows. */

import { type SharedMemory, shown } from '../../core/index.ts';
import { WireCursor } from '../wire/cursor.ts';
import type { ProtoKind } from './descriptor.ts';

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, group: 3, groupEnd: 4, fixed32: 5 } as const;
const NAMES = ['a varint', '8 bytes', 'a length and bytes', 'a group', 'the end of a group', '4 bytes'];
const NUMBER_MAX = 536_870_911;
const TWO_32 = 4_294_967_296;
export const TIMESTAMP = 'google.protobuf.Timestamp';
/** Most messages and groups inside one another, as of other implementations. */
export const DEPTH_MAX = 100;

/** How a value of a kind is on the wire. */
export function wireOf(kind: ProtoKind): number {
  switch (kind) {
    case 'double':
    case 'fixed64':
    case 'sfixed64':
      return WIRE.fixed64;
    case 'float':
    case 'fixed32':
    case 'sfixed32':
      return WIRE.fixed32;
    case 'string':
    case 'bytes':
    case 'message':
      return WIRE.bytes;
    case 'group':
      return WIRE.group;
    default:
      return WIRE.varint;
  }
}

export class ProtoCursor extends WireCursor {
  /** The last tag. */
  number = 0;
  wire = 0;
  tagAt = 0;

  constructor(memory: SharedMemory) {
    super(memory, false);
  }

  tag(): void {
    this.tagAt = this.at;
    this.varint();
    if (this.hi !== 0) this.refuse(this.tagAt, 'a tag has more than 32 bits');
    this.number = this.lo >>> 3;
    this.wire = this.lo & 7;
    if (this.number === 0 || this.number > NUMBER_MAX) this.refuse(this.tagAt, `a field has the number ${this.number}`);
    if (this.wire > WIRE.fixed32) this.refuse(this.tagAt, `the field ${this.number} has the wire type ${this.wire}, which there is not`);
  }

  /** Reads a length, and returns it; that many bytes are there. */
  length(what: string): number {
    const at = this.at;
    this.varint();
    if (this.hi !== 0 || this.lo < 0 || this.lo > this.end - this.at)
      this.refuse(at, `${what} of ${unsignedText(this)} bytes begins, but ${this.end - this.at} are left`);
    return this.lo;
  }

  /** Moves over the value of the last tag. */
  skip(depth: number): void {
    switch (this.wire) {
      case WIRE.varint:
        this.varint();
        break;
      case WIRE.fixed64:
        this.take(8, 'a value');
        break;
      case WIRE.fixed32:
        this.take(4, 'a value');
        break;
      case WIRE.bytes:
        this.take(this.length('a value'), 'a value');
        break;
      case WIRE.group:
        this.skipGroup(depth);
        break;
      default:
        this.refuse(this.tagAt, `a group ends, ${this.number}, that has not begun`);
    }
  }

  /** Moves over the rest of the group of the last tag; returns where its end begins. */
  skipGroup(depth: number): number {
    const { number, tagAt } = this;
    if (depth >= DEPTH_MAX) this.refuse(tagAt, `more than ${DEPTH_MAX} messages are inside one another`);
    for (;;) {
      if (this.at >= this.end) this.refuse(this.at, `the group ${number} does not end`);
      this.tag();
      if (this.wire === WIRE.groupEnd) {
        if (this.number !== number) this.refuse(this.tagAt, `a group ends, ${this.number}, within the group ${number}`);
        return this.tagAt;
      }
      this.skip(depth + 1);
    }
  }

  /** @throws Refusal where the last tag is of another wire type than a field's values have */
  mustBe(wire: number, name: string): void {
    if (this.wire !== wire) this.refuse(this.tagAt, `the field ${shown(name)} (${this.number}) is ${NAMES[this.wire]}, and it has to be ${NAMES[wire]}`);
  }

  /** Reads a number of 64 bits into `lo` and `hi`: its sign is in the highest bit. */
  long(kind: ProtoKind): void {
    if (kind === 'sint64') this.zigzag();
    else if (kind === 'fixed64' || kind === 'sfixed64') {
      const at = this.take(8, 'a value');
      this.lo = this.view.getInt32(at, true);
      this.hi = this.view.getInt32(at + 4, true);
    } else this.varint();
  }

  /** Reads a number of 32 bits. What a varint has beyond them counts nothing. */
  int(kind: ProtoKind): number {
    switch (kind) {
      case 'fixed32':
        return this.view.getUint32(this.take(4, 'a value'), true);
      case 'sfixed32':
        return this.view.getInt32(this.take(4, 'a value'), true);
      case 'sint32':
        this.varint();
        return (this.lo >>> 1) ^ -(this.lo & 1);
      case 'uint32':
        this.varint();
        return this.lo >>> 0;
      default:
        this.varint();
        return this.lo | 0;
    }
  }

  bool(): boolean {
    this.varint();
    return (this.lo | this.hi) !== 0;
  }

  float(kind: ProtoKind): number {
    return kind === 'float' ? this.view.getFloat32(this.take(4, 'a value'), true) : this.view.getFloat64(this.take(8, 'a value'), true);
  }
}

/** The last number as text: an unsigned one of 64 bits. */
export function unsignedText({ lo, hi }: WireCursor): string {
  const value = (hi >>> 0) * TWO_32 + (lo >>> 0);
  return String(value <= Number.MAX_SAFE_INTEGER ? value : (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
}

/** What a 64-bit column cannot hold. */
export const TOO_LARGE = "is 2^63 or more, which an i64 does not hold; read it as text: uint64: 'text'";
