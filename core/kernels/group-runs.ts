// Runs of slots: merged, subtracted and copied by one call. Contract: RunKernels in core/groups/kernel-signatures.ts.

import { groupAddI64, groupMaxF64, groupMaxI64, groupMergeSumF64, groupMergeSumI64, groupMinF64, groupMinI64 } from "./group-accumulate";
import { BASE, LONG_BYTES, MERGES, OUTSIDE_COUNT, SLOT_BYTES, USED } from "./group-header";
import { endOf, groupLookup, groupProbe, groupRemoveEmpty } from "./group-probe";
import { copyLongs, longBytes, moveStrings } from "./group-slot";

const ADD_I64: u32 = 1;
const SUM_F64: u32 = 2;
const SUM_I64: u32 = 3;
const MIN_F64: u32 = 4;
const MAX_F64: u32 = 5;
const MIN_I64: u32 = 6;
const MAX_I64: u32 = 7;

// The accumulators of `count` slots of a run into (sign 1), or out of (sign -1), the slots at `own`.
function mergeFields(table: usize, run: usize, count: u32, own: usize, sign: i32): void {
  const stride: usize = load<u32>(table, SLOT_BYTES);
  const merges: usize = load<u32>(table, MERGES);
  const fields = load<u32>(merges);
  for (let f: u32 = 0; f < fields; f++) {
    const code = load<u32>(merges + (<usize>f << 3), 4);
    const offset: usize = load<u32>(merges + (<usize>f << 3), 8);
    const from = run + offset;
    if (code == ADD_I64) groupAddI64(own, count, offset, from, stride, sign);
    else if (code == SUM_F64) groupMergeSumF64(own, count, offset, from, stride, sign);
    else if (code == SUM_I64) groupMergeSumI64(own, count, offset, from, stride, sign);
    else if (code == MIN_F64) groupMinF64(own, count, offset, from, stride);
    else if (code == MAX_F64) groupMaxF64(own, count, offset, from, stride);
    else if (code == MIN_I64) groupMinI64(own, count, offset, from, stride);
    else if (code == MAX_I64) groupMaxI64(own, count, offset, from, stride);
  }
}

export function groupMergeRun(table: usize, run: usize, count: u32, own: usize): u32 {
  const probed = groupProbe(table, run, load<u32>(table, SLOT_BYTES), count, own);
  if (probed > 0) mergeFields(table, run, probed, own, 1);
  return probed;
}

export function groupSubtractRun(table: usize, run: usize, count: u32, countOffset: usize, own: usize): u32 {
  const stride: usize = load<u32>(table, SLOT_BYTES);
  const found = groupLookup(table, run, stride, count, own);
  if (found != count) return found;
  mergeFields(table, run, count, own, -1);
  let isAnyEmpty = false;
  for (let i: u32 = 0; i < count; i++) isAnyEmpty = isAnyEmpty || load<u64>(<usize>load<u32>(own + (<usize>i << 2)) + countOffset) == 0;
  // A removal moves other slots, so that they have to be looked up anew.
  if (isAnyEmpty) groupRemoveEmpty(table, run, stride, count, countOffset);
  return found;
}

export function groupRunLongBytes(table: usize, run: usize, count: u32): u32 {
  const outside = load<u32>(table, OUTSIDE_COUNT);
  if (outside == 0) return 0;
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < count; i++) bytes += longBytes(table, run + <usize>i * slotBytes, outside);
  return bytes;
}

export function groupCopyRun(table: usize, run: usize, count: u32, to: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  copyLongs(to, run, <usize>count * slotBytes);
  const outside = load<u32>(table, OUTSIDE_COUNT);
  if (outside == 0) return;
  let strings = to + <usize>count * slotBytes;
  for (let i: u32 = 0; i < count; i++) strings = moveStrings(table, to + <usize>i * slotBytes, strings, outside);
}

export function groupTableToRun(table: usize, to: usize): void {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const hasLong = load<u32>(table, LONG_BYTES) > 0;
  const end = endOf(table);
  let at = to;
  let strings = to + <usize>load<u32>(table, USED) * slotBytes;
  for (let slot: usize = load<u32>(table, BASE); slot < end; slot += slotBytes) {
    if (load<u32>(slot) == 0) continue;
    copyLongs(at, slot, slotBytes);
    if (hasLong) strings = moveStrings(table, at, strings, load<u32>(table, OUTSIDE_COUNT));
    at += slotBytes;
  }
}
