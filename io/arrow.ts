/**
 * The arrow codec. A record value is one Arrow IPC message: a stream (schema, batches, end mark) or a bare
 * record batch.
 *
 * Decoding copies nothing: the batches are views of the bytes that the source handed over. A value that does
 * not begin at a multiple of 8 is first moved, as a whole. Columns are found by name and checked by type;
 * additional columns are skipped. A value is taken whole or rejected whole.
 *
 * Structs and lists are those of Arrow: `user.id` is the child `id` of the struct `user`. Messages that have any
 * are copied, value by value, on the way in and out. A null struct has null members.
 */

import {
  type AnyRow,
  ArrowReader,
  type Batch,
  batchBytes,
  checkOptionNames,
  copyBytes,
  isNestedSchema,
  MillraceError,
  NestedArrowReader,
  nestedBatchBytes,
  nestedStreamBytes,
  type RowOf,
  Schema,
  type SchemaFields,
  schema as schemaOf,
  streamBytes,
  writeBatch,
  writeStream,
} from '../core/index.ts';
import type { Codec, EncoderContext, RecordDecoder, RecordEncoder, RecordIndex } from './codec.ts';
import { type DecoderContext, SAMPLE_BYTES_MAX } from './source.ts';

export interface ArrowOptions {
  /**
   * `stream` (default): every value carries its schema, and any Arrow library can read it. `batch`: bare
   * record batches, for readers that know the schema.
   */
  readonly form?: 'stream' | 'batch';
}

/**
 * @param columns of the values to decode; a sink needs none
 * @throws MillraceError ERR_MILLRACE_SCHEMA when a value of `columns` is no column type
 * @example
 * kafka.source({ brokers, topic: 'ticks', value: arrow({ symbol: utf8, price: f64, at: timestamp }) })
 */
export function arrow<S extends SchemaFields>(columns: S, options?: ArrowOptions): Codec<RowOf<S>>;
export function arrow(columns?: Schema, options?: ArrowOptions): Codec<AnyRow>;
export function arrow(columns?: SchemaFields | Schema, options: ArrowOptions = {}): Codec<AnyRow> {
  checkOptionNames('arrow()', options, { form: true });
  const form = options.form ?? 'stream';
  if (form !== 'stream' && form !== 'batch')
    throw new MillraceError('ERR_MILLRACE_OPTION', `The form of the arrow codec is ${JSON.stringify(form)}. Write 'stream' or 'batch'.`);
  const schema = columns && (columns instanceof Schema ? columns : schemaOf(columns));
  return {
    name: 'arrow',
    schema,
    decoder(context) {
      if (schema === undefined) {
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          'arrow() without columns cannot decode: the pipeline is planned before the first message arrives. Give the columns: arrow({ page: utf8, ms: f64 }).',
        );
      }
      return new ArrowDecoder(context, schema);
    },
    encoder: (context) => new ArrowEncoder(context, form),
  };
}

class ArrowDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #reader: ArrowReader | NestedArrowReader;
  #records: RecordIndex | undefined;
  /** The next record to read, and the one that the last batch came from. */
  #next = 0;
  #current = 0;
  /**
   * Batches of the current record, the current one among them, and how many of its rows have been returned.
   */
  #batches: Batch[] = [];
  #batch = 0;
  #row = 0;
  /** Room for values that do not begin at a multiple of 8; 0 until the first one. */
  #scratch = 0;

  constructor(context: DecoderContext, schema: Schema) {
    this.#context = context;
    this.#reader = isNestedSchema(schema)
      ? new NestedArrowReader(context.slabs, schema, context.columns)
      : new ArrowReader(context.memory, schema, context.columns);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
    this.#batches = [];
    this.#batch = this.#row = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (records === undefined) return undefined;
    const { batchRows } = this.#context;
    for (;;) {
      const batch = this.#batches[this.#batch];
      if (batch === undefined) {
        if (this.#next === records.count) return undefined;
        this.#current = this.#next++;
        this.#batches = this.#read(records, this.#current);
        this.#batch = this.#row = 0;
      } else if (this.#row === batch.rowCount) {
        this.#batch++;
        this.#row = 0;
      } else {
        const from = this.#row;
        this.#row = Math.min(batch.rowCount, from + batchRows);
        return batch.slice(from, this.#row);
      }
    }
  }

  recordOf(): number {
    return this.#current;
  }

  #read(records: RecordIndex, record: number): Batch[] {
    const { memory } = this.#context;
    const bytes = memory.i32[(records.valueLengths >>> 2) + record] as number;
    const address = memory.u32[(records.values >>> 2) + record] as number;
    try {
      if (bytes < 0) throw new MillraceError('ERR_MILLRACE_BATCH', 'The value is null, which is no Arrow message.');
      return this.#reader.read(address % 8 === 0 ? address : this.#align(address, bytes), bytes);
    } catch (error) {
      if (!(error instanceof MillraceError && error.code === 'ERR_MILLRACE_BATCH')) throw error;
      this.#context.reject({
        reason: 'undecodable',
        offset: memory.f64[(records.offsets >>> 3) + record] as number,
        rows: 1,
        message: error.message,
        ...(bytes > 0 ? { sample: new Uint8Array(memory.u8.slice(address, address + Math.min(bytes, this.#context.sampleBytesMax ?? SAMPLE_BYTES_MAX))) } : {}),
      });
      return [];
    }
  }

  /** Moves the value to a multiple of 8, where it stays until the next one is read. */
  #align(address: number, bytes: number): number {
    const { memory, slabs } = this.#context;
    if (this.#scratch === 0 || slabs.slabBytes(this.#scratch) < bytes) {
      if (this.#scratch !== 0) slabs.free(this.#scratch);
      this.#scratch = 0;
      this.#scratch = slabs.alloc(Math.max(bytes, 8));
    }
    copyBytes(memory, this.#scratch, address, bytes);
    return this.#scratch;
  }
}

class ArrowEncoder implements RecordEncoder {
  readonly wholeBatch = true;
  readonly #context: EncoderContext;
  readonly #form: 'stream' | 'batch';

  constructor(context: EncoderContext, form: 'stream' | 'batch') {
    this.#context = context;
    this.#form = form;
  }

  /**
   * Writes one record with rows `from..`: all of them, or half as many (and so on) as fit. `from` is a
   * multiple of 8.
   */
  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const { memory } = this.#context;
    const isStream = this.#form === 'stream';
    // The message begins at a multiple of 8 while it is written. Where it is copied to afterwards does not
    // matter.
    const start = Math.ceil(address / 8) * 8;
    let rows = to - from;
    while (rows > 0) {
      const part = batch.slice(from, from + rows);
      if (isNestedSchema(batch.schema)) {
        const bytes = isStream ? nestedStreamBytes(batch.schema, part) : nestedBatchBytes(part);
        if (bytes.length <= limit - address) {
          memory.u8.set(bytes, address);
          memory.u32[ends >>> 2] = address + bytes.length;
          return rows;
        }
        rows = rows <= 8 ? 0 : Math.floor(rows / 16) * 8;
        continue;
      }
      const needed = isStream ? streamBytes(batch.schema, [part]) : batchBytes(part);
      if (needed <= limit - start) {
        const written = isStream ? writeStream(memory, batch.schema, [part], start, limit) : writeBatch(part, start, limit);
        if (start !== address) copyBytes(memory, address, start, written);
        memory.u32[ends >>> 2] = address + written;
        return rows;
      }
      rows = rows <= 8 ? 0 : Math.floor(rows / 16) * 8;
    }
    return 0;
  }
}
