/**
 * Record batches to batches: the worker end of every source whose frames are record batches v2 (Kafka and the
 * embedded log).
 *
 *   frame -> framing, CRC32C -> aborted? control? -> decompress -> scan, cut -> RecordIndex -> codec -> Batch
 *
 * The index is filled across frames, up to a batch's worth of records. Producers that linger little write
 * record batches of a dozen records, and a Batch of a dozen rows costs as much as one of a thousand. A broken
 * frame is reported and skipped; its neighbours are unaffected.
 */

import type { Batch } from '../../core/index.ts';
import { assert, crc32c } from '../../core/index.ts';
import type { Codec, RecordDecoder } from '../codec.ts';
import { allocRecordIndex, type RecordSpace } from '../record-index.ts';
import { type Chunk, type ChunkDecoder, type DecoderContext, FRAME, frameBytes, type Offset, type Rejection, SAMPLE_BYTES_MAX } from '../source.ts';
import { BrokenBatch, type Decompressed, Decompressor, decompressedBytesOf } from './compression.ts';
import { ATTRIBUTE, FRAME_ABORTED, FRAME_DAMAGED, FRAME_LOST, RECORD_BATCH } from './layout.ts';
import { SCAN, SCAN_FAULTS, type ScanRecords, scanRecords } from './scan.ts';

export interface RecordBatchDecoderOptions {
  /** For the `raw` codec's topic column and for messages. */
  readonly topic: string;
  /** Default true. */
  readonly checkCrc?: boolean;
  /** Most bytes that one batch may decompress to; see {@link decompressedBytesOf} for the default. */
  readonly decompressedBytesMax?: number;
}

/** The shortest record: length, attributes, timestamp, offset, key length, value length, header count. */
const RECORD_BYTES_MIN = 7;
const OLD_MAGIC_MAX = 1;

/** Result of `#begin` for a frame. */
type Begun = 'records' | 'nothing' | 'wait';

/**
 * The decoder of a source's chunks, one per source and worker.
 *
 * @example
 * const decoder = recordBatchDecoder(context, json({ page: utf8 }), { topic: 'clicks' });
 */
export function recordBatchDecoder(context: DecoderContext, codec: Codec, options: RecordBatchDecoderOptions): ChunkDecoder {
  return new RecordBatchDecoder(context, codec, options);
}

class RecordBatchDecoder implements ChunkDecoder {
  readonly #context: DecoderContext;
  readonly #codec: RecordDecoder;
  readonly #topic: string;
  readonly #checkCrc: boolean;
  readonly #index: RecordSpace;
  readonly #state: number;
  readonly #scan: ScanRecords;
  readonly #decompressor: Decompressor;

  #at = 0;
  #end = 0;
  #partition = 0;
  /** The frame in work; 0 between frames. */
  #frame = 0;
  #isDecoding = false;

  constructor(context: DecoderContext, codec: Codec, options: RecordBatchDecoderOptions) {
    this.#context = context;
    this.#topic = options.topic;
    this.#checkCrc = options.checkCrc ?? true;
    this.#codec = codec.decoder(context);
    this.#index = allocRecordIndex(context.slabs, context.batchRows);
    this.#index.topic = options.topic;
    this.#state = context.slabs.alloc(SCAN.byteLength);
    this.#scan = scanRecords(context.memory);
    this.#decompressor = new Decompressor(
      context.slabs,
      decompressedBytesOf(options.topic, context.memory.byteLength, context.workers ?? 1, options.decompressedBytesMax),
    );
    const { u32 } = context.memory;
    const s = this.#state >>> 2;
    u32[s + (SCAN.capacity >>> 2)] = Math.min(this.#index.capacity, context.batchRows);
    u32[s + (SCAN.values >>> 2)] = this.#index.values;
    u32[s + (SCAN.valueLengths >>> 2)] = this.#index.valueLengths;
    u32[s + (SCAN.keys >>> 2)] = this.#index.keys;
    u32[s + (SCAN.keyLengths >>> 2)] = this.#index.keyLengths;
    u32[s + (SCAN.headers >>> 2)] = this.#index.headers;
    u32[s + (SCAN.offsets >>> 2)] = this.#index.offsets;
    u32[s + (SCAN.timestamps >>> 2)] = this.#index.timestamps;
  }

  open(chunk: Chunk): void {
    this.#at = chunk.address;
    this.#end = chunk.address + chunk.byteLength;
    this.#partition = chunk.partition;
    this.#index.partition = chunk.partition;
    this.#frame = 0;
    this.#isDecoding = false;
  }

  next(): Batch | undefined {
    for (;;) {
      if (this.#isDecoding) {
        const batch = this.#codec.next();
        if (batch !== undefined || this.#codec.waitsFor !== undefined) return batch;
        this.#isDecoding = false;
      }
      if (!this.#fill()) {
        // A large arena is not kept while other sources and workers decode.
        this.#decompressor.arena.shrink();
        return undefined;
      }
      this.#codec.open(this.#index);
      this.#isDecoding = true;
    }
  }

  get waitsFor(): Promise<void> | undefined {
    return this.#isDecoding ? this.#codec.waitsFor : undefined;
  }

  offsetOf(row: number): Offset {
    return this.#context.memory.f64[(this.#index.offsets >>> 3) + this.#codec.recordOf(row)] as number;
  }

  /** Fills the index from this frame and the next ones. False when the chunk is done. */
  #fill(): boolean {
    const { u32, i32 } = this.#context.memory;
    const s = this.#state >>> 2;
    const capacity = u32[s + (SCAN.capacity >>> 2)] as number;
    u32[s + (SCAN.count >>> 2)] = 0;
    // The rows of the last index are done, but a half-scanned frame is not.
    if (this.#frame === 0) this.#decompressor.arena.clear();
    let count = 0;
    while (count < capacity) {
      if (this.#frame === 0) {
        if (this.#at >= this.#end) break;
        const begun = this.#begin();
        if (begun === 'wait') {
          // Runs of the arena that are listed in the index go first. With none listed, the arena only needs
          // clearing.
          if (count > 0) break;
          this.#decompressor.arena.clear();
          continue;
        }
        if (begun === 'nothing') continue;
      }
      const fault = this.#scan(this.#state);
      count = u32[s + (SCAN.count >>> 2)] as number;
      if (fault !== 0) this.#breakOff(fault);
      else if (i32[s + (SCAN.remaining >>> 2)] === 0) this.#finish();
    }
    this.#index.count = count;
    return count > 0;
  }

  /** Opens the frame at `#at` and moves `#at` after it, unless the frame must wait for the arena. */
  #begin(): Begun {
    const { memory } = this.#context;
    const frame = this.#at;
    const bodyBytes = memory.u32[(frame + FRAME.bodyBytes) >>> 2] as number;
    assert(frameBytes(bodyBytes) <= this.#end - frame, `a frame of ${bodyBytes} bytes in a chunk that ends ${this.#end - frame} bytes behind its start`);
    const behind = frame + frameBytes(bodyBytes);
    const body = frame + FRAME.headerBytes;
    const flags = memory.u32[(frame + FRAME.flags) >>> 2] as number;
    if ((flags & FRAME_LOST) !== 0) {
      this.#at = behind;
      this.#lose(frame);
      return 'nothing';
    }
    if ((flags & FRAME_DAMAGED) !== 0) {
      this.#at = behind;
      const rows = (memory.f64[(frame + FRAME.next) >>> 3] as number) - (memory.f64[(frame + FRAME.first) >>> 3] as number);
      this.#reject('corrupt', frame, this.#damageOf(body, bodyBytes), Math.max(1, rows));
      return 'nothing';
    }
    const fault = this.#faultOf(body, bodyBytes);
    if (fault !== undefined) {
      this.#at = behind;
      this.#reject('corrupt', frame, fault);
      return 'nothing';
    }
    const attributes = memory.view.getUint16(body + RECORD_BATCH.attributes);
    const isAborted = (flags & FRAME_ABORTED) !== 0;
    const recordCount = memory.view.getInt32(body + RECORD_BATCH.recordCount);
    const isCut = (memory.f64[(frame + FRAME.next) >>> 3] as number) <= (memory.f64[(frame + FRAME.cut) >>> 3] as number);
    // Compaction leaves a batch without records of a producer's last one.
    if (isAborted || isCut || recordCount === 0 || (attributes & ATTRIBUTE.control) !== 0) {
      this.#at = behind;
      if (recordCount > 0 && !isCut) this.#reject('control', frame, isAborted ? 'belongs to an aborted transaction' : 'is a control batch');
      return 'nothing';
    }
    let records: Decompressed | undefined = { address: body + RECORD_BATCH.records, end: body + bodyBytes };
    try {
      const compression = attributes & ATTRIBUTE.compression;
      if (compression !== 0) records = this.#decompressor.decompress(compression, records.address, records.end);
    } catch (error) {
      if (!(error instanceof BrokenBatch)) throw error;
      this.#at = behind;
      this.#reject('corrupt', frame, error.message);
      return 'nothing';
    }
    if (records === undefined) return 'wait';
    this.#at = behind;
    if (recordCount > (records.end - records.address) / RECORD_BYTES_MIN) {
      this.#reject('corrupt', frame, `declares ${recordCount} records in ${records.end - records.address} bytes`);
      return 'nothing';
    }
    this.#frame = frame;
    this.#openScan(body, attributes, recordCount, records);
    return 'records';
  }

  #openScan(body: number, attributes: number, recordCount: number, records: Decompressed): void {
    const { u32, i32, f64, view } = this.#context.memory;
    const isFixedTime = (attributes & ATTRIBUTE.logAppendTime) !== 0;
    const s = this.#state;
    u32[(s + SCAN.position) >>> 2] = records.address;
    u32[(s + SCAN.end) >>> 2] = records.end;
    i32[(s + SCAN.remaining) >>> 2] = recordCount;
    i32[(s + SCAN.lastDelta) >>> 2] = -1;
    i32[(s + SCAN.maxDelta) >>> 2] = view.getInt32(body + RECORD_BATCH.lastOffsetDelta);
    i32[(s + SCAN.isFixedTime) >>> 2] = isFixedTime ? 1 : 0;
    f64[(s + SCAN.baseOffset) >>> 3] = this.#i64(body + RECORD_BATCH.baseOffset);
    const timestamp = this.#i64(body + (isFixedTime ? RECORD_BATCH.maxTimestamp : RECORD_BATCH.baseTimestamp));
    f64[(s + SCAN.timestamp) >>> 3] = Number.isSafeInteger(timestamp) ? timestamp : Number.NaN;
    f64[(s + SCAN.cut) >>> 3] = f64[(this.#frame + FRAME.cut) >>> 3] as number;
  }

  /** What is wrong with the framing or the checksum, or undefined. */
  #faultOf(body: number, bodyBytes: number): string | undefined {
    const { memory } = this.#context;
    if (bodyBytes >= RECORD_BATCH.prefixBytes) {
      const magic = memory.i8[body + RECORD_BATCH.magic] as number;
      if (magic !== RECORD_BATCH.magicValue) {
        if (magic >= 0 && magic <= OLD_MAGIC_MAX)
          return `has the message format v${magic} of Kafka before 0.11, which is not read. Set message.format.version (or upgrade the producers), or copy the topic with a current client`;
        return `has the magic ${magic}; a record batch v2 has 2`;
      }
    }
    if (bodyBytes < RECORD_BATCH.headerBytes) return `is ${bodyBytes} bytes long; a header alone takes ${RECORD_BATCH.headerBytes}`;
    const declared = RECORD_BATCH.lengthEnd + memory.view.getInt32(body + RECORD_BATCH.batchLength);
    if (declared !== bodyBytes) return `says it is ${declared} bytes long, but ${bodyBytes} are there`;
    if (this.#checkCrc) {
      const expected = memory.view.getUint32(body + RECORD_BATCH.crc);
      const actual = crc32c(memory, body + RECORD_BATCH.attributes, bodyBytes - RECORD_BATCH.attributes);
      if (actual !== expected) return `has the CRC32C ${hex(expected)} in its header, but its bytes give ${hex(actual)}`;
    }
    const recordCount = memory.view.getInt32(body + RECORD_BATCH.recordCount);
    if (recordCount < 0) return `declares ${recordCount} records`;
    const last = this.#i64(body + RECORD_BATCH.baseOffset) + memory.view.getInt32(body + RECORD_BATCH.lastOffsetDelta);
    if (!Number.isSafeInteger(last)) return `has the base offset ${memory.view.getBigInt64(body + RECORD_BATCH.baseOffset)}: offsets beyond 2^53 are not read`;
    return undefined;
  }

  /** What is wrong with bytes that are known to be broken. */
  #damageOf(body: number, bodyBytes: number): string {
    if (bodyBytes === 0) return 'is not there';
    return this.#faultOf(body, bodyBytes) ?? `does not follow the one before: it says that it begins at offset ${this.#i64(body + RECORD_BATCH.baseOffset)}`;
  }

  /** A record of the open frame cannot be read: the rest of the frame is lost. */
  #breakOff(fault: number): void {
    const { i32, u32 } = this.#context.memory;
    const remaining = i32[(this.#state + SCAN.remaining) >>> 2] as number;
    const lastDelta = i32[(this.#state + SCAN.lastDelta) >>> 2] as number;
    this.#reject(
      'corrupt',
      this.#frame,
      `holds ${SCAN_FAULTS[fault]}: ${remaining} records, from the one behind offset delta ${lastDelta} on, are lost`,
      remaining,
      u32[(this.#state + SCAN.position) >>> 2],
    );
    this.#frame = 0;
  }

  #finish(): void {
    const { u32 } = this.#context.memory;
    const left = (u32[(this.#state + SCAN.end) >>> 2] as number) - (u32[(this.#state + SCAN.position) >>> 2] as number);
    if (left > 0)
      this.#reject('corrupt', this.#frame, `has ${left} bytes behind the last record that it declares`, 1, u32[(this.#state + SCAN.position) >>> 2]);
    this.#frame = 0;
  }

  /** Reports rows that were deleted before they were read. */
  #lose(frame: number): void {
    const { f64 } = this.#context.memory;
    const offset = f64[(frame + FRAME.first) >>> 3] as number;
    const rows = f64[(frame + FRAME.cut) >>> 3] as number;
    const message = `${rows} offsets of ${this.#topic}, partition ${this.#partition}, from ${offset} on, were gone from the log before they were read.`;
    this.#context.reject({ reason: 'lost', offset, rows, message });
  }

  /**
   * Reports `rows`, or all that the frame declares. A broken header may declare any number, so it is limited
   * to what the frame's offsets and bytes allow.
   */
  #reject(reason: Rejection['reason'], frame: number, what: string, rows?: number, sampleAt = frame + FRAME.headerBytes): void {
    const { memory } = this.#context;
    const first = memory.f64[(frame + FRAME.first) >>> 3] as number;
    const next = memory.f64[(frame + FRAME.next) >>> 3] as number;
    const bodyBytes = memory.u32[(frame + FRAME.bodyBytes) >>> 2] as number;
    const body = frame + FRAME.headerBytes;
    const declared = bodyBytes >= RECORD_BATCH.headerBytes ? memory.view.getInt32(body + RECORD_BATCH.recordCount) : 1;
    const message = `The record batch at offset ${first} of ${this.#topic}, partition ${this.#partition}, ${what}.`;
    const lost = rows ?? Math.max(1, Math.min(declared, next - first));
    if (reason === 'control') this.#context.reject({ reason, offset: first, rows: lost, message });
    else {
      const isInside = sampleAt >= body && sampleAt < body + bodyBytes;
      const from = isInside ? sampleAt : body;
      const sample = memory.u8.slice(from, Math.min(from + (this.#context.sampleBytesMax ?? SAMPLE_BYTES_MAX), body + bodyBytes));
      this.#context.reject({ reason, offset: first, rows: lost, message, sample });
    }
  }

  #i64(address: number): number {
    const { view } = this.#context.memory;
    return view.getInt32(address) * 4_294_967_296 + view.getUint32(address + 4);
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
