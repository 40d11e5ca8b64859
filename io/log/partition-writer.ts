/**
 * Appends record batches to the segments of one partition. Blocks keep the order of the calls; all pending
 * ones go out in one system call. It is opened at the end of what is there, or at an offset that a checkpoint
 * gives: everything behind that offset is dropped.
 */

import { type FileHandle, mkdir, open, rm, truncate, writeFile } from 'node:fs/promises';
import { MillraceError } from '../../core/index.ts';
import { batchBytesAt, nextOffsetAt, RECORD_BATCH, setBaseOffset } from '../record-batch/index.ts';
import { listSegments, segmentPath } from './layout.ts';
import { syncDir } from './positions.ts';
import { isSameFile, type SegmentEnd, segmentEnd } from './segment.ts';

/** Most blocks in one call of writev. */
const WRITEV_BLOCKS_MAX = 256;

interface PendingBlock {
  readonly bytes: Uint8Array;
  readonly firstOffset: number;
  resolve(): void;
  reject(error: unknown): void;
}

export class PartitionWriter {
  readonly #dir: string;
  readonly #segmentBytes: number;
  #file: FileHandle;
  #path: string;
  #position: number;
  nextOffset: number;
  #pending: PendingBlock[] = [];
  #writing: Promise<void> | undefined;
  /** A writer that was killed may have left bytes that are not on disk yet. */
  #isDirty = true;
  #failure: MillraceError | undefined;

  private constructor(dir: string, segmentBytes: number, file: FileHandle, path: string, position: number, nextOffset: number) {
    this.#dir = dir;
    this.#segmentBytes = segmentBytes;
    this.#file = file;
    this.#path = path;
    this.#position = position;
    this.nextOffset = nextOffset;
  }

  /**
   * Opens a partition at its end, and cuts off a torn write.
   *
   * @param until drop everything from this offset on, instead of looking for the end
   * @param isAnew go on in a new segment: somebody may have the last one open
   * @throws MillraceError ERR_MILLRACE_CORRUPT when the segment is damaged, or ends before `until`
   */
  static async open(dir: string, segmentBytes: number, until?: number, isAnew = false): Promise<PartitionWriter> {
    await mkdir(dir, { recursive: true });
    const bases = await listSegments(dir);
    const base = (until === undefined ? bases.at(-1) : bases.findLast((candidate) => candidate <= until)) ?? 0;
    // From the last one on: a crash leaves no hole.
    for (const dropped of bases.reverse()) if (dropped > base) await rm(segmentPath(dir, dropped));
    const path = segmentPath(dir, base);
    await writeFile(path, '', { flag: 'a' });
    const end = await segmentEnd(path, base, true, until);
    refuseDamage(dir, path, end, until);
    const file = await open(path, 'r+');
    const { size } = await file.stat();
    if (size > end.position) {
      if (until === undefined) {
        process.emitWarning(
          `The log segment ${path} had ${size - end.position} bytes of an unfinished write behind offset ${end.nextOffset}. They are cut off.`,
          'MillraceWarning',
        );
      }
      await truncate(path, end.position);
      await file.datasync();
    }
    const writer = new PartitionWriter(dir, segmentBytes, file, path, end.position, end.nextOffset);
    if (isAnew && end.position > 0) await writer.#roll(end.nextOffset);
    await syncDir(dir);
    return writer;
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
    await this.#roll(block.firstOffset);
  }

  async #roll(base: number): Promise<void> {
    await this.#file.datasync();
    await this.#file.close();
    this.#path = segmentPath(this.#dir, base);
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

function refuseDamage(dir: string, path: string, end: SegmentEnd, until: number | undefined): void {
  if (end.damage !== undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_CORRUPT',
      `The log segment ${path} is damaged at byte ${end.damage.position}, from offset ${end.damage.nextOffset} on, and good batches lie behind that. Nothing is cut off, and nothing appended. Restore the file from a copy, or move the folder ${dir} away; a reader goes on behind the damage, and reports what is lost as corrupt.`,
    );
  }
  if (until !== undefined && end.nextOffset !== until) {
    throw new MillraceError(
      'ERR_MILLRACE_CORRUPT',
      `The log segment ${path} ends at offset ${end.nextOffset}, but rows up to offset ${until} were committed. Nothing is cut off, and nothing appended. Restore the file from a copy, or move the folder of the topic away.`,
    );
  }
}
