/**
 * What each partition is when an epoch ends: active, idle, ended, or drained; and whether that has changed since the last epoch. What
 * a state does to a watermark stands with the watermarks.
 */

import type { Plan, SourcePlan } from '../plan/plan.ts';
import { PARTITION_ACTIVE, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from '../shared/partition-codes.ts';
import type { PartitionState } from './partitions.ts';

/** Where the partitions are, and how long each has had nothing for us although we were asking. */
export interface PartitionHost {
  readonly partitions: readonly PartitionState[];
  idleForMs(state: PartitionState): number;
}

/** What a run does where its sources have no end of their own. */
export interface Drain {
  /** Reading ends at what is there when it begins. */
  readonly bounded: boolean;
  /** Windows, and whatever else waits for event time, that are open then: kept for the next run, or put out as they are. */
  readonly open: 'hold' | 'emit';
}

export class PartitionStates {
  readonly #plan: Plan;
  readonly #host: PartitionHost;
  #drain: Drain;
  #isStopping = false;
  /** As of the last epoch; none before the first, which comes also when there is no partition at all. */
  #last: string | undefined;

  constructor(plan: Plan, host: PartitionHost, drain: Drain) {
    this.#plan = plan;
    this.#host = host;
    this.#drain = drain;
  }

  /** By global partition. */
  now(): number[] {
    return this.#host.partitions.map((state) => {
      // An input that has ended is final, and its windows with it; one that is only not read on may go on in the next run.
      if (state.ended && (!this.#drain.bounded || (this.#plan.sources[state.source] as SourcePlan).source.bounded)) return PARTITION_ENDED;
      if ((state.ended || this.#isStopping) && this.#drain.open === 'emit') return PARTITION_DRAINED;
      // Not there yet: it holds nothing back until it has rows.
      if (!state.assigned) return PARTITION_IDLE;
      // Nobody waits for time to pass here: a partition that has had nothing since the last run has been silent for as long.
      if (state.ended && state.position === undefined && idleMsOf(this.#plan, state.source) < Number.POSITIVE_INFINITY) return PARTITION_IDLE;
      return this.#host.idleForMs(state) >= idleMsOf(this.#plan, state.source) ? PARTITION_IDLE : PARTITION_ACTIVE;
    });
  }

  /** Nothing more is read in this run. */
  stop(open: Drain['open']): void {
    this.#drain = { ...this.#drain, open };
    this.#isStopping = true;
  }

  /** They are not what they were when the last epoch ended. */
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

/** After how long without rows a partition of a source is idle: by the strictest of the watermarks that it feeds; +Infinity: never. */
export function idleMsOf(plan: Plan, source: number): number {
  const strategies = plan.watermarks
    .filter((watermark) => watermark.sources.includes(source))
    .map((watermark) => watermark.strategy.idleMs ?? Number.POSITIVE_INFINITY);
  return Math.min(Number.POSITIVE_INFINITY, ...strategies);
}
