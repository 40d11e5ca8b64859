/** The door of runtime/state-log: the state of workers as a log in segments; written by them, read by a restart. */

export { damaged, type EpochHead, type SegmentName, segmentName, segmentNamed } from './frames.ts';
export { SegmentFiles } from './segment-file.ts';
export { segmentRanges } from './segment-ranges.ts';
export { stateBytesOf, stateOfBytes } from './shard-state.ts';
export { SpillFiles, type SpillStore } from './spill-files.ts';
export { type OpenSegment, openSegmentFile, type SegmentBytes, type SegmentRange, StateReader } from './state-reader.ts';
export { type LoggedBlocks, type LoggedShard, type StateLog, StateWriter } from './state-writer.ts';
