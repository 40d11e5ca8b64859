/** A call of a function of process() that may fail, and is then as if it had never been made. */

import type { ProcessEntry } from './process-context.ts';
import { copied } from './process-errors.ts';

/** A key as it was before a call. */
export interface Before {
  readonly state: unknown;
  readonly expiry: number;
  readonly isNew: boolean;
  readonly timers: readonly (readonly [time: number, number: number])[];
  readonly processingTimers: readonly (readonly [time: number, number: number])[];
}

const NO_TIMERS: readonly (readonly [number, number])[] = [];

function restore(timers: Map<number, number>, before: Before['timers']): void {
  timers.clear();
  for (const [time, number] of before) timers.set(time, number);
}

/** What a call may change. */
export function beforeCall({ state, expiry, timers, processingTimers, key }: ProcessEntry, isNew: boolean): Before {
  return {
    state: typeof state === 'object' ? copied(state, key) : state,
    expiry,
    isNew,
    timers: timers.size === 0 ? NO_TIMERS : [...timers],
    processingTimers: processingTimers.size === 0 ? NO_TIMERS : [...processingTimers],
  };
}

/** The call has failed. Timers that it set stay in the queue, but nobody waits for them. */
export function takeBackCall(entry: ProcessEntry, { state, expiry, timers, processingTimers }: Before): void {
  Object.assign(entry, { state, expiry, isGone: false });
  restore(entry.timers, timers);
  restore(entry.processingTimers, processingTimers);
}
