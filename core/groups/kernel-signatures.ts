/**
 * The kernels of the group table, as signatures: one interface, implemented by the WebAssembly module
 * (core/kernels/group-*.ts) and by the TypeScript references (reference/), over the same memory and with the
 * same bytes as a result.
 *
 * All parameters are addresses, counts and offsets. A tile has at most TILE_ROWS rows. `slots` is the address
 * of u32 slot addresses, one per row. `selection` is the address of u32 row numbers, or 0. Row i of a tile is
 * selection[from + i], or from + i.
 */

import type { DataType, TypeName } from '../schema.ts';

/**
 * Rows that go through the three phases (image, probe, accumulate) together: their slots stay in the first
 * cache levels.
 */
export const TILE_ROWS = 1_024;

/**
 * Flags of the image kernels: this column is the key's first (starts the hash), or its last (makes the tag).
 */
export const FIRST_KEY = 1;
export const LAST_KEY = 2;

/** Codes of the column types in kernels. */
export function typeCode(type: DataType): number {
  return TYPE_CODES.indexOf(type.name);
}
const TYPE_CODES: readonly TypeName[] = ['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'timestamp'];

/** Columns to lanes: 4 or 8 bytes per value, selection applied. */
export interface LaneKernels {
  /**
   * Key values of at most 4 bytes as u32 words: integers sign-extended, bool 0 or 1, f32 by its bits (one
   * NaN, no -0).
   */
  groupLaneWords(type: number, data: number, selection: number, from: number, count: number, to: number): void;
  /** Key values of 8 bytes: f64 with one NaN and no -0. */
  groupLaneLongs(type: number, data: number, selection: number, from: number, count: number, to: number): void;
  /** One byte a row: 1 = null. */
  groupLaneNulls(validity: number, selection: number, from: number, count: number, to: number): void;
  /** Numbers as f64; a null becomes the 8 bytes at `fill`. */
  groupLaneF64(type: number, data: number, validity: number, selection: number, from: number, count: number, fill: number, to: number): void;
  /** i64 and timestamp values; a null becomes the 8 bytes at `fill`. */
  groupLaneI64(data: number, validity: number, selection: number, from: number, count: number, fill: number, to: number): void;
  /** i64 1 for a valid row, 0 for a null. */
  groupLaneValid(validity: number, selection: number, from: number, count: number, to: number): void;
}

/**
 * Key images (slot-layout.ts) of a tile at `images`, `stride` bytes apart, column by column. The place of the
 * tag holds the hash so far.
 */
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
   * Finds or inserts the slots of `count` key images. Returns how many it did. It stops early when the next
   * image needs a slot and the table holds `limit` groups; when arena bytes are missing (ARENA_NEED says how
   * many); or when it passed too many slots (CROWDING is 1).
   */
  groupProbe(table: number, images: number, stride: number, count: number, slots: number): number;
  /**
   * Puts the keys of `count` images into consecutive slots, whether they are present already or not. Returns
   * how many: fewer when all slots are taken, or as in groupProbe. The table may then be used by groupScan
   * and groupCopyOut only.
   */
  groupAppend(table: number, images: number, stride: number, count: number, slots: number): number;
  /** Finds the slots of `count` key images, 0 for a missing key. Returns how many were found. */
  groupLookup(table: number, images: number, stride: number, count: number, slots: number): number;
  /** Removes those of `count` keys whose i64 at `countOffset` is 0. */
  groupRemoveEmpty(table: number, images: number, stride: number, count: number, countOffset: number): void;
  /**
   * Moves the groups of a former slot array to the table's present one. The latter may hold anything: it is
   * zeroed first.
   */
  groupRehash(table: number, formerBase: number, formerCapacity: number): void;
  /**
   * Makes a table that has an index a crowded one (reference/crowd.ts): moves its slots together and lists
   * them in the index. Empty slots are zeroed.
   */
  groupCrowd(table: number): void;
  /** Moves the long strings of all slots to the arena, which has room for them. */
  groupMoveStrings(table: number): void;
  /**
   * Writes the addresses of at most `max` used slots, from slot number `from` on, and after them, at
   * slots[max], the slot number to continue with.
   */
  groupScan(table: number, from: number, max: number, slots: number): number;
  /** Copies slots side by side. */
  groupPack(slots: number, count: number, slotBytes: number, to: number): void;
  /** Writes the block of {@link GroupTable.copyOut}. */
  groupCopyOut(table: number, block: number): void;
}

/**
 * Accumulators at `offset` of each slot. `values` are `stride` bytes apart: 8 in a lane, the slot size in
 * other slots.
 */
export interface AccumulateKernels {
  groupCount(slots: number, count: number, offset: number): void;
  /** i64 += sign * value, wrapping. */
  groupAddI64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupSumF64(slots: number, count: number, offset: number, values: number): void;
  /** Count, sum, min and max of one lane in one pass, at these offsets of the slot; 0 = skip that one. */
  groupFuseF64(slots: number, count: number, values: number, countAt: number, sumAt: number, minAt: number, maxAt: number): void;
  groupSumI64(slots: number, count: number, offset: number, values: number): void;
  groupMergeSumF64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupMergeSumI64(slots: number, count: number, offset: number, values: number, stride: number, sign: number): void;
  groupMinF64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMaxF64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMinI64(slots: number, count: number, offset: number, values: number, stride: number): void;
  groupMaxI64(slots: number, count: number, offset: number, values: number, stride: number): void;
}

/**
 * A probe and the single pass of the most common aggregates together: a row's slot is in the first cache
 * level, and its address in a register.
 */
export interface FuseKernels {
  /**
   * groupProbe, then groupFuseF64 of the rows that it did. `slots`: room for u32[count], with undefined
   * content afterwards.
   */
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
  /** The low 64 bits. Returns how many sums do not fit. */
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
 * Runs: slots that lie side by side, with their long strings behind them or elsewhere. One call does a whole
 * run, keys and accumulators: panes are many and their runs short, so separate calls would cost more than the
 * work. Only for layouts whose accumulators all have a `mergeCode` (MERGES in the header). `own` is room for
 * u32[count], count at most TILE_ROWS.
 */
export interface RunKernels {
  /**
   * Merges a run: groupProbe, then every accumulator. Returns the number of slots: fewer where groupProbe
   * stops.
   */
  groupMergeRun(table: number, run: number, count: number, own: number): number;
  /**
   * Subtracts a run. Groups whose i64 at `countOffset` falls to 0 are removed. Returns how many of its keys
   * were present; where that is not `count`, nothing is changed.
   */
  groupSubtractRun(table: number, run: number, count: number, countOffset: number, own: number): number;
  /** Total bytes of the long strings of a run, each rounded up to 8. `table`: any of the layout. */
  groupRunLongBytes(table: number, run: number, count: number): number;
  /** Copies a run to `to`, its long strings behind it. `table`: any of the layout. */
  groupCopyRun(table: number, run: number, count: number, to: number): void;
  /** Writes all groups of a table to `to` as a run, in slot order, their long strings behind them. */
  groupTableToRun(table: number, to: number): void;
}

export type GroupKernels = LaneKernels & ImageKernels & ProbeKernels & AccumulateKernels & FuseKernels & GatherKernels & RunKernels;

/** The codes of accumulators in kernels that merge whole runs (core/kernels/group-runs.ts). */
export const MERGE = { addI64: 1, sumF64: 2, sumI64: 3, minF64: 4, maxF64: 5, minI64: 6, maxI64: 7 } as const;
