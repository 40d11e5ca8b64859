/**
 * One record of Avro into one row of columns, by the steps of a resolution. No object is made for it. What is no such
 * record is thrown as a Refusal; the row may be written again then.
 */

import { type SharedMemory, type SlabAllocator, shown } from '../../core/index.ts';
import type { ColumnWriter } from '../column-writer.ts';
import { utf8Fault } from '../utf8.ts';
import { WireCursor } from '../wire/cursor.ts';
import { JSON_BYTES_MAX, JsonRoom } from '../wire/json-room.ts';
import { OP, type Step, WIRE } from './steps.ts';

const TWO_32 = 4_294_967_296;
const DAY_MS = 86_400_000;
/** Most records, arrays and maps of a recursive type inside one another. */
const DEPTH_MAX = 256;
/** Most items of an array that take no bytes. */
const EMPTY_ITEMS_MAX = 65_536;
const HEX = '0123456789abcdef';

export class AvroRowReader {
  readonly cursor: WireCursor;
  readonly #memory: SharedMemory;
  readonly #u8: Uint8Array;
  readonly #writer: ColumnWriter;
  readonly #room: JsonRoom;
  #row = 0;
  #depth = 0;
  /** The field that is read, for messages. */
  #field = '';

  constructor(writer: ColumnWriter, slabs: SlabAllocator) {
    this.#memory = slabs.memory;
    this.#u8 = slabs.memory.u8;
    this.#writer = writer;
    this.#room = new JsonRoom(slabs);
    this.cursor = new WireCursor(slabs.memory, true);
  }

  /** How messages name the field where the last record was refused. */
  get field(): string {
    return this.#field === '' ? '' : `in ${shown(this.#field)}, `;
  }

  /**
   * Reads from where the cursor is to its end, into row `row`.
   *
   * @throws Refusal
   */
  read(step: Step, row: number): void {
    const { cursor } = this;
    this.#row = row;
    this.#depth = 0;
    this.#field = '';
    this.#run(step);
    this.#field = '';
    if (cursor.at !== cursor.end) cursor.refuse(cursor.at, `${cursor.end - cursor.at} bytes are behind the record`);
  }

  #run(step: Step): void {
    const { cursor } = this;
    switch (step.op) {
      case OP.record: {
        const { steps } = step;
        this.#enter();
        for (let i = 0; i < steps.length; i++) this.#run(steps[i] as Step);
        this.#depth--;
        return;
      }
      case OP.union: {
        const at = cursor.at;
        const index = this.#count();
        const branch = step.steps[index];
        if (branch === undefined) {
          cursor.refuse(at, `a union has ${step.steps.length} types, and none at ${index}`);
          return;
        }
        this.#enter();
        this.#run(branch);
        this.#depth--;
        return;
      }
      case OP.nothing:
        return;
      case OP.skipVarint:
        cursor.varint();
        return;
      case OP.skipFixed:
        cursor.take(step.size, 'a value');
        return;
      case OP.skipBytes:
        cursor.take(this.#count(), 'a value');
        return;
      case OP.skipBlocks:
        this.#skipBlocks(step);
        return;
      case OP.nulls:
        for (let i = 0; i < step.columns.length; i++) this.#writer.setNull(step.columns[i] as number, this.#row);
        return;
      case OP.default:
        this.#default(step);
        return;
      case OP.fault:
        cursor.refuse(cursor.at, step.name);
        return;
      case OP.jsonNull:
        this.#room.ascii('null');
        return;
      case OP.jsonArray:
      case OP.jsonMap:
        this.#blocks(step);
        return;
      case OP.jsonRecord:
        this.#jsonRecord(step);
        return;
      case OP.pass:
        this.#run(step.steps[0] as Step);
        return;
      case OP.jsonTagged:
        this.#room.bytes(step.key as Uint8Array);
        this.#run(step.steps[0] as Step);
        this.#room.byte(0x7d);
        return;
      default:
        if (step.column < 0) this.#json(step);
        else {
          this.#field = step.name;
          this.#column(step);
        }
    }
  }

  #column(step: Step): void {
    const { cursor } = this;
    const { column } = step;
    const writer = this.#writer;
    const row = this.#row;
    switch (step.op) {
      case OP.bool:
        writer.setBool(column, row, this.#bool());
        return;
      case OP.i32:
        writer.setI32(column, row, cursor.zigzag32());
        return;
      case OP.i64:
        if (step.wire === WIRE.int) cursor.zigzag32();
        else cursor.zigzag();
        writer.setI64(column, row, cursor.lo, cursor.hi);
        return;
      case OP.f32:
      case OP.f64:
        writer.setFloat(column, row, this.#number(step.wire));
        return;
      case OP.timestamp:
        writer.setMs(column, row, this.#instant(step));
        return;
      case OP.date:
        writer.setMs(column, row, cursor.zigzag32() * DAY_MS);
        return;
      case OP.utf8: {
        const from = this.#text();
        writer.setBytes(column, row, from, cursor.at);
        return;
      }
      case OP.binary:
      case OP.fixed: {
        const from = cursor.take(step.wire < 0 ? this.#count() : step.wire, 'a value');
        writer.setBytes(column, row, from, cursor.at);
        return;
      }
      case OP.enum: {
        const text = this.#symbol(step);
        const address = writer.roomForBytes(column, row, text.length);
        this.#u8.set(text, address);
        writer.bytesWritten(column, row, text.length);
        writer.setValid(column, row);
        return;
      }
      case OP.decimal:
        writer.setText(column, row, this.#decimal(step));
        return;
      case OP.uuid:
        writer.setText(column, row, this.#uuid());
        return;
      default: {
        const room = this.#room;
        room.reset();
        this.#run(step.steps[0] as Step);
        writer.setBytes(column, row, room.from, room.at);
      }
    }
  }

  /** A value as a part of a text. */
  #json(step: Step): void {
    const { cursor } = this;
    const room = this.#room;
    switch (step.op) {
      case OP.bool:
        room.ascii(this.#bool() ? 'true' : 'false');
        return;
      case OP.i32:
        room.number(cursor.zigzag32());
        return;
      case OP.i64:
        if (step.wire === WIRE.int) cursor.zigzag32();
        else cursor.zigzag();
        room.long(cursor.lo, cursor.hi);
        return;
      case OP.f32:
        room.number(Math.fround(this.#number(step.wire)));
        return;
      case OP.f64:
        room.number(this.#number(step.wire));
        return;
      case OP.timestamp:
        room.number(this.#instant(step));
        return;
      case OP.date:
        room.number(cursor.zigzag32() * DAY_MS);
        return;
      case OP.utf8: {
        const from = this.#text();
        room.string(from, cursor.at);
        return;
      }
      case OP.binary:
      case OP.fixed: {
        const from = cursor.take(step.wire < 0 ? this.#count() : step.wire, 'a value');
        room.base64(from, cursor.at);
        return;
      }
      case OP.enum:
        room.bytes(this.#symbol(step));
        return;
      case OP.decimal:
        room.ascii(`"${this.#decimal(step)}"`);
        return;
      default:
        room.ascii(`"${this.#uuid()}"`);
        return;
    }
  }

  #bool(): boolean {
    const { cursor } = this;
    const from = cursor.take(1, 'a boolean');
    const byte = this.#u8[from] as number;
    if (byte > 1) cursor.refuse(from, `a boolean is ${byte}; it has to be 0 or 1`);
    return byte === 1;
  }

  #number(wire: number): number {
    const { cursor } = this;
    switch (wire) {
      case WIRE.int:
        return cursor.zigzag32();
      case WIRE.long:
        cursor.zigzag();
        return cursor.hi * TWO_32 + (cursor.lo >>> 0);
      case WIRE.float:
        return cursor.view.getFloat32(cursor.take(4, 'a float'), true);
      default:
        return cursor.view.getFloat64(cursor.take(8, 'a double'), true);
    }
  }

  /** Whole milliseconds, what is below them cut. */
  #instant({ size, wire }: Step): number {
    const { cursor } = this;
    const from = cursor.at;
    if (wire === WIRE.int) cursor.zigzag32();
    else cursor.zigzag();
    const { hi } = cursor;
    const lo = cursor.lo >>> 0;
    // All of this is exact: the high word times what is whole of 2^32 units, and the rest.
    const whole = Math.floor(TWO_32 / size);
    const rest = hi * (TWO_32 - whole * size) + lo;
    let more = Math.floor(rest / size);
    if (more * size > rest) more--;
    const ms = hi * whole + more;
    if (!Number.isSafeInteger(ms)) cursor.refuse(from, 'an instant is beyond 2^53 milliseconds');
    return ms;
  }

  /** A number that is no less than 0, of what is counted or of bytes. */
  #count(): number {
    const { cursor } = this;
    const from = cursor.at;
    cursor.zigzag();
    if (cursor.hi !== 0 || cursor.lo < 0) cursor.refuse(from, `a length is ${longText(cursor)}`);
    return cursor.lo;
  }

  /** Moves over a text, and returns where it begins. */
  #text(): number {
    const { cursor } = this;
    const from = cursor.take(this.#count(), 'a text');
    const u8 = this.#u8;
    let at = from;
    while (at < cursor.at && (u8[at] as number) < 0x80) at++;
    if (at < cursor.at) {
      const bad = utf8Fault(u8, at, cursor.at);
      if (bad !== cursor.at) cursor.refuse(bad, 'a text is no well-formed UTF-8');
    }
    return from;
  }

  #symbol(step: Step): Uint8Array {
    const { cursor } = this;
    const at = cursor.at;
    const index = this.#count();
    if (index >= step.symbols.length) cursor.refuse(at, `an enum has ${step.symbols.length} symbols, and none at ${index}`);
    return step.symbols[index] ?? cursor.refuse(at, `the writer's symbol ${index} is not in the reader's enum, which has no default`);
  }

  #decimal({ wire, size: scale, most }: Step): string {
    const { cursor } = this;
    let from = cursor.take(wire < 0 ? this.#count() : wire, 'a decimal');
    const start = from;
    const u8 = this.#u8;
    const isNegative = from < cursor.at && (u8[from] as number) >= 0x80;
    // Bytes that only repeat the sign.
    while (from + 1 < cursor.at && u8[from] === (isNegative ? 0xff : 0) && (u8[from + 1] as number) >= 0x80 === isNegative) from++;
    if (cursor.at - from > most) cursor.refuse(start, `a decimal takes ${cursor.at - from} bytes, and its precision at most ${most}`);
    let digits: string;
    if (cursor.at - from <= 6) {
      let value = isNegative ? -1 : 0;
      for (let at = from; at < cursor.at; at++) value = value * 256 + (u8[at] as number);
      digits = String(Math.abs(value));
    } else {
      let value = isNegative ? -1n : 0n;
      for (let at = from; at < cursor.at; at++) value = (value << 8n) | BigInt(u8[at] as number);
      digits = String(value < 0n ? -value : value);
    }
    const text = digits.padStart(scale + 1, '0');
    return `${isNegative ? '-' : ''}${scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`}`;
  }

  #uuid(): string {
    const from = this.cursor.take(16, 'a UUID');
    let text = '';
    for (let i = 0; i < 16; i++) {
      const byte = this.#u8[from + i] as number;
      text += `${i === 4 || i === 6 || i === 8 || i === 10 ? '-' : ''}${HEX[byte >>> 4]}${HEX[byte & 15]}`;
    }
    return text;
  }

  #default(step: Step): void {
    const { cursor } = this;
    const { at, end } = cursor;
    cursor.at = step.from;
    cursor.end = step.from + step.bytes;
    this.#run(step.steps[0] as Step);
    cursor.at = at;
    cursor.end = end;
  }

  /** The number of items of the next block, checked against the bytes that are left; 0 at the end. `size` gets that of the block. */
  #block(least: number): number {
    const { cursor } = this;
    const at = cursor.at;
    cursor.zigzag();
    this.#blockBytes = -1;
    if (cursor.hi < 0) {
      const lo = -cursor.lo | 0;
      if (cursor.hi !== -1 || lo <= 0) cursor.refuse(at, `a block has ${longText(cursor)} items`);
      this.#blockBytes = this.#count();
      if (this.#blockBytes > cursor.end - cursor.at) cursor.refuse(at, `a block of ${this.#blockBytes} bytes begins, but ${cursor.end - cursor.at} are left`);
      return this.#checked(lo, least, at);
    }
    if (cursor.hi !== 0 || cursor.lo < 0) cursor.refuse(at, `a block has ${longText(cursor)} items`);
    return this.#checked(cursor.lo, least, at);
  }
  #blockBytes = -1;

  #checked(count: number, least: number, at: number): number {
    const { cursor } = this;
    if (least === 0 ? count > EMPTY_ITEMS_MAX : count * least > cursor.end - cursor.at)
      cursor.refuse(
        at,
        least === 0 ? `an array has ${count} items that take no bytes` : `a block of ${count} items begins, but ${cursor.end - cursor.at} bytes are left`,
      );
    return count;
  }

  #skipBlocks(step: Step): void {
    const { cursor } = this;
    const item = step.steps[0] as Step;
    this.#enter();
    for (let count = this.#block(step.size); count > 0; count = this.#block(step.size)) {
      if (this.#blockBytes >= 0) cursor.at += this.#blockBytes;
      else if (step.size > 0) {
        for (let i = 0; i < count; i++) {
          if (step.isMap) cursor.take(this.#count(), 'a key');
          this.#run(item);
        }
      }
    }
    this.#depth--;
  }

  #blocks(step: Step): void {
    const { cursor } = this;
    const room = this.#room;
    const item = step.steps[0] as Step;
    this.#enter();
    room.byte(step.isMap ? 0x7b : 0x5b);
    let empty = 0;
    let isFirst = true;
    for (let count = this.#block(step.size); count > 0; count = this.#block(step.size)) {
      const behind = this.#blockBytes < 0 ? -1 : cursor.at + this.#blockBytes;
      if (step.size === 0 && (empty += count) > EMPTY_ITEMS_MAX) cursor.refuse(cursor.at, `an array has more than ${EMPTY_ITEMS_MAX} items that take no bytes`);
      for (let i = 0; i < count; i++) {
        if (!isFirst) room.byte(0x2c);
        isFirst = false;
        if (step.isMap) {
          const from = this.#text();
          room.string(from, cursor.at);
          room.byte(0x3a);
        }
        this.#run(item);
        if (room.isTooLong) cursor.refuse(cursor.at, `its JSON is longer than ${JSON_BYTES_MAX} bytes`);
      }
      if (behind >= 0 && cursor.at !== behind) cursor.refuse(cursor.at, `a block of ${count} items is not as long as it says`);
    }
    room.byte(step.isMap ? 0x7d : 0x5d);
    this.#depth--;
  }

  #jsonRecord(step: Step): void {
    const { cursor } = this;
    const room = this.#room;
    const { steps, order, skips } = step;
    this.#enter();
    room.byte(0x7b);
    const starts: number[] = [];
    if (order !== undefined) {
      for (let i = 0; i < skips.length; i++) {
        starts.push(cursor.at);
        this.#run(skips[i] as Step);
      }
    }
    const behind = cursor.at;
    for (let i = 0; i < steps.length; i++) {
      const member = steps[i] as Step;
      room.bytes(member.key as Uint8Array);
      const start = order === undefined ? undefined : starts[order[i] as number];
      if (start !== undefined) cursor.at = start;
      this.#run(member.steps[0] as Step);
    }
    if (order !== undefined) cursor.at = behind;
    room.byte(0x7d);
    this.#depth--;
  }

  #enter(): void {
    if (++this.#depth > DEPTH_MAX) this.cursor.refuse(this.cursor.at, `more than ${DEPTH_MAX} values are inside one another`);
  }
}

function longText({ lo, hi }: WireCursor): string {
  return String((BigInt(hi) << 32n) | BigInt(lo >>> 0));
}
