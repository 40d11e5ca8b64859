/**
 * The worker: one long task per thread. It makes the same plan as the coordinator from the same module, then pumps its
 * ring: chunks to scan, epochs to end. What is done with them is up to the engine.
 */

import { attachMemory, Counters, MillraceError, SlabAllocator } from '../../core/index.ts';
import { Engine } from '../engine/engine.ts';
import { identityDifference, identityOf } from '../plan/identity.ts';
import { makePlan, type Plan } from '../plan/plan.ts';
import { Aborted, Control } from '../shared/control.ts';
import { COUNTER_NAMES } from '../shared/ledger.ts';
import { type ChunkMessage, type EpochEndMessage, readChunk, readEpochEnd, TO_WORKER } from '../shared/messages.ts';
import { enterWorker, loadGraph } from '../stream/load.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { type PortableError, portableError, type WorkerMessage, type WorkerTask } from './pool.ts';

/** Runs until told to stop. Gives the error that ended it, or undefined. */
export async function work(task: WorkerTask): Promise<PortableError | undefined> {
  const memory = attachMemory(task.memory);
  const control = new Control(memory, task.control, task.shape);
  enterWorker();
  try {
    const { codeGeneration } = task;
    const plan = makePlan(await loadGraph(task.url, task.params), codeGeneration === undefined ? {} : { codeGeneration });
    const difference = identityDifference(task.identity, identityOf(plan));
    if (difference !== undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_MODULE',
        `The module ${task.url} gives another pipeline in a worker than on the main thread: ${difference}. Build it from params and constants only, not from the time, random numbers or the environment of a thread.`,
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

function pump(task: WorkerTask, control: Control, plan: Plan): void {
  const { memory } = control;
  const { worker, shape, partitions, restored, firstEpoch, nowMs, sinks, batchRows } = task;
  const link = new CoordinatorLink(control, worker, task.ringIn, task.ringOut);
  const regionBytes = Counters.bytesFor(COUNTER_NAMES);
  const engine = new Engine({
    plan,
    memory,
    slabs: new SlabAllocator(memory),
    control,
    worker,
    partitions,
    restored,
    firstEpoch,
    nowMs,
    sinks,
    counters: Array.from({ length: shape.partitions }, (_, p) => Counters.attach(memory, task.counters + p * regionBytes, COUNTER_NAMES)),
    batchRows,
    output: (epoch, block) => link.output(epoch, block),
    sample: (sample) => task.port.postMessage({ sample } satisfies WorkerMessage),
  });
  const read = (kind: number, at: number): ChunkMessage | EpochEndMessage | undefined => {
    if (kind === TO_WORKER.stop) return undefined;
    return kind === TO_WORKER.chunk ? readChunk(memory, at) : readEpochEnd(memory, at);
  };
  for (let message = link.take(read); message !== undefined; message = link.take(read)) {
    engine.stampAt(message.startMs);
    if ('chunk' in message) {
      engine.scan(message.source, message.chunk, message.sequence);
      link.chunkDone(message.chunk);
    } else {
      for (const _ of engine.endEpoch(message.epoch, message.nowMs)) control.barrier();
      link.epochDone(message.epoch);
    }
  }
}
