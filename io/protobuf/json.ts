/**
 * Lists, maps and messages of Protocol Buffers as JSON, in the form that columns hold: of a message all members in
 * the order of its fields, those that are not there null or their default. A field may come several times, so its
 * values are looked for in all pieces of the message.
 */

import { type SlabAllocator, shown } from '../../core/index.ts';
import { utf8Fault } from '../utf8.ts';
import { JSON_BYTES_MAX, JsonRoom } from '../wire/json-room.ts';
import { isWrapper } from './columns.ts';
import { isPackable, type ProtoField, type ProtoMessage } from './descriptor.ts';
import { DEPTH_MAX, type ProtoCursor, TIMESTAMP, TOO_LARGE, unsignedText, WIRE, wireOf } from './wire.ts';

const encoder = new TextEncoder();

interface Member {
  readonly field: ProtoField;
  /** Its name and a colon. */
  readonly key: Uint8Array;
  /** The others of its oneof, by their places. */
  readonly others: readonly number[];
}

interface Plan {
  readonly members: readonly Member[];
  readonly byNumber: ReadonlyMap<number, number>;
}

/** Values of one field: where each begins and ends, and how it is on the wire. */
type Hits = number[];
type Scan = number[];

export class ProtoJson {
  readonly room: JsonRoom;
  readonly #cursor: ProtoCursor;
  readonly #isText64: boolean;
  readonly #plans = new Map<ProtoMessage, Plan>();
  readonly #symbols = new Map<string, Uint8Array>();

  constructor(slabs: SlabAllocator, cursor: ProtoCursor, isText64: boolean) {
    this.room = new JsonRoom(slabs);
    this.#cursor = cursor;
    this.#isText64 = isText64;
  }

  /** Writes a field's values into the room: a list, a map, or one message. */
  field(field: ProtoField, hits: Hits): void {
    this.room.reset();
    this.#field(field, hits, 1);
  }

  #field(field: ProtoField, hits: Hits, depth: number): void {
    const { room } = this;
    const { message } = field;
    if (!field.isRepeated) {
      if (message !== undefined) this.#message(message, hits, depth);
      else this.#one(field, hits.at(-3) as number, hits.at(-2) as number, depth);
      return;
    }
    const isMap = message?.isMapEntry === true;
    room.byte(isMap ? 0x7b : 0x5b);
    let isFirst = true;
    for (let i = 0; i < hits.length; i += 3) {
      const from = hits[i] as number;
      const to = hits[i + 1] as number;
      const isPacked = hits[i + 2] === WIRE.bytes && isPackable(field.kind);
      let at = from;
      do {
        if (isPacked && at >= to) break;
        if (!isFirst) room.byte(0x2c);
        isFirst = false;
        if (isMap) this.#entry(message, from, to, depth);
        else if (message !== undefined) this.#message(message, [from, to, 0], depth);
        else at = this.#one(field, at, to, depth);
        if (room.isTooLong) this.#cursor.refuse(from, `its JSON is longer than ${JSON_BYTES_MAX} bytes`);
      } while (isPacked);
    }
    room.byte(isMap ? 0x7d : 0x5d);
  }

  /** An entry of a map; a key or a value that is not there has its default. */
  #entry(entry: ProtoMessage, from: number, to: number, depth: number): void {
    const { room } = this;
    const plan = this.#planOf(entry);
    const [key, value] = plan.members as readonly [Member, Member];
    const found = this.#scan(plan, [from, to, 0], depth);
    const keys = valuesOf(plan, found, 0);
    if (key.field.kind === 'string') {
      if (keys.length === 0) room.ascii('""');
      else this.#one(key.field, keys.at(-3) as number, keys.at(-2) as number, depth);
    } else {
      room.byte(0x22);
      if (keys.length === 0) room.ascii(key.field.kind === 'bool' ? 'false' : '0');
      else this.#one(key.field, keys.at(-3) as number, keys.at(-2) as number, depth, true);
      room.byte(0x22);
    }
    room.byte(0x3a);
    const values = valuesOf(plan, found, 1);
    if (values.length > 0 || value.field.message !== undefined) this.#field(value.field, values.length > 0 ? values : [from, from, 0], depth + 1);
    else this.#default(value.field);
  }

  /** @param pieces where it is on the wire: they count as one behind the other */
  #message(message: ProtoMessage, pieces: Hits, depth: number): void {
    const { room } = this;
    if (depth > DEPTH_MAX) this.#cursor.refuse(pieces[0] as number, `more than ${DEPTH_MAX} messages are inside one another`);
    const plan = this.#planOf(message);
    if (message.name === TIMESTAMP) {
      this.#instant(plan, pieces, depth);
      return;
    }
    const found = this.#scan(plan, pieces, depth);
    if (isWrapper(message)) {
      const [only] = plan.members as readonly [Member];
      const hits = valuesOf(plan, found, 0);
      if (hits.length > 0) this.#field(only.field, hits, depth + 1);
      else this.#default(only.field);
      return;
    }
    room.byte(0x7b);
    for (const [m, { field, key }] of plan.members.entries()) {
      room.bytes(key);
      const hits = valuesOf(plan, found, m);
      if (hits.length > 0 || field.isRepeated) this.#field(field, hits, depth + 1);
      else if (field.isRequired) this.#cursor.refuse(pieces[0] as number, `the required field ${shown(field.name)} of ${message.name} is missing`);
      else if (field.hasPresence) room.ascii('null');
      else this.#default(field);
    }
    room.byte(0x7d);
  }

  #instant(plan: Plan, pieces: Hits, depth: number): void {
    const found = this.#scan(plan, pieces, depth);
    const part = (index: number): number => {
      const hits = valuesOf(plan, found, index);
      const at = hits.at(-3);
      if (at === undefined) return 0;
      const cursor = this.#cursor;
      cursor.at = at;
      cursor.end = hits.at(-2) as number;
      cursor.varint();
      return index === 0 ? cursor.hi * 4_294_967_296 + (cursor.lo >>> 0) : cursor.lo | 0;
    };
    const ms = millisOf(part(0), part(1));
    if (ms === undefined) this.#cursor.refuse(pieces[0] as number, 'a Timestamp is out of range');
    this.room.number(ms as number);
  }

  /** What is in the pieces of a message: by four, which member, and a value of it as in Hits. */
  #scan({ members, byNumber }: Plan, pieces: Hits, depth: number): Scan {
    const cursor = this.#cursor;
    const found: Scan = [];
    for (let i = 0; i < pieces.length; i += 3) {
      cursor.at = pieces[i] as number;
      cursor.end = pieces[i + 1] as number;
      while (cursor.at < cursor.end) {
        cursor.tag();
        const m = byNumber.get(cursor.number);
        if (m === undefined) {
          cursor.skip(depth);
          continue;
        }
        const { field } = members[m] as Member;
        const { wire } = cursor;
        if (!(wire === WIRE.bytes && field.isRepeated && isPackable(field.kind))) cursor.mustBe(wireOf(field.kind), field.name);
        if (wire === WIRE.bytes) {
          const length = cursor.length('a value');
          found.push(m, cursor.at, cursor.at + length, wire);
          cursor.at += length;
        } else {
          const from = cursor.at;
          if (wire === WIRE.group) found.push(m, from, cursor.skipGroup(depth), wire);
          else {
            cursor.skip(depth);
            found.push(m, from, cursor.at, wire);
          }
        }
      }
    }
    return found;
  }

  /** Writes the value that begins at `from`, and returns where it ends. */
  #one(field: ProtoField, from: number, to: number, depth: number, isKey = false): number {
    const { room } = this;
    const cursor = this.#cursor;
    cursor.at = from;
    cursor.end = to;
    switch (field.kind) {
      case 'double':
      case 'float':
        room.number(cursor.float(field.kind));
        break;
      case 'uint64':
      case 'fixed64':
        cursor.long(field.kind);
        if (this.#isText64 && !isKey) room.ascii(`"${unsignedText(cursor)}"`);
        else if (isKey) room.ascii(unsignedText(cursor));
        else if (cursor.hi < 0) cursor.refuse(from, `a number ${TOO_LARGE}`);
        else room.long(cursor.lo, cursor.hi);
        break;
      case 'int64':
      case 'sint64':
      case 'sfixed64':
        cursor.long(field.kind);
        room.long(cursor.lo, cursor.hi);
        break;
      case 'bool':
        room.ascii(cursor.bool() ? 'true' : 'false');
        break;
      case 'string': {
        const bad = utf8Fault(cursor.u8, from, to);
        if (bad !== to) cursor.refuse(bad, 'a text is no well-formed UTF-8');
        room.string(from, to);
        return to;
      }
      case 'bytes':
        room.base64(from, to);
        return to;
      case 'enum': {
        const value = cursor.int('int32');
        const name = field.enum?.names.get(value) ?? String(value);
        let text = this.#symbols.get(name);
        if (text === undefined) this.#symbols.set(name, (text = encoder.encode(JSON.stringify(name))));
        if (this.#symbols.size > 65_536) this.#symbols.clear();
        room.bytes(text);
        break;
      }
      case 'message':
      case 'group':
        this.#message(field.message as ProtoMessage, [from, to, 0], depth);
        return to;
      default:
        room.number(cursor.int(field.kind));
    }
    return cursor.at;
  }

  #default(field: ProtoField): void {
    const { room } = this;
    switch (field.kind) {
      case 'bool':
        room.ascii('false');
        return;
      case 'string':
      case 'bytes':
        room.ascii('""');
        return;
      case 'enum':
        room.bytes(encoder.encode(JSON.stringify(field.enum?.first ?? '0')));
        return;
      case 'uint64':
      case 'fixed64':
        room.ascii(this.#isText64 ? '"0"' : '0');
        return;
      default:
        room.ascii('0');
    }
  }

  #planOf(message: ProtoMessage): Plan {
    let plan = this.#plans.get(message);
    if (plan === undefined) {
      const { fields } = message;
      const members = fields.map((field, index): Member => {
        const others = field.oneof === undefined ? [] : fields.flatMap((other, at) => (other !== field && other.oneof === field.oneof ? [at] : []));
        return { field, key: encoder.encode(`${index === 0 ? '' : ','}${JSON.stringify(field.name)}:`), others };
      });
      plan = { members, byNumber: new Map(fields.map(({ number }, at) => [number, at])) };
      this.#plans.set(message, plan);
    }
    return plan;
  }
}

/** The values of one member. One of a oneof is gone where another comes behind it. */
function valuesOf({ members }: Plan, found: Scan, member: number): Hits {
  const { others } = members[member] as Member;
  const hits: Hits = [];
  for (let i = 0; i < found.length; i += 4) {
    const at = found[i] as number;
    if (at === member) hits.push(found[i + 1] as number, found[i + 2] as number, found[i + 3] as number);
    else if (others.length > 0 && others.includes(at)) hits.length = 0;
  }
  return hits;
}

/** Milliseconds of a Timestamp, what is below them cut; undefined: it is none. */
export function millisOf(seconds: number, nanos: number): number | undefined {
  if (nanos < 0 || nanos > 999_999_999) return undefined;
  const ms = seconds * 1_000 + Math.floor(nanos / 1_000_000);
  return Number.isSafeInteger(ms) ? ms : undefined;
}
