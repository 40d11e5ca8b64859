/** The door of core/groups: keys to slots, and what a slot adds up. */

export { hash64Bytes, hash64Long, hashLow } from './accumulators/hash64.ts';
export { precisionFor } from './accumulators/hyper-log-log.ts';
export { countBits, linearEstimate, setBit } from './accumulators/linear-counter.ts';
export { quantileAt } from './accumulators/quantile-sketch.ts';
export { addDecayed, decayRate, NEWEST, SUM, WEIGHT } from './accumulators/smoothing.ts';
export { varianceOf } from './accumulators/sum-squares.ts';
export { eachListed, eachUnordered } from './accumulators/value-list.ts';
export { eachValue, takenOff } from './accumulators/value-table.ts';
export { type Accumulator, type AccumulatorName, type AccumulatorOptions, accumulator } from './accumulators.ts';
export { groupKernels } from './group-kernels.ts';
export { blockSlots, GroupTable, type GroupTableOptions } from './group-table.ts';
export { BLOCK_SLOTS } from './header.ts';
export type { GroupKernels } from './kernel-signatures.ts';
export { LIVE_CELL_BYTES, LiveCell } from './live-cell.ts';
export { LiveReader, TORN } from './live-reader.ts';
export { type AccumulatorField, type KeyField, SlotLayout } from './slot-layout.ts';
export { restoreSlot, snapshotSlot } from './slot-state.ts';
