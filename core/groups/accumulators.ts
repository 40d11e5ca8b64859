/**
 * What a slot of a group table accumulates: counts, sums, extremes, sketches. Each is a few bytes, and
 * perhaps a state of variable size in the table's arena. It can be updated by a column, merged with another
 * slot's, and (in some kinds) subtracted again.
 *
 * An accumulator is its place in a slot plus functions over whole tiles: it never sees a row. Before `update`
 * the group table brings the input column to one of three lanes, 8 bytes per value: f64 (bool and all numbers
 * but i64), i64 (i64, timestamp), or valid (1 or 0). The accumulator's identity takes the place of nulls. So
 * there is one loop per kind, not one per type. What the finished values mean (a mean, a null where no row
 * had a value) is up to the operators.
 *
 *   kind         lane    slot bytes       identity          subtract
 *   count        -       i64              0                 yes       rows, null or not
 *   countValid   valid   i64              0                 yes       rows whose input is not null
 *   sum          f64     f64 hi, f64 lo   0, 0              yes       hi + lo, compensated
 *   sum          i64     i128             0                 yes       exact
 *   min          f64     f64              NaN               no        NaN only when all are NaN
 *   max          f64     f64              -Infinity         no        NaN when any is NaN
 *   min, max     i64     i64              greatest, least   no
 *
 * These are passes of the kernels. The kinds below work row by row in TypeScript (accumulators/), and are
 * told which values are null. An asterisk means that the slot holds a pointer to a state in the arena
 * (state.ts), which the table copies, moves and frees as it does its long keys.
 *
 *   min, max      bytes      i64 count, *          no    utf8 and binary, by their bytes
 *   sumSquares    f64, i64   f64 hi, lo            no    for variances, beside a sum
 *   first, last   any        i64 count, f64, 8     no    by an order column, or by arrival; of byte strings
 *                                                        the 8 are *
 *   smoothed      f64        i64, 3 f64            no    exponential, by an order column
 *   distinct      any        *                     no    exact count: a set
 *   hyperLogLog   any        *                     no    approximate count; `precision`
 *   linearCounter any        *                     no    approximate count; `bits`
 *   quantiles     f64        *                     yes   DDSketch; `error`
 *   topK          any        *                     no    Misra-Gries; `counters`
 *   list          any        *                     no    the first `max` values by an order column
 *
 * NaN is the greatest value, as in DuckDB and Spark; -0 counts as 0. A min, max or sum of no value holds its
 * identity: where a column may be null, add a `countValid` of it and read null where that is 0.
 *
 * A sum of f64 carries the rounding errors of its additions along (TwoSum, Knuth; summation after Ogita, Rump
 * and Oishi, "Accurate sum and dot product", 2005). So the order of rows and merges changes it by no more
 * than 2^-100 of the sum of magnitudes: the result does not depend on which thread took which batch. Infinity
 * and NaN are preserved; subtracting an infinite sum gives NaN.
 */

import { MillraceError } from '../errors.ts';
import { type DataType, f64, i64 } from '../schema.ts';
import type { Accumulator, AccumulatorName, AccumulatorOptions, Lane, StateBehaviour } from './accumulators/accumulator.ts';
import { distinct } from './accumulators/distinct.ts';
import { extremeBytes, firstLast } from './accumulators/first-last.ts';
import { hashSketch } from './accumulators/hash-sketch.ts';
import { heavyHitters } from './accumulators/heavy-hitters.ts';
import { hyperLogLog } from './accumulators/hyper-log-log.ts';
import { linearCounter } from './accumulators/linear-counter.ts';
import { quantileSketch } from './accumulators/quantile-sketch.ts';
import { smoothing } from './accumulators/smoothing.ts';
import { sumSquares } from './accumulators/sum-squares.ts';
import { valueList } from './accumulators/value-list.ts';
import { type GroupKernels, MERGE } from './kernel-signatures.ts';

export type { Accumulator, AccumulatorName, AccumulatorOptions, Lane };

type Behaviour = StateBehaviour & { readonly lane: Lane };

/**
 * @param input the column's type; for every kind but `count`
 * @example accumulator('count'); accumulator('sum', f64); accumulator('first', utf8, { order: timestamp })
 * @throws MillraceError ERR_MILLRACE_PIPELINE when there is no such aggregate of that type
 */
export function accumulator(name: AccumulatorName, input?: DataType, options: AccumulatorOptions = {}): Accumulator {
  const { order, parameter, ties = 'coming' } = options;
  const made = (result: DataType, behaviour: StateBehaviour, lane: Lane): Accumulator =>
    Object.freeze({ name, input, result, order, ties, parameter, ...behaviour, lane });
  if (name === 'count') return Object.freeze({ name, input: undefined, order, ties, parameter, result: i64, ...COUNT });
  if (input === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name} needs a column.`);
  const isBytes = input.name === 'utf8' || input.name === 'binary';
  const isLong = input.name === 'i64' || input.name === 'timestamp';
  const lane = isBytes ? 'bytes' : isLong ? 'i64' : 'f64';
  switch (name) {
    case 'countValid':
      return made(i64, COUNT_VALID, 'valid');
    case 'first':
    case 'last':
      return made(input, firstLast(name === 'first', lane, ties === 'value'), lane);
    case 'distinct':
      return made(f64, distinct(isBytes), lane);
    case 'hyperLogLog':
      return made(f64, hashSketch(hyperLogLog(parameterOf(name, parameter)), isBytes), lane);
    case 'linearCounter':
      return made(f64, hashSketch(linearCounter(parameterOf(name, parameter)), isBytes), lane);
    case 'topK':
      return made(f64, heavyHitters(parameterOf(name, parameter), isBytes), lane);
    case 'list':
      return made(f64, valueList(parameterOf(name, parameter), lane, ties === 'value'), lane);
    case 'min':
    case 'max':
      if (isBytes) return made(input, extremeBytes(name === 'min'), lane);
      return made(input, name === 'min' ? (isLong ? MIN_I64 : MIN_F64) : isLong ? MAX_I64 : MAX_F64, lane);
  }
  if (isBytes) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name} of a ${input.name} column is not possible. Take a column of numbers.`);
  switch (name) {
    case 'sum':
      return made(isLong ? i64 : f64, isLong ? SUM_I64 : SUM_F64, lane);
    case 'sumSquares':
      return made(f64, sumSquares(isLong), lane);
    case 'quantiles':
      return made(f64, quantileSketch(parameterOf(name, parameter)), 'f64');
    case 'smoothed':
      if (order === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', 'smoothed needs a column of times.');
      return made(f64, smoothing(parameterOf(name, parameter)), 'f64');
  }
}

function parameterOf(name: AccumulatorName, parameter: number | undefined): number {
  if (parameter === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${name} needs its parameter.`);
  return parameter;
}

function finishLong(kernels: GroupKernels, slots: number, count: number, offset: number, to: number, asI64: boolean): number {
  if (asI64) kernels.groupGatherLongs(slots, count, offset, to);
  else kernels.groupGatherI64AsF64(slots, count, offset, to);
  return 0;
}

function finishF64(kernels: GroupKernels, slots: number, count: number, offset: number, to: number): number {
  kernels.groupGatherLongs(slots, count, offset, to);
  return 0;
}

function zero(words: number): Accumulator['identity'] {
  return (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + words);
}

const COUNT: Behaviour = {
  mergeCode: MERGE.addI64,
  slotBytes: 8,
  isRowWise: false,
  pointers: [],
  lane: 'none',
  canSubtract: true,
  fuses: 'count',
  identity: zero(2),
  update: (kernels, slots, count, offset) => kernels.groupCount(slots, count, offset),
  merge: (kernels, slots, count, offset, fields, stride, sign) => kernels.groupAddI64(slots, count, offset, fields, stride, sign),
  finish: finishLong,
};

const COUNT_VALID: Behaviour = {
  ...COUNT,
  lane: 'valid',
  fuses: undefined,
  update: (kernels, slots, count, offset, values) => kernels.groupAddI64(slots, count, offset, values, 8, 1),
};

const SUM_F64: Behaviour = {
  mergeCode: MERGE.sumF64,
  slotBytes: 16,
  isRowWise: false,
  pointers: [],
  lane: 'f64',
  canSubtract: true,
  fuses: 'sum',
  identity: zero(4),
  update: (kernels, slots, count, offset, values) => kernels.groupSumF64(slots, count, offset, values),
  merge: (kernels, slots, count, offset, fields, stride, sign) => kernels.groupMergeSumF64(slots, count, offset, fields, stride, sign),
  finish(kernels, slots, count, offset, to) {
    kernels.groupGatherSumF64(slots, count, offset, to);
    return 0;
  },
};

const SUM_I64: Behaviour = {
  mergeCode: MERGE.sumI64,
  slotBytes: 16,
  isRowWise: false,
  pointers: [],
  lane: 'i64',
  canSubtract: true,
  fuses: undefined,
  identity: zero(4),
  update: (kernels, slots, count, offset, values) => kernels.groupSumI64(slots, count, offset, values),
  merge: (kernels, slots, count, offset, fields, stride, sign) => kernels.groupMergeSumI64(slots, count, offset, fields, stride, sign),
  finish(kernels, slots, count, offset, to, asI64) {
    if (asI64) return kernels.groupGatherSumI64(slots, count, offset, to);
    kernels.groupGatherSumI64AsF64(slots, count, offset, to);
    return 0;
  },
};

const MIN_F64: Behaviour = {
  mergeCode: MERGE.minF64,
  slotBytes: 8,
  isRowWise: false,
  pointers: [],
  lane: 'f64',
  canSubtract: false,
  fuses: 'min',
  identity: (memory, field) => {
    memory.f64[field >>> 3] = Number.NaN;
  },
  update: (kernels, slots, count, offset, values) => kernels.groupMinF64(slots, count, offset, values, 8),
  merge: (kernels, slots, count, offset, fields, stride) => kernels.groupMinF64(slots, count, offset, fields, stride),
  finish: finishF64,
};

const MAX_F64: Behaviour = {
  ...MIN_F64,
  mergeCode: MERGE.maxF64,
  fuses: 'max',
  identity: (memory, field) => {
    memory.f64[field >>> 3] = Number.NEGATIVE_INFINITY;
  },
  update: (kernels, slots, count, offset, values) => kernels.groupMaxF64(slots, count, offset, values, 8),
  merge: (kernels, slots, count, offset, fields, stride) => kernels.groupMaxF64(slots, count, offset, fields, stride),
};

const MIN_I64: Behaviour = {
  mergeCode: MERGE.minI64,
  slotBytes: 8,
  isRowWise: false,
  pointers: [],
  lane: 'i64',
  canSubtract: false,
  fuses: undefined,
  identity: (memory, field) => {
    memory.i64[field >>> 3] = 0x7fff_ffff_ffff_ffffn;
  },
  update: (kernels, slots, count, offset, values) => kernels.groupMinI64(slots, count, offset, values, 8),
  merge: (kernels, slots, count, offset, fields, stride) => kernels.groupMinI64(slots, count, offset, fields, stride),
  finish: finishLong,
};

const MAX_I64: Behaviour = {
  ...MIN_I64,
  mergeCode: MERGE.maxI64,
  identity: (memory, field) => {
    memory.i64[field >>> 3] = -0x8000_0000_0000_0000n;
  },
  update: (kernels, slots, count, offset, values) => kernels.groupMaxI64(slots, count, offset, values, 8),
  merge: (kernels, slots, count, offset, fields, stride) => kernels.groupMaxI64(slots, count, offset, fields, stride),
};
