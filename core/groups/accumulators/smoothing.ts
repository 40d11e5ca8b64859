/**
 * Exponential smoothing over event time: the mean of the values, each weighted by 1/2 to the power of its age
 * in half-lives, where age is counted from the newest value. The order of rows does not matter. Two states
 * merge by bringing the older one to the time of the newer one ("forward decay": Cormode, Shkapenyuk,
 * Srivastava and Xu, ICDE 2009, which for exponential decay is the same as decay from now).
 *
 *   0  i64 values seen    8  f64 newest time, ms    16  f64 weighted sum    24  f64 sum of weights
 *
 * A value without a time is left out. NaN makes the result NaN, as in a mean.
 */

import type { StateBehaviour } from './accumulator.ts';

/** Places of the three numbers in a state: the newest time, the weighted sum, the sum of weights. */
export const NEWEST = 0;
export const SUM = 1;
export const WEIGHT = 2;

/** How much the logarithm of a weight falls per millisecond. */
export function decayRate(halfLifeMs: number): number {
  return Math.LN2 / halfLifeMs;
}

/** Adds a sum and its weight, both as of `time`, to the state at `f64[at]`. A weight of 0 adds nothing. */
export function addDecayed(f64: Float64Array, at: number, rate: number, time: number, sum: number, weight: number): void {
  const newest = f64[at + NEWEST] as number;
  if (f64[at + WEIGHT] === 0) {
    f64[at + NEWEST] = time;
    f64[at + SUM] = sum;
    f64[at + WEIGHT] = weight;
  } else if (time > newest) {
    const decay = Math.exp((newest - time) * rate);
    f64[at + NEWEST] = time;
    f64[at + SUM] = (f64[at + SUM] as number) * decay + sum;
    f64[at + WEIGHT] = (f64[at + WEIGHT] as number) * decay + weight;
  } else {
    const decay = Math.exp((time - newest) * rate);
    f64[at + SUM] = (f64[at + SUM] as number) + sum * decay;
    f64[at + WEIGHT] = (f64[at + WEIGHT] as number) + weight * decay;
  }
}

export function smoothing(halfLifeMs: number): StateBehaviour {
  const rate = decayRate(halfLifeMs);

  function addCount(u32: Uint32Array, field: number, low: number, high: number): void {
    const total = (u32[field >>> 2] as number) + low;
    u32[field >>> 2] = total;
    u32[(field >>> 2) + 1] = (u32[(field >>> 2) + 1] as number) + high + (total > 0xffff_ffff ? 1 : 0);
  }

  return {
    slotBytes: 32,
    pointers: [],
    isRowWise: true,
    canSubtract: false,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + 8),
    update(_kernels, slots, count, offset, values, { arena, nulls, orders }) {
      const { u32, u8, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const time = f64[(orders >>> 3) + i] as number;
        if ((nulls !== 0 && u8[nulls + i] === 1) || time !== time) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        addDecayed(f64, (field >>> 3) + 1, rate, time, f64[(values >>> 3) + i] as number, 1);
        addCount(u32, field, 1, 0);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, _sign, { memory: { u32, f64 } }) {
      for (let i = 0; i < count; i++) {
        const from = fields + i * stride;
        if (u32[from >>> 2] === 0 && u32[(from >>> 2) + 1] === 0) continue;
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const at = (from >>> 3) + 1;
        addDecayed(f64, (field >>> 3) + 1, rate, f64[at + NEWEST] as number, f64[at + SUM] as number, f64[at + WEIGHT] as number);
        addCount(u32, field, u32[from >>> 2] as number, u32[(from >>> 2) + 1] as number);
      }
    },
    finish(_kernels, slots, count, offset, to, _asI64, { u32, f64 }) {
      for (let i = 0; i < count; i++) {
        const at = ((u32[(slots >>> 2) + i] as number) + offset) >>> 3;
        f64[(to >>> 3) + i] = (f64[at + 3] as number) > 0 ? (f64[at + 2] as number) / (f64[at + 3] as number) : 0;
      }
      return 0;
    },
  };
}
