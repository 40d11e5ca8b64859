/**
 * Batches from Arrow IPC bytes: views over the bytes where they lie, no copy, everything checked before it is
 * used.
 *
 * A value is either a bare record batch message, whose columns the caller must know, or a stream: a schema
 * message, record batch messages, and perhaps an end mark (as written by pyarrow's RecordBatchStreamWriter
 * and Polars' write_ipc_stream). Checked are: frame and metadata (message.ts); rows, nulls, and the place of
 * every buffer; that buffers begin at multiples of 8 and do not overlap in sum; that the offsets of utf8 and
 * binary never fall and end inside their data. Not checked: that utf8 is valid UTF-8, and the bits behind the
 * last row of a bitmap.
 *
 * Not supported, and each refused by name: compressed bodies, dictionaries, big-endian values, and the types
 * of `typeAdvice`. Columns that nobody requests may have (almost) any type.
 */

import { Batch, type Column } from '../batch/index.ts';
import { kernelExports, type SharedMemory } from '../memory/index.ts';
import type { DataType, Schema } from '../schema.ts';
import { invalid, KIND, MessageFrame } from './message.ts';
import { readWireFields, schemaOfWire, typeAdvice, type WireField, wireFieldsOf } from './schema.ts';

const ROWS_MAX = 2 ** 31 - 8;
const CODECS = ['LZ4_FRAME', 'ZSTD'];

interface ArrowKernels {
  /** 1 when an offset is negative or below the one before. */
  readonly arrowOffsetsFall: (at: number, rowCount: number) => number;
}

/** Where the columns of a schema lie in the record batches of a stream. */
interface Plan {
  readonly schema: Schema;
  readonly nodes: number;
  readonly buffers: number;
  readonly columns: readonly ColumnPlan[];
}

interface ColumnPlan {
  readonly name: string;
  readonly type: DataType;
  readonly isBytes: boolean;
  /** Position among the nodes, and of the first of its buffers. Node -1: not to be read. */
  readonly node: number;
  readonly buffer: number;
}

/**
 * Reads messages for one schema (or for whatever schema a stream has). Keeps the plan of the last schema
 * message, so that a topic of streams reads it only once. One per stream of values; not to be shared between
 * threads.
 */
export class ArrowReader {
  readonly memory: SharedMemory;
  readonly schema: Schema | undefined;
  readonly #frame: MessageFrame;
  readonly #kernels: ArrowKernels | undefined;
  readonly #wanted: readonly boolean[] | undefined;
  readonly #barePlan: Plan | undefined;
  #streamPlan: Plan | undefined;
  /** The metadata of the schema message behind #streamPlan. */
  #streamMetadata: Uint8Array = new Uint8Array(0);

  /**
   * @param schema columns to read, found by name and checked by type; without it, those of the stream
   * @param columns positions in `schema` of the columns that will be used; the others get no bytes
   */
  constructor(memory: SharedMemory, schema?: Schema, columns?: readonly number[]) {
    this.memory = memory;
    this.schema = schema;
    this.#frame = new MessageFrame(memory);
    this.#kernels = kernelExports<ArrowKernels>(memory);
    this.#wanted = schema && columns && schema.fields.map((_, c) => columns.includes(c));
    this.#barePlan = schema && planFor(wireFieldsOf(schema), schema, this.#wanted);
  }

  /**
   * All batches of a value, in either form. All or nothing.
   *
   * @param address a multiple of 8
   * @throws MillraceError ERR_MILLRACE_BATCH, naming what is wrong and the value; nothing outside the bytes
   * was read
   */
  read(address: number, byteLength: number): Batch[] {
    const frame = this.#frame;
    const limit = address + byteLength;
    const batches: Batch[] = [];
    let plan = this.#barePlan;
    let isFirst = true;
    for (let at = address; at < limit || isFirst; at = frame.end) {
      frame.open(at, limit);
      if (frame.kind === KIND.end) {
        if (frame.end !== limit) invalid(`${limit - frame.end} bytes follow the end of the stream`);
        break;
      }
      if (frame.kind === KIND.schema) {
        if (!isFirst) invalid('a second schema in one stream');
        plan = this.#planOfStream();
      } else if (frame.kind === KIND.recordBatch) {
        if (plan === undefined) invalid('a record batch without a schema in front of it (give the schema to read by)');
        batches.push(this.#readBatch(plan as Plan));
      }
      // Dictionary batches belong to columns that nobody requested; otherwise planFor would have refused.
      isFirst = false;
    }
    return batches;
  }

  /** The plan for the schema message in the frame: the last one, if the bytes are the same. */
  #planOfStream(): Plan {
    const { metadata, metadataEnd } = this.#frame;
    const { u8 } = this.memory;
    const known = this.#streamMetadata;
    let isSame = this.#streamPlan !== undefined && known.length === metadataEnd - metadata;
    for (let i = 0; isSame && i < known.length; i++) isSame = known[i] === u8[metadata + i];
    if (!isSame) {
      const fields = readWireFields(this.#frame);
      this.#streamPlan = planFor(fields, this.schema ?? schemaOfWire(fields), this.#wanted);
      this.#streamMetadata = u8.slice(metadata, metadataEnd);
    }
    return this.#streamPlan as Plan;
  }

  #readBatch(plan: Plan): Batch {
    const frame = this.#frame;
    frame.enter(frame.header);
    const length = frame.field(0, 8);
    const rowCount = length === 0 ? 0 : frame.long(length);
    // Every row takes at least one bit of some column.
    if (!(rowCount >= 0 && rowCount <= ROWS_MAX && rowCount <= frame.bodyBytes * 8)) invalid(`${rowCount} rows in a body of ${frame.bodyBytes} bytes`);
    const nodes = frame.vector(1, 16);
    if (frame.length !== plan.nodes) invalid(`a record batch of ${frame.length} columns (nodes), where the schema has ${plan.nodes}`);
    const buffers = frame.vector(2, 16);
    if (frame.length !== plan.buffers) invalid(`a record batch of ${frame.length} buffers, where the schema has ${plan.buffers}`);
    const compression = frame.field(3, 4);
    if (compression !== 0) this.#refuseCompression(compression);
    const columns: Column[] = [];
    let bytesLeft = frame.bodyBytes;
    for (let c = 0; c < plan.columns.length; c++) {
      const column = plan.columns[c] as ColumnPlan;
      const { type, isBytes } = column;
      if (column.node < 0) {
        columns.push({ type, data: 0, offsets: 0, validity: 0 });
        continue;
      }
      const node = nodes + column.node * 16;
      if (frame.long(node) !== rowCount) invalid(`column ${JSON.stringify(column.name)} has ${frame.long(node)} rows in a batch of ${rowCount}`);
      const nullCount = frame.long(node + 8);
      if (!(nullCount >= 0 && nullCount <= rowCount)) invalid(`column ${JSON.stringify(column.name)} has ${nullCount} nulls in ${rowCount} rows`);
      if (nullCount > 0 && !type.nullable)
        invalid(`column ${JSON.stringify(column.name)} has ${nullCount} nulls, but its type is ${type.name}, not nullable(${type.name})`);
      let at = buffers + column.buffer * 16;
      const bitmapBytes = Math.ceil(rowCount / 8);
      const validity = this.#buffer(column, at, nullCount > 0 ? bitmapBytes : 0, 'validity bits');
      bytesLeft -= this.#bytes;
      let offsets = 0;
      at += 16;
      if (isBytes) {
        offsets = this.#buffer(column, at, rowCount > 0 ? (rowCount + 1) * 4 : 0, 'offsets');
        bytesLeft -= this.#bytes;
        // Without rows the single offset, 0, may be left out. The row count of the node, 0, stands in for it.
        if (this.#bytes < 4) offsets = node;
        at += 16;
      }
      const valueBytes = isBytes ? 0 : type.width === 0 ? bitmapBytes : rowCount * type.width;
      const data = this.#buffer(column, at, valueBytes, 'values');
      bytesLeft -= this.#bytes;
      if (bytesLeft < 0)
        invalid(
          `the buffers overlap: up to column ${JSON.stringify(column.name)} they take ${frame.bodyBytes - bytesLeft} bytes of a body of ${frame.bodyBytes}`,
        );
      if (isBytes) this.#checkOffsets(column, offsets, rowCount, this.#bytes);
      columns.push({ type, data, offsets, validity: nullCount > 0 ? validity : 0 });
    }
    return new Batch(this.memory, plan.schema, rowCount, columns);
  }

  /** Length of the buffer that #buffer looked at last. */
  #bytes = 0;

  /** The address of a buffer, given that of its Buffer struct. */
  #buffer(column: ColumnPlan, at: number, neededBytes: number, what: string): number {
    const frame = this.#frame;
    const offset = frame.long(at);
    const bytes = frame.long(at + 8);
    this.#bytes = bytes;
    if (!(offset >= 0 && bytes >= 0 && offset + bytes <= frame.bodyBytes))
      invalid(`the ${what} of column ${JSON.stringify(column.name)} are ${bytes} bytes from ${offset} on in a body of ${frame.bodyBytes}`);
    if (bytes < neededBytes) invalid(`the ${what} of column ${JSON.stringify(column.name)} are ${bytes} bytes, but its rows need ${neededBytes}`);
    if (offset % 8 !== 0 && bytes > 0) invalid(`the ${what} of column ${JSON.stringify(column.name)} begin at ${offset}, no multiple of 8`);
    // An empty buffer has no bytes to point at. The start of the body is a valid address for any width.
    return bytes === 0 ? frame.body : frame.body + offset;
  }

  #checkOffsets(column: ColumnPlan, offsets: number, rowCount: number, dataBytes: number): void {
    if (offsets % 4 !== 0) invalid(`the offsets of column ${JSON.stringify(column.name)} lie at ${offsets}, no multiple of 4`);
    // The kernel only says whether one is wrong. The reference finds which one, for the message only.
    const last = this.memory.i32[(offsets >>> 2) + rowCount] as number;
    if (this.#kernels !== undefined && last <= dataBytes && this.#kernels.arrowOffsetsFall(offsets, rowCount) === 0) return;
    const fault = firstBadOffset(this.memory.i32, offsets >>> 2, rowCount, dataBytes);
    if (fault >= 0) {
      const value = this.memory.i32[(offsets >>> 2) + fault] as number;
      invalid(
        `offset ${fault} of column ${JSON.stringify(column.name)} is ${value}, ${value < 0 || value > dataBytes ? `outside its ${dataBytes} bytes` : 'below the one before'}`,
      );
    }
  }

  #refuseCompression(at: number): never {
    const frame = this.#frame;
    frame.enterAt(at);
    const codec = frame.field(0, 1);
    const number = codec === 0 ? 0 : (this.memory.u8[codec] as number);
    return invalid(
      `the body is compressed with ${CODECS[number] ?? `codec ${number}`}, which is not supported: write it without compression, and let Kafka compress the record batch`,
    );
  }
}

function planFor(fields: readonly WireField[], schema: Schema, wanted: readonly boolean[] | undefined): Plan {
  const places = new Map<string, { field: WireField; node: number; buffer: number }>();
  const doubles = new Set<string>();
  let node = 0;
  let buffer = 0;
  for (const field of fields) {
    if (places.has(field.name)) doubles.add(field.name);
    else places.set(field.name, { field, node, buffer });
    node += field.nodes;
    buffer += field.buffers;
    if (Number.isNaN(buffer)) invalid(`column ${JSON.stringify(field.name)} is ${field.arrowType}, which is not supported, not even to be passed over`);
  }
  const columns = schema.fields.map(({ name, type }, c): ColumnPlan => {
    const isBytes = type.name === 'utf8' || type.name === 'binary';
    if (wanted !== undefined && wanted[c] === false) return { name, type, isBytes, node: -1, buffer: -1 };
    const place = places.get(name);
    if (place === undefined)
      return invalid(
        `there is no column ${JSON.stringify(name)}; there are ${
          fields
            .slice(0, 20)
            .map((field) => JSON.stringify(field.name))
            .join(', ') || 'none'
        }${fields.length > 20 ? ', ...' : ''}`,
      );
    if (doubles.has(name)) invalid(`two columns are named ${JSON.stringify(name)}`);
    const { field } = place;
    if (field.type === undefined) invalid(`column ${JSON.stringify(name)} is ${field.arrowType}, which is not supported: ${typeAdvice(field)}`);
    if (field.type?.name !== type.name) invalid(`column ${JSON.stringify(name)} is ${field.arrowType}, but the schema wants ${type.name}`);
    return { name, type, isBytes, node: place.node, buffer: place.buffer };
  });
  return { schema, nodes: node, buffers: buffer, columns };
}

/**
 * The only batch of the bytes: of a bare record batch message (then `schema` must be given), or of a stream.
 *
 * @param address a multiple of 8; the batch is valid as long as the bytes are
 * @throws MillraceError ERR_MILLRACE_BATCH
 * @example
 *   const byteLength = writeBatch(batch, address, limit);
 *   readBatch(memory, address, byteLength, batch.schema).rowCount; // batch.rowCount
 */
export function readBatch(memory: SharedMemory, address: number, byteLength: number, schema?: Schema): Batch {
  const batches = new ArrowReader(memory, schema).read(address, byteLength);
  if (batches.length !== 1) invalid(`they hold ${batches.length} record batches where one is expected`);
  return batches[0] as Batch;
}

/** All batches of the bytes. Like {@link readBatch}, for a stream of any number of batches. */
export function readStream(memory: SharedMemory, address: number, byteLength: number, schema?: Schema): Batch[] {
  return new ArrowReader(memory, schema).read(address, byteLength);
}

/**
 * The schema at the head of a stream. @throws MillraceError ERR_MILLRACE_BATCH when there is none, or when a
 * column's type is not supported
 */
export function readSchema(memory: SharedMemory, address: number, byteLength: number): Schema {
  const frame = new MessageFrame(memory);
  frame.open(address, address + byteLength);
  if (frame.kind !== KIND.schema) invalid('they do not begin with a schema message');
  return schemaOfWire(readWireFields(frame));
}

/**
 * Index of the first of `rowCount + 1` offsets that is negative, below the one before, or beyond the data; -1
 * when all are valid.
 */
export function firstBadOffset(i32: Int32Array, at: number, rowCount: number, dataBytes: number): number {
  let previous = i32[at] as number;
  // The sign bit collects every fall: without negative values, differences do not overflow.
  let signs = previous;
  for (let i = at + 1; i <= at + rowCount; i++) {
    const next = i32[i] as number;
    signs |= (next - previous) | next;
    previous = next;
  }
  if (signs >= 0 && previous <= dataBytes) return -1;
  let floor = 0;
  for (let row = 0; row <= rowCount; row++) {
    const value = i32[at + row] as number;
    if (value < floor || value > dataBytes) return row;
    floor = value;
  }
  return -1;
}
