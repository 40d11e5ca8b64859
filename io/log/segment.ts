/**
 * Walks the record batches of a segment by their headers. It looks at no record, and at a checksum only when asked.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { crc32cBytes } from '../../core/index.ts';
import { BATCH_BYTES_MAX, baseOffsetAt, batchBytesAt, magicAt, nextOffsetAt, RECORD_BATCH, readI32 } from '../record-batch/index.ts';
import { fileError } from './layout.ts';

/** Where a walk stands: a byte of the segment's file, and the offset of the batch that starts there. */
export interface SegmentEnd {
  readonly position: number;
  readonly nextOffset: number;
}

const READ_BYTES = 1 << 20;

/**
 * Reads a segment in large blocks and offers its batches one by one, straight from its buffer. The file may grow while
 * it is read; a batch that is not all there yet is not offered.
 */
export class SegmentReader {
  readonly path: string;
  readonly #file: FileHandle;
  #buffer: Uint8Array;
  /** The bytes in the buffer: from `#at` to `#end`; `position` is that of `#at` in the file. */
  #at = 0;
  #end = 0;
  position = 0;
  /** True when the bytes at `position` cannot start a batch, however long one waits. */
  isBroken = false;

  private constructor(path: string, file: FileHandle, readBytes: number) {
    this.path = path;
    this.#file = file;
    this.#buffer = new Uint8Array(readBytes);
  }

  static async open(path: string, readBytes = READ_BYTES): Promise<SegmentReader> {
    try {
      return new SegmentReader(path, await open(path, 'r'), readBytes);
    } catch (cause) {
      throw fileError('cannot read', path, cause);
    }
  }

  /** The next whole batch: a view that is good until `fill`. Undefined: call `fill`. */
  take(): Uint8Array | undefined {
    const available = this.#end - this.#at;
    if (this.isBroken || available < RECORD_BATCH.headerBytes) return undefined;
    const byteLength = batchBytesAt(this.#buffer, this.#at);
    if (
      byteLength < RECORD_BATCH.headerBytes ||
      byteLength > BATCH_BYTES_MAX ||
      magicAt(this.#buffer, this.#at) !== RECORD_BATCH.magicValue ||
      readI32(this.#buffer, this.#at + RECORD_BATCH.lastOffsetDelta) < 0
    ) {
      this.isBroken = true;
      return undefined;
    }
    if (byteLength > available) return undefined;
    const batch = this.#buffer.subarray(this.#at, this.#at + byteLength);
    this.#at += byteLength;
    this.position += byteLength;
    return batch;
  }

  /** Reads on. False when there is nothing more to take for now: the end, half a batch, or broken bytes. */
  async fill(): Promise<boolean> {
    if (this.isBroken) return false;
    let kept = this.#end - this.#at;
    if (kept >= RECORD_BATCH.headerBytes) {
      // Half a batch, or one that is longer than the buffer.
      const byteLength = batchBytesAt(this.#buffer, this.#at);
      if (byteLength > this.#buffer.length) {
        const { size } = await this.#file.stat();
        if (this.position + byteLength > size) {
          this.again();
          return false;
        }
        const larger = new Uint8Array(byteLength);
        larger.set(this.#buffer.subarray(this.#at, this.#end));
        this.#buffer = larger;
        this.#at = 0;
        this.#end = kept;
      }
    }
    this.#buffer.copyWithin(0, this.#at, this.#end);
    this.#at = 0;
    let bytesRead: number;
    try {
      ({ bytesRead } = await this.#file.read(this.#buffer, kept, this.#buffer.length - kept, this.position + kept));
    } catch (cause) {
      throw fileError('cannot read', this.path, cause);
    }
    kept += bytesRead;
    // What is half there now may be cut off and written anew: it is read again.
    const isWhole = kept >= RECORD_BATCH.headerBytes && batchBytesAt(this.#buffer, 0) <= kept;
    this.#end = isWhole || kept === this.#buffer.length ? kept : 0;
    return isWhole || kept === this.#buffer.length;
  }

  /** Forgets what was read behind `position`, so that it is read again: a writer may have cut it off and gone on. */
  again(): void {
    this.#at = 0;
    this.#end = 0;
    this.isBroken = false;
  }

  /** Up to `bytesMax` of the bytes at `position`, whatever they are. */
  async rest(bytesMax: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(bytesMax);
    const { bytesRead } = await this.#file.read(buffer, 0, bytesMax, this.position);
    return buffer.subarray(0, bytesRead);
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/**
 * Where a segment ends: behind the last batch that is all there.
 *
 * @param checkCrc behind the last batch whose checksum is right. A broken one in the middle stays: it is damage, which
 * readers report, and no torn write.
 */
export async function segmentEnd(path: string, baseOffset: number, checkCrc: boolean): Promise<SegmentEnd> {
  const reader = await SegmentReader.open(path);
  try {
    let end: SegmentEnd = { position: 0, nextOffset: baseOffset };
    do {
      for (let batch = reader.take(); batch !== undefined; batch = reader.take()) {
        if (baseOffsetAt(batch, 0) < end.nextOffset) return end;
        if (!checkCrc || crc32cBytes(batch, RECORD_BATCH.attributes) === readI32(batch, RECORD_BATCH.crc) >>> 0) {
          end = { position: reader.position, nextOffset: nextOffsetAt(batch, 0) };
        }
      }
    } while (await reader.fill());
    return end;
  } finally {
    await reader.close();
  }
}
