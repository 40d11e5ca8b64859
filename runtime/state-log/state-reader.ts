/**
 * The state reader: what a restart reads of a state log. It looks at every frame once, checks its checksum,
 * and notes where it lies. Then it gives the newest base of each shard, and the blocks of each epoch behind
 * the oldest of them.
 *
 * Nothing is believed before its checksum was compared, no length beyond the end of its file, and nothing is
 * left out: an epoch of which one worker's frames are missing is damage, and so is a shard without a base.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { MillraceError } from '../../core/index.ts';
import {
  damaged,
  type EpochHead,
  FRAME_HEAD_BYTES,
  FRAME_KIND,
  type FrameHead,
  frameBytes,
  isWhole,
  readEpochHead,
  readFrameHead,
  segmentNamed,
} from './frames.ts';
import { stateOfBytes } from './shard-state.ts';

/** A segment of a checkpoint. Frames of epochs `from` to `to` count; there may be others, which do not. */
export interface SegmentRange {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** Bytes of one segment. */
export interface SegmentBytes {
  readonly size: number;
  /** Fills `into` with the bytes from `position` on. */
  read(into: Uint8Array, position: number): void;
  close(): void;
}

/** Opens a segment by its name. */
export type OpenSegment = (name: string) => SegmentBytes;

interface Place {
  readonly segment: number;
  readonly at: number;
  readonly bodyBytes: number;
  /** Of a block: its address then. */
  readonly address: number;
}

/** A block of an epoch. */
export type StoredBlock = Pick<Place, 'bodyBytes' | 'address'>;

interface StoredBase {
  readonly epoch: number;
  /** In their order. */
  readonly pieces: readonly Place[];
}

interface StoredEpoch {
  readonly head: EpochHead;
  /** Workers whose frames are all there. */
  readonly workers: Set<number>;
  /** By exchange. */
  readonly blocks: Place[][];
}

/** Read at once, unless a frame is larger. */
const READ_BYTES = 1 << 20;

export class StateReader {
  readonly #ranges: readonly SegmentRange[];
  readonly #files: SegmentBytes[] = [];
  readonly #bases = new Map<string, StoredBase>();
  readonly #epochs = new Map<number, StoredEpoch>();
  #inOrder: readonly number[] = [];

  /**
   * Reads the whole log once.
   *
   * @param checkpoint the epoch that the state is wanted as of
   * @throws MillraceError ERR_MILLRACE_STATE
   */
  constructor(ranges: readonly SegmentRange[], checkpoint: number, open: OpenSegment) {
    this.#ranges = ranges;
    try {
      ranges.forEach((range, segment) => {
        this.#files.push(open(range.name));
        this.#index(range, segment, checkpoint);
      });
      this.#mustBeComplete(checkpoint);
      this.#inOrder = [...this.#epochs.keys()].sort((a, b) => a - b);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The epoch of the newest base of a shard. */
  baseOf(exchange: number, shard: number): number {
    return this.#stored(exchange, shard).epoch;
  }

  /** The newest base of a shard: what its `snapshot` gave. */
  stateOf(exchange: number, shard: number): unknown {
    const stored = this.#stored(exchange, shard);
    try {
      return stateOfBytes(this.#body(stored));
    } catch (cause) {
      throw damaged(this.#nameOf(stored.pieces[0] as Place), `the base of shard ${shard} of exchange ${exchange} cannot be read (${(cause as Error).message})`);
    }
  }

  /** Bytes of the base of a shard. */
  bytesOf(exchange: number, shard: number): number {
    return bytesOf(this.#stored(exchange, shard));
  }

  /** The epochs behind `after`, in order. */
  *epochs(after: number): Generator<EpochHead, void, void> {
    for (const epoch of this.#inOrder) if (epoch > after) yield (this.#epochs.get(epoch) as StoredEpoch).head;
  }

  /** The last epoch that counts; undefined: the log has none. */
  get last(): EpochHead | undefined {
    const epoch = this.#inOrder.at(-1);
    return epoch === undefined ? undefined : this.#epochs.get(epoch)?.head;
  }

  /** The blocks of an epoch for an exchange, in no order. */
  blocks(epoch: number, exchange: number): readonly StoredBlock[] {
    return this.#epochs.get(epoch)?.blocks[exchange] ?? [];
  }

  /** Copies a block, by its place in `blocks`. */
  readBlock(epoch: number, exchange: number, index: number, into: Uint8Array): void {
    const place = this.#epochs.get(epoch)?.blocks[exchange]?.[index] as Place;
    (this.#files[place.segment] as SegmentBytes).read(into, place.at);
  }

  /** The error for a block that is none of this operator's. */
  refusedBlock(epoch: number, exchange: number, index: number, operator: string): MillraceError {
    const place = this.#epochs.get(epoch)?.blocks[exchange]?.[index] as Place;
    return damaged(this.#nameOf(place), `what lies at byte ${place.at} is no block of ${operator}`);
  }

  close(): void {
    for (const file of this.#files) file.close();
    this.#files.length = 0;
  }

  #stored(exchange: number, shard: number): StoredBase {
    const stored = this.#bases.get(`${exchange} ${shard}`);
    if (stored === undefined) throw damaged(this.#ranges.map(({ name }) => name).join(', '), `there is no base of shard ${shard} of exchange ${exchange}`);
    return stored;
  }

  #nameOf({ segment }: Place): string {
    return (this.#ranges[segment] as SegmentRange).name;
  }

  #body(stored: StoredBase): Uint8Array {
    const body = new Uint8Array(bytesOf(stored));
    let from = 0;
    for (const { segment, at, bodyBytes } of stored.pieces) {
      (this.#files[segment] as SegmentBytes).read(body.subarray(from, from + bodyBytes), at);
      from += bodyBytes;
    }
    return body;
  }

  /** Notes where the frames of a segment are. It ends with the last epoch that counts. */
  #index({ name, from, to }: SegmentRange, segment: number, checkpoint: number): void {
    const file = this.#files[segment] as SegmentBytes;
    const worker = segmentNamed(name)?.worker;
    if (worker === undefined) throw damaged(name, 'this is no name of a segment');
    const last = Math.min(to, checkpoint);
    let buffer = new Uint8Array(Math.min(READ_BYTES, file.size));
    let start = 0;
    let filled = 0;
    let frames = 0;
    let open: StoredEpoch | undefined;
    /** Pieces of the base that is not complete yet. */
    let pieces: readonly Place[] = [];
    let piecesOf = '';
    let lastEnded = Number.NEGATIVE_INFINITY;
    for (let at = 0; at < file.size; ) {
      // The buffer holds the file from `start` on, `filled` bytes of it.
      const need = (bytes: number): void => {
        if (at >= start && at + bytes <= start + filled) return;
        const wanted = Math.min(Math.max(bytes, READ_BYTES), file.size - at);
        if (wanted > buffer.length) buffer = new Uint8Array(wanted);
        file.read(buffer.subarray(0, wanted), at);
        start = at;
        filled = wanted;
      };
      const left = file.size - at;
      need(Math.min(FRAME_HEAD_BYTES, left));
      const head = readFrameHead(buffer.subarray(at - start, start + filled), left);
      // Behind the last epoch that counts a crash may have left anything.
      if (head === undefined) {
        if (lastEnded >= last) return;
        throw damaged(name, `there is no frame at byte ${at}, and epochs up to ${last} should follow`);
      }
      need(frameBytes(head.bodyBytes));
      const headBytes = buffer.subarray(at - start, at - start + FRAME_HEAD_BYTES);
      const body = buffer.subarray(at - start + FRAME_HEAD_BYTES, at - start + FRAME_HEAD_BYTES + head.bodyBytes);
      if (!isWhole(headBytes, body)) {
        if (lastEnded >= last) return;
        throw damaged(name, `the checksum of the frame at byte ${at} is wrong`);
      }
      if (head.epoch > last) return;
      const place = { segment, at: at + FRAME_HEAD_BYTES, bodyBytes: head.bodyBytes, address: head.number };
      if (head.kind === FRAME_KIND.begin) {
        frames = 0;
        open = this.#begun(name, head, body, worker);
      } else if (head.kind === FRAME_KIND.block) {
        const of = open?.blocks[head.exchange];
        if (of === undefined || open?.head.epoch !== head.epoch) throw damaged(name, `the block at byte ${at} belongs to no epoch`);
        if (head.epoch >= from) of.push(place);
      } else if (head.kind === FRAME_KIND.base || head.kind === FRAME_KIND.piece) {
        // A worker writes one base after the other; one that a crash has cut off is not gone on with.
        const name = `${head.exchange} ${head.number} ${head.epoch}`;
        const all = name === piecesOf ? [...pieces, place] : [place];
        const isComplete = head.kind === FRAME_KIND.base;
        if (isComplete) this.#note(head, all);
        pieces = isComplete ? [] : all;
        piecesOf = isComplete ? '' : name;
      }
      frames++;
      if (head.kind === FRAME_KIND.end) {
        if (open?.head.epoch !== head.epoch || head.number !== frames) throw damaged(name, `frames of epoch ${head.epoch} are missing before byte ${at}`);
        open.workers.add(worker);
        lastEnded = head.epoch;
        open = undefined;
      }
      at += frameBytes(head.bodyBytes);
    }
    if (lastEnded < last) throw damaged(name, `it ends before epoch ${last} does`);
  }

  #begun(name: string, { epoch, number }: FrameHead, body: Uint8Array, worker: number): StoredEpoch {
    const head = readEpochHead(epoch, body);
    if (head === undefined || number !== worker) throw damaged(name, `epoch ${epoch} begins with what is no head`);
    const known = this.#epochs.get(epoch);
    if (known !== undefined && (known.workers.has(worker) || known.head.workers !== head.workers)) throw damaged(name, `epoch ${epoch} is there twice`);
    const epochNow = known ?? { head, workers: new Set<number>(), blocks: head.before.map(() => []) };
    this.#epochs.set(epoch, epochNow);
    return epochNow;
  }

  #note({ epoch, exchange, number }: FrameHead, pieces: readonly Place[]): void {
    const key = `${exchange} ${number}`;
    const known = this.#bases.get(key);
    if (known === undefined || known.epoch <= epoch) this.#bases.set(key, { pieces, epoch });
  }

  /** All epochs behind the oldest base are there, with the frames of every worker. */
  #mustBeComplete(checkpoint: number): void {
    if (this.#ranges.length === 0) return;
    const oldest = Math.min(checkpoint, ...[...this.#bases.values()].map(({ epoch }) => epoch));
    for (let epoch = oldest + 1; epoch <= checkpoint; epoch++) {
      const stored = this.#epochs.get(epoch);
      if (stored === undefined || stored.workers.size !== stored.head.workers) {
        throw damaged(
          this.#ranges.map(({ name }) => name).join(', '),
          `frames of epoch ${epoch} are missing, and epochs ${oldest + 1} to ${checkpoint} are needed`,
        );
      }
    }
  }
}

function bytesOf({ pieces }: StoredBase): number {
  return pieces.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
}

/** Opens a file to read a segment from. */
export function openSegmentFile(path: string, name: string): SegmentBytes {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (cause) {
    throw damaged(name, `it cannot be opened (${(cause as Error).message})`);
  }
  return {
    size: fstatSync(descriptor).size,
    read(into, position) {
      for (let done = 0; done < into.length; ) {
        const bytes = readSync(descriptor, into, done, into.length - done, position + done);
        if (bytes === 0) throw damaged(name, `it ends at byte ${position + done}, where more was`);
        done += bytes;
      }
    },
    close: () => closeSync(descriptor),
  };
}
