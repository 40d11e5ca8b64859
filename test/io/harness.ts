/**
 * Runs a source or a sink alone, without a runtime: the coordinator end against contexts that record what they are
 * told, the worker end over a shared memory of its own. Chunks are cut after `framesAChunk` frames.
 */

import { type AnyRow, type Batch, BatchBuilder, createMemory, type Schema, SlabAllocator } from '../../core/index.ts';
import {
  type Chunk,
  type CommittedPosition,
  type DecoderContext,
  FRAME,
  frameBytes,
  type Offset,
  type Rejection,
  type Sink,
  type SinkBlock,
  type SinkContext,
  type SinkEncoderContext,
  type SinkPosition,
  type SinkWriter,
  type Source,
  type SourceContext,
  type SourceReader,
} from '../../io/index.ts';

export interface EmittedFrame {
  readonly partition: number;
  readonly bytes: Uint8Array;
  readonly first: Offset;
  readonly next: Offset;
  readonly flags: number;
  readonly cut: number;
}

export interface SourceRunOptions {
  readonly drain?: boolean;
  readonly from?: ReadonlyMap<number, Offset>;
  readonly identity?: readonly string[];
  readonly cutBehind?: NonNullable<SourceContext['cutBehind']>;
  /** Stop once this many frames were emitted. */
  readonly framesMax?: number;
  /** `emit` says that credit is used up after every so many frames; it is given back a turn later. */
  readonly creditFrames?: number;
}

/** What the coordinator end of a source did. */
export interface SourceRun {
  readonly frames: EmittedFrame[];
  readonly high: Map<number, Offset>;
  readonly ended: Set<number>;
  readonly reader: SourceReader;
  readonly positions: CommittedPosition[];
}

/** Opens the source, reads until all partitions have ended (or `framesMax`), and closes it. Rejects with what `fail` was told. */
export async function readSource(source: Source, options: SourceRunOptions = {}): Promise<SourceRun> {
  const { drain = false, from, identity, cutBehind, framesMax = Number.POSITIVE_INFINITY, creditFrames = Number.POSITIVE_INFINITY } = options;
  const abort = new AbortController();
  const frames: EmittedFrame[] = [];
  const high = new Map<number, Offset>();
  const ended = new Set<number>();
  const done = withResolvers<void>();
  let partitionCount = -1;
  const context: SourceContext = {
    drain,
    ...(from && { from }),
    ...(identity && { identity }),
    ...(cutBehind && { cutBehind }),
    signal: abort.signal,
    emit(partition, bytes, first, next, flags = 0, cut = 0) {
      // A copy at once (slice would be none for a Buffer): the source may use its bytes again when emit has returned.
      if (frames.length < framesMax) frames.push({ partition, bytes: new Uint8Array(bytes), first, next, flags, cut });
      if (frames.length >= framesMax) done.resolve();
      return frames.length % creditFrames !== 0;
    },
    credit: () => new Promise((resolve) => setImmediate(resolve)),
    end(partition) {
      ended.add(partition);
      if (ended.size === partitionCount) done.resolve();
    },
    high: (partition, end) => void high.set(partition, end),
    assigned: () => {},
    fail: (error) => done.reject(error),
  };
  const reader = await source.open(context);
  partitionCount = reader.partitionCount;
  const positions = await reader.positions();
  if (partitionCount === 0) done.resolve();
  reader.start();
  try {
    await done.promise;
  } finally {
    abort.abort();
    await reader.close();
  }
  return { frames, high, ended, reader, positions };
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

export interface DecodedRow {
  readonly partition: number;
  readonly offset: Offset;
  readonly row: AnyRow;
}

export interface DecodeOptions {
  readonly batchRows?: number;
  readonly framesAChunk?: number;
  /** Default: all. */
  readonly columns?: readonly number[];
  readonly memoryBytes?: number;
}

/** Runs the worker end over the frames: every row with its coordinates, in order by partition, and what was rejected. */
export function decodeFrames(
  source: Source,
  frames: readonly EmittedFrame[],
  options: DecodeOptions = {},
): { rows: DecodedRow[]; rejections: Rejection[]; batchRows: number[] } {
  const { batchRows = 4_096, framesAChunk = 4, columns = source.schema.fields.map((_, c) => c), memoryBytes = 64 << 20 } = options;
  const slabs = new SlabAllocator(createMemory(memoryBytes));
  const rejections: Rejection[] = [];
  const context: DecoderContext = { memory: slabs.memory, slabs, columns, batchRows, reject: (rejection) => void rejections.push(rejection) };
  const decoder = source.decoder(context);
  const rows: DecodedRow[] = [];
  const counts: number[] = [];
  const partitions = [...new Set(frames.map((frame) => frame.partition))].sort((a, b) => a - b);
  for (const partition of partitions) {
    const own = frames.filter((frame) => frame.partition === partition);
    for (let at = 0; at < own.length; at += framesAChunk) {
      const chunk = writeChunk(slabs, own.slice(at, at + framesAChunk));
      decoder.open(chunk);
      for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) {
        counts.push(batch.rowCount);
        batch.toRows().forEach((row, i) => rows.push({ partition, offset: decoder.offsetOf(i), row }));
      }
      slabs.free(chunk.address);
    }
  }
  return { rows, rejections, batchRows: counts };
}

/** A chunk of these frames in a new slab. */
export function writeChunk(slabs: SlabAllocator, frames: readonly EmittedFrame[]): Chunk {
  const byteLength = frames.reduce((sum, frame) => sum + frameBytes(frame.bytes.length), 0);
  const address = slabs.alloc(byteLength);
  const { u8, u32, f64 } = slabs.memory;
  let at = address;
  for (const frame of frames) {
    u32[(at + FRAME.bodyBytes) >>> 2] = frame.bytes.length;
    u32[(at + FRAME.flags) >>> 2] = frame.flags;
    f64[(at + FRAME.first) >>> 3] = frame.first;
    f64[(at + FRAME.next) >>> 3] = frame.next;
    f64[(at + FRAME.cut) >>> 3] = frame.cut;
    u8.set(frame.bytes, at + FRAME.headerBytes);
    at += frameBytes(frame.bytes.length);
  }
  const [head, tail] = [frames[0] as EmittedFrame, frames.at(-1) as EmittedFrame];
  return { partition: head.partition, address, byteLength, first: head.first, next: tail.next };
}

/** Reads and decodes: the rows of a bounded source. */
export async function sourceRows(source: Source, options: SourceRunOptions & DecodeOptions = {}): Promise<DecodedRow[]> {
  const { frames } = await readSource(source, options);
  return decodeFrames(source, frames, options).rows;
}

/** A sink with both ends open: `write` encodes rows as one batch of the given epoch and shard, `commit` as the runtime does. */
export class SinkRun {
  readonly slabs: SlabAllocator;
  readonly schema: Schema;
  readonly writer: SinkWriter;
  readonly #sink: Sink;
  /** Block sizes in rows, in the order of the calls. */
  readonly blocks: number[] = [];

  static async open(sink: Sink, schema: Schema, exact: Pick<SinkContext, 'guarantee' | 'transaction'> = {}): Promise<SinkRun> {
    sink.check(schema);
    const context: SinkContext = { schema, pipeline: 'test', signal: new AbortController().signal, ...exact };
    return new SinkRun(sink, schema, await sink.open(context));
  }

  private constructor(sink: Sink, schema: Schema, writer: SinkWriter) {
    this.#sink = sink;
    this.schema = schema;
    this.writer = writer;
    this.slabs = new SlabAllocator(createMemory(64 << 20));
  }

  async write(rows: readonly AnyRow[], position: SinkPosition = { epoch: 1, shard: 0 }): Promise<void> {
    const pending: { block: SinkBlock; slab: number }[] = [];
    const { slabs, schema } = this;
    const context: SinkEncoderContext = {
      memory: slabs.memory,
      slabs,
      schema,
      info: this.writer.info,
      position: () => position,
      block: (partition, rowCount, slab, byteLength) => {
        this.blocks.push(rowCount);
        pending.push({
          slab,
          block: { epoch: position.epoch, unit: position.shard, partition, rowCount, bytes: slabs.memory.u8.subarray(slab, slab + byteLength) },
        });
      },
    };
    const encoder = this.#sink.encoder(context);
    const builder = new BatchBuilder(slabs, schema, Math.max(8, rows.length));
    for (const row of rows) builder.appendRow(row);
    encoder.write(builder.finish());
    encoder.flush();
    builder.release();
    await Promise.all(
      pending.map(async ({ block, slab }) => {
        await this.writer.write(block);
        slabs.memory.u8.fill(0xee, slab, slab + block.bytes.length); // whoever still looks sees it
        slabs.free(slab);
      }),
    );
  }

  async commit(epoch: number): Promise<void> {
    await this.writer.commit(epoch);
  }

  async close(): Promise<void> {
    await this.writer.close();
  }
}

/** A batch of rows in a memory of its own, for encoders under test. */
export function batchOf(schema: Schema, rows: readonly AnyRow[]): Batch {
  const builder = new BatchBuilder(new SlabAllocator(createMemory(16 << 20)), schema, Math.max(8, rows.length));
  for (const row of rows) builder.appendRow(row);
  return builder.finish();
}
