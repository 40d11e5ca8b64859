/**
 * The coordinator's end of its connection with one worker: a ring each way, and how many bytes the worker has
 * to scan. The layout of records is up to messages.ts, their meaning to the coordinator.
 */

import { RingBuffer, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import {
  type ChunkMessage,
  type EpochEndMessage,
  epochOf,
  FROM_WORKER,
  kindOf,
  MESSAGE_BYTES,
  RING_CAPACITY,
  readChunkDone,
  readOutput,
  ring,
  writeChunk,
  writeEpochEnd,
  writeStop,
} from '../shared/index.ts';
import type { CrewEvents } from './crew.ts';

export class WorkerLink {
  /** For the worker: where its rings are. */
  readonly ringIn: number;
  readonly ringOut: number;
  /** Bytes of chunks that it was given and has not reported done. */
  loadBytes = 0;
  readonly #memory: SharedMemory;
  readonly #toWorker: RingBuffer;
  readonly #fromWorker: RingBuffer;
  readonly #doorbell: number;
  /** Records that did not fit into the ring yet, as the coordinator does not wait for room. */
  readonly #backlog: ((at: number) => void)[] = [];

  /** @param doorbell index into i32 of the worker's doorbell */
  constructor(slabs: SlabAllocator, doorbell: number) {
    const { memory } = slabs;
    const bytes = RingBuffer.bytesFor(RING_CAPACITY, MESSAGE_BYTES);
    this.#memory = memory;
    this.#doorbell = doorbell;
    this.#toWorker = RingBuffer.create(memory, slabs.alloc(bytes), RING_CAPACITY, MESSAGE_BYTES);
    this.#fromWorker = RingBuffer.create(memory, slabs.alloc(bytes), RING_CAPACITY, MESSAGE_BYTES);
    this.ringIn = this.#toWorker.address;
    this.ringOut = this.#fromWorker.address;
  }

  giveChunk(message: ChunkMessage): void {
    this.loadBytes += message.chunk.byteLength;
    this.#send((at) => writeChunk(this.#memory, at, message));
  }

  endEpoch(message: EpochEndMessage): void {
    this.#send((at) => writeEpochEnd(this.#memory, at, message));
  }

  stop(): void {
    this.#send((at) => writeStop(this.#memory, at));
  }

  /** Takes in what the worker has reported, and sends what had to wait for room. */
  receive(events: CrewEvents): void {
    const memory = this.#memory;
    for (let at = this.#fromWorker.tryTake(); at !== 0; at = this.#fromWorker.tryTake()) {
      const kind = kindOf(memory, at);
      if (kind === FROM_WORKER.chunkDone) {
        const { address, byteLength } = readChunkDone(memory, at);
        this.loadBytes -= byteLength;
        events.chunkDone(address);
      } else if (kind === FROM_WORKER.output) events.output(epochOf(memory, at), readOutput(memory, at));
      else events.epochDone(epochOf(memory, at));
      this.#fromWorker.release();
    }
    this.#push();
  }

  #send(fill: (at: number) => void): void {
    this.#backlog.push(fill);
    this.#push();
  }

  #push(): void {
    let pushed = 0;
    for (const fill of this.#backlog) {
      const at = this.#toWorker.tryClaim();
      if (at === 0) break;
      fill(at);
      this.#toWorker.publish();
      pushed++;
    }
    if (pushed === 0) return;
    this.#backlog.splice(0, pushed);
    ring(this.#memory.i32, this.#doorbell);
  }
}
