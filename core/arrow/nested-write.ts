/**
 * Batches with structs and lists to Arrow IPC bytes. Columns are copied, and the texts of lists are taken apart:
 * this is slower than write.ts, about as slow as reading the lists in a function.
 */

import * as flatbuffers from 'flatbuffers';
import { assert } from '../assert.ts';
import { type Batch, isValid, readValue } from '../batch/index.ts';
import type { DataType, Schema } from '../schema.ts';
import * as wire from './generated/index.ts';
import { CONTINUATION, KIND } from './message.ts';
import { type Node, nestedSchemaMessage, treeOf } from './nested.ts';
import { framed } from './schema.ts';

/** What a record batch is made of, in the order of the tree. */
interface Parts {
  readonly nodes: { readonly length: number; readonly nullCount: number }[];
  readonly buffers: Uint8Array[];
}

/** A whole stream: schema, one batch, end mark. */
export function nestedStreamBytes(schema: Schema, batch: Batch): Uint8Array {
  return joined([nestedSchemaMessage(schema), ...recordBatch(batch), new Uint8Array(new Uint32Array([CONTINUATION, 0]).buffer)]);
}

/** A record batch message, without a schema before it. */
export function nestedBatchBytes(batch: Batch): Uint8Array {
  return joined(recordBatch(batch));
}

function recordBatch(batch: Batch): Uint8Array[] {
  const parts: Parts = { nodes: [], buffers: [] };
  for (const node of treeOf(batch.schema)) addColumns(parts, node, batch);
  const builder = new flatbuffers.Builder(1024);
  let bodyBytes = 0;
  const places = parts.buffers.map(({ length }) => {
    const at = bodyBytes;
    bodyBytes += padded(length);
    return [at, length] as const;
  });
  wire.RecordBatch.startBuffersVector(builder, places.length);
  for (const [at, length] of places.toReversed()) wire.Buffer.createBuffer(builder, BigInt(at), BigInt(length));
  const buffers = builder.endVector();
  wire.RecordBatch.startNodesVector(builder, parts.nodes.length);
  for (const { length, nullCount } of parts.nodes.toReversed()) wire.FieldNode.createFieldNode(builder, BigInt(length), BigInt(nullCount));
  const nodes = builder.endVector();
  wire.RecordBatch.startRecordBatch(builder);
  wire.RecordBatch.addLength(builder, BigInt(batch.rowCount));
  wire.RecordBatch.addNodes(builder, nodes);
  wire.RecordBatch.addBuffers(builder, buffers);
  const message = framed(builder, KIND.recordBatch, wire.RecordBatch.endRecordBatch(builder), bodyBytes);
  return [message, ...parts.buffers.flatMap((buffer) => [buffer, new Uint8Array(padded(buffer.length) - buffer.length)])];
}

function addColumns(parts: Parts, node: Node, batch: Batch): void {
  if (node.kind === 'struct') {
    parts.nodes.push({ length: batch.rowCount, nullCount: 0 });
    parts.buffers.push(new Uint8Array(0));
    for (const member of node.members) addColumns(parts, member, batch);
    return;
  }
  assert(node.kind !== 'value', 'a value outside of a list');
  const column = batch.column(node.column);
  const { memory, rowCount } = batch;
  const values = Array.from({ length: rowCount }, (_, row) => readValue(memory, column, row));
  if (node.kind === 'list') addValues(parts, node, values);
  else {
    // Plain bytes are copied as they are.
    const { type } = node;
    if (column.offsets !== 0 || type.width === 0) addValues(parts, { kind: 'value', name: node.name, type }, values);
    else {
      addValidity(
        parts,
        values.map((_, row) => isValid(memory, column, row)),
      );
      parts.buffers.push(memory.u8.slice(column.data, column.data + rowCount * type.width));
    }
  }
}

/** The elements of lists; undefined stands below a null. */
function addValues(parts: Parts, node: Node, values: readonly unknown[]): void {
  if (node.kind === 'struct') {
    addValidity(
      parts,
      values.map(() => true),
    );
    for (const member of node.members) {
      addValues(
        parts,
        member,
        values.map((value) => (value as Record<string, unknown> | null | undefined)?.[member.name]),
      );
    }
    return;
  }
  const isThere = values.map((value) => value !== null && value !== undefined);
  addValidity(parts, isThere);
  if (node.kind === 'list') {
    parts.buffers.push(offsetsOf(values.map((value) => (value as unknown[] | null | undefined)?.length ?? 0)));
    addValues(
      parts,
      node.element,
      values.flatMap((value) => (value as unknown[] | null | undefined) ?? []),
    );
    return;
  }
  parts.buffers.push(...valueBuffers(node.type, values));
}

function addValidity({ nodes, buffers }: Parts, isThere: readonly boolean[]): void {
  const nullCount = isThere.reduce((count, is) => count + (is ? 0 : 1), 0);
  nodes.push({ length: isThere.length, nullCount });
  buffers.push(nullCount === 0 ? new Uint8Array(0) : bitsOf(isThere));
}

function valueBuffers({ name }: DataType, values: readonly unknown[]): Uint8Array[] {
  const numbers = values as readonly (number | null | undefined)[];
  const longs = () => BigInt64Array.from(values as readonly (number | bigint | null | undefined)[], (value) => BigInt(value ?? 0));
  switch (name) {
    case 'bool':
      return [bitsOf(values as boolean[])];
    case 'i8':
      return [bytesOf(Int8Array.from(numbers, (value) => value ?? 0))];
    case 'i16':
      return [bytesOf(Int16Array.from(numbers, (value) => value ?? 0))];
    case 'i32':
      return [bytesOf(Int32Array.from(numbers, (value) => value ?? 0))];
    case 'u32':
      return [bytesOf(Uint32Array.from(numbers, (value) => value ?? 0))];
    case 'f32':
      return [bytesOf(Float32Array.from(numbers, (value) => value ?? 0))];
    case 'f64':
      return [bytesOf(Float64Array.from(numbers, (value) => value ?? 0))];
    case 'i64':
    case 'timestamp':
      return [bytesOf(longs())];
    default: {
      const texts = values.map((value): Uint8Array => (value instanceof Uint8Array ? value : Buffer.from((value ?? '') as string)));
      return [offsetsOf(texts.map(({ length }) => length)), joined(texts)];
    }
  }
}

function offsetsOf(lengths: readonly number[]): Uint8Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    offsets[i + 1] = (offsets[i] as number) + length;
  });
  return bytesOf(offsets);
}

function bitsOf(bits: readonly (boolean | null | undefined)[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((bit, i) => {
    if (bit) bytes[i >>> 3] = (bytes[i >>> 3] as number) | (1 << (i & 7));
  });
  return bytes;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
