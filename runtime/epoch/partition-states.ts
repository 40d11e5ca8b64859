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

export class PartitionStates {
  readonly #plan: Plan;
  readonly #host: PartitionHost;
  readonly #drain: boolean;
  /** As of the last epoch; none before the first, which comes also when there is no partition at all. */
  #last: string | undefined;

  /** @param drain what has no end ends where it is now */
  constructor(plan: Plan, host: PartitionHost, drain: boolean) {
    this.#plan = plan;
    this.#host = host;
    this.#drain = drain;
  }

  /** By global partition. */
  now(): number[] {
    return this.#host.partitions.map((state) => {
      if (state.ended) return this.#drain && !(this.#plan.sources[state.source] as SourcePlan).source.bounded ? PARTITION_DRAINED : PARTITION_ENDED;
      return this.#host.idleForMs(state) >= idleMsOf(this.#plan, state.source) ? PARTITION_IDLE : PARTITION_ACTIVE;
    });
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
