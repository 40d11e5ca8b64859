/**
 * A codec behind bytes that precede each record and need no look at a schema: those of a registry before JSON. Reading
 * takes them off, writing puts them before.
 */

import type { Batch } from '../core/index.ts';
import type { Codec, RecordDecoder, RecordEncoder, RecordIndex } from './codec.ts';
import { allocRecordIndex, type RecordSpace } from './record-index.ts';
import { rejectRecord } from './rejection.ts';
import { type DecoderContext, type Rejection, SAMPLE_BYTES_MAX } from './source.ts';

export interface RecordFrame {
  /** How many bytes precede the record of `length` bytes at `at`; -1: none as they have to be. */
  bytesAt(at: number, length: number): number;
  /** What has to precede a record, in messages. */
  readonly shown: string;
}

/** Reads what is behind the frame with another codec. */
export class FramedDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #frame: RecordFrame;
  readonly #inner: RecordDecoder;
  readonly #name: string;
  readonly #index: RecordSpace;
  /** By record of the inner list, its place in the outer one. */
  #places = new Int32Array(0);
  #records: RecordIndex | undefined;

  constructor(context: DecoderContext, codec: Pick<Codec, 'name' | 'decoder'>, frame: RecordFrame) {
    this.#context = context;
    this.#frame = frame;
    this.#name = codec.name;
    this.#inner = codec.decoder({ ...context, reject: (rejection) => context.reject(this.#whole(rejection)) });
    this.#index = allocRecordIndex(context.slabs, context.batchRows, 'records');
  }

  open(records: RecordIndex): void {
    const { u32, i32, f64 } = this.#context.memory;
    const index = this.#index;
    index.count = 0;
    index.reserve(records.count);
    index.topic = records.topic;
    index.partition = records.partition;
    if (this.#places.length < records.count) this.#places = new Int32Array(Math.max(records.count, this.#places.length * 2));
    this.#records = records;
    let count = 0;
    for (let i = 0; i < records.count; i++) {
      const at = u32[(records.values >>> 2) + i] as number;
      const length = i32[(records.valueLengths >>> 2) + i] as number;
      // A record without a value is the inner codec's to refuse.
      const bytes = length < 0 ? 0 : this.#frame.bytesAt(at, length);
      if (bytes < 0) {
        rejectRecord(this.#context, records, i, this.#name, `expected ${this.#frame.shown} at byte 0`);
        continue;
      }
      u32[(index.values >>> 2) + count] = at + bytes;
      i32[(index.valueLengths >>> 2) + count] = length - bytes;
      f64[(index.offsets >>> 3) + count] = f64[(records.offsets >>> 3) + i] as number;
      this.#places[count++] = i;
    }
    index.count = count;
    this.#inner.open(index);
  }

  next(): Batch | undefined {
    return this.#inner.next();
  }

  recordOf(row: number): number {
    return this.#places[this.#inner.recordOf(row)] as number;
  }

  /** A refusal shows all of the record, what precedes it included. */
  #whole(rejection: Rejection): Rejection {
    const records = this.#records;
    const { f64, u32, i32, u8 } = this.#context.memory;
    if (records === undefined) return rejection;
    for (let i = 0; i < records.count; i++) {
      if (f64[(records.offsets >>> 3) + i] !== rejection.offset) continue;
      const at = u32[(records.values >>> 2) + i] as number;
      const length = Math.max(0, i32[(records.valueLengths >>> 2) + i] as number);
      return { ...rejection, sample: u8.slice(at, at + Math.min(length, this.#context.sampleBytesMax ?? SAMPLE_BYTES_MAX)) };
    }
    return rejection;
  }
}

/** Writes the same bytes before each record of another codec. */
export class PrefixedEncoder implements RecordEncoder {
  readonly wholeBatch = false;
  readonly #u8: Uint8Array;
  readonly #inner: RecordEncoder;
  readonly #prefix: Uint8Array;

  constructor(u8: Uint8Array, inner: RecordEncoder, prefix: Uint8Array) {
    this.#u8 = u8;
    this.#inner = inner;
    this.#prefix = prefix;
  }

  encode(batch: Batch, from: number, to: number, address: number, limit: number, ends: number): number {
    const prefix = this.#prefix;
    let at = address;
    const u32 = batch.memory.u32;
    for (let row = from; row < to; row++) {
      const end = ends + (row - from) * 4;
      if (at + prefix.length > limit) return row - from;
      this.#u8.set(prefix, at);
      if (this.#inner.encode(batch, row, row + 1, at + prefix.length, limit, end) === 0) return row - from;
      at = u32[end >>> 2] as number;
    }
    return to - from;
  }
}
