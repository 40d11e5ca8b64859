/**
 * One message of Protocol Buffers into one row of columns. Fields come in any order and more than once: the last
 * value counts, messages are merged, of a oneof the last field counts. No object is made for a row, but for those that
 * have lists or JSON. What is no such message is thrown as a Refusal; the row may be written again then.
 */

import { type SlabAllocator, shown } from '../../core/index.ts';
import type { ColumnWriter } from '../column-writer.ts';
import { utf8Fault } from '../utf8.ts';
import type { ProtoColumns, ProtoPlace, ProtoShape } from './columns.ts';
import { isPackable, type ProtoField } from './descriptor.ts';
import { millisOf, ProtoJson } from './json.ts';
import { DEPTH_MAX, ProtoCursor, TOO_LARGE, unsignedText, WIRE, wireOf } from './wire.ts';

const encoder = new TextEncoder();
const TWO_32 = 4_294_967_296;
/** Field numbers up to it are found in an array. */
const DENSE_MAX = 512;
/** Names of numbers that an enum does not have, which are kept. */
const UNKNOWN_MAX = 1_024;

/** A field that is read. */
class Slot {
  readonly field: ProtoField;
  readonly shape: ProtoShape;
  readonly wire: number;
  /** Position among the columns of the writer; -1: nobody wants it, or it is a struct. */
  readonly column: number;
  readonly node: Node | undefined;
  readonly name: string;
  /** Others of its oneof. */
  others: readonly Slot[] = [];
  /** Names of an enum by number. */
  readonly symbols = new Map<number, Uint8Array>();

  constructor(place: ProtoPlace, column: number, node: Node | undefined, name: string) {
    this.field = place.field;
    this.shape = place.shape;
    this.wire = wireOf(place.field.kind);
    this.column = column;
    this.node = node;
    this.name = name;
    for (const [number, symbol] of place.field.enum?.names ?? []) this.symbols.set(number, encoder.encode(symbol));
  }
}

/** A message that is read into columns. */
class Node {
  readonly index: number;
  readonly slots: Slot[] = [];
  readonly dense: (Slot | undefined)[] = [];
  readonly sparse = new Map<number, Slot>();

  constructor(index: number) {
    this.index = index;
  }

  slotOf(number: number): Slot | undefined {
    return number <= DENSE_MAX ? this.dense[number] : this.sparse.get(number);
  }
}

export class ProtoRowReader {
  readonly cursor: ProtoCursor;
  readonly #u8: Uint8Array;
  readonly #writer: ColumnWriter;
  readonly #json: ProtoJson;
  readonly #isText64: boolean;
  readonly #root: Node;
  #nodes = 0;
  /** By node: whether it is there. By column: whether it has a value. */
  readonly #present: Uint8Array;
  readonly #seen: Uint8Array;
  /** Of instants, by column: their parts. */
  readonly #seconds: Float64Array;
  readonly #nanos: Float64Array;
  /** Of texts, by column: where its values are. */
  readonly #hits: number[][];
  #row = 0;
  #field = '';

  /** @param columns positions of the columns that are wanted, in the order of the writer */
  constructor(writer: ColumnWriter, slabs: SlabAllocator, { places, isText64 }: ProtoColumns, columns: readonly number[]) {
    this.cursor = new ProtoCursor(slabs.memory);
    this.#u8 = slabs.memory.u8;
    this.#writer = writer;
    this.#isText64 = isText64;
    this.#json = new ProtoJson(slabs, this.cursor, isText64);
    const wanted = new Map(columns.map((at, w) => [at, w]));
    this.#root = this.#node(places, '', wanted);
    this.#present = new Uint8Array(this.#nodes);
    this.#seen = new Uint8Array(columns.length);
    this.#seconds = new Float64Array(columns.length);
    this.#nanos = new Float64Array(columns.length);
    this.#hits = columns.map(() => []);
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
  read(row: number): void {
    this.#row = row;
    this.#field = '';
    const present = this.#present;
    const seen = this.#seen;
    // Loops: of a few bytes, fill takes longer. Setting a length takes long even where it changes nothing.
    for (let i = 0; i < present.length; i++) present[i] = 0;
    for (let w = 0; w < seen.length; w++) {
      seen[w] = 0;
      const hits = this.#hits[w] as number[];
      if (hits.length > 0) hits.length = 0;
    }
    this.#present[this.#root.index] = 1;
    const { at, end } = this.cursor;
    this.#message(this.#root, 0, 0);
    this.#field = '';
    this.#finish(this.#root, at);
    this.cursor.at = end;
    this.cursor.end = end;
  }

  #node(places: readonly ProtoPlace[], at: string, wanted: ReadonlyMap<number, number>): Node {
    const node = new Node(this.#nodes++);
    for (const place of places) {
      const name = `${at}${place.field.name}`;
      const inner = place.column < 0 ? this.#node(place.members, `${name}.`, wanted) : undefined;
      const slot = new Slot(place, wanted.get(place.column) ?? -1, inner, name);
      node.slots.push(slot);
      if (place.field.number <= DENSE_MAX) node.dense[place.field.number] = slot;
      else node.sparse.set(place.field.number, slot);
    }
    for (let i = 0; i <= DENSE_MAX && i < node.dense.length; i++) node.dense[i] ??= undefined;
    for (const slot of node.slots)
      if (slot.field.oneof !== undefined) slot.others = node.slots.filter((other) => other !== slot && other.field.oneof === slot.field.oneof);
    return node;
  }

  /** Reads the fields of a message to the cursor's end, or to the end of a group (its number; 0: none). */
  #message(node: Node, group: number, depth: number): void {
    const { cursor } = this;
    if (depth >= DEPTH_MAX) cursor.refuse(cursor.at, `more than ${DEPTH_MAX} messages are inside one another`);
    while (cursor.at < cursor.end) {
      cursor.tag();
      if (cursor.wire === WIRE.groupEnd && cursor.number === group) return;
      const slot = node.slotOf(cursor.number);
      if (slot === undefined) cursor.skip(depth);
      else {
        this.#field = slot.name;
        this.#slot(slot, depth);
      }
    }
    if (group !== 0) cursor.refuse(cursor.at, `the group ${group} does not end`);
  }

  #slot(slot: Slot, depth: number): void {
    const { cursor } = this;
    const { column, node, field, shape } = slot;
    const isPacked = shape === 'text' && cursor.wire === WIRE.bytes && isPackable(field.kind);
    if (!isPacked) cursor.mustBe(slot.wire, slot.name);
    if (slot.others.length > 0) for (const other of slot.others) this.#clear(other);
    if (node !== undefined) {
      this.#present[node.index] = 1;
      const outer = this.#enter(field);
      this.#message(node, groupOf(field), depth + 1);
      cursor.end = outer;
      return;
    }
    if (column < 0) {
      cursor.skip(depth);
      return;
    }
    switch (shape) {
      case 'text': {
        const hits = this.#hits[column] as number[];
        const { wire } = cursor;
        if (wire === WIRE.bytes) {
          const length = cursor.length('a value');
          hits.push(cursor.at, cursor.at + length, wire);
          cursor.at += length;
        } else if (wire === WIRE.group) {
          const from = cursor.at;
          hits.push(from, cursor.skipGroup(depth), wire);
        } else {
          const from = cursor.at;
          cursor.skip(depth);
          hits.push(from, cursor.at, wire);
        }
        break;
      }
      case 'instant': {
        if (this.#seen[column] === 0) {
          this.#seconds[column] = 0;
          this.#nanos[column] = 0;
        }
        const outer = this.#enter(field);
        this.#instant(column, groupOf(field), depth + 1);
        cursor.end = outer;
        break;
      }
      case 'wrapped': {
        const value = field.message?.fields[0] as ProtoField;
        if (this.#seen[column] === 0) this.#zero(slot, value);
        const outer = this.#enter(field);
        this.#wrapped(slot, value, groupOf(field), depth + 1);
        cursor.end = outer;
        break;
      }
      default:
        this.#value(slot, field);
    }
    this.#seen[column] = 1;
  }

  /** Limits the cursor to a message by its length; a group ends itself. Returns the end that it had. */
  #enter({ kind }: ProtoField): number {
    const { cursor } = this;
    if (kind === 'group') return cursor.end;
    const length = cursor.length('a message');
    const { end } = cursor;
    cursor.end = cursor.at + length;
    return end;
  }

  #instant(column: number, group: number, depth: number): void {
    const { cursor } = this;
    while (cursor.at < cursor.end) {
      cursor.tag();
      if (cursor.wire === WIRE.groupEnd && cursor.number === group) return;
      if (cursor.number > 2) cursor.skip(depth);
      else {
        cursor.mustBe(WIRE.varint, cursor.number === 1 ? 'seconds' : 'nanos');
        const { number } = cursor;
        cursor.varint();
        if (number === 1) this.#seconds[column] = cursor.hi * TWO_32 + (cursor.lo >>> 0);
        else this.#nanos[column] = cursor.lo | 0;
      }
    }
  }

  #wrapped(slot: Slot, value: ProtoField, group: number, depth: number): void {
    const { cursor } = this;
    while (cursor.at < cursor.end) {
      cursor.tag();
      if (cursor.wire === WIRE.groupEnd && cursor.number === group) return;
      if (cursor.number !== value.number) cursor.skip(depth);
      else {
        cursor.mustBe(wireOf(value.kind), slot.name);
        this.#value(slot, value);
      }
    }
  }

  /** Reads a value of its own type into its column. */
  #value({ column, symbols }: Slot, { kind }: ProtoField): void {
    const { cursor } = this;
    const writer = this.#writer;
    const row = this.#row;
    switch (kind) {
      case 'double':
      case 'float':
        writer.setFloat(column, row, cursor.float(kind));
        return;
      case 'int64':
      case 'sint64':
      case 'sfixed64':
        cursor.long(kind);
        writer.setI64(column, row, cursor.lo, cursor.hi);
        return;
      case 'uint64':
      case 'fixed64': {
        const { at } = cursor;
        cursor.long(kind);
        if (this.#isText64) writer.setText(column, row, unsignedText(cursor));
        else if (cursor.hi < 0) cursor.refuse(at, `a number ${TOO_LARGE}`);
        else writer.setI64(column, row, cursor.lo, cursor.hi);
        return;
      }
      case 'bool':
        writer.setBool(column, row, cursor.bool());
        return;
      case 'string':
      case 'bytes': {
        const length = cursor.length('a value');
        const from = cursor.at;
        cursor.at += length;
        if (kind === 'string') this.#checkText(from, cursor.at);
        writer.setBytes(column, row, from, cursor.at);
        return;
      }
      case 'enum': {
        const number = cursor.int('int32');
        let symbol = symbols.get(number);
        if (symbol === undefined) {
          symbol = encoder.encode(String(number));
          if (symbols.size < UNKNOWN_MAX) symbols.set(number, symbol);
        }
        this.#bytes(column, symbol);
        return;
      }
      default:
        // In 32 bits, an unsigned number is what it is.
        writer.setI32(column, row, cursor.int(kind));
    }
  }

  #checkText(from: number, to: number): void {
    const u8 = this.#u8;
    let at = from;
    while (at < to && (u8[at] as number) < 0x80) at++;
    if (at < to) {
      const bad = utf8Fault(u8, at, to);
      if (bad !== to) this.cursor.refuse(bad, 'a text is no well-formed UTF-8');
    }
  }

  #bytes(column: number, bytes: Uint8Array): void {
    const writer = this.#writer;
    const address = writer.roomForBytes(column, this.#row, bytes.length);
    this.#u8.set(bytes, address);
    writer.bytesWritten(column, this.#row, bytes.length);
    writer.setValid(column, this.#row);
  }

  /** A field of a oneof whose value is gone, as another one has come. */
  #clear(slot: Slot): void {
    if (slot.column >= 0) {
      this.#seen[slot.column] = 0;
      (this.#hits[slot.column] as number[]).length = 0;
    }
    if (slot.node === undefined) return;
    this.#present[slot.node.index] = 0;
    for (const inner of slot.node.slots) this.#clear(inner);
  }

  /** Writes what is not there, and what was put together. */
  #finish(node: Node, start: number): void {
    const { cursor } = this;
    const isHere = this.#present[node.index] === 1;
    for (const slot of node.slots) {
      const { column, field, shape } = slot;
      if (slot.node !== undefined) {
        if (isHere && field.isRequired && this.#present[slot.node.index] === 0) this.#missing(slot, start);
        this.#finish(slot.node, start);
      } else if (column >= 0) {
        const isSeen = this.#seen[column] === 1;
        if (!isHere) this.#writer.setNull(column, this.#row);
        else if (shape === 'text' && (isSeen || field.isRepeated)) {
          this.#field = slot.name;
          this.#json.field(field, this.#hits[column] as number[]);
          const { from, at } = this.#json.room;
          this.#writer.setBytes(column, this.#row, from, at);
        } else if (shape === 'instant' && isSeen) {
          const ms = millisOf(this.#seconds[column] as number, this.#nanos[column] as number);
          this.#field = slot.name;
          this.#writer.setMs(column, this.#row, ms ?? cursor.refuse(start, 'a Timestamp is out of range'));
        } else if (!isSeen) {
          if (field.isRequired) this.#missing(slot, start);
          if (field.hasPresence) this.#writer.setNull(column, this.#row);
          else this.#zero(slot, field);
        }
      }
    }
  }

  #missing(slot: Slot, start: number): never {
    this.#field = slot.name;
    return this.cursor.refuse(start, 'the required field is missing');
  }

  /** The default of a field that has no presence. */
  #zero({ column, symbols }: Slot, { kind, enum: of }: ProtoField): void {
    const writer = this.#writer;
    const row = this.#row;
    switch (kind) {
      case 'double':
      case 'float':
        writer.setFloat(column, row, 0);
        return;
      case 'bool':
        writer.setBool(column, row, false);
        return;
      case 'string':
      case 'bytes':
        writer.setBytes(column, row, 0, 0);
        return;
      case 'enum':
        this.#bytes(column, symbols.get(0) ?? encoder.encode(of?.first ?? '0'));
        return;
      case 'uint64':
      case 'fixed64':
        if (this.#isText64) writer.setText(column, row, '0');
        else writer.setI64(column, row, 0, 0);
        return;
      case 'int64':
      case 'sint64':
      case 'sfixed64':
        writer.setI64(column, row, 0, 0);
        return;
      default:
        writer.setI32(column, row, 0);
    }
  }
}

/** The number that ends a group; 0: it is none. */
function groupOf({ kind, number }: ProtoField): number {
  return kind === 'group' ? number : 0;
}
