/**
 * Raw records in a frame: `sendRaw` of a test driver puts them in, and the source's own codec decodes them.
 * The frame takes the place of a record batch, or of lines. Decoding and refusals are as in a job. For a codec
 * that goes by a header, the first record of each frame is one.
 *
 *   count u32 | 0 (no headers) u32 | timestamp f64
 *   for each record: key length i32 | value length i32 | key | value, up to a multiple of 4
 */

import type { Batch, SharedMemory } from '../../core/index.ts';
import { allocRecordIndex, type Codec, type DecoderContext, type Offset, type RecordDecoder, type RecordSpace } from '../../io/index.ts';

export interface RawRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

const HEADERS = 4;
const TIMESTAMP = 8;
const HEAD_BYTES = 16;
const LENGTHS_BYTES = 8;

const padded = (length: number): number => Math.ceil(Math.max(0, length) / 4) * 4;

/** The body of a frame with these records, all of one timestamp. */
export function rawFrame(records: readonly RawRecord[], timestampMs: number): Uint8Array {
  const bytesOf = ({ key, value }: RawRecord): number => LENGTHS_BYTES + padded((key?.length ?? 0) + (value?.length ?? 0));
  const bytes = new Uint8Array(HEAD_BYTES + records.reduce((sum, record) => sum + bytesOf(record), 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, records.length, true);
  view.setFloat64(TIMESTAMP, timestampMs, true);
  let at = HEAD_BYTES;
  for (const record of records) {
    const { key, value } = record;
    view.setInt32(at, key?.length ?? -1, true);
    view.setInt32(at + 4, value?.length ?? -1, true);
    if (key !== null) bytes.set(key, at + LENGTHS_BYTES);
    if (value !== null) bytes.set(value, at + LENGTHS_BYTES + (key?.length ?? 0));
    at += bytesOf(record);
  }
  return bytes;
}

/** Decodes such frames with a codec. */
export class RawRecordDecoder {
  readonly #memory: SharedMemory;
  readonly #index: RecordSpace;
  readonly #codec: RecordDecoder;
  readonly #isHeaded: boolean;

  /** @param topic for the codec's topic column */
  constructor(context: DecoderContext, codec: Codec, topic: string) {
    this.#memory = context.memory;
    this.#index = allocRecordIndex(context.slabs, context.batchRows);
    this.#index.topic = topic;
    this.#codec = codec.decoder(context);
    this.#isHeaded = codec.headed !== undefined;
  }

  /** Starts on the frame whose body lies at `body`. */
  open(body: number, first: Offset, partition: number): void {
    const { u32, i32, f64 } = this.#memory;
    const index = this.#index;
    const count = u32[body >>> 2] as number;
    index.reserve(count);
    index.partition = partition;
    let at = body + HEAD_BYTES;
    for (let i = 0; i < count; i++) {
      const keyLength = i32[at >>> 2] as number;
      const valueLength = i32[(at + 4) >>> 2] as number;
      const key = at + LENGTHS_BYTES;
      const value = key + Math.max(0, keyLength);
      u32[(index.keys >>> 2) + i] = key;
      i32[(index.keyLengths >>> 2) + i] = keyLength;
      u32[(index.values >>> 2) + i] = value;
      i32[(index.valueLengths >>> 2) + i] = valueLength;
      f64[(index.offsets >>> 3) + i] = first + i;
      f64[(index.timestamps >>> 3) + i] = f64[(body + TIMESTAMP) >>> 3] as number;
      u32[(index.headers >>> 2) + i] = body + HEADERS;
      at = key + padded(Math.max(0, keyLength) + Math.max(0, valueLength));
    }
    index.count = count;
    if (this.#isHeaded && count > 0) {
      index.start = first;
      index.header = u32[index.values >>> 2] as number;
      index.headerBytes = Math.max(0, i32[index.valueLengths >>> 2] as number);
    }
    this.#codec.open(index);
  }

  next(): Batch | undefined {
    return this.#codec.next();
  }

  get waitsFor(): Promise<void> | undefined {
    return this.#codec.waitsFor;
  }

  offsetOf(row: number): Offset {
    return this.#memory.f64[(this.#index.offsets >>> 3) + this.#codec.recordOf(row)] as number;
  }
}
