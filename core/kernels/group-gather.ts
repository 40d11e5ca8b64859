// Fields of slots to columns. Contract: GatherKernels in core/groups/kernel-signatures.ts.

// @ts-ignore: decorator
@inline
function fieldOf(slots: usize, index: u32, offset: usize): usize {
  return <usize>load<u32>(slots + (<usize>index << 2)) + offset;
}

// @ts-ignore: decorator
@inline
function clearBit(bits: usize, row: u32): void {
  const at = bits + (row >>> 3);
  store<u8>(at, load<u8>(at) & ~(<u8>1 << <u8>(row & 7)));
}

export function groupGatherWords(slots: usize, count: u32, offset: usize, to: usize): void {
  for (let i: u32 = 0; i < count; i++) store<u32>(to + (<usize>i << 2), load<u32>(fieldOf(slots, i, offset)));
}

export function groupGatherLongs(slots: usize, count: u32, offset: usize, to: usize): void {
  for (let i: u32 = 0; i < count; i++) store<u64>(to + (<usize>i << 3), load<u64>(fieldOf(slots, i, offset)));
}

export function groupGatherSumF64(slots: usize, count: u32, offset: usize, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    store<f64>(to + (<usize>i << 3), load<f64>(field) + load<f64>(field, 8));
  }
}

export function groupGatherSumI64(slots: usize, count: u32, offset: usize, to: usize): u32 {
  let overflows: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    const low = load<i64>(field);
    overflows += u32(load<i64>(field, 8) != low >> 63);
    store<i64>(to + (<usize>i << 3), low);
  }
  return overflows;
}

export function groupGatherSumI64AsF64(slots: usize, count: u32, offset: usize, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    const low = load<i64>(field);
    const high = load<i64>(field, 8);
    // Small negative sums are all ones above: taken as a signed 64-bit number they lose nothing.
    store<f64>(to + (<usize>i << 3), high == low >> 63 ? <f64>low : <f64>high * 18446744073709551616.0 + <f64>(<u64>low));
  }
}

export function groupGatherI64AsF64(slots: usize, count: u32, offset: usize, to: usize): void {
  for (let i: u32 = 0; i < count; i++) store<f64>(to + (<usize>i << 3), <f64>load<i64>(fieldOf(slots, i, offset)));
}

export function groupGatherLength(slots: usize, count: u32, offset: usize): u32 {
  let length: u32 = 0;
  for (let i: u32 = 0; i < count; i++) length += load<u32>(fieldOf(slots, i, offset));
  return length;
}

export function groupGatherBytes(slots: usize, count: u32, offset: usize, inlineBytes: u32, data: usize, position: u32, ends: usize): void {
  let at = position;
  for (let i: u32 = 0; i < count; i++) {
    const field = fieldOf(slots, i, offset);
    const length = load<u32>(field);
    const to = data + at;
    if (length > inlineBytes) memory.copy(to, load<u32>(field, 4), length);
    else for (let b: u32 = 0; b < length; b++) store<u8>(to + b, load<u8>(field + b, 4));
    at += length;
    store<u32>(ends + (<usize>i << 2), at);
  }
}

export function groupGatherNulls(slots: usize, count: u32, nullBit: u32, validity: usize, row: u32): void {
  for (let i: u32 = 0; i < count; i++) if (load<u32>(fieldOf(slots, i, 4)) & nullBit) clearBit(validity, row + i);
}

export function groupGatherEmpty(slots: usize, count: u32, offset: usize, validity: usize, row: u32): void {
  for (let i: u32 = 0; i < count; i++) if (load<u64>(fieldOf(slots, i, offset)) == 0) clearBit(validity, row + i);
}
