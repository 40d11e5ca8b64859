/**
 * The state writer: what one worker writes of its state, epoch by epoch. The exchange blocks that its scans
 * left are written as they are: merging them again, in the same order, gives the same state. So an epoch
 * costs what came in, however large the state is, and operators have no code for it.
 *
 * The log would grow for ever. So the worker writes whole shards, too, one after the other in rotation: in each
 * epoch about as many bytes as it writes of blocks. So the snapshot of a large shard is taken at once, and
 * written over several epochs. A shard's base makes the blocks before it superfluous for that shard, once all of
 * it is there. When all of its shards have one of this round, a new segment begins, and what all workers have before
 * their oldest base may go. A restart reads at most about twice the state and twice the blocks of a round.
 *
 * What is appended is durable when the coordinator has synced the segment. (Redo logging with fuzzy, paced
 * checkpoints: Gray and Reuter, "Transaction Processing", 1992, chapter 11; a log of inputs in place of
 * changes: VoltDB's command log.)
 */

import { crc32c, crc32cBytes, type SharedMemory } from '../../core/index.ts';
import { exchangeBlockBytes } from '../../operators/index.ts';
import { type EpochHead, epochHeadBody, FRAME_KIND, type FrameKind, frameHead, framePadding } from './frames.ts';

/** Where a worker's frames go. Synchronous: a worker has nothing else to do meanwhile. */
export interface StateLog {
  /** Appends these bytes to the open segment, in one piece. They are not needed afterwards. */
  append(pieces: readonly Uint8Array[]): void;
  /** Closes the open segment, and begins one for frames of epochs from this one on. */
  roll(from: number): void;
}

/** A shard whose base can be written. */
export interface LoggedShard {
  readonly exchange: number;
  readonly shard: number;
  /** Its state (shard-state.ts). */
  stateBytes(): Uint8Array;
  /** The epoch of the newest base in the log that goes on; undefined: it has none. */
  readonly base: number | undefined;
}

/** Blocks of one exchange, by address. */
export interface LoggedBlocks {
  readonly exchange: number;
  readonly blocks: readonly number[];
}

/** Bases of a start that are held before they are written. */
const FLUSH_BYTES = 1 << 20;
const NOTHING = new Uint8Array(8);
/** A piece of a base has at least so many bytes, unless it is the last. */
const PIECE_BYTES_MIN = 256 << 10;
/** A new segment begins no earlier: with little state rounds are short. */
const SEGMENT_BYTES_MIN = 4 << 20;

export class StateWriter {
  readonly #memory: SharedMemory;
  readonly #log: StateLog;
  readonly #worker: number;
  readonly #shards: readonly LoggedShard[];
  /** By place in `#shards`: the epoch of its newest base. */
  readonly #bases: number[];
  /** The shard whose base is next. */
  #turn = 0;
  /** Bytes of bases that may be written. */
  #credit = 0;
  /** The base that is being written: the snapshot of the shard whose turn it is. */
  #open: { readonly epoch: number; readonly state: Uint8Array; written: number } | undefined;
  #segmentBytes = 0;
  bytesWritten = 0;
  readonly #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #frames = 0;

  /**
   * @param shards those that the worker owns
   * @param start where the log does not go on from another one: the epoch in front of the first one to come.
   *   All shards get a base as of its end. The same for all workers
   */
  constructor(memory: SharedMemory, log: StateLog, worker: number, shards: readonly LoggedShard[], firstEpoch: number, start: EpochHead | undefined) {
    this.#memory = memory;
    this.#log = log;
    this.#worker = worker;
    this.#shards = shards;
    this.#bases = shards.map(({ base }) => start?.epoch ?? (base as number));
    if (start === undefined) {
      log.roll(firstEpoch);
      return;
    }
    log.roll(start.epoch);
    this.#frame(FRAME_KIND.begin, start.epoch, 0, worker, epochHeadBody(start));
    for (const one of shards) {
      this.#base(one, start.epoch);
      if (this.#pieceBytes >= FLUSH_BYTES) this.#flush();
    }
    this.#end(start.epoch);
  }

  /** Frames of epochs up to this one are needed for none of this worker's shards. */
  get oldestBase(): number {
    return this.#bases.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...this.#bases);
  }

  /**
   * Writes an epoch that is merged.
   *
   * @param blocks what this worker's scans left in it, by exchange; still in memory
   */
  endEpoch(head: EpochHead, blocks: readonly LoggedBlocks[]): void {
    const { epoch } = head;
    this.#frames = 0;
    this.#frame(FRAME_KIND.begin, epoch, 0, this.#worker, epochHeadBody(head));
    const before = this.#pieceBytes;
    for (const { exchange, blocks: addresses } of blocks) for (const address of addresses) this.#block(epoch, exchange, address);
    this.#credit += this.#pieceBytes - before;
    const isRound = this.#writeBases(epoch);
    this.#end(epoch);
    if (!isRound || this.#segmentBytes < SEGMENT_BYTES_MIN) return;
    this.#segmentBytes = 0;
    this.#log.roll(epoch + 1);
  }

  #end(epoch: number): void {
    this.#frame(FRAME_KIND.end, epoch, 0, this.#frames + 1, new Uint8Array(0));
    this.#flush();
  }

  /** @returns whether a round is over */
  #writeBases(epoch: number): boolean {
    let isRound = this.#shards.length === 0;
    // Never more than one piece beyond what the blocks have paid for. A round ends with its epoch: a segment that
    // begins then has all pieces of its bases.
    while (this.#credit > 0 && !isRound) {
      const before = this.#pieceBytes;
      const isWhole = this.#writePiece(epoch);
      this.#credit -= this.#pieceBytes - before;
      if (!isWhole) continue;
      this.#turn = (this.#turn + 1) % this.#shards.length;
      isRound = this.#turn === 0;
    }
    // What a small state leaves over is not saved up for a large one.
    if (this.#credit > 0) this.#credit = 0;
    return isRound && this.#shards.length > 0;
  }

  /** @returns whether that was the last one of the base */
  #writePiece(epoch: number): boolean {
    const { exchange, shard, stateBytes } = this.#shards[this.#turn] as LoggedShard;
    const open = (this.#open ??= { epoch, state: stateBytes(), written: 0 });
    const left = open.state.length - open.written;
    const bytes = Math.max(this.#credit, PIECE_BYTES_MIN);
    const isLast = left <= bytes;
    const end = isLast ? open.state.length : open.written + bytes;
    this.#frame(isLast ? FRAME_KIND.base : FRAME_KIND.piece, open.epoch, exchange, shard, open.state.subarray(open.written, end));
    open.written = end;
    if (!isLast) return false;
    this.#bases[this.#turn] = open.epoch;
    this.#open = undefined;
    return true;
  }

  #block(epoch: number, exchange: number, address: number): void {
    const bytes = exchangeBlockBytes(this.#memory, address);
    const head = { kind: FRAME_KIND.block, epoch, exchange, number: address, bodyBytes: bytes } as const;
    this.#push(
      frameHead(head, (seed) => crc32c(this.#memory, address, bytes, seed)),
      this.#memory.u8.subarray(address, address + bytes),
    );
  }

  #base({ exchange, shard, stateBytes }: LoggedShard, epoch: number): void {
    this.#frame(FRAME_KIND.base, epoch, exchange, shard, stateBytes());
  }

  #frame(kind: FrameKind, epoch: number, exchange: number, number: number, body: Uint8Array): void {
    this.#push(
      frameHead({ kind, epoch, exchange, number, bodyBytes: body.length }, (seed) => crc32cBytes(body, 0, body.length, seed)),
      body,
    );
  }

  #push(head: Uint8Array, body: Uint8Array): void {
    const padding = framePadding(body.length);
    this.#pieces.push(head, body);
    if (padding > 0) this.#pieces.push(NOTHING.subarray(0, padding));
    this.#pieceBytes += head.length + body.length + padding;
    this.#frames++;
  }

  #flush(): void {
    this.#log.append(this.#pieces);
    this.#pieces.length = 0;
    this.#segmentBytes += this.#pieceBytes;
    this.bytesWritten += this.#pieceBytes;
    this.#pieceBytes = 0;
  }
}
