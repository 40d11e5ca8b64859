/**
 * Workers: the crew of a job, as worker threads. It starts each thread with its task, distributes chunks, and
 * tells all of them of an epoch's end. See worker-link.ts for the connection with one of them.
 */

import { Counters, MillraceError, memoryHandle, type SlabAllocator } from '../../core/index.ts';
import { type ChunkMessage, COUNTER_NAMES, type Control, type CounterName, type EpochEndMessage, type LedgerSample, SAMPLES_MAX } from '../shared/index.ts';
import type { Crew, CrewEvents } from './crew.ts';
import { asPassing, type WorkerMessage, WorkerPool, type WorkerTask } from './pool.ts';
import { revive } from './portable-error.ts';
import { WorkerLink } from './worker-link.ts';

/** The part of a worker's task that is the same for all, without the shared memory. */
export type JobTask = Omit<WorkerTask, 'worker' | 'memory' | 'control' | 'shape' | 'ringIn' | 'ringOut' | 'counters' | 'port'>;

/** A worker that is told to stop leaves within this, unless it is in a function that does not return. */
const LEAVE_MS_MAX = 2_000;

export class Workers implements Crew {
  readonly count: number;
  /** [worker][global partition] */
  readonly counters: Counters<CounterName>[][] = [];
  /** Some of the rows that no result counts. */
  readonly samples: LedgerSample[] = [];
  /** Gets some of the rows that go to sinks, where the task says so. */
  /** What the scan of a source waits for outside; undefined when that is over. */
  onWaiting: ((worker: number, source: number, what: string | undefined) => void) | undefined;
  onTail: ((sink: number, rows: readonly Readonly<Record<string, unknown>>[]) => void) | undefined;
  readonly #slabs: SlabAllocator;
  readonly #failed: (error: unknown) => void;
  readonly #pool: WorkerPool;
  readonly #links: WorkerLink[] = [];
  readonly #tasks: Promise<void>[] = [];
  #isStopped = false;
  #isClosing = false;

  /** Makes the threads, which have nothing to do yet. */
  constructor(slabs: SlabAllocator, count: number, heapMiB: number, failed: (error: unknown) => void) {
    this.count = count;
    this.#slabs = slabs;
    this.#failed = failed;
    this.#pool = new WorkerPool(count, heapMiB, failed);
  }

  /** Lays out what the coordinator shares with each: rings, and counters. */
  lay(control: Control): void {
    const { partitions } = control.shape;
    const { memory } = this.#slabs;
    const regionBytes = Counters.bytesFor(COUNTER_NAMES);
    for (let worker = 0; worker < this.count; worker++) {
      this.#links.push(new WorkerLink(this.#slabs, control.workerDoorbell(worker)));
      const at = this.#slabs.alloc(Math.max(64, regionBytes * partitions));
      this.counters.push(Array.from({ length: partitions }, (_, p) => Counters.create(memory, at + p * regionBytes, COUNTER_NAMES)));
    }
  }

  /** Gives each its task. `failed` is called when one fails, or leaves before it is told to stop. */
  start(control: Control, task: JobTask): void {
    const memory = memoryHandle(this.#slabs.memory);
    this.#links.forEach(({ ringIn, ringOut }, worker) => {
      const counters = (this.counters[worker] as Counters[])[0]?.address ?? 0;
      const run = this.#pool
        .run({ ...task, worker, memory, control: control.address, shape: control.shape, ringIn, ringOut, counters }, (message) => this.#told(message, worker))
        .then(
          () => {
            if (!this.#isStopped) this.#failed(asPassing(new MillraceError('ERR_MILLRACE_WORKER', `Worker ${worker} left before the job was over.`)));
          },
          (error) => {
            // Ending a thread in the middle of its task is no failure.
            if (!this.#isClosing) this.#failed(error);
          },
        );
      this.#tasks.push(run);
    });
  }

  #told(message: WorkerMessage, worker: number): void {
    if ('sample' in message) {
      if (this.samples.length < SAMPLES_MAX) this.samples.push(message.sample);
    } else if ('waiting' in message) this.onWaiting?.(worker, message.waiting.source, message.waiting.what);
    else if ('tail' in message) this.onTail?.(message.tail.sink, message.tail.rows);
    else if ('print' in message) process[message.print].write(message.bytes);
    else this.#failed(asPassing(revive(message.failed)));
  }

  /** To the worker that has the least to do. Which one it is makes no difference to the result. */
  giveChunk(message: ChunkMessage): void {
    let least = this.#links[0] as WorkerLink;
    for (const link of this.#links) if (link.loadBytes < least.loadBytes) least = link;
    least.giveChunk(message);
  }

  endEpoch(message: EpochEndMessage): void {
    for (const link of this.#links) link.endEpoch(message);
  }

  /** Takes in what they have reported. */
  receive(events: CrewEvents): void {
    for (const link of this.#links) link.receive(events);
  }

  stop(): void {
    this.#isStopped = true;
    for (const link of this.#links) link.stop();
  }

  /** Ends the threads. Those that were told to stop get a while to leave by themselves. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, LEAVE_MS_MAX);
    });
    await Promise.race([Promise.all(this.#tasks), patience]);
    clearTimeout(timer);
    this.#isClosing = true;
    await this.#pool.close();
  }
}
