/**
 * The watermark of a stream: the event time that it has passed, as the minimum over its partitions.
 *
 * Each partition reports the greatest event time seen in it; its own watermark is that minus the allowed
 * delay. The stream's watermark is the minimum over the partitions that take part. A partition that ended
 * takes part no longer. One that is idle does not take part as long as it is idle (that is decided elsewhere,
 * by a clock, and recorded). When only idle partitions are left, the furthest of them counts, so that the
 * last windows of a quiet stream close. When all have ended, the watermark is +Infinity. It never moves
 * backwards. With the policy `max` the furthest partition counts instead of the minimum. A slow partition, or
 * one without rows yet, then holds nothing back, and its rows may be late.
 *
 * There is no clock here, and the order of reports within an epoch does not matter: the same reports give the
 * same watermark. The state of a partition is a small JSON text that is committed with its offset, so that a
 * restart knows which windows were closed.
 */

import { assert } from '../assert.ts';
import { MillraceError, shown } from '../errors.ts';

export interface WatermarkOptions {
  /** How far behind the greatest event time rows may come and still be on time. */
  readonly delayMs: number;
  /**
   * Event times further than this ahead of the epoch's processing time do not move the watermark. Default: no
   * bound.
   */
  readonly maxSkewMs?: number;
  /** Which of the partitions counts. Default: `min`. */
  readonly policy?: WatermarkPolicy;
}

/** Which of several partitions, or streams, determines the time: the last or the first one. */
export type WatermarkPolicy = 'min' | 'max';

/** All that a watermark knows: a plain value. Times may be infinite. */
export interface WatermarkState {
  readonly currentMs: number;
  readonly partitions: readonly { readonly partition: number; readonly maxMs: number; readonly state: 'active' | 'idle' | 'ended' }[];
}

interface Partition {
  maxMs: number;
  state: 'active' | 'idle' | 'ended';
}

/**
 * @example
 * const watermark = new Watermark({ delayMs: 5_000 }, 2);
 * watermark.observe(0, 60_000);
 * watermark.advance(); // -Infinity: nothing is known of partition 1
 * watermark.observe(1, 90_000);
 * watermark.advance(); // 55_000
 */
export class Watermark {
  readonly delayMs: number;
  readonly maxSkewMs: number;
  readonly policy: WatermarkPolicy;
  readonly #partitions = new Map<number, Partition>();
  #current = Number.NEGATIVE_INFINITY;

  /** @param partitions their number (they are numbered from 0, all active), or their numbers */
  constructor(options: WatermarkOptions, partitions: number | Iterable<number>) {
    assert(options.delayMs >= 0, `a watermark delay of ${options.delayMs} ms`);
    this.delayMs = options.delayMs;
    this.maxSkewMs = options.maxSkewMs ?? Number.POSITIVE_INFINITY;
    this.policy = options.policy ?? 'min';
    for (const partition of typeof partitions === 'number' ? Array(partitions).keys() : partitions) {
      this.#partitions.set(partition, { maxMs: Number.NEGATIVE_INFINITY, state: 'active' });
    }
  }

  /** As of the last `advance`, in ms since 1970; -Infinity at first. */
  get current(): number {
    return this.#current;
  }

  /** Whether a partition takes part in the minimum; otherwise all are idle, or have ended. */
  get hasActive(): boolean {
    for (const { state } of this.#partitions.values()) if (state === 'active') return true;
    return false;
  }

  /** All partitions have ended, and there is one. */
  get hasEnded(): boolean {
    for (const { state } of this.#partitions.values()) if (state !== 'ended') return false;
    return this.#partitions.size > 0;
  }

  /**
   * The greatest event time that may move the watermark in an epoch, given its recorded processing time. Rows
   * beyond it are processed like all others, but the maximum passed to `observe` leaves them out.
   */
  timeBound(nowMs: number): number {
    return nowMs + this.maxSkewMs;
  }

  /**
   * Reports the greatest event time of some rows of a partition. -Infinity, for no rows, changes nothing. An
   * idle partition wakes up.
   */
  observe(partition: number, maxMs: number): void {
    const of = this.#partition(partition);
    if (maxMs === Number.NEGATIVE_INFINITY) return;
    assert(Number.isFinite(maxMs), `an event time of ${maxMs}`);
    if (maxMs > of.maxMs) of.maxMs = maxMs;
    if (of.state === 'idle') of.state = 'active';
  }

  /** Takes a partition out of the minimum until its next rows. */
  idle(partition: number): void {
    const of = this.#partition(partition);
    if (of.state === 'active') of.state = 'idle';
  }

  /** No more rows will come from this partition. */
  end(partition: number): void {
    this.#partition(partition).state = 'ended';
  }

  /**
   * A group rebalance: from now on exactly these partitions are assigned. New ones start active and unknown.
   */
  assign(partitions: Iterable<number>): void {
    const ours = new Set(partitions);
    for (const known of [...this.#partitions.keys()]) if (!ours.has(known)) this.#partitions.delete(known);
    for (const partition of ours) {
      if (!this.#partitions.has(partition)) this.#partitions.set(partition, { maxMs: Number.NEGATIVE_INFINITY, state: 'active' });
    }
  }

  /** Advances to what the reports so far allow, at the end of an epoch, and returns the watermark. */
  advance(): number {
    let minActive = Number.POSITIVE_INFINITY;
    let maxIdle = Number.NEGATIVE_INFINITY;
    let activeCount = 0;
    let idleCount = 0;
    let furthest = Number.NEGATIVE_INFINITY;
    for (const { maxMs, state } of this.#partitions.values()) {
      if (maxMs > furthest) furthest = maxMs;
      if (state === 'active') {
        activeCount++;
        if (maxMs < minActive) minActive = maxMs;
      } else if (state === 'idle') {
        idleCount++;
        if (maxMs > maxIdle) maxIdle = maxMs;
      }
    }
    let next = Number.NEGATIVE_INFINITY;
    if (activeCount + idleCount > 0 && this.policy === 'max') next = furthest - this.delayMs;
    else if (activeCount > 0) next = minActive - this.delayMs;
    else if (idleCount > 0) next = maxIdle - this.delayMs;
    // Without any partitions (a rebalance took them) nothing is known: the watermark stays.
    else if (this.#partitions.size > 0) next = Number.POSITIVE_INFINITY;
    if (next > this.#current) this.#current = next;
    return this.#current;
  }

  /** The watermark of a single partition, for progress reports. */
  partitionWatermark(partition: number): number {
    return this.#partition(partition).maxMs - this.delayMs;
  }

  /**
   * What to commit with the offset of a partition: JSON of some 50 bytes. Each one includes the stream's
   * watermark.
   */
  snapshot(partition: number): string {
    return JSON.stringify({ watermark: finiteOrNull(this.#current), max: finiteOrNull(this.#partition(partition).maxMs) });
  }

  /**
   * Restores a `snapshot`, at a start. The stream's watermark becomes the greatest one restored. An empty
   * text is a partition that was never committed.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the text is not one that `snapshot` wrote
   */
  restore(partition: number, text: string): void {
    if (text === '') return;
    const of = this.#partition(partition);
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      // Reported below with all other foreign texts.
    }
    const { watermark, max } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as { watermark?: unknown; max?: unknown };
    if (!isTime(watermark) || !isTime(max)) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The watermark committed with partition ${partition} is ${shown(text)}, which this version did not write. Start with another group, or reset the group's offsets.`,
      );
    }
    if (max !== null && max > of.maxMs) of.maxMs = max;
    if (watermark !== null && watermark > this.#current) this.#current = watermark;
  }

  /**
   * The whole state between two epochs, for {@link restoreAll}. Unlike `snapshot`, it includes which
   * partitions are idle or have ended.
   */
  snapshotAll(): WatermarkState {
    return { currentMs: this.#current, partitions: [...this.#partitions].map(([partition, { maxMs, state }]) => ({ partition, maxMs, state })) };
  }

  /** Gives a new watermark the state of another one of the same partitions. */
  restoreAll({ currentMs, partitions }: WatermarkState): void {
    this.#current = currentMs;
    for (const { partition, maxMs, state } of partitions) Object.assign(this.#partition(partition), { maxMs, state });
  }

  #partition(partition: number): Partition {
    const of = this.#partitions.get(partition);
    assert(of, `partition ${partition} has no watermark here`);
    return of;
  }
}

function isTime(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && Number.isFinite(value));
}

// +Infinity is the end of a bounded run. The next run starts from what its partitions had.
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
