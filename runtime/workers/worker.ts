/**
 * The worker: one long task per thread. It makes the same plan as the coordinator from the same module, then
 * pumps its ring: chunks to scan, epochs to end. What is done with them is up to the engine.
 */

import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { attachMemory, Counters, MillraceError, SlabAllocator } from '../../core/index.ts';
import { Engine } from '../engine/index.ts';
import { identityDifference, identityOf, type Plan } from '../plan/index.ts';
import { Aborted, type ChunkMessage, COUNTER_NAMES, Control, type EpochEndMessage, readChunk, readEpochEnd, TO_WORKER } from '../shared/index.ts';
import { openSegmentFile, SegmentFiles, SpillFiles, StateReader } from '../state-log/index.ts';
import { enterWorker } from '../stream/index.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import { planFor } from './plan-for.ts';
import type { WorkerMessage, WorkerTask } from './pool.ts';
import { type PortableError, portableError } from './portable-error.ts';

const STOP = { isStop: true } as const;
/** How often the thread looks after timers while some wait. */
const TIMER_WAIT_MS = 20;
/** At the end of the task, timers that are due within this still fire. */
const SETTLE_MS_MAX = 100;

/** Runs until told to stop. Resolves to the error that ended it, or undefined. */
export async function work(task: WorkerTask): Promise<PortableError | undefined> {
  const memory = attachMemory(task.memory);
  const control = new Control(memory, task.control, task.shape);
  enterWorker();
  printBy(task.port);
  failBy(task);
  try {
    const plan = await planFor(task);
    const difference = identityDifference(task.identity, identityOf(plan));
    if (difference !== undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_MODULE',
        `The module ${task.url} gives another pipeline in a worker than on the main thread: ${difference}. Build it from params and constants only, not from the time, random numbers or the environment of a thread.`,
      );
    }
    await pump(task, control, plan);
    await settled();
    return undefined;
  } catch (error) {
    if (error instanceof Aborted) return undefined;
    return portableError(error);
  } finally {
    task.port.close();
  }
}

async function pump(task: WorkerTask, control: Control, plan: Plan): Promise<void> {
  const { memory } = control;
  const { worker, shape, partitions, restored, firstEpoch, nowMs, sinks, batchRows, failedRows, stored, spill } = task;
  const link = new CoordinatorLink(control, worker, task.ringIn, task.ringOut);
  const regionBytes = Counters.bytesFor(COUNTER_NAMES);
  const log = stored?.resume === undefined ? undefined : openLog(stored.dir, stored.resume);
  const engine = new Engine({
    stateLog: stored === undefined ? undefined : new SegmentFiles(stored.dir, stored.run, worker),
    stored: log === undefined ? undefined : { log, watermarks: stored?.resume?.watermarks ?? [], predecessors: stored?.resume?.predecessors },
    spill: spill && { limitBytes: spill.limitBytes, store: new SpillFiles(spill.dir, worker) },
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
    failedRows,
    output: (epoch, block) => link.output(epoch, block),
    tail: task.tail === true ? (sink, rows) => task.port.postMessage({ tail: { sink, rows } } satisfies WorkerMessage) : undefined,
    waiting: (source, what) => task.port.postMessage({ waiting: { source, what } } satisfies WorkerMessage),
    sample: (sample) => task.port.postMessage({ sample } satisfies WorkerMessage),
  });
  log?.close();
  const read = (kind: number, at: number): ChunkMessage | EpochEndMessage | typeof STOP => {
    if (kind === TO_WORKER.stop) return STOP;
    return kind === TO_WORKER.chunk ? readChunk(memory, at) : readEpochEnd(memory, at);
  };
  let hasWorked = false;
  for (;;) {
    const message = link.tryTake(read);
    if (message !== undefined && 'isStop' in message) return;
    if (message === undefined) {
      // What functions left running gets its turn when there is nothing else to do. Timers fire soon after
      // they are due.
      const waits = hasTimers();
      if (hasWorked || waits) await nextTurn();
      hasWorked = false;
      link.wait(waits ? TIMER_WAIT_MS : undefined);
      continue;
    }
    hasWorked = true;
    engine.stampAt(message.startMs);
    if ('chunk' in message) {
      const answers = engine.scan(message.source, message.chunk, message.sequence);
      if (answers !== undefined) await answers;
      link.chunkDone(message.chunk);
    } else {
      for (const answers of engine.endEpoch(message.epoch, message.nowMs)) {
        if (answers === undefined) control.barrier();
        else await answers;
      }
      link.epochDone(message.epoch);
      await nextTurn();
    }
  }
}

function openLog(dir: string, { checkpoint, segments }: NonNullable<NonNullable<WorkerTask['stored']>['resume']>): StateReader {
  return new StateReader(segments, checkpoint, (name) => openSegmentFile(join(dir, name), name));
}

/** Whether timers of user functions wait for a turn of this thread's loop. */
function hasTimers(): boolean {
  return process.getActiveResourcesInfo().includes('Timeout');
}

/** Lets what functions left running fail, if it does: promises at once, timers that are due soon. */
async function settled(): Promise<void> {
  const endMs = performance.now() + SETTLE_MS_MAX;
  do await nextTurn();
  while (hasTimers() && performance.now() < endMs);
}

/**
 * The main thread prints at once what is printed here. The streams of a worker thread wait for turns of its
 * loop, which are rare.
 */
function printBy(port: MessagePort): void {
  for (const print of ['stdout', 'stderr'] as const) {
    const write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      const [encoding] = rest;
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8') : chunk;
      port.postMessage({ print, bytes: new Uint8Array(bytes) } satisfies WorkerMessage);
      const done = rest.at(-1);
      if (typeof done === 'function') done(null);
      return true;
    };
    process[print].write = write;
  }
}

/** Whatever fails here outside the task ends the job: an unhandled promise, a timer. */
function failBy({ port, worker }: WorkerTask): void {
  const failed = (what: string) => (error: unknown) => {
    const cause = error instanceof Error ? error : new Error(String(error));
    const failure = new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `${what} in worker ${worker}: ${cause.message}. A function of the pipeline left it running: functions give their answer at once, and what is asynchronous belongs into a source or a sink.`,
      { cause },
    );
    port.postMessage({ failed: portableError(failure) } satisfies WorkerMessage);
  };
  process.on('unhandledRejection', failed('A promise was rejected that nobody handles'));
  process.on('uncaughtException', failed('A callback threw'));
}
