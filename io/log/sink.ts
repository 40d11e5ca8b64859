/**
 * The embedded log as a sink: appends record batches to the segments of a topic's partitions.
 *
 * When `commit` has resolved, everything written before is on disk (fdatasync). Blocks become visible to
 * readers as they are written, before the commit. After a crash in the middle of an epoch some of its blocks
 * are there, and the epoch is written once more: at least once. The next start cuts off a torn end. It does
 * not cut off damage: the log is refused then.
 */

import { type FileHandle, mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import { ProcessLock } from '../process-lock.ts';
import { batchBytesAt, nextOffsetAt, RECORD_BATCH, recordSinkEncoder, setBaseOffset } from '../record-batch/index.ts';
import type { Sink, SinkBlock, SinkInfo, SinkWriter } from '../sink.ts';
import { dirPath, fileError, listPartitions, listSegments, lockPath, partitionPath, segmentPath, topicPath } from './layout.ts';
import { syncDir } from './positions.ts';
import { isSameFile, segmentEnd } from './segment.ts';

export interface LogSinkOptions {
  /** Folder of the topics; created if it does not exist. */
  readonly dir: string | URL;
  readonly topic: string;
  readonly value: Codec;
  /** Column, or columns, that give the record's key, which decides its partition. */
  readonly key?: string | readonly string[];
  /** Partitions of a new topic, 1 to 4096. Default 4. An existing topic must have this many, if given. */
  readonly partitions?: number;
  /** Time of the records: `now` (default), or a timestamp column. */
  readonly timestamp?: 'now' | (string & {});
  /** A segment is closed before it exceeds this size. Default 256 MiB. */
  readonly segmentBytes?: number;
}

const PARTITIONS = 4;
const PARTITIONS_MAX = 4_096;
const SEGMENT_BYTES = 256 << 20;
/** No broker limits the size here. */
const BATCH_BYTES_MAX = 16 << 20;
/** Most blocks in one call of writev. */
const WRITEV_BLOCKS_MAX = 256;

/**
 * @throws MillraceError ERR_MILLRACE_OPTION for an invalid option. `open` rejects with ERR_MILLRACE_FILE when
 * the folder cannot be written, or another writer has the topic, and with ERR_MILLRACE_CORRUPT when the last
 * segment of a partition is damaged.
 */
export function logSink(options: LogSinkOptions): Sink {
  checkOptionNames('log.sink', options, { dir: true, topic: true, value: true, key: true, partitions: true, timestamp: true, segmentBytes: true });
  const { topic, value, partitions, segmentBytes = SEGMENT_BYTES } = options;
  const dir = dirPath(options.dir);
  topicPath(dir, topic);
  mustBeCodec('log.sink', value);
  if (partitions !== undefined && !(Number.isSafeInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `The log sink of ${shown(topic)} has ${shown(partitions)} partitions; it can have 1 to ${PARTITIONS_MAX}.`);
  }
  if (!(segmentBytes > 0))
    throw new MillraceError('ERR_MILLRACE_OPTION', `The log sink of ${shown(topic)} has segments of ${shown(segmentBytes)} bytes; give a number above 0.`);
  return {
    name: `log ${topic}`,
    check(schema) {
      for (const key of [options.key ?? []].flat()) schema.require(key, `The key of the log sink ${topic}`);
      if (options.timestamp !== undefined && options.timestamp !== 'now') schema.require(options.timestamp, `The timestamp of the log sink ${topic}`);
    },
    open: ({ pipeline }) => LogWriter.open(dir, topic, partitions, segmentBytes, `the pipeline ${shown(pipeline)}`),
    encoder: (context) =>
      recordSinkEncoder(context, {
        codec: value,
        ...(options.key === undefined ? {} : { key: options.key }),
        ...(options.timestamp === undefined ? {} : { timestamp: options.timestamp }),
        batchBytesMax: BATCH_BYTES_MAX,
      }),
  };
}

/** Writes record batches to a topic. One per topic at a time, over all processes. */
export class LogWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #partitions: readonly PartitionWriter[];
  readonly #lock: ProcessLock;

  private constructor(partitions: readonly PartitionWriter[], lock: ProcessLock) {
    this.#partitions = partitions;
    this.#lock = lock;
    this.info = { partitionCount: partitions.length };
  }

  /** @param user who writes, for messages */
  static async open(dir: string, topic: string, partitions?: number, segmentBytes = SEGMENT_BYTES, user = 'a writer of its own'): Promise<LogWriter> {
    const path = topicPath(dir, topic);
    const existing = await listPartitions(path);
    if (existing > 0 && partitions !== undefined && partitions !== existing) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `The topic ${shown(topic)} in ${dir} has ${existing} partitions, not ${partitions}. Leave the option out, or write to another topic.`,
      );
    }
    try {
      await mkdir(path, { recursive: true });
    } catch (cause) {
      throw fileError('cannot make the folder', path, cause);
    }
    const lock = await takeLock(dir, topic, user);
    const writers: PartitionWriter[] = [];
    try {
      const count = existing || (partitions ?? PARTITIONS);
      for (let partition = 0; partition < count; partition++) writers.push(await PartitionWriter.open(partitionPath(dir, topic, partition), segmentBytes));
      await syncDir(path);
      return new LogWriter(writers, lock);
    } catch (cause) {
      for (const writer of writers) await writer.close();
      await lock.release();
      throw fileError('cannot be opened for writing in', path, cause);
    }
  }

  write(block: SinkBlock): Promise<void> {
    const partition = this.#partitions[block.partition];
    if (partition === undefined)
      return Promise.reject(
        new MillraceError('ERR_MILLRACE_SINK', `A block is for partition ${block.partition}, but the topic has ${this.#partitions.length}.`),
      );
    return partition.append(block.bytes);
  }

  async commit(_epoch: number): Promise<void> {
    await Promise.all(this.#partitions.map((partition) => partition.sync()));
  }

  async close(): Promise<void> {
    try {
      for (const partition of this.#partitions) await partition.close();
    } finally {
      await this.#lock.release();
    }
  }

  /** Offset after the last record, by partition. */
  get ends(): number[] {
    return this.#partitions.map((partition) => partition.nextOffset);
  }
}

interface PendingBlock {
  readonly bytes: Uint8Array;
  readonly firstOffset: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** Appends to one partition: blocks in the order of the calls, with all pending ones in one system call. */
class PartitionWriter {
  readonly #dir: string;
  readonly #segmentBytes: number;
  #file: FileHandle;
  #path: string;
  #position: number;
  nextOffset: number;
  #pending: PendingBlock[] = [];
  #writing: Promise<void> | undefined;
  #isDirty = false;
  #failure: MillraceError | undefined;

  private constructor(dir: string, segmentBytes: number, file: FileHandle, path: string, position: number, nextOffset: number) {
    this.#dir = dir;
    this.#segmentBytes = segmentBytes;
    this.#file = file;
    this.#path = path;
    this.#position = position;
    this.nextOffset = nextOffset;
  }

  /** Opens the last segment and cuts off a torn write. */
  static async open(dir: string, segmentBytes: number): Promise<PartitionWriter> {
    await mkdir(dir, { recursive: true });
    const base = (await listSegments(dir)).at(-1) ?? 0;
    const path = segmentPath(dir, base);
    await writeFile(path, '', { flag: 'a' });
    const end = await segmentEnd(path, base, true);
    if (end.damage !== undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_CORRUPT',
        `The log segment ${path} is damaged at byte ${end.damage.position}, from offset ${end.damage.nextOffset} on, and good batches lie behind that. Nothing is cut off, and nothing appended. Restore the file from a copy, or move the folder ${dir} away; a reader goes on behind the damage, and reports what is lost as corrupt.`,
      );
    }
    const file = await open(path, 'r+');
    const { size } = await file.stat();
    if (size > end.position) {
      process.emitWarning(
        `The log segment ${path} had ${size - end.position} bytes of an unfinished write behind offset ${end.nextOffset}. They are cut off.`,
        'MillraceWarning',
      );
      await truncate(path, end.position);
      await file.datasync();
    }
    await syncDir(dir);
    return new PartitionWriter(dir, segmentBytes, file, path, end.position, end.nextOffset);
  }

  /**
   * Gives the batches of a block their offsets, and queues it. Resolves when it is written (not yet synced).
   */
  append(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const firstOffset = this.nextOffset;
    let next = firstOffset;
    for (let at = 0; at < bytes.length; at += batchBytesAt(bytes, at)) {
      if (bytes.length - at < RECORD_BATCH.headerBytes || batchBytesAt(bytes, at) < RECORD_BATCH.headerBytes || batchBytesAt(bytes, at) > bytes.length - at) {
        return Promise.reject(new MillraceError('ERR_MILLRACE_SINK', `A block for ${this.#dir} holds no whole record batch at byte ${at}.`));
      }
      setBaseOffset(bytes, next, at);
      next = nextOffsetAt(bytes, at);
    }
    this.nextOffset = next;
    return new Promise((written, reject) => {
      this.#pending.push({ bytes, firstOffset, resolve: written, reject });
      this.#writing ??= this.#drain();
    });
  }

  async sync(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#isDirty) return;
    this.#isDirty = false;
    try {
      await this.#file.datasync();
      if (!(await isSameFile(this.#file, this.#path))) {
        throw new Error('it was removed, or replaced by another file, while it was written, and what was written since the last commit is lost');
      }
    } catch (cause) {
      // The state of the disk is unknown after that.
      this.#failure = this.#writeError(cause);
      throw this.#failure;
    }
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#file.close();
  }

  /** Writes until nothing is pending. Never rejects: errors go to the blocks' own promises. */
  async #drain(): Promise<void> {
    // Wait a turn, so that the blocks of an epoch, which come in a row, are written together.
    await undefined;
    while (this.#pending.length > 0) {
      const run: PendingBlock[] = [];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#rollFor(this.#pending[0] as PendingBlock);
        let byteLength = 0;
        for (const block of this.#pending) {
          if (run.length === WRITEV_BLOCKS_MAX || (run.length > 0 && this.#position + byteLength + block.bytes.length > this.#segmentBytes)) break;
          run.push(block);
          byteLength += block.bytes.length;
        }
        this.#pending.splice(0, run.length);
        this.#isDirty = true;
        await this.#writeAll(
          run.map((block) => block.bytes),
          byteLength,
        );
        for (const block of run) block.resolve();
      } catch (cause) {
        this.#failure ??= this.#writeError(cause);
        for (const block of [...run, ...this.#pending.splice(0)]) block.reject(this.#failure);
      }
    }
    this.#writing = undefined;
  }

  /** One writev; where the system took only a part, the rest is written separately. */
  async #writeAll(views: Uint8Array[], byteLength: number): Promise<void> {
    let written = (await this.#file.writev(views, this.#position)).bytesWritten;
    if (written < byteLength) {
      const all = Buffer.concat(views, byteLength);
      while (written < byteLength) written += (await this.#file.write(all, written, byteLength - written, this.#position + written)).bytesWritten;
    }
    this.#position += byteLength;
  }

  async #rollFor(block: PendingBlock): Promise<void> {
    if (this.#position === 0 || this.#position + block.bytes.length <= this.#segmentBytes) return;
    await this.#file.datasync();
    await this.#file.close();
    this.#path = segmentPath(this.#dir, block.firstOffset);
    this.#file = await open(this.#path, 'wx');
    this.#position = 0;
    await syncDir(this.#dir);
  }

  #writeError(cause: unknown): MillraceError {
    return new MillraceError(
      'ERR_MILLRACE_SINK',
      `The log cannot write ${this.#path}: ${(cause as Error).message}. Nothing more is written to it; start again when the disk is well.`,
      { cause },
    );
  }
}

async function takeLock(dir: string, topic: string, user: string): Promise<ProcessLock> {
  try {
    return await ProcessLock.take(lockPath(dir, topic), user, (holder) => {
      return new MillraceError(
        'ERR_MILLRACE_FILE',
        `The topic ${shown(topic)} is being written by ${holder}. One writer at a time: stop it, or write to another topic.`,
      );
    });
  } catch (cause) {
    throw fileError('cannot be locked in', topicPath(dir, topic), cause);
  }
}
