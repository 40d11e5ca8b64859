// Probe and accumulate in one loop, for the commonest aggregates. Contract: FuseKernels in core/groups/kernel-signatures.ts.

import { fuseRow, groupFuseF64 } from "./group-accumulate";
import { isCrowded, noteCrowding, probeCrowded, STEPS_MAX } from "./group-crowd";
import { BASE, CAPACITY, KEY_BYTES, SINK, SKIP_BITS, SLOT_BYTES, STRING_COUNT } from "./group-header";
import { numberOf, TOUCH_BYTES_MIN } from "./group-probe";
import { insert, sameKey, sameRest } from "./group-slot";

const BLOCK_ROWS: u32 = 128;

// The slots that the tags of `count` images name.
// @ts-ignore: decorator
@inline
function findHomes(table: usize, images: usize, stride: usize, count: u32, homes: usize): void {
  const base: usize = load<u32>(table, BASE);
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const capacity = load<u32>(table, CAPACITY);
  const skipBits = load<u32>(table, SKIP_BITS);
  let i: u32 = 0;
  if (stride == 8) {
    const capacities = i64x2.splat(capacity);
    const bases = i32x4.splat(<i32>base);
    const sizes = i32x4.splat(<i32>slotBytes);
    for (; i + 4 <= count; i += 4) {
      const from = images + (<usize>i << 3);
      const tags = v128.shuffle<i32>(v128.load(from), v128.load(from, 16), 0, 2, 4, 6);
      const bits = i32x4.shr_u(i32x4.shl(tags, skipBits), 6);
      const low = i64x2.shr_u(i64x2.extmul_low_i32x4_u(bits, v128.shuffle<i32>(capacities, capacities, 0, 0, 0, 0)), 26);
      const high = i64x2.shr_u(i64x2.extmul_high_i32x4_u(bits, v128.shuffle<i32>(capacities, capacities, 0, 0, 0, 0)), 26);
      v128.store(homes + (<usize>i << 2), i32x4.add(bases, i32x4.mul(v128.shuffle<i32>(low, high, 0, 2, 4, 6), sizes)));
    }
  }
  for (; i < count; i++) {
    store<u32>(homes + (<usize>i << 2), base + numberOf(load<u32>(images + <usize>i * stride), skipBits, capacity) * slotBytes);
  }
}

// Reads the first and the last line of each slot, so that the cache misses of all of them overlap (see touchSlots).
function touch(table: usize, homes: usize, count: u32): void {
  const end = <usize>load<u32>(table, SLOT_BYTES) - 8;
  let sink: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const slot: usize = load<u32>(homes + (<usize>i << 2));
    sink ^= load<u64>(slot) ^ load<u64>(slot + end);
  }
  store<u32>(table, <u32>sink, SINK);
}

// The slot of a key from its home on, filled if it was empty; 0: there is no room, or it would be too far.
function settle(table: usize, image: usize, home: usize): usize {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const base: usize = load<u32>(table, BASE);
  const last = base + (<usize>load<u32>(table, CAPACITY) - 1) * slotBytes;
  const head = load<u64>(image);
  const hasStrings = load<u32>(table, STRING_COUNT) > 0;
  const keyBytes: usize = load<u32>(table, KEY_BYTES);
  let slot = home;
  for (let steps: u32 = 0; steps < STEPS_MAX; steps++) {
    const there = load<u64>(slot);
    if (there == head && sameRest(image, slot, 0, keyBytes)) return slot;
    if (<u32>there == 0) return insert(table, image, slot) ? slot : 0;
    if (hasStrings && <u32>there == <u32>head && sameKey(table, image, slot)) return slot;
    slot = slot == last ? base : slot + slotBytes;
  }
  noteCrowding(table);
  return 0;
}

// A key stands in its home or the slot behind mostly: which of the two is computed, not branched on, as it cannot be predicted.
// @ts-ignore: decorator
@inline
function blockRows(table: usize, images: usize, stride: usize, count: u32, homes: usize, values: usize, countAt: usize, sumAt: usize, minAt: usize, maxAt: usize, words: u32, hasAll: bool): u32 {
  const slotBytes: usize = load<u32>(table, SLOT_BYTES);
  const keyBytes: usize = load<u32>(table, KEY_BYTES);
  const end = <usize>load<u32>(table, BASE) + <usize>load<u32>(table, CAPACITY) * slotBytes;
  let image = images;
  let value = values;
  const stop = homes + (<usize>count << 2);
  for (let at = homes; at < stop; at += 4) {
    const home: usize = load<u32>(at);
    const head = load<u64>(image);
    let slot = home + (slotBytes & -<usize>(load<u64>(home) != head));
    if (slot == end || load<u64>(slot) != head || !sameRest(image, slot, words, keyBytes)) {
      slot = settle(table, image, home);
      if (slot == 0) return <u32>((at - homes) >>> 2);
    }
    fuseRow(slot, value, countAt, sumAt, minAt, maxAt, hasAll);
    image += stride;
    value += 8;
  }
  return count;
}

export function groupProbeFuse(table: usize, images: usize, stride: usize, count: u32, homes: usize, values: usize, countAt: usize, sumAt: usize, minAt: usize, maxAt: usize): u32 {
  if (isCrowded(table)) {
    const probed = probeCrowded(table, images, stride, count, homes);
    groupFuseF64(homes, probed, values, countAt, sumAt, minAt, maxAt);
    return probed;
  }
  const isLarge = load<u32>(table, CAPACITY) * load<u32>(table, SLOT_BYTES) >= TOUCH_BYTES_MIN;
  const keyBytes = load<u32>(table, KEY_BYTES);
  const hasAll = countAt != 0 && sumAt != 0 && minAt != 0 && maxAt == minAt + 8;
  for (let done: u32 = 0; done < count; ) {
    const block = min<u32>(count - done, BLOCK_ROWS);
    const from = images + <usize>done * stride;
    const lane = values + (<usize>done << 3);
    findHomes(table, from, stride, block, homes);
    if (isLarge) touch(table, homes, block);
    let probed: u32;
    if (!hasAll) probed = blockRows(table, from, stride, block, homes, lane, countAt, sumAt, minAt, maxAt, 0, false);
    else if (keyBytes == 8) probed = blockRows(table, from, 8, block, homes, lane, countAt, sumAt, minAt, maxAt, 1, true);
    else if (keyBytes == 16) probed = blockRows(table, from, 16, block, homes, lane, countAt, sumAt, minAt, maxAt, 2, true);
    else if (keyBytes == 32) probed = blockRows(table, from, 32, block, homes, lane, countAt, sumAt, minAt, maxAt, 4, true);
    else probed = blockRows(table, from, stride, block, homes, lane, countAt, sumAt, minAt, maxAt, 0, true);
    done += probed;
    if (probed < block) return done;
  }
  return count;
}
