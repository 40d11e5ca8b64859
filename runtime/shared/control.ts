/**
 * The control block: the few words of shared memory through which coordinator and workers meet. This file is
 * its layout, for both sides, and says who writes each field.
 *
 *   header        aborted flag · coordinator's doorbell · barrier (arrived, generation), one cache line each; and what is
 *                 known of tables that are loaded first, in this task and in all
 *   doorbells     one line per worker: rung by the coordinator
 *   partitions    [parity][partition] i32: what the coordinator knows of a partition when it ends an epoch
 *   maxima        [parity][worker][watermark][partition] f64: newest event time in the epoch
 *   directory     [parity][worker][exchange] u32 pair: address and length of the worker's list of blocks
 *   held          [parity][worker][exchange] f64: end of the last window that a row of the epoch went into
 *   live          [view][shard] LiveCell: where the state of a view lies; by the shard's owner
 *   state         [worker] f64s: bytes of state of the worker's shards, as of some epoch of the last second: in
 *                 memory, on disk, and those of the first that views read
 *   log           [parity][worker] f64 pair: the oldest base in its state log, bytes written so far
 *   activity      [worker] one line each: what it is doing, for people; the count is odd while it works. From
 *                 byte 16 on: at which row (row-at-work.ts)
 *   balance       [parity][worker] f64s: what the worker has counted in the epoch (balance-counts.ts)
 *
 * Everything with a parity exists twice, for epoch & 1. So a worker may go on with the next epoch's scan
 * while another still reads what this one left. Plain writes become visible at the barrier, whose atomics
 * order them.
 */

import { LIVE_CELL_BYTES, SHARD_COUNT, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import type { Plan } from '../plan/index.ts';
import { balanceCounts } from './balance-counts.ts';
import { RowAtWork, type SeenRow } from './row-at-work.ts';
import { ring, waitBlocking } from './wait.ts';

const LINE = 64;
const ABORTED = 0;
const DOORBELL = LINE;
const ARRIVED = 2 * LINE;
const GENERATION = 3 * LINE;
const LOADED = 4 * LINE;
const STATE_BYTES = 24;
const DOORBELLS = 5 * LINE;

export interface ControlShape {
  readonly workers: number;
  /** Partitions of all sources, one after the other. */
  readonly partitions: number;
  readonly watermarks: number;
  readonly exchanges: number;
  readonly views: number;
  readonly sources: number;
}

/** Bytes of state. */
export interface StateBytes {
  /** In memory, that of views included; JavaScript values by estimate. */
  readonly held: number;
  /** Put away on disk. */
  readonly away: number;
  /** Read by views, so that it stays in memory. */
  readonly viewed: number;
}

/** What a worker is doing. */
export interface WorkerActivity {
  /** Changes with every batch. A count that stays means that one takes long. */
  readonly count: number;
  readonly isAtWork: boolean;
  /** 0: a scan; n + 1: the merge of exchange n. */
  readonly stage: number;
  readonly partition: { readonly source: number; readonly number: number };
  readonly at: SeenRow;
}

/** Thrown in a worker's wait when another part of the job has failed. */
export class Aborted extends Error {
  constructor() {
    super('the job was aborted');
    this.name = 'Aborted';
  }
}

export class Control {
  readonly memory: SharedMemory;
  readonly address: number;
  readonly shape: ControlShape;
  readonly #partitions: number;
  readonly #maxima: number;
  readonly #directory: number;
  readonly #held: number;
  readonly #live: number;
  readonly #state: number;
  readonly #log: number;
  readonly #balance: number;
  readonly #activity: number;
  readonly #rows: RowAtWork[] = [];

  /** Attaches to a block that the coordinator allocated and cleared with {@link Control.clear}. */
  constructor(memory: SharedMemory, address: number, shape: ControlShape) {
    this.memory = memory;
    this.address = address;
    this.shape = shape;
    const places = layout(shape);
    this.#partitions = address + places.partitions;
    this.#maxima = address + places.maxima;
    this.#directory = address + places.directory;
    this.#held = address + places.held;
    this.#live = address + places.live;
    this.#state = address + places.state;
    this.#log = address + places.log;
    this.#balance = address + places.balance;
    this.#activity = address + places.activity;
  }

  /**
   * Lays out a control block for a plan, in a slab of its own, and clears it.
   *
   * @param partitions of all sources
   */
  static lay(slabs: SlabAllocator, plan: Plan, workers: number, partitions: number): Control {
    const { watermarks, exchanges, views, sources } = plan;
    const shape: ControlShape = {
      workers,
      partitions,
      watermarks: watermarks.length,
      exchanges: exchanges.length,
      views: views.length,
      sources: sources.length,
    };
    const control = new Control(slabs.memory, slabs.alloc(Control.bytesFor(shape)), shape);
    control.clear();
    return control;
  }

  static bytesFor(shape: ControlShape): number {
    return layout(shape).bytes;
  }

  /** Coordinator, before a worker starts. */
  clear(): void {
    this.memory.u8.fill(0, this.address, this.address + Control.bytesFor(this.shape));
    this.memory.f64.fill(Number.NEGATIVE_INFINITY, this.#maxima >>> 3, this.#directory >>> 3);
    const heldCount = 2 * this.shape.workers * this.shape.exchanges;
    this.memory.f64.fill(Number.NEGATIVE_INFINITY, this.#held >>> 3, (this.#held >>> 3) + heldCount);
  }

  get aborted(): boolean {
    return Atomics.load(this.memory.i32, (this.address + ABORTED) >>> 2) !== 0;
  }

  /** Any thread: ends all waits. */
  abort(): void {
    const { i32 } = this.memory;
    Atomics.store(i32, (this.address + ABORTED) >>> 2, 1);
    ring(i32, (this.address + GENERATION) >>> 2);
    ring(i32, this.coordinatorDoorbell);
    for (let w = 0; w < this.shape.workers; w++) ring(i32, this.workerDoorbell(w));
  }

  /** Index into i32 of the coordinator's doorbell: workers ring it. */
  get coordinatorDoorbell(): number {
    return (this.address + DOORBELL) >>> 2;
  }

  /** Index into i32 of a worker's doorbell: the coordinator rings it. */
  workerDoorbell(worker: number): number {
    return (this.address + DOORBELLS + worker * LINE) >>> 2;
  }

  /**
   * Workers: waits until all workers are here.
   *
   * @throws Aborted
   */
  barrier(): void {
    const { i32 } = this.memory;
    const generation = (this.address + GENERATION) >>> 2;
    const arrived = (this.address + ARRIVED) >>> 2;
    const seen = Atomics.load(i32, generation);
    if (Atomics.add(i32, arrived, 1) === this.shape.workers - 1) {
      Atomics.store(i32, arrived, 0);
      ring(i32, generation);
    } else {
      while (Atomics.load(i32, generation) === seen) {
        if (this.aborted) throw new Aborted();
        waitBlocking(i32, generation, seen, 1_000);
      }
    }
    if (this.aborted) throw new Aborted();
  }

  /** Written by the coordinator before it ends the epoch. */
  setPartition(epoch: number, partition: number, state: number): void {
    this.memory.i32[(this.#partitions >>> 2) + (epoch & 1) * this.shape.partitions + partition] = state;
  }

  partition(epoch: number, partition: number): number {
    return this.memory.i32[(this.#partitions >>> 2) + (epoch & 1) * this.shape.partitions + partition] as number;
  }

  /** Index into f64 of the worker's row of maxima for a watermark, one per partition. */
  maxima(epoch: number, worker: number, watermark: number): number {
    const { workers, watermarks, partitions } = this.shape;
    return (this.#maxima >>> 3) + (((epoch & 1) * workers + worker) * watermarks + watermark) * partitions;
  }

  /** Index into u32 of the pair (address of the list of block addresses, their count). */
  directory(epoch: number, worker: number, exchange: number): number {
    const { workers, exchanges } = this.shape;
    return (this.#directory >>> 2) + (((epoch & 1) * workers + worker) * exchanges + exchange) * 2;
  }

  /** Index into f64 of the end of the last window held. */
  held(epoch: number, worker: number, exchange: number): number {
    const { workers, exchanges } = this.shape;
    return (this.#held >>> 3) + ((epoch & 1) * workers + worker) * exchanges + exchange;
  }

  /** Address of the LiveCell of a shard of a view. */
  live(view: number, shard: number): number {
    return this.#live + (view * SHARD_COUNT + shard) * LIVE_CELL_BYTES;
  }

  /** Worker: bytes of state of its shards. */
  setStateBytes(worker: number, { held, away, viewed }: StateBytes): void {
    const { f64 } = this.memory;
    const at = (this.#state + worker * STATE_BYTES) >>> 3;
    f64[at] = held;
    f64[at + 1] = away;
    f64[at + 2] = viewed;
  }

  /** Bytes of state of all shards; without those of one worker, if asked so. */
  stateBytes(except = -1): StateBytes {
    const { f64 } = this.memory;
    const sum = { held: 0, away: 0, viewed: 0 };
    for (let worker = 0; worker < this.shape.workers; worker++) {
      if (worker === except) continue;
      const at = (this.#state + worker * STATE_BYTES) >>> 3;
      sum.held += f64[at] as number;
      sum.away += f64[at + 1] as number;
      sum.viewed += f64[at + 2] as number;
    }
    return sum;
  }

  /**
   * Worker: what its state log has at the end of an epoch.
   *
   * @param oldestBase frames of epochs up to this one are needed for none of its shards
   */
  setLog(epoch: number, worker: number, oldestBase: number, bytes: number): void {
    const at = (this.#log >>> 3) + 2 * ((epoch & 1) * this.shape.workers + worker);
    this.memory.f64[at] = oldestBase;
    this.memory.f64[at + 1] = bytes;
  }

  /** The state logs of all workers at the end of an epoch. */
  log(epoch: number): { readonly oldestBase: number; readonly bytes: number } {
    let oldestBase = Number.POSITIVE_INFINITY;
    let bytes = 0;
    for (let worker = 0; worker < this.shape.workers; worker++) {
      const at = (this.#log >>> 3) + 2 * ((epoch & 1) * this.shape.workers + worker);
      oldestBase = Math.min(oldestBase, this.memory.f64[at] as number);
      bytes += this.memory.f64[at + 1] as number;
    }
    return { oldestBase, bytes };
  }

  /** Coordinator: the tables of this task are loaded with the rows of this epoch. */
  setLoaded(epoch: number): void {
    this.memory.f64[(this.address + LOADED) >>> 3] = epoch + 1;
  }

  /** Whether the tables of this task are loaded when the epoch ends. */
  isLoaded(epoch: number): boolean {
    const behind = this.memory.f64[(this.address + LOADED) >>> 3] as number;
    return behind > 0 && behind <= epoch + 1;
  }

  /** Worker: those of all tasks are, as they have told. */
  setAllLoaded(): void {
    Atomics.store(this.memory.i32, (this.address + LOADED + 8) >>> 2, 1);
  }

  get areAllLoaded(): boolean {
    return Atomics.load(this.memory.i32, (this.address + LOADED + 8) >>> 2) === 1;
  }

  /** Worker: it begins to scan rows of a partition, or (stage n + 1) to merge exchange n. */
  beginWork(worker: number, stage: number, source: number, partition: number, first: number, next: number): void {
    const { i32 } = this.memory;
    const at = (this.#activity + worker * LINE) >>> 2;
    i32[at + 1] = stage;
    i32[at + 2] = source;
    i32[at + 3] = partition;
    this.rowAtWork(worker).begin(first, next);
    Atomics.store(i32, at, (i32[at] as number) | 1);
  }

  /** At which row a worker is. */
  rowAtWork(worker: number): RowAtWork {
    return (this.#rows[worker] ??= new RowAtWork(this.memory, this.#activity + worker * LINE + 16));
  }

  /** Worker: one more batch is done. */
  goOn(worker: number): void {
    const { i32 } = this.memory;
    const at = (this.#activity + worker * LINE) >>> 2;
    Atomics.store(i32, at, (i32[at] as number) + 2);
  }

  /** Worker: what it began is done. */
  endWork(worker: number): void {
    const { i32 } = this.memory;
    const at = (this.#activity + worker * LINE) >>> 2;
    Atomics.store(i32, at, ((i32[at] as number) | 1) + 1);
  }

  /** What a worker is doing. Between its writes it may be seen half changed: for people only. */
  activity(worker: number): WorkerActivity {
    const { i32 } = this.memory;
    const at = (this.#activity + worker * LINE) >>> 2;
    const count = Atomics.load(i32, at);
    const partition = { source: i32[at + 2] as number, number: i32[at + 3] as number };
    return {
      count,
      isAtWork: (count & 1) === 1,
      stage: i32[at + 1] as number,
      partition,
      at: this.rowAtWork(worker).seen(),
    };
  }

  /** Index into f64 of the first of a worker's counts. */
  balance(epoch: number, worker: number): number {
    const { workers, exchanges, sources } = this.shape;
    return (this.#balance >>> 3) + ((epoch & 1) * workers + worker) * balanceCounts(sources, exchanges);
  }
}

function layout({ workers, partitions, watermarks, exchanges, views, sources }: ControlShape) {
  const align = (at: number) => Math.ceil(at / LINE) * LINE;
  const partitionsAt = DOORBELLS + workers * LINE;
  const maxima = align(partitionsAt + 2 * partitions * 4);
  const directory = align(maxima + 2 * workers * watermarks * partitions * 8);
  const held = align(directory + 2 * workers * exchanges * 8);
  const live = align(held + 2 * workers * exchanges * 8);
  const state = align(live + views * SHARD_COUNT * LIVE_CELL_BYTES);
  const log = align(state + workers * STATE_BYTES);
  const activity = align(log + 4 * workers * 8);
  const balance = activity + workers * LINE;
  const bytes = align(balance + 2 * workers * balanceCounts(sources, exchanges) * 8);
  return { partitions: partitionsAt, maxima, directory, held, live, state, log, activity, balance, bytes };
}
