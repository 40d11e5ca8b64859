/** The door of runtime/checkpoint: what a job can go on from after a crash, on disk. */

export { CheckpointDir, type Damage, type OpenOptions } from './checkpoint-dir.ts';
export { type CheckpointId, MANIFEST_FORMAT, type Manifest, type ManifestSegment, type SourcePositions } from './manifest.ts';
export { parseSegmentName, type SegmentName, segmentName } from './names.ts';
