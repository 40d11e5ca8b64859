/** The door of io/kafka/client: the requests to brokers, and what follows from the answers. */

export { Cluster } from './cluster.ts';
export { type Committed, committedOffsets, metadataWith } from './committed.ts';
export { FetchedRecords } from './fetched.ts';
export { type Fetched, Fetcher, type FetchTarget } from './fetcher.ts';
export { Held } from './held.ts';
export { Idempotence } from './idempotence.ts';
export { GroupMember } from './member.ts';
export { readPartition } from './partition-read.ts';
export { Patience } from './patience.ts';
export { BatchProducer } from './producer.ts';
export { TaskGroup } from './task-group.ts';
export { findOrCreateTopic, findTopic, logOffsets, type NewTopic, READ_COMMITTED, READ_UNCOMMITTED, topicSetting } from './topic.ts';
export { type GroupOffsets, ProducerTransaction } from './transaction.ts';
