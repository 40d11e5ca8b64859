/**
 * A worker's end of its connection with the coordinator: takes records from one ring, puts records into the
 * other, and wakes the coordinator. Waking costs more than a record in a ring. So it reports several chunks
 * at a time while there is more to do.
 */

import { RingBuffer, type SharedMemory } from '../../core/index.ts';
import type { Chunk } from '../../io/index.ts';
import { Aborted, type Control, kindOf, type OutputBlock, ring, waitBlocking, writeChunkDone, writeEpochDone, writeOutput } from '../shared/index.ts';

const WAIT_MS = 1_000;
const CHUNKS_UNTOLD_MAX = 4;

export class CoordinatorLink {
  readonly #memory: SharedMemory;
  readonly #control: Control;
  readonly #incoming: RingBuffer;
  readonly #outgoing: RingBuffer;
  readonly #doorbell: number;
  #chunksUntold = 0;

  constructor(control: Control, worker: number, ringIn: number, ringOut: number) {
    this.#memory = control.memory;
    this.#control = control;
    this.#incoming = RingBuffer.attach(control.memory, ringIn);
    this.#outgoing = RingBuffer.attach(control.memory, ringOut);
    this.#doorbell = control.workerDoorbell(worker);
  }

  /**
   * Takes the next record, if there is one.
   *
   * @returns what `read` makes of it
   */
  tryTake<T extends object>(read: (kind: number, at: number) => T): T | undefined {
    const at = this.#incoming.tryTake();
    if (at === 0) return undefined;
    const message = read(kindOf(this.#memory, at), at);
    this.#incoming.release();
    return message;
  }

  /**
   * Waits for the next record, or until the timeout.
   *
   * @throws Aborted when another part of the job has failed
   */
  wait(timeoutMs: number = WAIT_MS): void {
    const { i32 } = this.#memory;
    const seen = Atomics.load(i32, this.#doorbell);
    if (this.#control.aborted) throw new Aborted();
    if (this.#incoming.tryTake() === 0) waitBlocking(i32, this.#doorbell, seen, timeoutMs);
  }

  output(epoch: number, block: OutputBlock): void {
    writeOutput(this.#memory, this.#claim(), epoch, block);
    this.#outgoing.publish();
  }

  chunkDone(chunk: Chunk): void {
    writeChunkDone(this.#memory, this.#claim(), chunk);
    if (++this.#chunksUntold >= CHUNKS_UNTOLD_MAX || this.#incoming.tryTake() === 0) this.#tell();
    else this.#outgoing.publish();
  }

  epochDone(epoch: number): void {
    writeEpochDone(this.#memory, this.#claim(), epoch);
    this.#tell();
  }

  #tell(): void {
    this.#outgoing.publish();
    this.#chunksUntold = 0;
    ring(this.#memory.i32, this.#control.coordinatorDoorbell);
  }

  /**
   * The next record to fill. The coordinator empties the ring without waiting for us, so there will be room.
   */
  #claim(): number {
    const { i32 } = this.#memory;
    for (;;) {
      const at = this.#outgoing.tryClaim();
      if (at !== 0) return at;
      if (this.#control.aborted) throw new Aborted();
      ring(i32, this.#control.coordinatorDoorbell);
      waitBlocking(i32, this.#doorbell, Atomics.load(i32, this.#doorbell), 1);
    }
  }
}
