/**
 * Intake: where the frames of all sources come in. It copies each frame once, into the open chunk of its partition, and
 * hands full chunks on. It counts the bytes that are under way and says when there is no credit left; it never looks
 * inside a frame.
 *
 * A chunk is closed when the next frame does not fit, and at the end of an epoch: given the positions at which epochs
 * are cut, the cuts between chunks follow from offsets and sizes alone, so that a replay makes the same chunks.
 */

import type { SharedMemory, SlabAllocator } from '../core/index.ts';
import { type Chunk, FRAME, frameBytes, type Offset, type SourceContext } from '../io/index.ts';

export interface IntakeLimits {
  /** Bytes of a chunk's slab; a larger frame gets a slab of its own. */
  readonly chunkBytes: number;
  /** Bytes of chunks that may be under way (open, in a ring, being scanned) before sources are asked to pause. */
  readonly creditBytes: number;
  /** Bytes that an epoch may take in before it is cut early. */
  readonly epochBytes: number;
}

export interface IntakeEvents {
  /** A chunk is full, or its epoch ends. */
  chunk(source: number, chunk: Chunk, sequence: number): void;
  /** The epoch has taken in all that it may: end it as soon as that is allowed. */
  epochFull(): void;
  ended(source: number, partition: number): void;
  assigned(source: number, partitions: readonly number[]): void;
  failed(source: number, error: unknown): void;
}

/** What is known of one partition. Times are those of the injected clock. */
export interface PartitionState {
  readonly source: number;
  readonly partition: number;
  readonly global: number;
  /** Position behind the last frame taken in; undefined before the first. */
  position: Offset | undefined;
  /** Position behind the newest row that exists outside, as far as the source has told. */
  high: Offset | undefined;
  ended: boolean;
  assigned: boolean;
  /** When rows last came in, and whether all that exists had come in then or since: what idleness goes by. */
  lastRowsAtMs: number;
  /** Since when the source has had nothing for us though there was credit. */
  caughtUp: boolean;
  /** The open chunk; address 0 when there is none. */
  address: number;
  capacity: number;
  used: number;
  /** What the chunk counts for: its bytes, or more where frames stand for rows that are made later (Source.offsetBytes). */
  weight: number;
  first: Offset;
  next: Offset;
  sequence: number;
}

export class Intake {
  readonly partitions: PartitionState[] = [];
  readonly #bySource: PartitionState[][] = [];
  readonly #offsetBytes: number[] = [];
  /** What each chunk that was handed on counts for. */
  readonly #weights = new Map<number, number>();
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #limits: IntakeLimits;
  #chunkBytes: number;
  readonly #events: IntakeEvents;
  readonly #now: () => number;
  #underWayBytes = 0;
  #epochBytes = 0;
  #epochIsFull = false;
  #closed = false;
  #isOver = false;
  #waiting: (() => void)[] = [];
  bytesIn = 0;

  constructor(slabs: SlabAllocator, limits: IntakeLimits, events: IntakeEvents, now: () => number) {
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#limits = limits;
    this.#chunkBytes = limits.chunkBytes;
    this.#events = events;
    this.#now = now;
  }

  /** Names the partitions of a source. In the order of the sources, before any frame. */
  addSource(partitionCount: number, offsetBytes = 0): void {
    const source = this.#bySource.length;
    this.#offsetBytes.push(offsetBytes);
    const states: PartitionState[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      states.push({
        source,
        partition,
        global: this.partitions.length + partition,
        position: undefined,
        high: undefined,
        ended: false,
        assigned: true,
        lastRowsAtMs: this.#now(),
        caughtUp: false,
        address: 0,
        capacity: 0,
        used: 0,
        weight: 0,
        first: 0,
        next: 0,
        sequence: 0,
      });
    }
    this.#bySource.push(states);
    this.partitions.push(...states);
  }

  /** Settles the size of chunks once all partitions are known: all may have one open, and they must not eat up the credit. */
  limitChunks(minBytes: number): void {
    while (this.#chunkBytes > minBytes && this.#chunkBytes * this.partitions.length > this.#limits.creditBytes / 2) this.#chunkBytes /= 2;
  }

  /** How long the partition has had nothing for us although all that exists outside was read: never under back-pressure. */
  idleForMs(state: PartitionState): number {
    return state.caughtUp && this.#hasCredit ? this.#now() - state.lastRowsAtMs : 0;
  }

  /** The context for the outer end of source `source`. */
  context(source: number, options: { drain: boolean; signal: AbortSignal }): SourceContext {
    return {
      drain: options.drain,
      signal: options.signal,
      emit: (partition, bytes, first, next, flags = 0, cut = 0) => this.#emit(this.#state(source, partition), bytes, first, next, flags, cut),
      credit: () => this.#credit(),
      end: (partition) => {
        const state = this.#state(source, partition);
        if (state.ended) return;
        state.ended = true;
        this.#events.ended(source, partition);
      },
      high: (partition, end) => {
        const state = this.#state(source, partition);
        state.high = end;
        state.caughtUp = state.position === undefined || state.position >= end;
      },
      assigned: (partitions) => {
        for (const state of this.#bySource[source] as PartitionState[]) state.assigned = partitions.includes(state.partition);
        this.#events.assigned(source, partitions);
      },
      fail: (error) => this.#events.failed(source, error),
    };
  }

  /** Bytes of chunks that are open, in a ring or being scanned. */
  get underWayBytes(): number {
    return this.#underWayBytes;
  }

  get epochBytes(): number {
    return this.#epochBytes;
  }

  /** Hands on all open chunks: what came in so far is the epoch. */
  endEpoch(): void {
    for (const state of this.partitions) this.#closeChunk(state);
    this.#epochBytes = 0;
    this.#epochIsFull = false;
    this.#wake();
  }

  /** A worker is done with the chunk at `address`. */
  chunkDone(address: number): void {
    this.#underWayBytes -= this.#weights.get(address) ?? 0;
    this.#weights.delete(address);
    this.#slabs.free(address);
    this.#wake();
  }

  /** Takes in nothing more: frames that still come are dropped, uncommitted, and sources wait for credit until `release`. */
  close(): void {
    this.#closed = true;
  }

  /** The job is over: nobody waits any longer. */
  release(): void {
    this.#closed = true;
    this.#isOver = true;
    this.#wake();
  }

  get #hasCredit(): boolean {
    return !this.#epochIsFull && this.#underWayBytes < this.#limits.creditBytes;
  }

  #emit(state: PartitionState, bytes: Uint8Array, first: Offset, next: Offset, flags: number, cut: number): boolean {
    if (this.#closed) return false;
    const needed = frameBytes(bytes.length);
    const weight = Math.max(needed, (next - first) * (this.#offsetBytes[state.source] as number));
    if (state.address !== 0 && (state.used + needed > state.capacity || state.weight + weight > this.#chunkBytes)) this.#closeChunk(state);
    if (state.address === 0) {
      const address = this.#slabs.alloc(Math.max(needed, this.#chunkBytes));
      state.address = address;
      // The slab may be larger than asked for; the cut must follow from the sizes of frames, not from the allocator.
      state.capacity = Math.max(needed, this.#chunkBytes);
      state.used = 0;
      state.weight = 0;
      state.first = first;
    }
    state.weight += weight;
    this.#underWayBytes += weight;
    const at = state.address + state.used;
    const { u32, f64, u8 } = this.#memory;
    u32[(at + FRAME.bodyBytes) >>> 2] = bytes.length;
    u32[(at + FRAME.flags) >>> 2] = flags;
    f64[(at + FRAME.first) >>> 3] = first;
    f64[(at + FRAME.next) >>> 3] = next;
    f64[(at + FRAME.cut) >>> 3] = cut;
    u8.set(bytes, at + FRAME.headerBytes);
    state.used += needed;
    state.next = next;
    state.position = next;
    state.lastRowsAtMs = this.#now();
    state.caughtUp = state.high !== undefined && next >= state.high;
    this.bytesIn += bytes.length;
    this.#epochBytes += weight;
    if (!this.#epochIsFull && this.#epochBytes >= this.#limits.epochBytes) {
      this.#epochIsFull = true;
      this.#events.epochFull();
    }
    return this.#hasCredit;
  }

  #closeChunk(state: PartitionState): void {
    if (state.address === 0) return;
    const chunk: Chunk = { partition: state.partition, address: state.address, byteLength: state.used, first: state.first, next: state.next };
    this.#weights.set(state.address, state.weight);
    state.address = 0;
    this.#events.chunk(state.source, chunk, state.sequence++);
  }

  #credit(): Promise<void> {
    if (this.#isOver || (this.#hasCredit && !this.#closed)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    if (this.#waiting.length === 0 || !(this.#isOver || (this.#hasCredit && !this.#closed))) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #state(source: number, partition: number): PartitionState {
    const state = this.#bySource[source]?.[partition];
    if (state === undefined) throw new RangeError(`source ${source} has no partition ${partition}`);
    return state;
  }
}
