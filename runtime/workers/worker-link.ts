/**
 * The coordinator's end of its connection with one worker: a ring each way, and what the worker has been given and has
 * not reported done. What the records look like is messages.ts; what they mean is the coordinator's affair.
 */

import { RingBuffer, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import type { Chunk } from '../../io/index.ts';
import type { OutputBlock } from '../job/outputs.ts';
import { FROM_WORKER, MESSAGE, MESSAGE_BYTES, RING_CAPACITY, TO_WORKER } from '../shared/messages.ts';
import { ring } from '../shared/wait.ts';

/** What a worker tells. */
export interface WorkerEvents {
  /** The chunk at this address was scanned: its slab is free. */
  chunkDone(address: number): void;
  output(epoch: number, block: OutputBlock): void;
  epochDone(epoch: number): void;
}

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
  /** Records that did not fit into the ring yet: the coordinator does not wait for room. */
  readonly #backlog: ((at: number) => void)[] = [];
  readonly #chunkBytes = new Map<number, number>();

  /** @param doorbell index into i32 of what wakes the worker */
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

  /** @param startMs the clock when the epoch began, the same for all its chunks and its end */
  giveChunk(epoch: number, startMs: number, source: number, chunk: Chunk, sequence: number): void {
    const { u32, f64 } = this.#memory;
    this.loadBytes += chunk.byteLength;
    this.#chunkBytes.set(chunk.address, chunk.byteLength);
    this.#send((at) => {
      u32[(at + MESSAGE.kind) >>> 2] = TO_WORKER.chunk;
      u32[(at + MESSAGE.epoch) >>> 2] = epoch;
      u32[(at + MESSAGE.address) >>> 2] = chunk.address;
      u32[(at + MESSAGE.bytes) >>> 2] = chunk.byteLength;
      u32[(at + MESSAGE.source) >>> 2] = source;
      u32[(at + MESSAGE.partition) >>> 2] = chunk.partition;
      u32[(at + MESSAGE.sequence) >>> 2] = sequence;
      f64[(at + MESSAGE.first) >>> 3] = chunk.first;
      f64[(at + MESSAGE.next) >>> 3] = chunk.next;
      f64[(at + MESSAGE.startMs) >>> 3] = startMs;
    });
  }

  endEpoch(epoch: number, startMs: number, nowMs: number): void {
    const { u32, f64 } = this.#memory;
    this.#send((at) => {
      u32[(at + MESSAGE.kind) >>> 2] = TO_WORKER.endEpoch;
      u32[(at + MESSAGE.epoch) >>> 2] = epoch;
      f64[(at + MESSAGE.nowMs) >>> 3] = nowMs;
      f64[(at + MESSAGE.startMs) >>> 3] = startMs;
    });
  }

  stop(): void {
    this.#send((at) => {
      this.#memory.u32[(at + MESSAGE.kind) >>> 2] = TO_WORKER.stop;
    });
  }

  /** Takes in what the worker has told, and sends what had to wait for room. */
  receive(events: WorkerEvents): void {
    const { u32 } = this.#memory;
    for (let at = this.#fromWorker.tryTake(); at !== 0; at = this.#fromWorker.tryTake()) {
      const field = (offset: number) => u32[(at + offset) >>> 2] as number;
      const kind = field(MESSAGE.kind);
      const epoch = field(MESSAGE.epoch);
      if (kind === FROM_WORKER.chunkDone) {
        const address = field(MESSAGE.address);
        this.loadBytes -= this.#chunkBytes.get(address) ?? 0;
        this.#chunkBytes.delete(address);
        events.chunkDone(address);
      } else if (kind === FROM_WORKER.output) {
        events.output(epoch, {
          sink: field(MESSAGE.sink),
          stage: field(MESSAGE.stage),
          unit: field(MESSAGE.unit),
          unitSequence: field(MESSAGE.unitSequence),
          order: field(MESSAGE.order),
          outputPartition: field(MESSAGE.outputPartition),
          rows: field(MESSAGE.rows),
          address: field(MESSAGE.address),
          bytes: field(MESSAGE.bytes),
        });
      } else events.epochDone(epoch);
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
