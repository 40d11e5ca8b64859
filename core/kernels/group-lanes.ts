// Columns of any type to lanes of 4 or 8 bytes a value. Contract: LaneKernels in core/groups/kernel-signatures.ts.

const BOOL: u32 = 0;
const I8: u32 = 1;
const I16: u32 = 2;
const I32: u32 = 3;
const U32: u32 = 4;
const F32: u32 = 6;
const F64: u32 = 7;

// @ts-ignore: decorator
@inline
function rowOf(selection: usize, index: u32): u32 {
  return selection == 0 ? index : load<u32>(selection + (<usize>index << 2));
}

// @ts-ignore: decorator
@inline
function bitOf(bits: usize, row: u32): u32 {
  return (<u32>load<u8>(bits + (row >>> 3)) >>> (row & 7)) & 1;
}

// @ts-ignore: decorator
@inline
function wordsOf<T>(data: usize, selection: usize, from: u32, count: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    store<u32>(to + (<usize>i << 2), <u32>(<i32>load<T>(data + <usize>rowOf(selection, from + i) * sizeof<T>())));
  }
}

export function groupLaneWords(type: u32, data: usize, selection: usize, from: u32, count: u32, to: usize): void {
  if (type == BOOL) {
    for (let i: u32 = 0; i < count; i++) store<u32>(to + (<usize>i << 2), bitOf(data, rowOf(selection, from + i)));
  } else if (type == I8) wordsOf<i8>(data, selection, from, count, to);
  else if (type == I16) wordsOf<i16>(data, selection, from, count, to);
  else if (type == F32) {
    for (let i: u32 = 0; i < count; i++) {
      const bits = load<u32>(data + (<usize>rowOf(selection, from + i) << 2));
      const value = reinterpret<f32>(bits);
      store<u32>(to + (<usize>i << 2), value == 0 ? 0 : value != value ? 0x7fc00000 : bits);
    }
  } else wordsOf<i32>(data, selection, from, count, to);
}

export function groupLaneLongs(type: u32, data: usize, selection: usize, from: u32, count: u32, to: usize): void {
  if (type == F64) {
    for (let i: u32 = 0; i < count; i++) {
      const bits = load<u64>(data + (<usize>rowOf(selection, from + i) << 3));
      const value = reinterpret<f64>(bits);
      store<u64>(to + (<usize>i << 3), value == 0 ? 0 : value != value ? 0x7ff8000000000000 : bits);
    }
  } else {
    for (let i: u32 = 0; i < count; i++) store<u64>(to + (<usize>i << 3), load<u64>(data + (<usize>rowOf(selection, from + i) << 3)));
  }
}

export function groupLaneNulls(validity: usize, selection: usize, from: u32, count: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++) store<u8>(to + i, <u8>(bitOf(validity, rowOf(selection, from + i)) ^ 1));
}

// @ts-ignore: decorator
@inline
function f64sOf<T>(data: usize, validity: usize, selection: usize, from: u32, count: u32, fill: f64, to: usize): void {
  if (validity == 0) {
    for (let i: u32 = 0; i < count; i++) {
      store<f64>(to + (<usize>i << 3), <f64>load<T>(data + <usize>rowOf(selection, from + i) * sizeof<T>()));
    }
    return;
  }
  for (let i: u32 = 0; i < count; i++) {
    const row = rowOf(selection, from + i);
    const value = <f64>load<T>(data + <usize>row * sizeof<T>());
    store<f64>(to + (<usize>i << 3), select<f64>(value, fill, bitOf(validity, row)));
  }
}

export function groupLaneF64(type: u32, data: usize, validity: usize, selection: usize, from: u32, count: u32, fill: usize, to: usize): void {
  const none = load<f64>(fill);
  if (type == BOOL) {
    for (let i: u32 = 0; i < count; i++) {
      const row = rowOf(selection, from + i);
      const isNull = validity != 0 && bitOf(validity, row) == 0;
      store<f64>(to + (<usize>i << 3), isNull ? none : <f64>bitOf(data, row));
    }
  } else if (type == I8) f64sOf<i8>(data, validity, selection, from, count, none, to);
  else if (type == I16) f64sOf<i16>(data, validity, selection, from, count, none, to);
  else if (type == I32) f64sOf<i32>(data, validity, selection, from, count, none, to);
  else if (type == U32) f64sOf<u32>(data, validity, selection, from, count, none, to);
  else if (type == F32) f64sOf<f32>(data, validity, selection, from, count, none, to);
  else f64sOf<f64>(data, validity, selection, from, count, none, to);
}

export function groupLaneI64(data: usize, validity: usize, selection: usize, from: u32, count: u32, fill: usize, to: usize): void {
  const none = load<u64>(fill);
  for (let i: u32 = 0; i < count; i++) {
    const row = rowOf(selection, from + i);
    const value = load<u64>(data + (<usize>row << 3));
    store<u64>(to + (<usize>i << 3), validity != 0 && bitOf(validity, row) == 0 ? none : value);
  }
}

export function groupLaneValid(validity: usize, selection: usize, from: u32, count: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++) store<u64>(to + (<usize>i << 3), <u64>bitOf(validity, rowOf(selection, from + i)));
}
