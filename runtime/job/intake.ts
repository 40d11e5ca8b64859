/**
 * Intake: where the frames of all sources come in. It copies each frame once, into the open chunk of its
 * partition, and hands full chunks on. It counts the bytes that are under way, and says when there is no
 * credit left. It never looks inside a frame.
 *
 * A chunk is closed when the next frame does not fit, and at the end of an epoch. Given the positions at
 * which epochs are cut, the cuts between chunks follow from offsets and sizes alone. So a replay makes the
 * same chunks.
 *
 * Where a restart repeats epochs (replay.ts), it knows beforehand where the epoch ends. A partition that has
 * reached its cut has no credit, and frames that were on their way are held back. The others go on until all
 * have reached theirs.
 *
 * Sources whose rows are joined with a table wait, at every start, until the table's sources have been read
 * up to where they stood then: those that end by themselves to their end, others to the first `high` that
 * they report. Meanwhile the waiting sources have no credit, and what they emit all the same is held back.
 * Epochs that are repeated are cut as they were, and nobody waits.
 */

import { MillraceError, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import { type Chunk, FRAME, frameBytes, type Offset, type Source, type SourceContext } from '../../io/index.ts';
import { type EpochCut, type PartitionState, positionOf } from '../epoch/index.ts';
import type { BackPressure } from '../observe/index.ts';
import { CreditTimes } from './credit-times.ts';

export interface IntakeLimits {
  /** Bytes of a chunk's slab; a larger frame gets a slab of its own. */
  readonly chunkBytes: number;
  /** Bytes of chunks that may be under way (open, in a ring, being scanned) before sources have to pause. */
  readonly creditBytes: number;
  /** Bytes that an epoch may take in before it is cut early. */
  readonly epochBytes: number;
}

export interface IntakeEvents {
  /** A chunk is full, or its epoch ends. */
  chunk(source: number, chunk: Chunk, sequence: number): void;
  /** The first frame of an epoch is about to come in. */
  began(): void;
  /** The epoch is full: it is to end as soon as allowed. */
  epochFull(): void;
  /** All partitions have reached their cut of the epoch. */
  cutReached(): void;
  ended(source: number, partition: number): void;
  failed(source: number, error: unknown): void;
  /** What a source waits for outside; undefined: it waits no longer. */
  waiting(source: number, what: string | undefined): void;
  /** A source says which partitions it has. */
  assigned?(source: number, partitions: readonly number[]): void;
}

/** A partition, with its open chunk and what is held back. */
interface IntakePartition extends PartitionState {
  /** Where the epoch is to be cut; +Infinity: anywhere. */
  cut: Offset;
  /** The partition had ended when the epoch was cut, so the cut is reached only when it ends again. */
  endsAtCut: boolean;
  /** Frames behind the cut, or that wait for a table. */
  held: HeldFrame[];
  /** It has ended, after the frames that are held. */
  endsBehindHeld: boolean;
  /** How far to read until it is loaded; undefined: not known yet. */
  loadUntil: Offset | undefined;
  /** The open chunk; address 0 when there is none. */
  address: number;
  capacity: number;
  used: number;
  /**
   * What the chunk counts as: its bytes, or more where frames stand for rows that are made later
   * (Source.offsetBytes).
   */
  weight: number;
  first: Offset;
  next: Offset;
  sequence: number;
}

interface HeldFrame {
  readonly bytes: Uint8Array;
  readonly first: Offset;
  readonly next: Offset;
  readonly flags: number;
  readonly cut: number;
}

export class Intake {
  readonly partitions: IntakePartition[] = [];
  readonly #bySource: IntakePartition[][] = [];
  readonly #offsetBytes: number[] = [];
  readonly #isPaced: boolean[] = [];
  readonly #frameRows: NonNullable<Source['frameRows']>[] = [];
  /** By source: the sources that it waits for. */
  #behind: Set<number>[] = [];
  /** By source: whether it ends by itself. */
  #isBounded: readonly boolean[] = [];
  #isLoading = false;
  #ofTasks: number | undefined;
  #areAllLoaded = false;
  /** By source: rows that the frames of the epoch announce; NaN: a frame does not tell. */
  readonly #rows: number[] = [];
  /** What each chunk that was handed on counts as. */
  readonly #weights = new Map<number, number>();
  readonly #memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  readonly #limits: IntakeLimits;
  #chunkBytes: number;
  #epochBytesMax: number;
  /** State or output is at its limit: nothing is asked for, unless an epoch is repeated. */
  #isPaused = false;
  readonly #events: IntakeEvents;
  readonly #now: () => number;
  #underWayBytes = 0;
  #epochBytes = 0;
  #epochIsFull = false;
  #closed = false;
  #isOver = false;
  /** Since when there has been credit without a break, as far as observed. */
  #creditSinceMs = Number.NEGATIVE_INFINITY;
  #hadCredit = true;
  readonly #creditTimes = new CreditTimes();
  #isCutting = false;
  /** Of epochs that are repeated, in their order, by global partition. */
  #cuts: readonly (readonly Offset[])[] = [];
  #waiting: { readonly state: IntakePartition; readonly resolve: () => void }[] = [];
  /** Sources that have reported something of their partitions. */
  readonly #heard = new Set<number>();
  bytesIn = 0;

  constructor(slabs: SlabAllocator, limits: IntakeLimits, events: IntakeEvents, now: () => number) {
    this.#memory = slabs.memory;
    this.#slabs = slabs;
    this.#limits = limits;
    this.#chunkBytes = limits.chunkBytes;
    this.#epochBytesMax = limits.epochBytes;
    this.#events = events;
    this.#now = now;
  }

  /** Adds the partitions of a source. In the order of the sources, before any frame. */
  addSource(partitionCount: number, offsetBytes = 0, frameRows: Source['frameRows'] = () => undefined, isPaced = false): void {
    const source = this.#bySource.length;
    this.#isPaced.push(isPaced);
    this.#offsetBytes.push(offsetBytes);
    this.#frameRows.push(frameRows);
    this.#rows.push(0);
    const states: IntakePartition[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      states.push({
        source,
        partition,
        global: this.partitions.length + partition,
        start: 0,
        position: undefined,
        committed: undefined,
        high: undefined,
        ended: false,
        assigned: true,
        lastRowsAtMs: this.#now(),
        caughtUp: false,
        lookedAtMs: Number.NEGATIVE_INFINITY,
        cut: Number.POSITIVE_INFINITY,
        endsAtCut: false,
        held: [],
        endsBehindHeld: false,
        loadUntil: undefined,
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

  /**
   * Sets which sources wait for which others to be loaded. Before any frame.
   *
   * @param behind by source, the sources that it waits for
   * @param isBounded by source, whether it ends by itself
   * @param ofTasks the source by which the tasks of a job tell each other; sources behind it wait for {@link loadedByAll}
   */
  loadFirst(behind: readonly (readonly number[])[], isBounded: readonly boolean[], ofTasks?: number): void {
    this.#ofTasks = ofTasks;
    this.#behind = behind.map((sources) => new Set(sources));
    this.#isBounded = isBounded;
    this.#isLoading = behind.some((sources) => sources.length > 0);
    for (const source of this.#bySource.keys()) this.#checkLoaded(source);
  }

  /** What the other tasks do not tell: the tables of this one are loaded. */
  get isLoaded(): boolean {
    return this.#behind.every((behind) => behind.size === 0 || (behind.size === 1 && this.#ofTasks !== undefined && behind.has(this.#ofTasks)));
  }

  /** The tables of all tasks are loaded. */
  loadedByAll(): void {
    if (this.#ofTasks === undefined || this.#areAllLoaded) return;
    this.#areAllLoaded = true;
    this.#checkLoaded(this.#ofTasks);
  }

  /**
   * Sets the size of chunks once all partitions are known: each may have one open, and together they must not
   * use up the credit.
   */
  limitChunks(minBytes: number): void {
    const count = this.partitions.filter(({ assigned }) => assigned).length;
    while (this.#chunkBytes > minBytes && this.#chunkBytes * count > this.#limits.creditBytes / 2) this.#chunkBytes /= 2;
  }

  /**
   * How long the partition has had nothing although we were asking: from its last rows, or from when credit
   * came back, to the last time that its source looked and found nothing more. So neither back-pressure nor a
   * broker that is away makes it idle.
   */
  idleForMs(state: PartitionState): number {
    return state.caughtUp && this.#hasCredit ? Math.max(0, state.lookedAtMs - Math.max(state.lastRowsAtMs, this.#creditSinceMs)) : 0;
  }

  /**
   * Every source with partitions has reported something of one: rows, its end, how much there is, or which
   * ones it has.
   */
  get hasHeardOfAll(): boolean {
    return this.#bySource.every((states, source) => states.length === 0 || this.#heard.has(source));
  }

  /** Sets where a partition begins. Before any frame. */
  startAt(global: number, offset: Offset): void {
    (this.partitions[global] as IntakePartition).start = offset;
  }

  /** Resumes a partition where another run left it. Before any frame. */
  resume(global: number, { offset, sequence, lastRowsAtMs }: { readonly offset: Offset; readonly sequence: number; readonly lastRowsAtMs: number }): void {
    Object.assign(this.partitions[global] as IntakePartition, { start: offset, sequence, lastRowsAtMs });
  }

  /** Positions were committed, by global partition. */
  committed(positions: readonly Offset[]): void {
    for (const state of this.partitions) state.committed = positions[state.global] as Offset;
  }

  /**
   * Sets where the epoch that begins now is to be cut; undefined: wherever {@link endEpoch} is called. Takes
   * in what was held back.
   */
  cutAt(cut: EpochCut | undefined): void {
    this.#isCutting = cut !== undefined;
    for (const state of this.partitions) {
      state.cut = cut?.positions[state.global] ?? Number.POSITIVE_INFINITY;
      state.endsAtCut = cut?.ended[state.global] ?? false;
    }
    for (const state of this.partitions) {
      const held = state.held;
      state.held = [];
      for (const { bytes, first, next, flags, cut: rowCut } of held) this.#emit(state, bytes, first, next, flags, rowCut);
    }
    if (!this.#isCutting) for (const source of this.#bySource.keys()) this.#checkLoaded(source);
    this.#wake();
    this.#checkCut();
  }

  /** Sets where epochs that are repeated will be cut, in their order, by global partition. Before any frame. */
  repeats(cuts: readonly (readonly Offset[])[]): void {
    this.#cuts = cuts;
  }

  /** Every partition has reached its cut. */
  get isCutReached(): boolean {
    return this.#isCutting && this.partitions.every((state) => positionOf(state) >= state.cut && (!state.endsAtCut || state.ended || state.held.length > 0));
  }

  /** The context for the outer end of source `source`. */
  context(source: number, options: { drain: boolean; signal: AbortSignal }): SourceContext {
    return {
      drain: options.drain,
      signal: options.signal,
      emit: (partition, bytes, first, next, flags = 0, cut = 0) => this.#emit(this.#state(source, partition), bytes, first, next, flags, cut),
      cutBehind: (partition, offset) => {
        const { global } = this.#state(source, partition);
        return this.#cuts.find((positions) => (positions[global] as Offset) > offset)?.[global];
      },
      credit: (partition) => this.#credit(this.#state(source, partition)),
      end: (partition) => {
        const state = this.#state(source, partition);
        if (state.ended) return;
        if (state.held.length > 0 && this.#isWaiting(state)) {
          state.endsBehindHeld = true;
          return;
        }
        state.ended = true;
        if (state.held.length === 0 && this.#isCutting && positionOf(state) < state.cut) this.#isGone(state, `it ends at ${positionOf(state)}`);
        this.#events.ended(source, partition);
        this.#checkCut();
        this.#checkLoaded(source);
      },
      high: (partition, end) => {
        const state = this.#state(source, partition);
        state.high = end;
        state.loadUntil ??= end;
        state.caughtUp = positionOf(state) >= end;
        if (state.caughtUp) state.lookedAtMs = this.#now();
        const endsBefore = this.#isCutting && positionOf(state) < state.cut && end < state.cut && state.caughtUp;
        if (endsBefore && this.#isPaced[source] !== true) this.#isGone(state, `it ends at ${end}`);
        this.#checkLoaded(source);
      },
      assigned: (partitions) => {
        this.#heard.add(source);
        this.#events.assigned?.(source, partitions);
        this.#assign(source, partitions);
      },
      waiting: (what) => this.#events.waiting(source, what),
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

  /** Hands on all open chunks, full or not. */
  handOn(): void {
    for (const state of this.partitions) this.#closeChunk(state);
  }

  /** Sets how much an epoch may take in, from now on. */
  limitEpoch(bytes: number): void {
    this.#epochBytesMax = bytes;
  }

  /** The epoch is to end as soon as allowed, and takes in no more than is on its way. */
  fillEpoch(): void {
    if (this.#epochIsFull || this.#isCutting || this.#epochBytes === 0) return;
    this.#epochIsFull = true;
    this.#creditTimes.stop('epochs', this.#now());
    this.#events.epochFull();
  }

  /**
   * Asks for nothing more, or again. What comes all the same is taken in.
   *
   * @param isFull it is for want of memory, which counts as back-pressure
   */
  pause(isPaused: boolean, isFull = isPaused): void {
    if (isFull) this.#creditTimes.stop('output', this.#now());
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#hadCredit = false;
    else this.#wake();
  }

  /** How long there was no credit, by reason. */
  get backPressure(): BackPressure {
    return this.#creditTimes.seconds(this.#now());
  }

  /** Hands on all open chunks: the epoch has what came in so far. */
  endEpoch(): void {
    this.handOn();
    this.#epochBytes = 0;
    this.#epochIsFull = false;
    this.#wake();
  }

  /**
   * By source: how many rows the frames announce that came in since the last call; undefined where a frame
   * does not tell.
   */
  takeRows(): (number | undefined)[] {
    return this.#rows.map((rows, source) => {
      this.#rows[source] = 0;
      return Number.isNaN(rows) ? undefined : rows;
    });
  }

  /** A worker is done with the chunk at `address`. */
  chunkDone(address: number): void {
    this.#underWayBytes -= this.#weights.get(address) ?? 0;
    this.#weights.delete(address);
    this.#slabs.free(address);
    this.#wake();
  }

  /**
   * Takes in nothing more. Frames that still come are dropped, uncommitted, and sources wait for credit until
   * `release`.
   */
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
    return !this.#epochIsFull && !(this.#isPaused && !this.#isCutting) && this.#underWayBytes < this.#limits.creditBytes;
  }

  /** It has reached its cut, and waits for the others. */
  #isAhead(state: IntakePartition): boolean {
    return positionOf(state) >= state.cut && (!state.endsAtCut || state.held.length > 0);
  }

  /**
   * A partition that goes to another process is read again there, from its last commit. Its rows after that
   * commit are in our state and cannot be taken out. So the job ends, and writes nothing of them.
   */
  #assign(source: number, partitions: readonly number[]): void {
    for (const state of this.#bySource[source] as IntakePartition[]) {
      const isLost = state.assigned && !partitions.includes(state.partition);
      state.assigned = partitions.includes(state.partition);
      if (!isLost || positionOf(state) === (state.committed ?? state.start)) continue;
      this.#events.failed(
        source,
        new MillraceError(
          'ERR_MILLRACE_SOURCE',
          `Partition ${state.partition} was given to another member of the group, after its rows from offset ${state.committed ?? state.start} to ${positionOf(state)} were read here and before they were committed. They are read again there, and would count twice: this job ends without writing them. Run one job per group; a second one needs a group of its own.`,
        ),
      );
      return;
    }
  }

  #emit(state: IntakePartition, bytes: Uint8Array, first: Offset, next: Offset, flags: number, cut: number): boolean {
    if (this.#closed || !state.assigned) return false;
    if (this.#isCutting && next > state.cut) {
      if (positionOf(state) >= state.cut) {
        state.held.push({ bytes: bytes.slice(), first, next, flags, cut });
        this.#checkCut();
      } else this.#isGone(state, `what was read now goes from ${first} to ${next}`);
      return false;
    }
    if (this.#isWaiting(state)) {
      state.held.push({ bytes: bytes.slice(), first, next, flags, cut });
      return false;
    }
    if (this.#epochBytes === 0) this.#events.began();
    this.#take(state, bytes, first, next, flags, cut);
    if (this.#isCutting) this.#checkCut();
    this.#checkLoaded(state.source);
    return this.#hasCredit && !this.#isAhead(state);
  }

  /** Tables that its rows are joined with are not loaded yet. */
  #isWaiting({ source }: IntakePartition): boolean {
    return this.#isLoading && !this.#isCutting && (this.#behind[source]?.size ?? 0) > 0;
  }

  /** When a source is loaded, sources that waited for it alone go on, first with what was held back. */
  #checkLoaded(source: number): void {
    if (!this.#isLoading || this.#isCutting) return;
    const isLoaded = (state: IntakePartition): boolean =>
      state.ended || !state.assigned || (this.#isBounded[source] !== true && state.loadUntil !== undefined && positionOf(state) >= state.loadUntil);
    if (!(source === this.#ofTasks ? this.#areAllLoaded : (this.#bySource[source] as IntakePartition[]).every(isLoaded))) return;
    for (const behind of this.#behind) behind.delete(source);
    this.#isLoading = this.#behind.some((behind) => behind.size > 0);
    for (const state of this.partitions) {
      if (state.held.length === 0 || this.#isWaiting(state)) continue;
      const held = state.held;
      state.held = [];
      for (const { bytes, first, next, flags, cut } of held) this.#emit(state, bytes, first, next, flags, cut);
      if (!state.endsBehindHeld) continue;
      state.endsBehindHeld = false;
      state.ended = true;
      this.#events.ended(state.source, state.partition);
      this.#checkLoaded(state.source);
    }
    this.#wake();
  }

  #take(state: IntakePartition, bytes: Uint8Array, first: Offset, next: Offset, flags: number, cut: number): void {
    const needed = frameBytes(bytes.length);
    const { source } = state;
    this.#rows[source] =
      (this.#rows[source] as number) + ((this.#frameRows[source] as NonNullable<Source['frameRows']>)(bytes, first, next, cut) ?? Number.NaN);
    const weight = Math.max(needed, (next - first) * (this.#offsetBytes[state.source] as number));
    if (state.address !== 0 && (state.used + needed > state.capacity || state.weight + weight > this.#chunkBytes)) this.#closeChunk(state);
    if (state.address === 0) {
      const address = this.#openChunk(Math.max(needed, this.#chunkBytes));
      state.address = address;
      // The slab may be larger than asked for; the cut must follow from the sizes of frames, not from the
      // allocator.
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
    // A repeated epoch may be larger than one may be now.
    if (!this.#isCutting && !this.#epochIsFull && this.#epochBytes >= this.#epochBytesMax) {
      this.fillEpoch();
    }
    if (!this.#hasCredit) {
      this.#hadCredit = false;
      if (!this.#isPaused) this.#creditTimes.stop(this.#epochIsFull ? 'epochs' : 'workers', this.#now());
    }
  }

  #openChunk(bytes: number): number {
    const address = this.#slabs.tryAlloc(bytes);
    if (address !== 0) return address;
    const { usedBytes, totalBytes } = this.#slabs.usage();
    const open = this.partitions.filter((state) => state.address !== 0).length;
    throw new MillraceError(
      'ERR_MILLRACE_MEMORY',
      `The memory budget is used up: ${bytes} bytes asked for rows of one more partition, ${usedBytes} of ${totalBytes} in use, of which ${open * this.#chunkBytes} for rows of ${open} partitions (of ${this.partitions.length}). Raise the memory option, read fewer partitions in one job, shorten the windows, or reduce the number of distinct keys.`,
    );
  }

  #checkCut(): void {
    if (this.isCutReached) this.#events.cutReached();
  }

  /** The rows of an epoch that is to be repeated are gone. */
  #isGone({ source, partition, cut }: IntakePartition, what: string): void {
    this.#events.failed(
      source,
      new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `An epoch cannot be repeated as the journal has it: partition ${partition} was cut at ${cut}, but ${what}. Its rows were deleted or written anew. Restore them, or delete the journal: what is read again is then cut and stamped anew.`,
      ),
    );
  }

  #closeChunk(state: IntakePartition): void {
    if (state.address === 0) return;
    const chunk: Chunk = { partition: state.partition, address: state.address, byteLength: state.used, first: state.first, next: state.next };
    this.#weights.set(state.address, state.weight);
    state.address = 0;
    this.#events.chunk(state.source, chunk, state.sequence++);
  }

  #credit(state: IntakePartition): Promise<void> {
    if (this.#mayGoOn(state)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ state, resolve }));
  }

  #mayGoOn(state: IntakePartition): boolean {
    return this.#isOver || (this.#hasCredit && !this.#closed && !this.#isAhead(state) && !this.#isWaiting(state));
  }

  #wake(): void {
    if (this.#hasCredit || this.#isOver) this.#creditTimes.go(this.#now());
    if (!this.#hadCredit && this.#hasCredit) {
      this.#hadCredit = true;
      this.#creditSinceMs = this.#now();
    }
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (this.#mayGoOn(waiter.state)) waiter.resolve();
      else this.#waiting.push(waiter);
    }
  }

  #state(source: number, partition: number): IntakePartition {
    const state = this.#bySource[source]?.[partition];
    if (state === undefined) throw new RangeError(`source ${source} has no partition ${partition}`);
    this.#heard.add(source);
    return state;
  }
}
