/** The lock of a checkpoint directory: one process at a time, named in the error of others, or waited for. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError, shown } from '../../core/index.ts';
import { type Deposed, type LeaseSign, ProcessLock } from '../../io/index.ts';

/** Nothing tells when a process ends: its lock is looked at this often. */
const LOOK_MS = 100;
/** Who renews less often than others expect has as many more chances. */
const RENEWALS_MISSED = 3;

export interface LockOptions {
  /**
   * With `wait`: a holder that was not heard of for this long is deposed, even if it is alive. Default: it is
   * waited for.
   */
  readonly sessionMs?: number;
  /** Gets the holder that was deposed, when the folder is locked. */
  readonly deposed?: (holder: Deposed) => void;
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
export async function lockFolder(dir: string, pipeline: string, { wait, waiting, sessionMs, deposed }: LockOptions = {}): Promise<ProcessLock> {
  await mkdir(dir, { recursive: true });
  const path = join(dir, 'job');
  let seen: { readonly sign: LeaseSign; readonly sinceMs: number } | undefined;
  for (let last = ''; ; ) {
    wait?.throwIfAborted();
    const silent = sessionMs !== undefined && seen !== undefined && performance.now() - seen.sinceMs > Math.max(sessionMs, RENEWALS_MISSED * seen.sign.everyMs);
    const old = silent && seen !== undefined ? { name: seen.sign.name, user: seen.sign.user, holder: last } : undefined;
    const lock = await ProcessLock.tryTake(path, `the pipeline ${shown(pipeline)}`, old && { ...old, exactly: true });
    if (typeof lock !== 'string') {
      if (wait?.aborted !== true) {
        if (old !== undefined) deposed?.(old);
        return lock;
      }
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
    if (sessionMs !== undefined) {
      const sign = await ProcessLock.leaseOf(path);
      if (sign === undefined) seen = undefined;
      else if (sign.name !== seen?.sign.name || sign.renewed !== seen.sign.renewed) seen = { sign, sinceMs: performance.now() };
    }
    await sleep(LOOK_MS, undefined, { signal: wait }).catch(() => {});
  }
}
