/**
 * Tells damage from a write that a crash tore. A torn write is the last one, so nothing good can follow it.
 * Broken bytes that a good batch follows are therefore damage. So is a batch that is intact except for the
 * fields before its checksum.
 */

import type { FileHandle } from 'node:fs/promises';
import { crc32cBytes } from '../../core/index.ts';
import { BATCH_BYTES_MAX, baseOffsetAt, batchBytesAt, magicAt, nextOffsetAt, RECORD_BATCH, readI16, readI32, recordCountAt } from '../record-batch/index.ts';

/** A place in a segment: a byte of its file, and the offset of the batch that starts there. */
export interface SegmentPlace {
  readonly position: number;
  readonly nextOffset: number;
}

export function isSame(a: SegmentPlace, b: SegmentPlace): boolean {
  return a.position === b.position && a.nextOffset === b.nextOffset;
}

const WINDOW_BYTES = 1 << 20;
/** Most offsets that can be missing. A larger number is not an offset. */
const OFFSETS_MISSING_MAX = 2 ** 40;
/** Attributes that have a meaning: compression, time, transactional, control, delete horizon. */
const ATTRIBUTES_KNOWN = 0x7f;

/** True when the batch is intact from its attributes on. No checksum covers the fields before them. */
export function isWhole(batch: Uint8Array): boolean {
  return crc32cBytes(batch, RECORD_BATCH.attributes) === readI32(batch, RECORD_BATCH.crc) >>> 0;
}

/**
 * Where a segment continues after broken bytes. The result is `at` itself when the bytes there are good by
 * now, and undefined when nothing good follows: a torn write.
 *
 * @param size of the file: later bytes are not looked at
 */
export async function resumeBehind(file: FileHandle, at: SegmentPlace, size: number): Promise<SegmentPlace | undefined> {
  return (await resumeAt(file, at, size)) ?? searchBehind(file, at, size);
}

/** True when the batch there is intact except for its offset, its magic or its length. */
async function resumeAt(file: FileHandle, { position, nextOffset }: SegmentPlace, size: number): Promise<SegmentPlace | undefined> {
  const left = size - position;
  const head = await read(file, position, Math.min(left, RECORD_BATCH.headerBytes));
  if (head.length < RECORD_BATCH.headerBytes) return undefined;
  const declared = batchBytesAt(head, 0);
  // The length may be wrong: the last batch of a file ends with the file.
  for (const byteLength of new Set([declared, left])) {
    if (byteLength < RECORD_BATCH.headerBytes || byteLength > Math.min(left, BATCH_BYTES_MAX)) continue;
    const batch = await read(file, position, byteLength);
    const lastOffsetDelta = readI32(batch, RECORD_BATCH.lastOffsetDelta);
    if (lastOffsetDelta < 0 || !isWhole(batch)) continue;
    const baseOffset = baseOffsetAt(batch, 0);
    const end = position + byteLength;
    if (byteLength === declared && magicAt(batch, 0) === RECORD_BATCH.magicValue && baseOffset === nextOffset) return { position, nextOffset };
    const follower = await read(file, end, Math.min(size - end, RECORD_BATCH.headerBytes));
    const followerOffset = follower.length === RECORD_BATCH.headerBytes ? baseOffsetAt(follower, 0) : -1;
    // Its offset is right and batches before it are missing; or the batch is a surplus one; or its offset is
    // wrong.
    if (baseOffset > nextOffset && followerOffset === baseOffset + lastOffsetDelta + 1) return { position, nextOffset: baseOffset };
    return { position: end, nextOffset: followerOffset === nextOffset ? nextOffset : nextOffset + lastOffsetDelta + 1 };
  }
  return undefined;
}

/** Finds the first good batch further on, byte by byte. */
async function searchBehind(file: FileHandle, at: SegmentPlace, size: number): Promise<SegmentPlace | undefined> {
  for (let from = at.position + 1; from + RECORD_BATCH.headerBytes <= size; from += WINDOW_BYTES) {
    const window = await read(file, from, Math.min(size - from, WINDOW_BYTES + RECORD_BATCH.headerBytes - 1));
    const last = window.length - RECORD_BATCH.headerBytes;
    for (let magic = window.indexOf(RECORD_BATCH.magicValue, RECORD_BATCH.magic); magic >= 0; magic = window.indexOf(RECORD_BATCH.magicValue, magic + 1)) {
      const start = magic - RECORD_BATCH.magic;
      if (start > last) break;
      const position = from + start;
      if (mayBeHead(window, start, at.nextOffset, size - position) && (await isGood(file, position, at, size))) {
        return { position, nextOffset: baseOffsetAt(window, start) };
      }
    }
  }
  return undefined;
}

function mayBeHead(bytes: Uint8Array, at: number, behind: number, left: number): boolean {
  const byteLength = batchBytesAt(bytes, at);
  const baseOffset = baseOffsetAt(bytes, at);
  const lastOffsetDelta = readI32(bytes, at + RECORD_BATCH.lastOffsetDelta);
  const recordCount = recordCountAt(bytes, at);
  return (
    byteLength >= RECORD_BATCH.headerBytes &&
    byteLength <= Math.min(left, BATCH_BYTES_MAX) &&
    baseOffset >= behind &&
    baseOffset - behind < OFFSETS_MISSING_MAX &&
    recordCount >= 0 &&
    recordCount <= lastOffsetDelta + 1 &&
    (readI16(bytes, at + RECORD_BATCH.attributes) & ~ATTRIBUTES_KNOWN) === 0
  );
}

/**
 * True when its checksum is right, and its offset, which no checksum covers, fits what follows, or at least
 * what precedes.
 */
async function isGood(file: FileHandle, position: number, behind: SegmentPlace, size: number): Promise<boolean> {
  const head = await read(file, position, RECORD_BATCH.headerBytes);
  const batch = await read(file, position, batchBytesAt(head, 0));
  if (!isWhole(batch)) return false;
  const end = position + batch.length;
  const follower = await read(file, end, Math.min(size - end, RECORD_BATCH.headerBytes));
  if (follower.length < RECORD_BATCH.headerBytes) return true;
  const fits = magicAt(follower, 0) === RECORD_BATCH.magicValue && baseOffsetAt(follower, 0) === nextOffsetAt(batch, 0);
  return fits || baseOffsetAt(batch, 0) - behind.nextOffset <= position - behind.position;
}

async function read(file: FileHandle, position: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}
