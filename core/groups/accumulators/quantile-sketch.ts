/**
 * DDSketch: quantiles with a bounded relative error (Masson, Rim and Lee, "DDSketch: a fast and
 * fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12(12), 2019). Buckets grow by (1 +
 * a) / (1 - a). A value is counted in its bucket, and any value of a bucket is within a of the value that
 * represents it.
 *
 * Buckets hold whole counts, so merging is exact, in any order, and can be undone. They are kept in a hash
 * table and never collapsed: the bound always holds. A group takes 12 to 24 bytes for each bucket in use (a
 * factor of 1,000 in values is 346 buckets at 1 %).
 *
 *   0  u32 used    4  u32 capacity, a power of two    8  i32 buckets[capacity]    ..  f64 counts[capacity]
 *
 * Bucket numbers ascend with the values: NaN is the greatest, as everywhere; 0 stands for all of magnitude
 * below 2^-1022.
 */

import { mix32 } from '../../hash.ts';
import type { SharedMemory } from '../../memory/index.ts';
import type { StateArena, StateBehaviour } from './accumulator.ts';
import { copyState, POINTER_BYTES, setState } from './state.ts';

const CAPACITY_FIRST = 8;
const HEADER_BYTES = 8;
const NONE = -0x8000_0000;
const INFINITE = 0x4000_0000;
const NOT_A_NUMBER = 0x4000_0001;
/** Added to the number of a bucket, so that those of positive values are positive. */
const BIAS = 0x1000_0000;
const LEAST = 2 ** -1022;

export const QUANTILE_ERROR_MIN = 1e-5;

export function quantileSketch(relativeError: number): StateBehaviour {
  const scale = 1 / Math.log((1 + relativeError) / (1 - relativeError));
  return {
    slotBytes: POINTER_BYTES,
    pointers: [0],
    isRowWise: true,
    canSubtract: true,
    fuses: undefined,
    identity: (memory, field) => memory.u32.fill(0, field >>> 2, (field >>> 2) + 2),
    update(_kernels, slots, count, offset, values, { arena, nulls }) {
      const { u32, u8, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        if (nulls !== 0 && u8[nulls + i] === 1) continue;
        addToBucket(arena, (u32[(slots >>> 2) + i] as number) + offset, bucketOf(f64[(values >>> 3) + i] as number, scale), 1);
      }
    },
    merge(_kernels, slots, count, offset, fields, stride, sign, arena) {
      const { u32, i32, f64 } = arena.memory;
      for (let i = 0; i < count; i++) {
        const field = (u32[(slots >>> 2) + i] as number) + offset;
        const from = fields + i * stride;
        if (u32[from >>> 2] === 0) continue;
        if (u32[field >>> 2] === 0) {
          copyState(arena, field, from);
          continue;
        }
        const sketch = u32[(from >>> 2) + 1] as number;
        const capacity = u32[(sketch >>> 2) + 1] as number;
        const counts = (sketch + HEADER_BYTES + capacity * 4) >>> 3;
        for (let b = 0; b < capacity; b++) {
          const bucket = i32[((sketch + HEADER_BYTES) >>> 2) + b] as number;
          const n = f64[counts + b] as number;
          if (bucket !== NONE && n !== 0) addToBucket(arena, field, bucket, sign * n);
        }
      }
    },
    finish(_kernels, slots, count, offset, to, _asI64, memory) {
      for (let i = 0; i < count; i++) memory.f64[(to >>> 3) + i] = quantileAt(memory, (memory.u32[(slots >>> 2) + i] as number) + offset, 0.5, relativeError);
      return 0;
    },
  };
}

/**
 * The value of rank floor(q (n - 1)), counted from 0, of the n values in the sketch at pointer `field`,
 * within the relative error; NaN for an empty sketch.
 */
export function quantileAt(memory: SharedMemory, field: number, q: number, relativeError: number): number {
  const { u32, i32, f64 } = memory;
  if (u32[field >>> 2] === 0) return Number.NaN;
  const sketch = u32[(field >>> 2) + 1] as number;
  const capacity = u32[(sketch >>> 2) + 1] as number;
  const buckets = (sketch + HEADER_BYTES) >>> 2;
  const counts = (sketch + HEADER_BYTES + capacity * 4) >>> 3;
  if (capacity > sortable.length) sortable = new Float64Array(capacity);
  let total = 0;
  let used = 0;
  for (let b = 0; b < capacity; b++) {
    const n = f64[counts + b] as number;
    if (i32[buckets + b] === NONE || n === 0) continue;
    total += n;
    // Bucket and place in one number: sorting the numbers sorts the buckets.
    sortable[used++] = (i32[buckets + b] as number) * capacity + b;
  }
  if (total === 0) return Number.NaN;
  const sorted = sortable.subarray(0, used).sort();
  let rest = Math.floor(q * (total - 1));
  for (let i = 0; i < used; i++) {
    const bucket = Math.floor((sorted[i] as number) / capacity);
    const n = f64[counts + (sorted[i] as number) - bucket * capacity] as number;
    if (rest < n) return valueOf(bucket, relativeError);
    rest -= n;
  }
  return Number.NaN;
}

let sortable = new Float64Array(256);

function bucketOf(value: number, scale: number): number {
  if (value >= LEAST) return value === Number.POSITIVE_INFINITY ? INFINITE : BIAS + Math.ceil(Math.log(value) * scale);
  if (value <= -LEAST) return value === Number.NEGATIVE_INFINITY ? -INFINITE : -BIAS - Math.ceil(Math.log(-value) * scale);
  return value === value ? 0 : NOT_A_NUMBER;
}

function valueOf(bucket: number, relativeError: number): number {
  if (bucket === 0) return 0;
  if (bucket === NOT_A_NUMBER) return Number.NaN;
  if (Math.abs(bucket) === INFINITE) return bucket > 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  const gamma = (1 + relativeError) / (1 - relativeError);
  const magnitude = Math.exp((Math.abs(bucket) - BIAS) * Math.log(gamma)) * (1 - relativeError);
  return Math.sign(bucket) * Math.min(Number.MAX_VALUE, magnitude);
}

function addToBucket(arena: StateArena, field: number, bucket: number, n: number): void {
  const { u32, i32, f64 } = arena.memory;
  if (u32[field >>> 2] === 0) make(arena, field, CAPACITY_FIRST);
  let sketch = u32[(field >>> 2) + 1] as number;
  let capacity = u32[(sketch >>> 2) + 1] as number;
  let slot = slotOf(i32, sketch, capacity, bucket);
  if (i32[((sketch + HEADER_BYTES) >>> 2) + slot] === NONE) {
    const used = (u32[sketch >>> 2] as number) + 1;
    if (used * 4 > capacity * 3) {
      grow(arena, field);
      sketch = u32[(field >>> 2) + 1] as number;
      capacity = u32[(sketch >>> 2) + 1] as number;
      slot = slotOf(i32, sketch, capacity, bucket);
    }
    u32[sketch >>> 2] = (u32[sketch >>> 2] as number) + 1;
    i32[((sketch + HEADER_BYTES) >>> 2) + slot] = bucket;
  }
  const at = ((sketch + HEADER_BYTES + capacity * 4) >>> 3) + slot;
  f64[at] = (f64[at] as number) + n;
}

function slotOf(i32: Int32Array, sketch: number, capacity: number, bucket: number): number {
  const buckets = (sketch + HEADER_BYTES) >>> 2;
  const mask = capacity - 1;
  for (let slot = mix32(bucket) & mask; ; slot = (slot + 1) & mask) {
    const there = i32[buckets + slot] as number;
    if (there === bucket || there === NONE) return slot;
  }
}

function make(arena: StateArena, field: number, capacity: number): number {
  const { u32, i32, f64 } = arena.memory;
  const bytes = HEADER_BYTES + capacity * 12;
  const sketch = arena.alloc(bytes);
  u32[sketch >>> 2] = 0;
  u32[(sketch >>> 2) + 1] = capacity;
  i32.fill(NONE, (sketch + HEADER_BYTES) >>> 2, ((sketch + HEADER_BYTES) >>> 2) + capacity);
  f64.fill(0, (sketch + HEADER_BYTES + capacity * 4) >>> 3, (sketch + bytes) >>> 3);
  setState(arena, field, sketch, bytes);
  return sketch;
}

/** Makes room. Buckets whose counts were all subtracted again are dropped. */
function grow(arena: StateArena, field: number): void {
  const { u32, i32, f64 } = arena.memory;
  const former = u32[(field >>> 2) + 1] as number;
  const formerCapacity = u32[(former >>> 2) + 1] as number;
  const formerBuckets = (former + HEADER_BYTES) >>> 2;
  const formerCounts = (former + HEADER_BYTES + formerCapacity * 4) >>> 3;
  let live = 0;
  for (let b = 0; b < formerCapacity; b++) if (i32[formerBuckets + b] !== NONE && f64[formerCounts + b] !== 0) live++;
  const capacity = live * 2 > formerCapacity ? formerCapacity * 2 : formerCapacity;
  const sketch = make(arena, field, capacity);
  u32[sketch >>> 2] = live;
  for (let b = 0; b < formerCapacity; b++) {
    const bucket = i32[formerBuckets + b] as number;
    if (bucket === NONE || f64[formerCounts + b] === 0) continue;
    const slot = slotOf(i32, sketch, capacity, bucket);
    i32[((sketch + HEADER_BYTES) >>> 2) + slot] = bucket;
    f64[((sketch + HEADER_BYTES + capacity * 4) >>> 3) + slot] = f64[formerCounts + b] as number;
  }
}
