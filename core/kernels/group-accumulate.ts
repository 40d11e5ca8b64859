// Accumulators over a tile's slots, one pass each. Contract: AccumulateKernels in core/groups/kernel-signatures.ts.

// @ts-ignore: decorator
@inline
function fieldOf(slots: usize, index: u32, offset: usize): usize {
  return <usize>load<u32>(slots + (<usize>index << 2)) + offset;
}

export function groupCount(slots: usize, count: u32, offset: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    store<u64>(field, load<u64>(field) + 1);
  }
}

export function groupAddI64(slots: usize, count: u32, offset: usize, values: usize, stride: usize, sign: i32): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    store<i64>(field, load<i64>(field) + <i64>sign * load<i64>(values + <usize>i * stride));
  }
}

// @ts-ignore: decorator
@inline
function addF64(field: usize, x: f64, extra: f64): void {
  const hi = load<f64>(field);
  const sum = hi + x;
  const part = sum - hi;
  const error = hi - (sum - part) + (x - part);
  store<f64>(field, sum);
  store<f64>(field, load<f64>(field, 8) + select<f64>(error, 0, error == error) + extra, 8);
}

export function groupSumF64(slots: usize, count: u32, offset: usize, values: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    const x = load<f64>(values + (<usize>i << 3));
    const hi = load<f64>(field);
    const sum = hi + x;
    const part = sum - hi;
    const error = hi - (sum - part) + (x - part);
    store<f64>(field, sum);
    store<f64>(field, load<f64>(field, 8) + select<f64>(error, 0, error == error), 8);
  }
}

// One value into the count, sum, min and max of a slot, in lanes of two: [hi, lo] of the sum, [least, greatest]. The offsets are
// constants of the loop; 0 = leave it out. `hasAll`: none is, and max lies behind min.
// @ts-ignore: decorator
@inline
export function fuseRow(slot: usize, value: usize, countAt: usize, sumAt: usize, minAt: usize, maxAt: usize, hasAll: bool): void {
  // Adding 0 turns -0 into 0.
  const x = f64x2.add(v128.load64_splat(value), f64x2.splat(0));
  if (hasAll || countAt != 0) store<u64>(slot + countAt, load<u64>(slot + countAt) + 1);
  if (hasAll || sumAt != 0) {
    const former = v128.load(slot + sumAt);
    const sum = f64x2.add(former, x);
    const part = f64x2.sub(sum, former);
    const error = f64x2.add(f64x2.sub(former, f64x2.sub(sum, part)), f64x2.sub(x, part));
    const known = v128.and(error, f64x2.eq(error, error));
    const rest = f64x2.add(former, v128.shuffle<i64>(known, known, 0, 0));
    v128.store(slot + sumAt, v128.shuffle<i64>(sum, rest, 0, 3));
  }
  const number = f64x2.extract_lane(x, 0);
  if (hasAll) {
    const bounds = v128.load(slot + minAt);
    // least < x ? least : x, and greatest < x ? x : greatest: right for a NaN in the slot, not for one in x.
    let least = f64x2.pmin(x, bounds);
    let greatest = f64x2.pmax(bounds, x);
    if (number != number) {
      least = v128.bitselect(bounds, x, f64x2.eq(bounds, bounds));
      greatest = x;
    }
    v128.store(slot + minAt, v128.shuffle<i64>(least, greatest, 0, 3));
    return;
  }
  if (minAt != 0) {
    const least = load<f64>(slot + minAt);
    store<f64>(slot + minAt, select<f64>(number, least, i32(number < least) | i32(least != least)));
  }
  if (maxAt != 0) {
    const greatest = load<f64>(slot + maxAt);
    store<f64>(slot + maxAt, select<f64>(number, greatest, i32(number > greatest) | i32(number != number)));
  }
}

// @ts-ignore: decorator
@inline
function fuseRows(slots: usize, count: u32, values: usize, countAt: usize, sumAt: usize, minAt: usize, maxAt: usize, hasAll: bool): void {
  for (let i: u32 = 0; i < count; i++) {
    fuseRow(load<u32>(slots + (<usize>i << 2)), values + (<usize>i << 3), countAt, sumAt, minAt, maxAt, hasAll);
  }
}

export function groupFuseF64(slots: usize, count: u32, values: usize, countAt: usize, sumAt: usize, minAt: usize, maxAt: usize): void {
  if (countAt != 0 && sumAt != 0 && minAt != 0 && maxAt == minAt + 8) fuseRows(slots, count, values, countAt, sumAt, minAt, maxAt, true);
  else fuseRows(slots, count, values, countAt, sumAt, minAt, maxAt, false);
}

export function groupMergeSumF64(slots: usize, count: u32, offset: usize, values: usize, stride: usize, sign: i32): void {
  for (let i: u32 = 0; i < count; i++) {
    const from = values + <usize>i * stride;
    addF64(fieldOf(slots, i, offset), <f64>sign * load<f64>(from), <f64>sign * load<f64>(from, 8));
  }
}

// @ts-ignore: decorator
@inline
function addI128(field: usize, low: u64, high: u64): void {
  const sum = load<u64>(field) + low;
  store<u64>(field, sum);
  store<u64>(field, load<u64>(field, 8) + high + u64(sum < low), 8);
}

export function groupSumI64(slots: usize, count: u32, offset: usize, values: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const value = load<i64>(values + (<usize>i << 3));
    addI128(fieldOf(slots, i, offset), <u64>value, <u64>(value >> 63));
  }
}

export function groupMergeSumI64(slots: usize, count: u32, offset: usize, values: usize, stride: usize, sign: i32): void {
  const flip: u64 = sign > 0 ? 0 : -1;
  for (let i: u32 = 0; i < count; i++) {
    const from = values + <usize>i * stride;
    const field = fieldOf(slots, i, offset);
    addI128(field, load<u64>(from) ^ flip, load<u64>(from, 8) ^ flip);
    if (flip != 0) addI128(field, 1, 0);
  }
}

export function groupMinF64(slots: usize, count: u32, offset: usize, values: usize, stride: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    // Adding 0 turns -0 into 0.
    const value = load<f64>(values + <usize>i * stride) + 0.0;
    const least = load<f64>(field);
    store<f64>(field, select<f64>(value, least, i32(value < least) | i32(least != least)));
  }
}

export function groupMaxF64(slots: usize, count: u32, offset: usize, values: usize, stride: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    const value = load<f64>(values + <usize>i * stride) + 0.0;
    const greatest = load<f64>(field);
    store<f64>(field, select<f64>(value, greatest, i32(value > greatest) | i32(value != value)));
  }
}

export function groupMinI64(slots: usize, count: u32, offset: usize, values: usize, stride: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    store<i64>(field, min<i64>(load<i64>(values + <usize>i * stride), load<i64>(field)));
  }
}

export function groupMaxI64(slots: usize, count: u32, offset: usize, values: usize, stride: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    store<i64>(field, max<i64>(load<i64>(values + <usize>i * stride), load<i64>(field)));
  }
}
