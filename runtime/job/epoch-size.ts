/**
 * How much an epoch may take in, so that what comes out of it fits. Output is kept until its epoch is
 * complete, and a function may make a thousand rows of one. So what came out of the epochs so far, per byte
 * that went in, bounds the next ones. Where a pipeline has a function that can make more rows than it gets,
 * the first epochs are small, and each may be four times as large as the one before.
 *
 * Where an epoch is cut is recorded, so a repeated epoch is cut as it was. An epoch has at least one frame of
 * each partition that has rows.
 */

import type { FlowPlan, Plan } from '../plan/index.ts';

const GROWTH = 4;
/** What the share of an epoch with more output than usual becomes with each later one. */
const DECAY = 0.9;

export class EpochSize {
  /** An epoch that has taken in this much is cut. */
  inBytes: number;
  /** The same for output. */
  readonly outBytes: number;
  readonly #inBytesMax: number;
  /** Bytes out per byte in. */
  #ratio = 0;

  /** @param firstBytes what the first epoch may take in, where rows may become many */
  constructor(plan: Plan, inBytesMax: number, outBytes: number, firstBytes: number) {
    this.#inBytesMax = inBytesMax;
    this.outBytes = outBytes;
    this.inBytes = flowsOf(plan).some(multiplies) ? Math.min(inBytesMax, firstBytes) : inBytesMax;
  }

  /** An epoch took in so much, and so much came out of its scans and merges. */
  merged(inBytes: number, outBytes: number): void {
    if (inBytes === 0) return;
    this.#ratio = Math.max(outBytes / inBytes, this.#ratio * DECAY);
    const fitting = this.#ratio === 0 ? Number.POSITIVE_INFINITY : this.outBytes / this.#ratio;
    this.inBytes = Math.min(this.#inBytesMax, this.inBytes * GROWTH, Math.max(1, fitting));
  }
}

function flowsOf({ sources, exchanges }: Plan): FlowPlan[] {
  return [...sources.map(({ flow }) => flow), ...exchanges.flatMap(({ flow, errors }) => [flow, ...errors])];
}

/** Whether a function of it can make more rows than it gets. */
function multiplies({ operations, next, errors, lookup }: FlowPlan): boolean {
  const behind = lookup === undefined ? next : [...next, lookup.flow, ...lookup.errors];
  return operations.some(({ kind }) => kind === 'flatMap' || kind === 'mapBatches') || [...behind, ...errors.map(({ flow }) => flow)].some(multiplies);
}
