/** The door of runtime/checkpoint: what a job can go on from after a crash, on disk. */

export { CheckpointDir } from './checkpoint-dir.ts';
export type { Damage } from './found.ts';
export { describeInspection, type Inspection, inspectCheckpoints } from './inspection.ts';
export { type CheckpointId, MANIFEST_FORMAT, type Manifest, type ManifestSegment, type SourcePositions } from './manifest.ts';
export { parseManifestName } from './names.ts';
export { packageVersion } from './package-version.ts';
export { TopicMirror } from './topic-mirror.ts';
