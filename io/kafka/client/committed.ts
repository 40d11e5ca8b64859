/**
 * What a group has committed. Each position comes with a text: the topic's id, followed by the runtime's
 * text. The id tells whether the topic is still the one that the position belongs to, or was recreated under
 * the same name.
 */

import { mustSucceed } from '../kafkajs/index.ts';
import { OFFSET_FETCH, offsetFetchRequest } from '../protocol/index.ts';
import { type Cluster, offered } from './cluster.ts';

export interface Committed {
  readonly offset: number;
  readonly metadata: string;
  /** Id of the topic that the position belongs to; undefined when the commit did not say. */
  readonly topicId: string | undefined;
}

/**
 * Partitions without a commit are not in the answer. Where a transaction may still commit others, it is a
 * passing error.
 */
export async function committedOffsets(cluster: Cluster, group: string, topic: string, partitions: readonly number[]): Promise<Map<number, Committed>> {
  const { code, offsets } = await cluster.askCoordinator(group, (broker) => offsetFetchRequest(group, [{ topic, partitions }], offered(broker, OFFSET_FETCH)));
  mustSucceed(code);
  const committed = new Map<number, Committed>();
  for (const { partition, code: partitionCode, offset, metadata } of offsets) {
    mustSucceed(partitionCode);
    if (offset >= 0) committed.set(partition, { offset, ...parted(metadata) });
  }
  return committed;
}

const PREFIX = /^topic=([0-9a-f]{32});/;

export function metadataWith(topicId: string | undefined, metadata: string): string {
  return topicId === undefined ? metadata : `topic=${topicId};${metadata}`;
}

function parted(text: string): Pick<Committed, 'metadata' | 'topicId'> {
  const found = PREFIX.exec(text);
  return { topicId: found?.[1], metadata: found === null ? text : text.slice(found[0].length) };
}
