/**
 * The state of each partition when an epoch ends: active, idle, ended, or drained; and whether that has
 * changed since the last epoch. See job-watermarks.ts for what a state does to a watermark.
 */

import type { Plan, SourcePlan } from '../plan/index.ts';
import { PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from '../shared/index.ts';
import type { PartitionState } from './partitions.ts';

/** Where the partitions are, and how long each has had nothing although we were asking. */
export interface PartitionHost {
  readonly partitions: readonly PartitionState[];
  idleForMs(state: PartitionState): number;
}

/** How a run ends whose sources have no end of their own. */
export interface Drain {
  /** The run reads what is there when it begins, and ends. */
  readonly bounded: boolean;
  /**
   * What is open then (windows, and whatever else waits for event time) is kept for the next run, or emitted
   * as it is.
   */
  readonly open: 'hold' | 'emit';
}

export class PartitionStates {
  readonly #plan: Plan;
  readonly #host: PartitionHost;
  #drain: Drain;
  #isStopping = false;
  /** As of the last epoch. Undefined before the first, so that there is one even without a partition. */
  #last: string | undefined;

  constructor(plan: Plan, host: PartitionHost, drain: Drain) {
    this.#plan = plan;
    this.#host = host;
    this.#drain = drain;
  }

  /** By global partition. */
  now(): number[] {
    return this.#host.partitions.map((state) => {
      // An input that has ended is final, and its windows with it. One that is only not read on may go on in
      // the next run.
      if (state.ended && (!this.#drain.bounded || (this.#plan.sources[state.source] as SourcePlan).source.bounded)) return PARTITION_ENDED;
      if ((state.ended || this.#isStopping) && this.#drain.open === 'emit') return PARTITION_DRAINED;
      // It is not there yet, and holds nothing back until it has rows.
      if (!state.assigned) return PARTITION_IDLE;
      // Nobody waits for time to pass here. A partition without news since the last run has been silent since
      // then.
      if (state.ended && state.position === undefined && idleMsOf(this.#plan, state.source) < Number.POSITIVE_INFINITY) return PARTITION_IDLE;
      return this.#host.idleForMs(state) >= idleMsOf(this.#plan, state.source) ? PARTITION_IDLE : PARTITION_ACTIVE;
    });
  }

  /** Nothing more is read in this run. */
  stop(open: Drain['open']): void {
    this.#drain = { ...this.#drain, open };
    this.#isStopping = true;
  }

  /** They have changed since the last epoch ended. */
  get haveChanged(): boolean {
    return this.now().join() !== this.#last;
  }

  /** None has more rows to give in this run. */
  get allEnded(): boolean {
    return this.#host.partitions.every((state) => state.ended);
  }

  /** An epoch was ended with these. */
  endEpoch(states: readonly number[]): void {
    this.#last = states.join();
  }
}

/**
 * After how long without rows a partition of a source is idle, by the strictest of the watermarks that it
 * feeds; +Infinity: never.
 */
export function idleMsOf(plan: Plan, source: number): number {
  const strategies = plan.watermarks
    .filter((watermark) => watermark.sources.includes(source))
    .map((watermark) => watermark.strategy.idleMs ?? Number.POSITIVE_INFINITY);
  return Math.min(Number.POSITIVE_INFINITY, ...strategies);
}
