/**
 * Whether a job is alive, and whether it is ready: its partitions are assigned, it has caught up to a bound, and its
 * last epoch is younger than a bound, or there is nothing to do.
 */

import type { JobWatch } from './job-watch.ts';
import type { JobState } from './progress.ts';

export interface ReadinessBounds {
  /** Most that may exist outside and not be read yet, over all partitions; undefined: it is not judged. */
  readonly lag: number | undefined;
  /** ms since an epoch was finished, while there is something to do. */
  readonly epochAgeMs: number;
}

export interface Verdict {
  readonly ok: boolean;
  readonly state: JobState;
  /** What is missing. */
  readonly because: readonly string[];
}

const NOT_YET: Partial<Record<JobState, string>> = {
  standby: 'another process is at work, and this one stands by',
  starting: 'the job is starting',
  joining: 'a source has reported nothing of its partitions yet',
  restoring: 'epochs of the journal are being repeated',
  waiting: 'a source waits for something outside, or the job for memory',
  paused: 'the job is paused',
  draining: 'the job is stopping',
  stopped: 'the job has stopped',
  failed: 'the job has failed',
};

/** The process answers, and the job has not failed. A job that waits or stands by is alive. */
export function liveness(watch: JobWatch): Verdict {
  const { state } = watch.progress();
  return state === 'failed' ? { ok: false, state, because: ['the job has failed'] } : { ok: true, state, because: [] };
}

export function readiness(watch: JobWatch, bounds: ReadinessBounds, nowMs = Date.now()): Verdict {
  const { state, lag, epochsUnderWay, epochBytes } = watch.progress();
  const because: string[] = [];
  const notYet = NOT_YET[state];
  if (notYet !== undefined) because.push(notYet);
  if (bounds.lag !== undefined) {
    if (lag === undefined) because.push('the lag of a partition is not known yet');
    else if (lag > bounds.lag) because.push(`the lag is ${lag}, more than ${bounds.lag}`);
  }
  const ageMs = nowMs - (watch.lastEpochAtMs ?? watch.startedAtMs);
  // Without rows there is no epoch, however long that lasts.
  const hasNothingToDo = (lag ?? 0) === 0 && epochsUnderWay === 0 && epochBytes === 0;
  if (ageMs > bounds.epochAgeMs && !hasNothingToDo)
    because.push(`no epoch has been finished for ${Math.round(ageMs / 1_000)} s, more than ${bounds.epochAgeMs / 1_000}`);
  return { ok: because.length === 0, state, because };
}
