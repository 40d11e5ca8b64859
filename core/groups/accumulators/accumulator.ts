/**
 * The contract of an accumulator: what it is to the group table, and what the table gives it. The kinds are
 * listed in accumulators.ts; those that work row by row have files beside this one.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { DataType } from '../../schema.ts';
import type { GroupKernels } from '../kernel-signatures.ts';

export type AccumulatorName =
  | 'count'
  | 'countValid'
  | 'sum'
  | 'min'
  | 'max'
  | 'sumSquares'
  | 'first'
  | 'last'
  | 'smoothed'
  | 'distinct'
  | 'hyperLogLog'
  | 'linearCounter'
  | 'quantiles'
  | 'topK'
  | 'list';
/**
 * The form in which an accumulator takes its input. `none`: no input; `bytes`: u32 address and u32 length of
 * each value.
 */
export type Lane = 'none' | 'f64' | 'i64' | 'valid' | 'bytes';

export interface AccumulatorOptions {
  /**
   * The type of the column that orders the values: numbers or timestamp. Required for `smoothed`; optional
   * for `first`, `last` and `list`.
   */
  readonly order?: DataType;
  /** Which of the values of one order comes first: the earliest to arrive (default), or the least. */
  readonly ties?: 'coming' | 'value';
  /**
   * The parameter of the kind: HyperLogLog's precision, linear counting's bits, quantiles' relative error,
   * topK's counters, the list's length, the half-life in ms.
   */
  readonly parameter?: number;
}

/**
 * One accumulator of a slot layout. Made by {@link accumulator}; a new kind is a new object of this shape.
 */
export interface Accumulator {
  readonly name: AccumulatorName;
  /** The input column's type; undefined for `count`, which takes none. */
  readonly input: DataType | undefined;
  /** The type of the column that orders the values; undefined: none. */
  readonly order: DataType | undefined;
  /** See {@link AccumulatorOptions}. */
  readonly ties: 'coming' | 'value';
  /** See {@link AccumulatorOptions}. */
  readonly parameter: number | undefined;
  /**
   * Type of the finished value: i64 for counts and for sums of i64, f64 for other sums, the input's type for
   * min and max.
   */
  readonly result: DataType;
  /** A multiple of 8. */
  readonly slotBytes: number;
  readonly lane: Lane;
  /**
   * True: the tile tells it which values are null and what orders them. False: the lane holds its identity
   * for a null.
   */
  readonly isRowWise: boolean;
  /** Where in its field there are pointers to states in the arena (u32 bytes, u32 address). */
  readonly pointers: readonly number[];
  /** Where in its field the pointer to the finished value is, for a `result` of bytes. */
  readonly textOffset?: number;
  readonly canSubtract: boolean;
  /**
   * Its code in the kernel that merges whole slots (core/groups/reference/runs.ts). Undefined: it has none,
   * and `merge` is called for each accumulator.
   */
  readonly mergeCode?: number;
  /** Its part in the pass that count, sum, min and max of one f64 lane share (inputs.ts); undefined: none. */
  readonly fuses: 'count' | 'sum' | 'min' | 'max' | undefined;
  /** Writes the identity at `field`. Its first 8 bytes are also what the lane holds for a null. */
  identity(memory: SharedMemory, field: number): void;
  /** Adds `count` lane values to the field at `offset` of each of `slots` (address of u32[count]). */
  update(kernels: GroupKernels, slots: number, count: number, offset: number, values: number, tile: TileInputs): void;
  /** Merges (sign 1) or subtracts (sign -1) `count` fields that begin at `fields`, `stride` bytes apart. */
  merge(kernels: GroupKernels, slots: number, count: number, offset: number, fields: number, stride: number, sign: 1 | -1, arena: StateArena): void;
  /**
   * Writes the finished values as f64 or, where `result` is an 8-byte integer and `asI64` is set, as i64.
   * Returns how many do not fit.
   */
  finish(kernels: GroupKernels, slots: number, count: number, offset: number, to: number, asI64: boolean, memory: SharedMemory): number;
}

/** Where the states of one table are. */
export interface StateArena {
  readonly memory: SharedMemory;
  /**
   * The address, a multiple of 8, of `bytes` of new memory with undefined content.
   *
   * @throws MillraceError ERR_MILLRACE_MEMORY when there is no room
   */
  alloc(bytes: number): number;
  /** Gives up memory of `alloc`: it counts as dead from now on. */
  discard(bytes: number): void;
}

/** What an accumulator gets for a tile, besides its lane of values. */
export interface TileInputs {
  readonly arena: StateArena;
  /** One byte per row, 1 = the value is null; 0: no value of the tile is null. */
  readonly nulls: number;
  /** One f64 per row, by which the values are ordered; 0: they are ordered by arrival only. */
  readonly orders: number;
}

/** What differs between kinds, except for the lane. */
export type StateBehaviour = Omit<Accumulator, 'name' | 'input' | 'order' | 'ties' | 'result' | 'lane' | 'parameter'>;
