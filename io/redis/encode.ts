/**
 * Rows as Redis commands, in the worker: the bytes that go over the wire. Each row of a sink has the same number of
 * commands, so that replies are counted.
 *
 *   *6\r\n$4\r\nHSET\r\n$9\r\nclicks:/a\r\n$4\r\npage\r\n$2\r\n/a\r\n$1\r\nn\r\n$1\r\n3\r\n      a row
 *   *2\r\n$3\r\nDEL\r\n$9\r\nclicks:/a\r\n                                                      a row that goes
 *
 * A number is its text, a boolean true or false, an instant its milliseconds; text and bytes are as they are.
 */

import { type Batch, type Column, durationMs, isValid, type Schema, type SharedMemory, withoutSign } from '../../core/index.ts';
import type { Codec, EncoderContext, RecordEncoder } from '../codec.ts';
import { FramedRecords, type RecordFrame } from '../delivery/index.ts';
import { KeyColumns } from '../record-batch/index.ts';
import { NUMBER_BYTES_MAX, writeFixed, writeInteger } from '../text-writer.ts';
import { type RedisHashOptions, type RedisSinkOptions, type RedisSortedSetOptions, type RedisStreamOptions, upsertKeyOf } from './options.ts';

const CR = 0x0d;
const LF = 0x0a;
const DOLLAR = 0x24;
/** `$`, a length, two line ends. */
const BULK_BYTES_MAX = 1 + 10 + 4;
const COUNT_BYTES_MAX = 16;

/** How many commands a row is. */
export function commandsOf(options: RedisSinkOptions, schema: Schema): number {
  if (options.type !== 'hash') return 1;
  return 1 + (schema.fields.some(({ type }) => type.nullable) ? 1 : 0) + (options.ttl === undefined ? 0 : 1);
}

/** @param given schema of the batches to come, with the hidden column where they are changes of a table */
export function commandEncoder(context: EncoderContext, given: Schema, options: RedisSinkOptions): RecordEncoder {
  const schema = withoutSign(given);
  const key = upsertKeyOf(options) ?? [];
  if (options.type === 'hash') return new FramedRecords(context, given, FIELDS, key, new HashCommands(context.memory, schema, options));
  if (options.type === 'stream') return new FramedRecords(context, given, FIELDS, [], new StreamCommand(context.memory, schema, options));
  return new FramedRecords(context, given, NOTHING, key, new SortedSetCommand(context, schema, options));
}

function bulk(text: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
}

/** Writes what is common to all. */
class Wire {
  readonly #memory: SharedMemory;

  constructor(memory: SharedMemory) {
    this.#memory = memory;
  }

  bytes(at: number, bytes: Uint8Array): number {
    this.#memory.u8.set(bytes, at);
    return at + bytes.length;
  }

  /** `*n\r\n` */
  count(address: number, count: number): number {
    const { u8 } = this.#memory;
    u8[address] = 0x2a;
    return this.#end(writeInteger(u8, address + 1, count));
  }

  /** `$n\r\n` and a prefix and bytes at an address. */
  joined(address: number, prefix: Uint8Array, from: number, length: number): number {
    const { u8 } = this.#memory;
    u8[address] = DOLLAR;
    let at = this.#end(writeInteger(u8, address + 1, prefix.length + length));
    u8.set(prefix, at);
    at += prefix.length;
    u8.copyWithin(at, from, from + length);
    return this.#end(at + length);
  }

  /** A value that is not null. */
  value(address: number, column: Column, row: number): number {
    const memory = this.#memory;
    const { u8, i32 } = memory;
    const { data, offsets } = column;
    if (offsets !== 0) {
      const from = i32[(offsets >>> 2) + row] as number;
      return this.joined(address, NO_BYTES, data + from, (i32[(offsets >>> 2) + row + 1] as number) - from);
    }
    // Its length is known when it is written: room for two digits of it.
    const start = address + 5;
    const end = writeFixed(memory, column, row, start, undefined);
    u8[address] = DOLLAR;
    const at = this.#end(writeInteger(u8, address + 1, end - start));
    if (at !== start) u8.copyWithin(at, start, end);
    return this.#end(at + end - start);
  }

  #end(at: number): number {
    this.#memory.u8[at] = CR;
    this.#memory.u8[at + 1] = LF;
    return at + 2;
  }
}

const NO_BYTES = new Uint8Array(0);

/** Names and values of the columns that are not null. */
class FieldsEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #memory: SharedMemory;
  readonly #wire: Wire;
  readonly #names: readonly Uint8Array[];
  readonly #fixedBytes: number;

  constructor({ memory }: EncoderContext, schema: Schema) {
    this.#memory = memory;
    this.#wire = new Wire(memory);
    this.#names = schema.fields.map(({ name }) => bulk(name));
    this.#fixedBytes = this.#names.reduce((sum, name) => sum + name.length + BULK_BYTES_MAX + NUMBER_BYTES_MAX, 0);
  }

  encode({ columns }: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { u32, i32 } = this.#memory;
    let at = address;
    for (let row = from; row < to; row++) {
      let bytes = this.#fixedBytes;
      for (const { offsets } of columns) if (offsets !== 0) bytes += (i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number);
      if (at + bytes > limit) return row - from;
      for (let c = 0; c < columns.length; c++) {
        const column = columns[c] as Column;
        if (!isValid(this.#memory, column, row)) continue;
        at = this.#wire.bytes(at, this.#names[c] as Uint8Array);
        at = this.#wire.value(at, column, row);
      }
      u32[(ends >>> 2) + (row - from)] = at;
    }
    return to - from;
  }
}

const writtenOnly = (): never => {
  throw new Error('Redis commands are written only');
};
const FIELDS: Codec = { name: 'redis', schema: undefined, decoder: writtenOnly, encoder: (context, schema) => new FieldsEncoder(context, schema) };
const NOTHING: Codec = {
  name: 'redis',
  schema: undefined,
  decoder: writtenOnly,
  encoder: ({ memory: { u32 } }) => ({
    wholeBatch: false,
    encode(_batch, from, to, address, _limit, ends) {
      u32.fill(address, ends >>> 2, (ends >>> 2) + to - from);
      return to - from;
    },
  }),
};

/** HSET, then HDEL of what is null now, then PEXPIRE; DEL for a row that goes, with commands in their places that do nothing. */
class HashCommands implements RecordFrame {
  readonly #memory: SharedMemory;
  readonly #wire: Wire;
  readonly #prefix: Uint8Array;
  readonly #names: readonly Uint8Array[];
  readonly #isNullable: boolean;
  readonly #ttl: Uint8Array | undefined;
  readonly #fixedBytes: number;
  readonly #scratch: { key: number; keyBytes: number; nulls: number[] } = { key: 0, keyBytes: 0, nulls: [] };

  constructor(memory: SharedMemory, schema: Schema, { prefix = '', ttl }: RedisHashOptions) {
    this.#memory = memory;
    this.#wire = new Wire(memory);
    this.#prefix = Buffer.from(prefix);
    this.#names = schema.fields.map(({ name }) => bulk(name));
    this.#isNullable = schema.fields.some(({ type }) => type.nullable);
    this.#ttl = ttl === undefined ? undefined : bulk(String(durationMs(ttl, 'ttl', 1)));
    this.#fixedBytes = 3 * (COUNT_BYTES_MAX + BULK_BYTES_MAX * 3 + this.#prefix.length) + this.#names.reduce((sum, name) => sum + name.length, 0) + 64;
  }

  bytesMax(keyBytes: number): number {
    return this.#fixedBytes + 3 * keyBytes;
  }

  head({ columns }: Batch, row: number, address: number, key: number, keyBytes: number, isGone: boolean): number {
    const { nulls } = this.#scratch;
    nulls.length = 0;
    this.#scratch.key = key;
    this.#scratch.keyBytes = keyBytes;
    if (isGone) return this.#named(this.#wire.bytes(this.#wire.count(address, 2), DEL));
    for (let c = 0; c < columns.length; c++) if (!isValid(this.#memory, columns[c] as Column, row)) nulls.push(c);
    const at = this.#wire.count(address, 2 + 2 * (columns.length - nulls.length));
    return this.#named(this.#wire.bytes(at, HSET));
  }

  tail(address: number): number {
    const { nulls } = this.#scratch;
    let at = address;
    if (this.#isNullable) {
      at = this.#named(this.#wire.bytes(this.#wire.count(at, 2 + Math.max(1, nulls.length)), HDEL));
      if (nulls.length === 0) at = this.#wire.bytes(at, NO_FIELD);
      for (const c of nulls) at = this.#wire.bytes(at, this.#names[c] as Uint8Array);
    }
    if (this.#ttl !== undefined) at = this.#wire.bytes(this.#named(this.#wire.bytes(this.#wire.count(at, 3), PEXPIRE)), this.#ttl);
    return at;
  }

  #named(at: number): number {
    return this.#wire.joined(at, this.#prefix, this.#scratch.key, this.#scratch.keyBytes);
  }
}

const [HSET, HDEL, DEL, PEXPIRE, XADD, ZADD, ZREM] = ['HSET', 'HDEL', 'DEL', 'PEXPIRE', 'XADD', 'ZADD', 'ZREM'].map(bulk) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
/** HDEL of it changes nothing, unless a column is named so: then it is not null here, and is written before. */
const NO_FIELD = bulk('\0millrace');

class StreamCommand implements RecordFrame {
  readonly #memory: SharedMemory;
  readonly #wire: Wire;
  readonly #front: Uint8Array;
  readonly #frontCount: number;

  constructor(memory: SharedMemory, _schema: Schema, { stream, lengthMax }: RedisStreamOptions) {
    this.#memory = memory;
    this.#wire = new Wire(memory);
    const parts = [stream, ...(lengthMax === undefined ? [] : ['MAXLEN', '~', String(lengthMax)]), '*'];
    this.#front = Buffer.concat([XADD, ...parts.map(bulk)]);
    this.#frontCount = 1 + parts.length;
  }

  bytesMax(): number {
    return COUNT_BYTES_MAX + this.#front.length;
  }

  head({ columns }: Batch, row: number, at: number): number {
    let fields = 0;
    for (const column of columns) if (isValid(this.#memory, column, row)) fields++;
    return this.#wire.bytes(this.#wire.count(at, this.#frontCount + 2 * fields), this.#front);
  }

  tail(at: number): number {
    return at;
  }
}

class SortedSetCommand implements RecordFrame {
  readonly #memory: SharedMemory;
  readonly #wire: Wire;
  readonly #prefix: Uint8Array;
  readonly #keys: KeyColumns | undefined;
  readonly #listed: number;
  readonly #member: number;
  readonly #score: number;

  constructor({ memory, slabs }: EncoderContext, schema: Schema, { key = [], prefix, member, score }: RedisSortedSetOptions) {
    this.#memory = memory;
    this.#wire = new Wire(memory);
    this.#prefix = Buffer.from(prefix);
    const columns = [key].flat().map((name) => schema.require(name, 'The key of the sink'));
    this.#keys = columns.length === 0 ? undefined : new KeyColumns(slabs, schema, columns);
    this.#listed = slabs.alloc(8);
    this.#member = schema.require(member, 'The member of the sink');
    this.#score = schema.require(score, 'The score of the sink');
  }

  /** The key here is that of set and member, as JSON: neither is longer. */
  bytesMax(keyBytes: number): number {
    return COUNT_BYTES_MAX + 4 * BULK_BYTES_MAX + this.#prefix.length + 3 * NUMBER_BYTES_MAX + 2 * keyBytes;
  }

  head(batch: Batch, row: number, address: number, _key: number, _keyBytes: number, isGone: boolean): number {
    const { u32, i32 } = this.#memory;
    this.#keys?.list(batch, row, row + 1, this.#listed, this.#listed + 4);
    let at = this.#wire.bytes(this.#wire.count(address, isGone ? 3 : 4), isGone ? ZREM : ZADD);
    at =
      this.#keys === undefined
        ? this.#wire.joined(at, this.#prefix, 0, 0)
        : this.#wire.joined(at, this.#prefix, u32[this.#listed >>> 2] as number, i32[(this.#listed + 4) >>> 2] as number);
    if (!isGone) at = this.#wire.value(at, batch.column(this.#score), row);
    return this.#wire.value(at, batch.column(this.#member), row);
  }

  tail(at: number): number {
    return at;
  }
}
