/**
 * The kernels of the group table: one interface, implemented by the WebAssembly module (core/kernels/group-*.ts) and by
 * the TypeScript beside this file, over the same memory and with the same bytes as a result.
 *
 * All parameters are addresses, counts and offsets. A tile is at most TILE_ROWS rows. `slots` is the address of u32 slot
 * addresses, one a row. `selection` is the address of u32 row numbers or 0; row i of a tile is selection[from + i], or from + i.
 */

import { kernelExports } from '../kernels.ts';
import type { SharedMemory } from '../memory/shared-memory.ts';
import type { DataType, TypeName } from '../schema.ts';
import { accumulateReference } from './reference/accumulate.ts';
import { fuseReference } from './reference/fuse.ts';
import { gatherReference } from './reference/gather.ts';
import { imageReference } from './reference/images.ts';
import { laneReference } from './reference/lanes.ts';
import { probeReference } from './reference/probe.ts';
import { runReference } from './reference/runs.ts';

/** Rows that go through the three phases (image, probe, accumulate) together: their slots stay in the first cache levels. */
export const TILE_ROWS = 1_024;

/** Flags of the image kernels: the key's first column (starts the hash), its last (makes the tag). */
export const FIRST_KEY = 1;
export const LAST_KEY = 2;

/** How kernels name a column type. */
export function typeCode(type: DataType): number {
  return TYPE_CODES.indexOf(type.name);
}
const TYPE_CODES: readonly TypeName[] = ['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'timestamp'];

/** Columns to lanes: 4 or 8 bytes a value, selection applied. */
export interface LaneKernels {
  /** Key values of at most 4 bytes as u32 words: integers sign-extended, bool 0 or 1, f32 by its bits (one NaN, no -0). */
  groupLaneWords(type: number, data: number, selection: number, from: number, count: number, to: number): void;
  /** Key values of 8 bytes: f64 with one NaN and no -0. */
  groupLaneLongs(type: number, data: number, selection: number, from: number, count: number, to: number): void;
  /** One byte a row: 1 = null. */
  groupLaneNulls(validity: number, selection: number, from: number, count: number, to: number): void;
  /** Numbers as f64, the 8 bytes at `fill` for a null. */
  groupLaneF64(type: number, data: number, validity: number, selection: number, from: number, count: number, fill: number, to: number): void;
  /** i64 and timestamp values, the 8 bytes at `fill` for a null. */
  groupLaneI64(data: number, validity: number, selection: number, from: number, count: number, fill: number, to: number): void;
  /** i64 1 for a valid row, 0 for a null. */
  groupLaneValid(validity: number, selection: number, from: number, count: number, to: number): void;
}

/** Key images (slot-layout.ts) of a tile at `images`, `stride` bytes apart, column by column; the tag's place holds the hash so far. */
export interface ImageKernels {
  groupImageNone(images: number, stride: number, count: number): void;
  groupImageWords(images: number, stride: number, offset: number, count: number, words: number, nulls: number, nullBit: number, flags: number): void;
  groupImageLongs(images: number, stride: number, offset: number, count: number, longs: number, nulls: number, nullBit: number, flags: number): void;
  groupImageBytes(
    images: number,
    stride: number,
    offset: number,
    inlineBytes: number,
    count: number,
    data: number,
    offsets: number,
    selection: number,
    from: number,
    nulls: number,
    nullBit: number,
    flags: number,
  ): void;
}

/** The table itself: `table` is the address of its header (header.ts). */
export interface ProbeKernels {
  /**
   * Finds or inserts the slots of `count` key images. Returns how many it did: fewer when the next one needs
   * a slot and the table holds `limit` groups, or needs arena bytes that are not there (then ARENA_NEED says
   * how many), or when it had to go over too many slots (then CROWDING is 1).
   */
  groupProbe(table: number, images: number, stride: number, count: number, slots: number): number;
  /**
   * Puts the keys of `count` images into slots one behind the other, whether they are there already or not. Returns how many:
   * fewer when all slots are taken, or as in groupProbe. A table filled so is good for groupScan and groupCopyOut only.
   */
  groupAppend(table: number, images: number, stride: number, count: number, slots: number): number;
  /** Finds the slots of `count` key images, 0 for a key that is not there. Returns how many were found. */
  groupLookup(table: number, images: number, stride: number, count: number, slots: number): number;
  /** Removes those of `count` keys whose i64 at `countOffset` is 0. */
  groupRemoveEmpty(table: number, images: number, stride: number, count: number, countOffset: number): void;
  /** Moves the groups of a former slot array to the table's present one, whose bytes may be anything: it zeroes them. */
  groupRehash(table: number, formerBase: number, formerCapacity: number): void;
  /**
   * Makes a table that has an index a crowded one (reference/crowd.ts): moves its slots together and lists
   * them in the index. Empty slots are zeroed.
   */
  groupCrowd(table: number): void;
  /** Moves the long strings of all slots to the arena, which has room for them. */
  groupMoveStrings(table: number): void;
  /** Writes the addresses of at most `max` used slots from slot number `from` on, and behind them, at slots[max], the number to go on with. */
  groupScan(table: number, from: number, max: number, slots: number): number;
  /** Copies slots side by side. */
  groupPack(slots: number, count: number, slotBytes: number, to: number): void;
  /** Writes the block of {@link GroupTable.copyOut}. */
  groupCopyOut(table: number, block: number): void;
}

/** Accumulators at `offset` of each slot. `values` are `stride` bytes apart: 8 in a lane, the slot size in other slots. */
export interface AccumulateKernels {
  groupCount(slots: number, count: number, offset: number): void;
  /** i64 += sign * value, wrapping. */
  groupAddI64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupSumF64(slots: number, count: number, offset: number, values: number): void;
  /** Count, sum, min and max of one lane in one pass, at these offsets of the slot; 0 = leave that one out. */
  groupFuseF64(slots: number, count: number, values: number, countAt: number, sumAt: number, minAt: number, maxAt: number): void;
  groupSumI64(slots: number, count: number, offset: number, values: number): void;
  groupMergeSumF64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupMergeSumI64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupMinF64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMaxF64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMinI64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMaxI64(slots: number, count: number, offset: number, values: number, stride: number): void;
}

/** A probe and the one pass of the commonest aggregates together: a row's slot is in the first cache level, and its address in a register. */
export interface FuseKernels {
  /** groupProbe, then groupFuseF64 of the rows that it did. `slots`: room for u32[count], left with anything. */
  groupProbeFuse(
    table: number,
    images: number,
    stride: number,
    count: number,
    slots: number,
    values: number,
    countAt: number,
    sumAt: number,
    minAt: number,
    maxAt: number,
  ): number;
}

/** Fields at `offset` of each slot to a column at `to`. */
export interface GatherKernels {
  groupGatherWords(slots: number, count: number, offset: number, to: number): void;
  groupGatherLongs(slots: number, count: number, offset: number, to: number): void;
  /** hi + lo. */
  groupGatherSumF64(slots: number, count: number, offset: number, to: number): void;
  /** The low 64 bits; returns how many sums do not fit them. */
  groupGatherSumI64(slots: number, count: number, offset: number, to: number): number;
  /** i128 (or i64) to the nearest f64 but one. */
  groupGatherSumI64AsF64(slots: number, count: number, offset: number, to: number): void;
  groupGatherI64AsF64(slots: number, count: number, offset: number, to: number): void;
  /** Bytes of all strings. */
  groupGatherLength(slots: number, count: number, offset: number): number;
  /** Strings behind `position` bytes at `data`, their ends at `ends`: i32[count]. */
  groupGatherBytes(slots: number, count: number, offset: number, inlineBytes: number, data: number, position: number, ends: number): void;
  /** Clears validity bits row.. where the null mask (at 4) has `nullBit`. */
  groupGatherNulls(slots: number, count: number, nullBit: number, validity: number, row: number): void;
  /** Clears validity bits row.. where the i64 at `offset` is 0. */
  groupGatherEmpty(slots: number, count: number, offset: number, validity: number, row: number): void;
}

/**
 * Runs: slots that lie side by side, their long strings behind them or elsewhere. A whole run, keys and accumulators, in one
 * call: panes are many and their runs short, so that calls would cost more than the work. Only for layouts whose
 * accumulators all have a `mergeCode` (MERGES in the header). `own` is room for u32[count], count at most TILE_ROWS.
 */
export interface RunKernels {
  /** Merges a run: groupProbe, then every accumulator. Returns how many slots: fewer where groupProbe stops. */
  groupMergeRun(table: number, run: number, count: number, own: number): number;
  /** Subtracts a run; groups whose i64 at `countOffset` falls to 0 are removed. Returns how many of its keys were there: where it is not `count`, nothing is changed. */
  groupSubtractRun(table: number, run: number, count: number, countOffset: number, own: number): number;
  /** Bytes of the long strings of a run, each rounded up to 8. `table`: any of the layout. */
  groupRunLongBytes(table: number, run: number, count: number): number;
  /** Copies a run to `to`, its long strings behind it. `table`: any of the layout. */
  groupCopyRun(table: number, run: number, count: number, to: number): void;
  /** Writes all groups of a table to `to` as a run, in slot order, their long strings behind them. */
  groupTableToRun(table: number, to: number): void;
}

export type GroupKernels = LaneKernels & ImageKernels & ProbeKernels & AccumulateKernels & FuseKernels & GatherKernels & RunKernels;

const references = new WeakMap<SharedMemory, GroupKernels>();

/** The WebAssembly kernels over this memory, or the TypeScript ones. */
export function groupKernels(memory: SharedMemory): GroupKernels {
  return kernelExports<GroupKernels>(memory) ?? groupReference(memory);
}

/** The TypeScript kernels over this memory. */
export function groupReference(memory: SharedMemory): GroupKernels {
  let reference = references.get(memory);
  if (reference === undefined) {
    const parts = {
      ...laneReference(memory),
      ...imageReference(memory),
      ...probeReference(memory),
      ...accumulateReference(memory),
      ...gatherReference(memory),
    };
    reference = { ...parts, ...fuseReference(parts), ...runReference(memory, parts) };
    references.set(memory, reference);
  }
  return reference;
}
