/**
 * HyperLogLog, the dense form: 2^p registers of a byte. Each holds the greatest number of leading zeros, plus
 * one, seen in the rest of the hashes that it is responsible for (Flajolet, Fusy, Gandouet and Meunier, AofA
 * 2007).
 *
 * The estimate is linear counting of the empty registers as long as that is the better of the two (up to 3/4
 * of the number of registers, the threshold of Heule, Nunkesser and Hall, "HyperLogLog in practice", EDBT
 * 2013). Beyond, it is Ertl's improved raw estimator, which needs no table of corrections ("New cardinality
 * estimation algorithms for HyperLogLog sketches", 2017). Standard error: 1.04 / sqrt(2^p).
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { DenseSketch } from './hash-sketch.ts';

export const PRECISION_MIN = 4;
export const PRECISION_MAX = 16;
const ERROR_FACTOR = 1.04;
const LINEAR_COUNT_MAX = 0.75;

/** The least precision whose standard error is at most `error`. */
export function precisionFor(error: number): number {
  return Math.min(PRECISION_MAX, Math.max(PRECISION_MIN, Math.ceil(2 * Math.log2(ERROR_FACTOR / error))));
}

export function hyperLogLog(precision: number): DenseSketch {
  const registers = 2 ** precision;
  const valueMax = 64 - precision + 1;
  const counts = new Float64Array(valueMax + 1);
  return {
    bytes: registers,
    add({ u8 }, dense, low, high) {
      const rest = (high << precision) >>> 0;
      const value = rest !== 0 ? Math.clz32(rest) + 1 : 32 - precision + Math.clz32(low) + 1;
      const at = dense + (high >>> (32 - precision));
      if (value > (u8[at] as number)) u8[at] = value;
    },
    merge({ u8 }, dense, from) {
      for (let i = 0; i < registers; i++) if ((u8[from + i] as number) > (u8[dense + i] as number)) u8[dense + i] = u8[from + i] as number;
    },
    estimate(memory, dense) {
      countRegisters(memory, dense, registers, counts);
      const empty = counts[0] as number;
      if (empty > 0) {
        const linear = registers * Math.log(registers / empty);
        if (linear <= LINEAR_COUNT_MAX * registers) return linear;
      }
      let z = registers * tau(1 - (counts[valueMax] as number) / registers);
      for (let value = valueMax - 1; value >= 1; value--) z = 0.5 * (z + (counts[value] as number));
      z += registers * sigma(empty / registers);
      return (registers * registers) / (2 * Math.LN2 * z);
    },
  };
}

function countRegisters({ u8 }: SharedMemory, dense: number, registers: number, counts: Float64Array): void {
  counts.fill(0);
  for (let i = 0; i < registers; i++) counts[u8[dense + i] as number] = (counts[u8[dense + i] as number] as number) + 1;
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  let y = 1;
  let z = x;
  for (let power = x, before = Number.NaN; z !== before; ) {
    power *= power;
    before = z;
    z += power * y;
    y += y;
  }
  return z;
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let y = 1;
  let z = 1 - x;
  for (let root = x, before = Number.NaN; z !== before; ) {
    root = Math.sqrt(root);
    before = z;
    y *= 0.5;
    z -= (1 - root) ** 2 * y;
  }
  return z / 3;
}
