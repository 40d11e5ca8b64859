/** The lock of a checkpoint directory: one process at a time, named in the error of others, or waited for. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError, shown } from '../../core/index.ts';
import { ProcessLock } from '../../io/index.ts';

/** Nothing tells when a process ends: its lock is looked at this often. */
const LOOK_MS = 100;

export interface LockOptions {
  /** Waits for a folder that is in use, until its holder is gone or this signal aborts. Default: an error. */
  readonly wait?: AbortSignal;
  /** Called with each holder that is waited for: `process 4711, for the pipeline "clicks" (...)`. */
  readonly waiting?: (holder: string) => void;
}

/**
 * Makes the folder where it does not exist, and locks it.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when another process has it; the reason of `wait` when that
 *   aborts; what the file system throws
 */
export async function lockFolder(dir: string, pipeline: string, { wait, waiting }: LockOptions = {}): Promise<ProcessLock> {
  await mkdir(dir, { recursive: true });
  for (let last = ''; ; ) {
    wait?.throwIfAborted();
    const lock = await ProcessLock.tryTake(join(dir, 'job'), `the pipeline ${shown(pipeline)}`);
    if (typeof lock !== 'string') {
      if (wait?.aborted !== true) return lock;
      await lock.release();
      continue;
    }
    if (wait === undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The checkpoint directory ${dir} is in use by ${lock}. One job a directory: stop that one, or give this one another directory.`,
      );
    }
    if (lock !== last) waiting?.(lock);
    last = lock;
    await sleep(LOOK_MS, undefined, { signal: wait }).catch(() => {});
  }
}
