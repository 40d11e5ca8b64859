/**
 * Walks through the record batches of a segment by their headers. It reads no record. It checks a checksum
 * only on request, or where a header is unexpected.
 *
 * The log writes offsets without gaps, so each batch must begin where the previous one ends. Bytes that do
 * not are broken. What follows them tells whether they are a torn write or damage (damage.ts).
 */

import { type FileHandle, open, stat } from 'node:fs/promises';
import { BATCH_BYTES_MAX, baseOffsetAt, batchBytesAt, magicAt, nextOffsetAt, RECORD_BATCH, readI32, recordCountAt } from '../record-batch/index.ts';
import { isSame, isWhole, resumeBehind, type SegmentPlace } from './damage.ts';
import { fileError } from './layout.ts';

export interface SegmentEnd extends SegmentPlace {
  /** The first broken bytes that a good batch follows, or that are an intact batch in the wrong place. */
  readonly damage: SegmentPlace | undefined;
}

const READ_BYTES = 1 << 20;

/**
 * Reads a segment in large blocks and offers its batches one by one, straight from its buffer. The file may
 * grow while it is read; an incomplete batch is not offered.
 */
export class SegmentReader {
  readonly path: string;
  readonly #file: FileHandle;
  #buffer: Uint8Array;
  /** The bytes in the buffer: from `#at` to `#end`; `position` is that of `#at` in the file. */
  #at = 0;
  #end = 0;
  position = 0;
  /** The offset that the batch at `position` begins with. */
  nextOffset: number;
  /** True when the bytes at `position` can never become the start of a batch. */
  isBroken = false;
  /** The buffer holds everything that existed when it was filled. */
  #isAtEnd = false;

  private constructor(path: string, file: FileHandle, baseOffset: number, readBytes: number) {
    this.path = path;
    this.#file = file;
    this.nextOffset = baseOffset;
    this.#buffer = new Uint8Array(readBytes);
  }

  static async open(path: string, baseOffset: number, readBytes = READ_BYTES): Promise<SegmentReader> {
    try {
      return new SegmentReader(path, await open(path, 'r'), baseOffset, readBytes);
    } catch (cause) {
      throw fileError('cannot read', path, cause);
    }
  }

  /** The next whole batch: a view that is valid until `fill`. Undefined: call `fill`. */
  take(): Uint8Array | undefined {
    const available = this.#end - this.#at;
    if (this.isBroken || available < RECORD_BATCH.headerBytes) return undefined;
    const byteLength = batchBytesAt(this.#buffer, this.#at);
    const lastOffsetDelta = readI32(this.#buffer, this.#at + RECORD_BATCH.lastOffsetDelta);
    if (
      byteLength < RECORD_BATCH.headerBytes ||
      byteLength > BATCH_BYTES_MAX ||
      magicAt(this.#buffer, this.#at) !== RECORD_BATCH.magicValue ||
      lastOffsetDelta < 0 ||
      baseOffsetAt(this.#buffer, this.#at) !== this.nextOffset
    ) {
      this.isBroken = true;
      return undefined;
    }
    if (byteLength > available) return undefined;
    const behind = available - byteLength;
    if (behind < RECORD_BATCH.prefixBytes && !this.#isAtEnd) return undefined;
    const batch = this.#buffer.subarray(this.#at, this.#at + byteLength);
    // Everything after this depends on the length and the last offset. The checksum decides where the next
    // batch is not where they say, or where the record count is different (as after compaction).
    const end = this.#at + byteLength;
    const isFollowed =
      behind < RECORD_BATCH.prefixBytes ||
      (magicAt(this.#buffer, end) === RECORD_BATCH.magicValue && baseOffsetAt(this.#buffer, end) === nextOffsetAt(batch, 0));
    if ((!isFollowed || lastOffsetDelta + 1 !== recordCountAt(batch, 0)) && !isWhole(batch)) {
      this.isBroken = true;
      return undefined;
    }
    this.#at += byteLength;
    this.position += byteLength;
    this.nextOffset = nextOffsetAt(batch, 0);
    return batch;
  }

  /** Reads on. False when there is nothing more to take for now: the end, half a batch, or broken bytes. */
  async fill(): Promise<boolean> {
    if (this.isBroken) return false;
    let kept = this.#end - this.#at;
    if (kept >= RECORD_BATCH.headerBytes) {
      // Half a batch, or one that exceeds the buffer together with the start of the next.
      const byteLength = batchBytesAt(this.#buffer, this.#at);
      if (byteLength + RECORD_BATCH.prefixBytes > this.#buffer.length) {
        const { size } = await this.#file.stat();
        if (this.position + byteLength > size) {
          this.again();
          return false;
        }
        const larger = new Uint8Array(byteLength + RECORD_BATCH.prefixBytes);
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
    this.#isAtEnd = bytesRead < this.#buffer.length - kept;
    kept += bytesRead;
    // Half a batch may be cut off and written anew, so it is read again.
    const behind = this.#isAtEnd ? 0 : RECORD_BATCH.prefixBytes;
    const isThere = kept >= RECORD_BATCH.headerBytes && batchBytesAt(this.#buffer, 0) + behind <= kept;
    this.#end = isThere || kept === this.#buffer.length ? kept : 0;
    return isThere || kept === this.#buffer.length;
  }

  /**
   * Forgets the bytes read after `position`, so that they are read again: a writer may have cut them off and
   * continued.
   */
  again(): void {
    this.#at = 0;
    this.#end = 0;
    this.isBroken = false;
    this.#isAtEnd = false;
  }

  /** Continues elsewhere. */
  skipTo({ position, nextOffset }: SegmentPlace): void {
    this.again();
    this.position = position;
    this.nextOffset = nextOffset;
  }

  /**
   * Where the segment continues after the bytes at `position`, if they are damage; `position` itself when
   * they are good by now. Undefined: a torn write.
   */
  async resume(): Promise<SegmentPlace | undefined> {
    try {
      return await resumeBehind(this.#file, this, await this.size());
    } catch (cause) {
      throw fileError('cannot read', this.path, cause);
    }
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

  /** True when the file is still where it was opened. */
  async isThere(): Promise<boolean> {
    return isSameFile(this.#file, this.path);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** True when the path still leads to the open file, and not to another one. */
export async function isSameFile(file: FileHandle, path: string): Promise<boolean> {
  try {
    const [ours, there] = await Promise.all([file.stat({ bigint: true }), stat(path, { bigint: true })]);
    return ours.ino === there.ino && ours.dev === there.dev;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' || (cause as NodeJS.ErrnoException).code === 'ENOTDIR') return false;
    throw fileError('cannot look at', path, cause);
  }
}

/**
 * Where a segment ends: after the last good batch. Bytes after that are a torn write.
 *
 * @param checkCrc treat a batch with a wrong checksum as not good; it is damage where a good one follows
 * @param until look no further than this offset
 */
export async function segmentEnd(path: string, baseOffset: number, checkCrc: boolean, until = Number.POSITIVE_INFINITY): Promise<SegmentEnd> {
  const reader = await SegmentReader.open(path, baseOffset);
  try {
    let end: SegmentPlace = { position: 0, nextOffset: baseOffset };
    let broken: SegmentPlace | undefined;
    let damage: SegmentPlace | undefined;
    for (;;) {
      do {
        let at: SegmentPlace = { position: reader.position, nextOffset: reader.nextOffset };
        while (reader.nextOffset < until) {
          const batch = reader.take();
          if (batch === undefined) break;
          const behind = { position: reader.position, nextOffset: reader.nextOffset };
          if (checkCrc && !isWhole(batch)) broken ??= at;
          else {
            damage ??= broken;
            broken = undefined;
            end = behind;
          }
          at = behind;
        }
      } while (reader.nextOffset < until && (await reader.fill()));
      if (reader.nextOffset >= until || reader.position >= (await reader.size())) break;
      const at = { position: reader.position, nextOffset: reader.nextOffset };
      const place = await reader.resume();
      if (place === undefined || isSame(place, at)) break;
      damage ??= broken ?? at;
      broken = undefined;
      end = place;
      reader.skipTo(place);
    }
    return { ...end, damage };
  } finally {
    await reader.close();
  }
}
