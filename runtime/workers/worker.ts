/**
 * The worker: one long task per thread. It makes the same plan as the coordinator from the same module, then pumps its
 * ring: chunks to scan, epochs to end. What is done with them is the engine's affair.
 */

import { attachMemory, Counters, MillraceError, RingBuffer, SlabAllocator } from '../../core/index.ts';
import { Engine } from '../engine/engine.ts';
import type { OutputBlock } from '../job/outputs.ts';
import { COUNTER_NAMES } from '../job/progress.ts';
import { describePlan } from '../plan/explain.ts';
import { makePlan } from '../plan/plan.ts';
import { Aborted, Control } from '../shared/control.ts';
import { FROM_WORKER, MESSAGE, TO_WORKER } from '../shared/messages.ts';
import { ring, waitBlocking } from '../shared/wait.ts';
import { enterWorker, loadGraph } from '../stream/load.ts';
import { type PortableError, portableError, type WorkerTask } from './pool.ts';

const WAIT_MS = 1_000;
const CHUNKS_UNTOLD_MAX = 4;

/** Runs until told to stop. Gives the error that ended it, or undefined. */
export async function work(task: WorkerTask): Promise<PortableError | undefined> {
  const memory = attachMemory(task.memory);
  const control = new Control(memory, task.control, task.shape);
  enterWorker();
  try {
    const { codeGeneration } = task;
    const plan = makePlan(await loadGraph(task.url, task.params), codeGeneration === undefined ? {} : { codeGeneration });
    if (describePlan(plan) !== task.fingerprint) {
      throw new MillraceError(
        'ERR_MILLRACE_MODULE',
        `The module ${task.url} gives another pipeline in a worker than on the main thread. Build it from params and constants only, not from the time, random numbers or the environment of a thread.`,
      );
    }
    pump(task, control, plan);
    return undefined;
  } catch (error) {
    if (error instanceof Aborted) return undefined;
    return portableError(error);
  } finally {
    task.port.close();
  }
}

function pump(task: WorkerTask, control: Control, plan: ReturnType<typeof makePlan>): void {
  const { memory } = control;
  const { i32, u32, f64 } = memory;
  const incoming = RingBuffer.attach(memory, task.ringIn);
  const outgoing = RingBuffer.attach(memory, task.ringOut);
  const doorbell = control.workerDoorbell(task.worker);

  /** The next record to fill. The coordinator empties the ring without waiting for us, so there will be room. */
  const claim = (): number => {
    for (;;) {
      const at = outgoing.tryClaim();
      if (at !== 0) return at;
      if (control.aborted) throw new Aborted();
      ring(i32, control.coordinatorDoorbell);
      waitBlocking(i32, doorbell, Atomics.load(i32, doorbell), 1);
    }
  };
  let untold = 0;
  const tell = (): void => {
    outgoing.publish();
    untold = 0;
    ring(i32, control.coordinatorDoorbell);
  };
  /** Waking the coordinator costs more than a record in a ring: while there is more to do, it is told of some chunks at a time. */
  const tellLater = (): void => {
    if (++untold >= CHUNKS_UNTOLD_MAX || incoming.tryTake() === 0) tell();
    else outgoing.publish();
  };
  const output = (epoch: number, block: OutputBlock): void => {
    const at = claim();
    u32[(at + MESSAGE.kind) >>> 2] = FROM_WORKER.output;
    u32[(at + MESSAGE.epoch) >>> 2] = epoch;
    u32[(at + MESSAGE.address) >>> 2] = block.address;
    u32[(at + MESSAGE.bytes) >>> 2] = block.bytes;
    u32[(at + MESSAGE.sink) >>> 2] = block.sink;
    u32[(at + MESSAGE.outputPartition) >>> 2] = block.outputPartition;
    u32[(at + MESSAGE.rows) >>> 2] = block.rows;
    u32[(at + MESSAGE.stage) >>> 2] = block.stage;
    u32[(at + MESSAGE.unit) >>> 2] = block.unit;
    u32[(at + MESSAGE.unitSequence) >>> 2] = block.unitSequence;
    u32[(at + MESSAGE.order) >>> 2] = block.order;
    outgoing.publish();
  };

  const regionBytes = Counters.bytesFor(COUNTER_NAMES);
  const engine = new Engine({
    plan,
    memory,
    slabs: new SlabAllocator(memory),
    control,
    worker: task.worker,
    partitions: task.partitions,
    committed: task.committed,
    firstEpoch: task.firstEpoch,
    nowMs: task.nowMs,
    sinks: task.sinks,
    counters: Array.from({ length: task.shape.partitions }, (_, p) => Counters.attach(memory, task.counters + p * regionBytes, COUNTER_NAMES)),
    batchRows: task.batchRows,
    output,
    sample: (sample) => task.port.postMessage({ kind: 'sample', sample }),
  });

  for (;;) {
    const seen = Atomics.load(i32, doorbell);
    const at = incoming.tryTake();
    if (at === 0) {
      if (control.aborted) return;
      waitBlocking(i32, doorbell, seen, WAIT_MS);
      continue;
    }
    const kind = u32[(at + MESSAGE.kind) >>> 2] as number;
    if (kind === TO_WORKER.stop) return;
    const epoch = u32[(at + MESSAGE.epoch) >>> 2] as number;
    const address = u32[(at + MESSAGE.address) >>> 2] as number;
    engine.stampAt(f64[(at + MESSAGE.startMs) >>> 3] as number);
    if (kind === TO_WORKER.chunk) {
      const chunk = {
        partition: u32[(at + MESSAGE.partition) >>> 2] as number,
        address,
        byteLength: u32[(at + MESSAGE.bytes) >>> 2] as number,
        first: f64[(at + MESSAGE.first) >>> 3] as number,
        next: f64[(at + MESSAGE.next) >>> 3] as number,
      };
      const source = u32[(at + MESSAGE.source) >>> 2] as number;
      const sequence = u32[(at + MESSAGE.sequence) >>> 2] as number;
      incoming.release();
      engine.scan(source, chunk, sequence);
      const to = claim();
      u32[(to + MESSAGE.kind) >>> 2] = FROM_WORKER.chunkDone;
      u32[(to + MESSAGE.address) >>> 2] = address;
      tellLater();
    } else {
      const nowMs = f64[(at + MESSAGE.nowMs) >>> 3] as number;
      incoming.release();
      for (const _ of engine.endEpoch(epoch, nowMs)) control.barrier();
      const to = claim();
      u32[(to + MESSAGE.kind) >>> 2] = FROM_WORKER.epochDone;
      u32[(to + MESSAGE.epoch) >>> 2] = epoch;
      tell();
    }
  }
}
