/**
 * The worker threads: one long Piscina task per worker, which pumps its ring until it is told to stop.
 * Piscina owns the threads; what a worker does is worker.ts. A worker that dies rejects its task and ends the
 * job.
 */

import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { MillraceError, type SharedMemoryHandle, type WatermarkState } from '../../core/index.ts';
import type { SinkInfo, Task } from '../../io/index.ts';
import type { PlanIdentity, Predecessor } from '../plan/index.ts';
import type { ControlShape, FailedRowsPolicy, LedgerSample, Restored } from '../shared/index.ts';
import type { SegmentRange } from '../state-log/index.ts';
import type { Params } from '../stream/index.ts';
import { type PortableError, revive } from './portable-error.ts';

/** Where a worker writes its state, and what it resumes from. */
export interface StoredTask {
  readonly dir: string;
  readonly run: number;
  readonly resume:
    | {
        readonly checkpoint: number;
        readonly segments: readonly SegmentRange[];
        readonly watermarks: readonly WatermarkState[];
        /** By exchange: whose state it goes on with. Undefined: the plan is as it was. */
        readonly predecessors: readonly (Predecessor | undefined)[] | undefined;
      }
    | undefined;
}

/** What a worker gets when it starts. Structured-cloneable. */
export interface WorkerTask {
  readonly url: string;
  readonly params: Params;
  /** Of the plan as the coordinator made it: a worker whose module gives another one refuses to start. */
  readonly identity: PlanIdentity;
  readonly worker: number;
  readonly memory: SharedMemoryHandle;
  readonly control: number;
  readonly shape: ControlShape;
  /** Addresses of the two rings, seen from the worker. */
  readonly ringIn: number;
  readonly ringOut: number;
  readonly counters: number;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
  readonly restored: Restored;
  /** The number of the first epoch, and the clock at the end of the one before. */
  readonly firstEpoch: number;
  readonly nowMs: number;
  readonly sinks: readonly SinkInfo[];
  readonly batchRows: number;
  readonly failedRows: FailedRowsPolicy;
  /** Where the state is written, and what it resumes from; undefined: nowhere, from nothing. */
  readonly stored: StoredTask | undefined;
  /** Where state goes that memory has no room for; undefined: all of it stays there. */
  readonly spill: { readonly dir: string; readonly limitBytes: number } | undefined;
  readonly codeGeneration: boolean | undefined;
  /** Which task of a job that several processes share; undefined: it is not shared. */
  readonly task: Task | undefined;
  /** Shows some of the rows that go to sinks. */
  readonly tail?: boolean;
  readonly port: MessagePort;
}

/** What a worker reports besides the records in its ring: rare things. */
export type WorkerMessage =
  | { readonly sample: LedgerSample }
  /** Rows on their way to a sink, for whoever watches. */
  | { readonly tail: { readonly sink: number; readonly rows: readonly Readonly<Record<string, unknown>>[] } }
  /** What the scan of a source waits for outside; undefined when that is over. */
  | { readonly waiting: { readonly source: number; readonly what: string | undefined } }
  /** What a user function has printed. */
  | { readonly print: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  /** Something failed outside the task: a promise, a timer. */
  | { readonly failed: PortableError };

/** Failures of threads, not of what they were given. */
const passing = new WeakSet<object>();

/**
 * Whether a failure may not come again when the job goes on from a checkpoint: a thread died, a function left
 * something running that failed, a transaction was lost, state that was put away cannot be read.
 */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof MillraceError)) return false;
  return passing.has(error) || error.code === 'ERR_MILLRACE_TRANSACTION' || error.code === 'ERR_MILLRACE_SPILL';
}

/** Marks a failure as one that may not come again. */
export function asPassing(error: MillraceError): MillraceError {
  passing.add(error);
  return error;
}

/** Flags that load something before the program: loaders. Other flags concern the program, or the process. */
function importFlags(args: readonly string[]): string[] {
  return args.flatMap((flag, i) => (flag.startsWith('--import=') ? [flag] : flag === '--import' ? [flag, args[i + 1] as string] : []));
}

export class WorkerPool {
  readonly #piscina: Piscina;
  readonly #heapMiB: number;
  readonly #ports: MessagePort[] = [];

  /**
   * @param heapMiB how large the heap of a thread may grow
   * @param onError a thread without a task failed: it could not start, or something threw after its task
   */
  constructor(workers: number, heapMiB: number, onError: (error: MillraceError) => void) {
    this.#heapMiB = heapMiB;
    this.#piscina = new Piscina({
      filename: new URL('./worker-entry.js', import.meta.url).href,
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: 1,
      // A worker blocks in its own wait, and must not share its loop with the pool.
      atomics: 'disabled',
      // A user's function may print; the job must not depend on it.
      recordTiming: false,
      // Without it V8 ends the whole process when a heap is full.
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
      // The entry of a worker is a file: it cannot start with a flag for a program given as text (node
      // --eval).
      ...(process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: importFlags(process.execArgv) } : {}),
    });
    this.#piscina.on('error', (error: Error) => {
      onError(asPassing(new MillraceError('ERR_MILLRACE_WORKER', `A worker thread failed outside of its task: ${error.message}`, { cause: error })));
    });
  }

  /**
   * Starts one worker's task. The promise settles when the worker leaves its loop: rejected with the worker's
   * error, as a MillraceError.
   */
  async run(task: Omit<WorkerTask, 'port'>, onMessage: (message: WorkerMessage) => void): Promise<void> {
    const { port1, port2 } = new MessageChannel();
    this.#ports.push(port1);
    port1.on('message', onMessage);
    // Everything that the worker reported has come when its end of the port is closed.
    const told = new Promise((resolve) => port1.once('close', resolve));
    let failed: PortableError | undefined;
    try {
      failed = (await this.#piscina.run({ ...task, port: port2 }, { transferList: [port2] })) as PortableError | undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
        throw asPassing(
          new MillraceError(
            'ERR_MILLRACE_MEMORY',
            `Worker ${task.worker} ran out of heap, of which it may have ${this.#heapMiB} MiB. What fills it is state of keyed functions, folds and joins, or what functions keep in variables of their own: drop what is over (ttl, ctx.clear(), a shorter window or within), run more workers, or give more memory.`,
            { cause: error },
          ),
        );
      }
      throw asPassing(
        new MillraceError('ERR_MILLRACE_WORKER', `Worker ${task.worker} died: ${error instanceof Error ? error.message : String(error)}.`, { cause: error }),
      );
    }
    await told;
    if (failed !== undefined) throw revive(failed);
  }

  /** Ends the threads. Those that are still in their loop are terminated. */
  async close(): Promise<void> {
    for (const port of this.#ports) port.close();
    await this.#piscina.destroy();
  }
}
