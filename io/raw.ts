/**
 * Records as they are in the log: key, value and coordinates as columns, nothing parsed. The columns are
 * those of Spark's Kafka source. `headers` holds the bytes of the record's header section; `readHeaders`
 * takes them apart.
 */

import {
  type Batch,
  binary,
  type ColumnSpace,
  checkOptionNames,
  i32,
  i64,
  MillraceError,
  nullable,
  type RowOf,
  type Schema,
  timestamp,
  schema as toSchema,
  utf8,
} from '../core/index.ts';
import type { Codec, RecordDecoder, RecordIndex } from './codec.ts';
import { ColumnWriter } from './column-writer.ts';
import { appendRecords } from './record-column.ts';
import { type DecoderContext, SAMPLE_BYTES_MAX } from './source.ts';
import { ColumnEncoder } from './text.ts';

const FIELDS = {
  key: nullable(binary),
  value: nullable(binary),
  topic: utf8,
  partition: i32,
  offset: i64,
  timestamp: nullable(timestamp),
  headers: nullable(binary),
} as const;
const SCHEMA = toSchema(FIELDS);
const TWO_32 = 4_294_967_296;

export type RawRow = RowOf<typeof FIELDS>;

/**
 * The record itself: `key`, `value` (bytes or null), `topic`, `partition`, `offset`, `timestamp` (null where
 * the source has none) and `headers` (bytes for `readHeaders`; null when there are none). A record whose
 * timestamp is beyond 2^53 ms is refused if the pipeline reads the timestamp, because no number holds it
 * exactly. Encoding writes the column `value` (binary or utf8) as it is; null is written as nothing.
 */
export function raw(options: Readonly<Record<string, never>> = {}): Codec<RawRow> {
  checkOptionNames('raw()', options, {});
  return {
    name: 'raw',
    isRowPerRecord: true,
    schema: SCHEMA,
    decoder: (context) => new RawRecordDecoder(context),
    encoder: ({ memory }, schema) => new ColumnEncoder(memory, valueColumn(schema)),
  };
}

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/**
 * The headers of a row of `raw()`, in order; a key may come more than once.
 *
 * @throws MillraceError ERR_MILLRACE_CORRUPT when the bytes are no header section
 */
export function readHeaders(bytes: Uint8Array | null): RecordHeader[] {
  const headers: RecordHeader[] = [];
  if (bytes === null) return headers;
  const walk = new HeaderWalk(bytes, 0, bytes.length);
  const count = walk.open();
  for (let i = 0; i < count && walk.step(); i++) {
    const value = walk.valueLength < 0 ? null : bytes.slice(walk.at - walk.valueLength, walk.at);
    headers.push({ key: Buffer.from(bytes.subarray(walk.keyFrom, walk.keyFrom + walk.keyLength)).toString('utf8'), value });
  }
  if (headers.length !== count)
    throw new MillraceError(
      'ERR_MILLRACE_CORRUPT',
      `The ${bytes.length} bytes are no header section of a record: ${count} headers announced, ${headers.length} found.`,
    );
  return headers;
}

class RawRecordDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #writer: ColumnWriter;
  readonly #names: readonly string[];
  #records: RecordIndex | undefined;
  #next = 0;
  #first = 0;

  constructor(context: DecoderContext) {
    this.#context = context;
    this.#writer = new ColumnWriter(context.slabs, SCHEMA, context.columns, context.batchRows);
    this.#names = this.#writer.columns.map((column) => column.name);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    const count = this.#run(records);
    if (count === 0) return undefined;
    this.#writer.builder.reset();
    this.#names.forEach((name, w) => this.#fill(name, w, records, count));
    return this.#writer.finish(count);
  }

  recordOf(row: number): number {
    return this.#first + row;
  }

  /**
   * Moves past records that have no exact timestamp to the next run of those that have; returns the length of
   * that run, 0 at the end.
   */
  #run(records: RecordIndex): number {
    const { memory, batchRows } = this.#context;
    const times = this.#names.includes('timestamp') ? records.timestamps >>> 3 : 0;
    const isExact = (i: number): boolean => times === 0 || Number.isSafeInteger(memory.f64[times + i]);
    while (this.#next < records.count && !isExact(this.#next)) this.#refuse(records, this.#next++);
    this.#first = this.#next;
    const end = Math.min(records.count, this.#first + batchRows);
    while (this.#next < end && isExact(this.#next)) this.#next++;
    return this.#next - this.#first;
  }

  #refuse(records: RecordIndex, i: number): void {
    const { memory, sampleBytesMax = SAMPLE_BYTES_MAX } = this.#context;
    const from = memory.u32[(records.values >>> 2) + i] as number;
    const length = Math.min(sampleBytesMax, Math.max(0, memory.i32[(records.valueLengths >>> 2) + i] as number));
    this.#context.reject({
      reason: 'undecodable',
      offset: memory.f64[(records.offsets >>> 3) + i] as number,
      rows: 1,
      message: `The record has the timestamp ${memory.f64[(records.timestamps >>> 3) + i]} (about), which is beyond 2^53 ms: it cannot be had exactly. Correct whoever wrote it, or leave the column timestamp unread.`,
      sample: memory.u8.slice(from, from + length),
    });
  }

  #fill(name: string, w: number, records: RecordIndex, count: number): void {
    const { memory } = this.#context;
    const column = this.#writer.columns[w] as ColumnSpace;
    const first = this.#first;
    switch (name) {
      case 'key':
      case 'value': {
        const [values, lengths] = name === 'key' ? [records.keys, records.keyLengths] : [records.values, records.valueLengths];
        if (values === 0) for (let row = 0; row < count; row++) this.#writer.setNull(w, row);
        else appendRecords(this.#writer, w, values + first * 4, lengths + first * 4, count, 0);
        return;
      }
      case 'topic': {
        const topic = Buffer.from(records.topic);
        for (let row = 0; row < count; row++) {
          memory.u8.set(topic, this.#writer.roomForBytes(w, row, topic.length));
          this.#writer.bytesWritten(w, row, topic.length);
        }
        return;
      }
      case 'partition':
        memory.i32.fill(records.partition, column.data >>> 2, (column.data >>> 2) + count);
        return;
      case 'headers':
        for (let row = 0; row < count; row++) this.#headers(w, row, records);
        return;
      default: {
        const numbers = name === 'offset' ? records.offsets : records.timestamps;
        for (let row = 0; row < count; row++) {
          if (numbers === 0) this.#writer.setNull(w, row);
          else writeI64(memory.u32, (column.data >>> 2) + row * 2, memory.f64[(numbers >>> 3) + first + row] as number);
        }
      }
    }
  }

  #headers(w: number, row: number, records: RecordIndex): void {
    const { u8, u32, byteLength } = this.#context.memory;
    const from = records.headers === 0 ? 0 : (u32[(records.headers >>> 2) + this.#first + row] as number);
    const walk = new HeaderWalk(u8, from, byteLength);
    const count = from === 0 ? 0 : walk.open();
    for (let i = 0; i < count; i++) if (!walk.step()) break;
    if (count <= 0) this.#writer.setNull(w, row);
    else this.#writer.setBytes(w, row, from, walk.at);
  }
}

/**
 * Walks through a header section: a varint count, then for each header a varint length and key, and a varint
 * length (-1: null) and value. Apache Kafka, record format v2.
 */
class HeaderWalk {
  readonly #u8: Uint8Array;
  readonly #end: number;
  at: number;
  keyFrom = 0;
  keyLength = 0;
  valueLength = 0;

  constructor(u8: Uint8Array, from: number, end: number) {
    this.#u8 = u8;
    this.#end = end;
    this.at = from;
  }

  /** The number of headers. */
  open(): number {
    return this.#varint();
  }

  /** Skips the next header; false when the bytes end before it does. */
  step(): boolean {
    this.keyLength = this.#varint();
    this.keyFrom = this.at;
    if (this.keyLength < 0 || this.keyLength > this.#end - this.at) return false;
    this.at += this.keyLength;
    this.valueLength = this.#varint();
    if (this.valueLength < -1 || this.valueLength > this.#end - this.at) return false;
    if (this.valueLength > 0) this.at += this.valueLength;
    return true;
  }

  /**
   * A zigzag varint. The result is far below any length when the bytes end, or when it is longer than 32
   * bits.
   */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35 && this.at < this.#end; shift += 7) {
      const byte = this.#u8[this.at++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    return -0x8000_0000;
  }
}

function writeI64(u32: Uint32Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  u32[at] = value - high * TWO_32;
  u32[at + 1] = high;
}

function valueColumn(schema: Schema): number {
  const named = schema.indexOf('value');
  const type = named < 0 ? undefined : schema.field(named).type.name;
  if (type === 'binary' || type === 'utf8') return named;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `raw() writes the column value (binary or utf8), but the columns are ${schema.toString() || '(none)'}. Make one with .map({ value: binary }, ...), or write json().`,
  );
}
