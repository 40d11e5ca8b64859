/**
 * Batches to Arrow IPC bytes, as read by apache-arrow, pyarrow and `readBatch`.
 *
 * The metadata of the record batches of a schema differs in numbers only. So it is made once per schema
 * (through the generated accessors), then copied and patched. Buffers are copied to multiples of 8. Offsets
 * are rewritten where they do not begin at 0 (slices). A column without nulls gets no validity bits. Bits and
 * bytes after the last row are 0. So equal batches give equal bytes, as far as the data of null rows is
 * equal.
 */

import * as flatbuffers from 'flatbuffers';
import { assert } from '../assert.ts';
import type { Batch, Column } from '../batch/index.ts';
import { attachMemory, copyBytes, type SharedMemory } from '../memory/index.ts';
import type { Schema } from '../schema.ts';
import * as wire from './generated/index.ts';
import { CONTINUATION, KIND, MessageFrame } from './message.ts';
import { framed, schemaMessage } from './schema.ts';

export const END_OF_STREAM_BYTES = 8;

/** A record batch message without its numbers, and where these go: byte positions in `message`. */
interface Template {
  readonly message: Uint8Array;
  readonly bodyLength: number;
  readonly rowCount: number;
  readonly nodes: number;
  readonly buffers: number;
}

const templates = new WeakMap<Schema, Template>();

/** Number of bytes that `writeBatch` writes for this batch. Cost: reads the validity bits. */
export function batchBytes(batch: Batch): number {
  let bytes = templateOf(batch.schema).message.length;
  for (const column of batch.columns) {
    if (countNulls(batch, column) > 0) bytes += padded(Math.ceil(batch.rowCount / 8));
    if (column.offsets === 0) bytes += padded(valueBytes(batch, column));
    else bytes += padded((batch.rowCount + 1) * 4) + padded(dataEnd(batch, column) - dataStart(batch, column));
  }
  return bytes;
}

/**
 * Writes one record batch message, without a schema before it.
 *
 * @param address a multiple of 8 in the batch's memory; no byte at `limit` or beyond is written
 * @returns the bytes written, a multiple of 8; 0 when they do not fit, in which case nothing was written
 * @example
 *   const byteLength = writeBatch(batch, slab, slab + slabs.slabBytes(slab));
 */
export function writeBatch(batch: Batch, address: number, limit: number): number {
  assert(address % 8 === 0, `a batch is written to ${address}, no multiple of 8`);
  const bytes = batchBytes(batch);
  if (bytes > limit - address) return 0;
  const { memory, rowCount } = batch;
  const { u8 } = memory;
  const template = templateOf(batch.schema);
  u8.set(template.message, address);
  const body = address + template.message.length;
  setLong(memory, address + template.bodyLength, address + bytes - body);
  setLong(memory, address + template.rowCount, rowCount);
  let node = address + template.nodes;
  let buffer = address + template.buffers;
  let at = body;
  for (let c = 0; c < batch.columns.length; c++) {
    const column = batch.columns[c] as Column;
    const nullCount = countNulls(batch, column);
    assert(nullCount === 0 || column.type.nullable, `column ${c} has nulls, and its type is not nullable`);
    setLong(memory, node, rowCount);
    setLong(memory, node + 8, nullCount);
    node += 16;
    let end = nullCount > 0 ? copyBits(u8, at, column.validity, rowCount) : at;
    at = closeBuffer(memory, buffer, body, at, end);
    buffer += 16;
    if (column.offsets !== 0) {
      end = copyOffsets(memory.i32, at, column.offsets, rowCount);
      at = closeBuffer(memory, buffer, body, at, end);
      buffer += 16;
      copyBytes(memory, at, dataStart(batch, column), dataEnd(batch, column) - dataStart(batch, column));
      end = at + dataEnd(batch, column) - dataStart(batch, column);
    } else if (column.type.width === 0) end = copyBits(u8, at, column.data, rowCount);
    else {
      copyBytes(memory, at, column.data, valueBytes(batch, column));
      end = at + valueBytes(batch, column);
    }
    at = closeBuffer(memory, buffer, body, at, end);
    buffer += 16;
  }
  return bytes;
}

/**
 * Writes a schema message, the head of a stream. Returns its bytes, or 0 when they do not fit. `address` must
 * be a multiple of 8.
 */
export function writeSchema(memory: SharedMemory, schema: Schema, address: number, limit: number): number {
  assert(address % 8 === 0, `a schema is written to ${address}, no multiple of 8`);
  const message = schemaMessage(schema);
  if (message.length > limit - address) return 0;
  memory.u8.set(message, address);
  return message.length;
}

/** Number of bytes that `writeStream` writes. */
export function streamBytes(schema: Schema, batches: readonly Batch[]): number {
  return batches.reduce((bytes, batch) => bytes + batchBytes(batch), schemaMessage(schema).length + END_OF_STREAM_BYTES);
}

/**
 * Writes a whole stream: schema, batches (of that schema), end mark. Returns its bytes, or 0 when they do not
 * fit; the content of the bytes up to `limit` is undefined then. `address` must be a multiple of 8.
 */
export function writeStream(memory: SharedMemory, schema: Schema, batches: readonly Batch[], address: number, limit: number): number {
  let at = address + writeSchema(memory, schema, address, limit);
  if (at === address) return 0;
  for (const batch of batches) {
    assert(batch.memory === memory && (batch.schema === schema || batch.schema.equals(schema)), 'a stream of batches of one schema, in one memory');
    const bytes = writeBatch(batch, at, limit);
    if (bytes === 0) return 0;
    at += bytes;
  }
  if (limit - at < END_OF_STREAM_BYTES) return 0;
  memory.u32[at >>> 2] = CONTINUATION;
  memory.u32[(at + 4) >>> 2] = 0;
  return at + END_OF_STREAM_BYTES - address;
}

function templateOf(schema: Schema): Template {
  let template = templates.get(schema);
  if (template === undefined) {
    const builder = new flatbuffers.Builder(1024);
    builder.forceDefaults(true);
    const bufferCount = schema.fields.reduce((count, { type }) => count + (type.name === 'utf8' || type.name === 'binary' ? 3 : 2), 0);
    wire.RecordBatch.startBuffersVector(builder, bufferCount);
    for (let i = 0; i < bufferCount; i++) wire.Buffer.createBuffer(builder, 0n, 0n);
    const buffers = builder.endVector();
    wire.RecordBatch.startNodesVector(builder, schema.length);
    for (let i = 0; i < schema.length; i++) wire.FieldNode.createFieldNode(builder, 0n, 0n);
    const nodes = builder.endVector();
    wire.RecordBatch.startRecordBatch(builder);
    wire.RecordBatch.addLength(builder, 0n);
    wire.RecordBatch.addNodes(builder, nodes);
    wire.RecordBatch.addBuffers(builder, buffers);
    const message = framed(builder, KIND.recordBatch, wire.RecordBatch.endRecordBatch(builder));
    // Our own reader finds where the numbers go.
    const memory = attachMemory(new SharedArrayBuffer(message.length));
    memory.u8.set(message);
    const frame = new MessageFrame(memory);
    frame.open(0, message.length);
    const bodyLength = frame.bodyField;
    frame.enter(frame.header);
    template = { message, bodyLength, rowCount: frame.field(0, 8), nodes: frame.vector(1, 16), buffers: frame.vector(2, 16) };
    assert(bodyLength > 0 && template.rowCount > 0, 'a template with places for its numbers');
    templates.set(schema, template);
  }
  return template;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function valueBytes(batch: Batch, column: Column): number {
  return column.type.width === 0 ? Math.ceil(batch.rowCount / 8) : batch.rowCount * column.type.width;
}

function dataStart(batch: Batch, column: Column): number {
  return column.data + (batch.memory.i32[column.offsets >>> 2] as number);
}

function dataEnd(batch: Batch, column: Column): number {
  return column.data + (batch.memory.i32[(column.offsets >>> 2) + batch.rowCount] as number);
}

/**
 * Fills in a Buffer struct for the bytes `start` to `end`, zeroes the padding, and returns the start of the
 * next buffer.
 */
function closeBuffer(memory: SharedMemory, struct: number, body: number, start: number, end: number): number {
  setLong(memory, struct, start - body);
  setLong(memory, struct + 8, end - start);
  const next = start + padded(end - start);
  for (let at = end; at < next; at++) memory.u8[at] = 0;
  return next;
}

/** A number below 2^32 as an i64. */
function setLong(memory: SharedMemory, address: number, value: number): void {
  memory.u32[address >>> 2] = value;
  memory.u32[(address + 4) >>> 2] = 0;
}

/** Copies the bits of `rowCount` rows; the rest of the last byte becomes 0. Returns the end. */
function copyBits(u8: Uint8Array, to: number, from: number, rowCount: number): number {
  const bytes = (rowCount + 7) >>> 3;
  u8.copyWithin(to, from, from + bytes);
  if ((rowCount & 7) !== 0) u8[to + bytes - 1] = (u8[to + bytes - 1] as number) & ((1 << (rowCount & 7)) - 1);
  return to + bytes;
}

/** Copies `rowCount + 1` offsets, minus the first of them. Returns the end. */
function copyOffsets(i32: Int32Array, to: number, from: number, rowCount: number): number {
  const source = from >>> 2;
  const target = to >>> 2;
  const first = i32[source] as number;
  if (first === 0) i32.copyWithin(target, source, source + rowCount + 1);
  else for (let i = 0; i <= rowCount; i++) i32[target + i] = (i32[source + i] as number) - first;
  return to + (rowCount + 1) * 4;
}

/** Rows whose validity bit is 0. */
function countNulls(batch: Batch, column: Column): number {
  if (column.validity === 0) return 0;
  const { u8, u32 } = batch.memory;
  const { rowCount } = batch;
  let valid = 0;
  let row = 0;
  let at = column.validity;
  if (at % 4 === 0) {
    for (const end = rowCount - (rowCount % 32); row < end; row += 32, at += 4) valid += ones(u32[at >>> 2] as number);
  }
  for (const end = rowCount - (rowCount % 8); row < end; row += 8, at++) valid += ones(u8[at] as number);
  if (row < rowCount) valid += ones((u8[at] as number) & ((1 << (rowCount - row)) - 1));
  return rowCount - valid;
}

/** Set bits of a 32-bit word. Method: Warren, "Hacker's Delight", section 5-1. */
function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
