/**
 * Walks through the segments of a partition, up to where it may be read: batch by batch, over damage, and on
 * with what is written meanwhile.
 *
 * Where a topic was written exactly-once, that is the stable offset of the partition. What lies behind may
 * still be cut off, so bytes from there are never kept.
 */

import { MillraceError } from '../../core/index.ts';
import { nextOffsetAt } from '../record-batch/index.ts';
import type { Offset } from '../source.ts';
import { isSame, type SegmentPlace } from './damage.ts';
import { listSegments, partitionPath, segmentPath } from './layout.ts';
import { SegmentReader, segmentEnd } from './segment.ts';
import type { StableReader } from './stable-offsets.ts';

const READ_BYTES = 1 << 20;
/** Most broken bytes that the decoder gets to see. */
const BROKEN_BYTES_MAX = 1 << 16;

/**
 * Where the partitions of a topic may be read up to, now. Committed exactly-once, these are the ends of one
 * checkpoint.
 */
export async function visibleEnds(root: string, topic: string, partitionCount: number, stable: StableReader): Promise<readonly Offset[]> {
  for (;;) {
    const before = await stable.read();
    if (before?.committed) return before.committed.ends;
    const ends: Offset[] = [];
    for (let partition = 0; partition < partitionCount; partition++) ends.push(await partitionEnd(partitionPath(root, topic, partition)));
    if ((await stable.read())?.generation === before?.generation) return ends;
  }
}

/** The offset after the last record of a partition, visible or not. */
async function partitionEnd(partitionDir: string): Promise<Offset> {
  const bases = await listSegments(partitionDir);
  const last = bases.at(-1);
  if (last === undefined) return 0;
  return (await segmentEnd(segmentPath(partitionDir, last), last, false)).nextOffset;
}

/** Offsets that cannot be read, and the bytes in their place. */
export interface Gap {
  readonly bytes: Uint8Array;
  readonly first: Offset;
  readonly next: Offset;
}

export interface CursorOptions {
  readonly readBytes?: number;
  /** Go on behind the end, with what becomes visible meanwhile. */
  readonly follow?: { readonly stable: StableReader; readonly partition: number };
}

export class PartitionCursor {
  readonly #dir: string;
  readonly #readBytes: number;
  readonly #follow: CursorOptions['follow'];
  /**
   * Everything up to this offset is visible for good. Broken bytes there are not a write in progress.
   */
  #known: Offset;
  /** No stable offset is the limit now. */
  #isOpen = false;
  #generation: number | undefined;
  /** The segment behind this one begins here, as far as it is known: what it has counts. */
  #nextBase = Number.POSITIVE_INFINITY;
  #isMore = false;
  #reader: SegmentReader | undefined;
  #base = -1;
  #missing: Gap | undefined;
  /** Size of the segment when nothing more could be taken from it. */
  #stuckAt = -1;
  /** The segment was searched for damage at that size, and there is none. */
  #isTorn = false;
  /** Where the next batch starts, as far as it is known. */
  next: Offset;
  /** True when `advance` found neither more bytes nor a further segment. */
  isAtEnd = false;

  /** @param end one of {@link visibleEnds} */
  constructor(partitionDir: string, start: Offset, end: Offset, { readBytes = READ_BYTES, follow }: CursorOptions = {}) {
    this.#dir = partitionDir;
    this.#readBytes = readBytes;
    this.#follow = follow;
    this.#known = end;
    this.next = start;
  }

  /** Up to here there are rows for certain. After a full read there is at least one more. */
  get high(): Offset {
    return Math.max(this.#isOpen && this.#isMore ? this.next + 1 : this.next, this.#known);
  }

  /** Reads on in the segment. False when it has nothing more for now. */
  async fill(): Promise<boolean> {
    while (this.next >= this.#known) {
      if (this.#follow === undefined) return false;
      const { stable, partition } = this.#follow;
      if (this.#isOpen) {
        this.#isMore = await this.#fill();
        // Bytes that were there before anything was held back, or cut off.
        if ((await stable.read())?.generation === this.#generation) return this.#isMore;
        this.#isOpen = false;
      }
      this.#reader?.again();
      const state = await stable.read();
      if (state?.generation !== this.#generation) await this.#findNextBase();
      this.#generation = state?.generation;
      const end = state?.committed?.ends[partition];
      if (end === undefined) this.#isOpen = true;
      else if (end <= this.next) return false;
      else this.#known = end;
    }
    return this.#fill();
  }

  async #fill(): Promise<boolean> {
    if (this.#reader === undefined) {
      // The segment that holds the start is the last one that begins at it or before.
      const bases = await listSegments(this.#dir);
      const base = bases.findLast((candidate) => candidate <= this.next) ?? bases[0];
      if (base === undefined) return false;
      await this.#open(base);
      if (base > this.next) {
        this.#missing = { bytes: new Uint8Array(0), first: this.next, next: base };
        this.next = base;
      }
    }
    return (this.#reader as SegmentReader).fill();
  }

  /** What was missing where reading began; returned once. */
  takeMissing(): Gap | undefined {
    const missing = this.#missing;
    this.#missing = undefined;
    return missing;
  }

  /** The next whole batch that was read. */
  take(): Uint8Array | undefined {
    if ((this.next >= this.#known && !this.#isOpen) || this.next >= this.#nextBase) return undefined;
    const batch = this.#reader?.take();
    if (batch !== undefined) this.next = nextOffsetAt(batch, 0);
    return batch;
  }

  /**
   * Continues after what could be taken: after damage in the segment, or in the next segment. Returns what is
   * missing in between, to be reported.
   *
   * @throws MillraceError ERR_MILLRACE_CORRUPT when the segment no longer exists
   */
  async advance(): Promise<Gap | undefined> {
    if (this.next >= this.#known && !this.#isOpen) return this.#stay();
    const bases = await listSegments(this.#dir);
    const base = bases.find((candidate) => candidate > this.#base && candidate >= this.next);
    this.isAtEnd = false;
    const reader = this.#reader;
    if (reader === undefined) {
      this.isAtEnd = base === undefined;
      return undefined;
    }
    if (base === undefined) return this.#behindDamageAtEnd(reader);
    // What a deposed writer left there behind the next one's beginning does not count.
    if (base === this.#nextBase && base === this.next) {
      await this.#open(base);
      return undefined;
    }
    // The writer was done with the old segment before it created the new one. Look once more for its last
    // writes.
    if (!reader.isBroken && (await reader.fill())) return undefined;
    if (reader.position < (await reader.size())) {
      const place = await reader.resume();
      if (place !== undefined) return this.#skip(reader, place);
    }
    const bytes = await reader.rest(BROKEN_BYTES_MAX);
    const first = reader.nextOffset;
    const gap = base > first || bytes.length > 0 ? { bytes, first, next: base } : undefined;
    await this.#open(base);
    this.next = base;
    return gap;
  }

  async close(): Promise<void> {
    await this.#reader?.close();
    this.#reader = undefined;
  }

  /**
   * In the last segment, broken bytes may be a write in progress. They are read again before they count as
   * damage.
   */
  async #behindDamageAtEnd(reader: SegmentReader): Promise<Gap | undefined> {
    const size = await reader.size();
    const isLeft = reader.position < size;
    const isKnown = size === this.#stuckAt;
    if (isLeft && (this.next < this.#known || (isKnown && !this.#isTorn))) {
      const place = await reader.resume();
      if (place !== undefined) return this.#skip(reader, place);
      this.#isTorn = true;
    } else if (!isKnown) this.#isTorn = false;
    this.#stuckAt = size;
    reader.again();
    return this.#stay();
  }

  /** There is nothing more for now. */
  async #stay(): Promise<undefined> {
    this.isAtEnd = true;
    const reader = this.#reader;
    if (reader === undefined || (await reader.isThere())) return undefined;
    throw new MillraceError(
      'ERR_MILLRACE_CORRUPT',
      `The log segment ${reader.path} was removed, or replaced by another file, while it was read (up to offset ${this.next}). If the topic was made anew, delete the positions of the group and start again.`,
    );
  }

  async #skip(reader: SegmentReader, place: SegmentPlace): Promise<Gap | undefined> {
    this.#stuckAt = -1;
    this.#isTorn = false;
    const { position, nextOffset: first } = reader;
    if (isSame(place, reader)) {
      // The bytes are good by now.
      reader.again();
      return undefined;
    }
    const bytes = await reader.rest(Math.min(BROKEN_BYTES_MAX, place.position - position));
    reader.skipTo(place);
    this.next = place.nextOffset;
    return { bytes, first, next: place.nextOffset };
  }

  /** A writer that has taken over goes on in a new segment. */
  async #findNextBase(): Promise<void> {
    this.#nextBase = (await listSegments(this.#dir)).find((candidate) => candidate > this.#base) ?? Number.POSITIVE_INFINITY;
  }

  async #open(base: number): Promise<void> {
    await this.#reader?.close();
    this.#reader = await SegmentReader.open(segmentPath(this.#dir, base), base, this.#readBytes);
    this.#base = base;
    this.#nextBase = Number.POSITIVE_INFINITY;
    this.#stuckAt = -1;
    this.#isTorn = false;
  }
}
