/** The door of runtime/epoch: what an epoch is, and when its positions may be committed. */

export { checkpointMetadata, checkpointNamed, metadataToCommit } from './commit-metadata.ts';
export { type CommitPlace, Commits, type EpochRecord, type EpochState, positionsOf } from './commits.ts';
export { type DecisionStore, Decisions } from './decisions.ts';
export { JobClock } from './job-clock.ts';
export { JobWatermarks } from './job-watermarks.ts';
export { JOURNAL_FILE, Journal, type JournalHead, type JournalRecord, readJournal } from './journal.ts';
export { type Drain, PartitionStates } from './partition-states.ts';
export { type EpochCut, type PartitionState, positionOf } from './partitions.ts';
