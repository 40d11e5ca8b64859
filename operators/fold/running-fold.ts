/**
 * One shard of a fold without windows: one value per key, emitted at the end of each epoch that changed it.
 */

import { type Batch, readTimestamp } from '../../core/index.ts';
import type { StateRow } from '../exchange/index.ts';
import { type DueTimes, dueIn, type EpochClock, type Key, type KeyedContext, type KeyedInput, type KeyedOperator, TimerQueue } from '../keyed/index.ts';
import { type Group, Groups, type RowFold, sampledBytes } from './row-fold.ts';

interface RunningGroup extends Group {
  expiry: number;
  isGone: boolean;
}

export interface RunningSnapshot {
  readonly groups: readonly (Group & { readonly expiry: number })[];
}

const NO_BOUNDS: readonly number[] = [];

export class RunningFold implements KeyedOperator {
  readonly #groups: Groups;
  readonly #time: number;
  readonly #shiftMs: number;
  readonly #ttlMs: number | undefined;
  readonly #clock: EpochClock;
  readonly #values = new Map<Key, RunningGroup>();
  readonly #changed = new Set<RunningGroup>();
  readonly #expiries = new TimerQueue<RunningGroup>();

  constructor(fold: RowFold, input: KeyedInput, time: number, ttlMs: number | undefined, context: KeyedContext, from: RunningSnapshot | undefined) {
    this.#groups = new Groups(fold, input, context);
    this.#time = time;
    this.#shiftMs = input.timeShiftMs;
    this.#ttlMs = ttlMs;
    this.#clock = context.clock;
    for (const group of from?.groups ?? []) {
      const restored = { ...group, isGone: false };
      this.#values.set(group.id, restored);
      if (ttlMs !== undefined) this.#expiries.add(group.expiry, restored);
    }
  }

  get stateBytes(): number {
    return sampledBytes(this.#values) + this.#expiries.size * 56;
  }

  get due(): DueTimes {
    return dueIn(this.#time >= 0, this.#expiries.firstTime);
  }

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) {
      const changed = this.#groups.add(this.#values, rows, row, (group) => ({ ...group, expiry: Number.NEGATIVE_INFINITY, isGone: false }));
      if (changed !== undefined) this.#changed.add(changed);
      if (this.#groups.isGuarded && changed === undefined && this.#groups.hasFailed) continue;
      if (this.#ttlMs !== undefined) this.#touch(changed ?? (this.#values.get(this.#groups.keyOf(rows, row)) as RunningGroup), rows, row);
    }
  }

  onWatermark(watermark: number): void {
    for (const group of this.#changed) this.#groups.put(group, NO_BOUNDS);
    this.#changed.clear();
    const expired = this.#time >= 0 ? watermark : this.#clock.nowMs;
    while (expired !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= expired) {
      const { owner } = this.#expiries.take();
      if (owner.expiry > expired) this.#expiries.add(owner.expiry, owner);
      else if (!owner.isGone) {
        owner.isGone = true;
        this.#values.delete(owner.id);
      }
    }
  }

  snapshot(): RunningSnapshot {
    return structuredClone({ groups: [...this.#values.values()].map(({ id, key, value, expiry }) => ({ id, key, value, expiry })) });
  }

  *stateRows(): Generator<StateRow> {
    for (const group of this.#values.values()) {
      yield { key: this.#groups.keyRow(group), value: group.value, ...(this.#ttlMs === undefined ? {} : { expires: group.expiry }) };
    }
  }

  #touch(group: RunningGroup, rows: Batch, row: number): void {
    const time = this.#time < 0 ? this.#clock.nowMs : readTimestamp(rows.memory, rows.column(this.#time).data, row) + this.#shiftMs;
    const isNew = group.expiry === Number.NEGATIVE_INFINITY;
    group.expiry = Math.max(group.expiry, time + (this.#ttlMs as number));
    if (isNew) this.#expiries.add(group.expiry, group);
  }
}
