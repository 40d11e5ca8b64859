/** Topics: whether one exists, with which partitions; creating one; where its logs begin and end. */

import { MillraceError, nearNames } from '../../../core/index.ts';
import { type Connection, describe, isConnectionError, mustSucceed, privateClient, within } from '../kafkajs/index.ts';
import { CODE, codeOf, listOffsetsRequest, type TopicAnswer } from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import type { Patience } from './patience.ts';

const CREATE_TIMEOUT_MS = 30_000;
const NAMES_TIMEOUT_MS = 10_000;
/** Longest wait until all nodes know a new topic. */
const CREATED_TIMEOUT_MS = 10_000;
const CREATED_PAUSE_MS = 50;

/** ConfigResourceTypes.TOPIC of kafkajs. */
const TOPIC_RESOURCE = 2;

export const READ_UNCOMMITTED = 0;
export const READ_COMMITTED = 1;

/**
 * Like {@link findTopic}, but a topic that does not exist is created first, where `wanted` says how.
 *
 * @throws MillraceError as `findTopic` and `createTopic`
 */
export async function findOrCreateTopic(cluster: Cluster, patience: Patience, what: string, topic: string, wanted: NewTopic | undefined): Promise<TopicAnswer> {
  let createdAtMs: number | undefined;
  for (;;) {
    try {
      return await findTopic(cluster, patience, what, topic);
    } catch (error) {
      if (wanted === undefined || !(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_TOPIC') throw error;
      if (createdAtMs === undefined) {
        await createTopic(cluster.connection, what, topic, wanted);
        createdAtMs = performance.now();
      } else if (performance.now() - createdAtMs > CREATED_TIMEOUT_MS) throw error;
      else await patience.sleep(CREATED_PAUSE_MS);
    }
  }
}

/**
 * A topic that must exist, with a leader for each partition.
 *
 * @throws MillraceError ERR_MILLRACE_TOPIC, with the nearest names, when it does not exist;
 * ERR_MILLRACE_BROKER
 */
export async function findTopic(cluster: Cluster, patience: Patience, what: string, topic: string): Promise<TopicAnswer> {
  try {
    return await patience.through(`topic ${topic} cannot be looked up`, async () => {
      const found = await cluster.topic(topic);
      for (const { code } of found.partitions) mustSucceed(code);
      return found;
    });
  } catch (error) {
    const cause = (error as { cause?: unknown }).cause;
    if (codeOf(cause) !== CODE.unknownTopic) throw error;
    const names = await topicNames(cluster);
    const near = nearNames(topic, names);
    const hint = near.length > 0 ? `Near it: ${near.join(', ')}.` : names.length > 0 ? `There are ${names.length} other topics.` : 'There are no topics.';
    throw new MillraceError(
      'ERR_MILLRACE_TOPIC',
      `${what}: there is no topic ${topic} on ${cluster.connection.options.brokers.join(', ')}. ${hint} Create it, or correct the name.`,
      { cause },
    );
  }
}

async function topicNames(cluster: Cluster): Promise<string[]> {
  try {
    const { topics } = await within(NAMES_TIMEOUT_MS, cluster.metadata(null));
    return topics.map((entry) => entry.topic).filter((name) => !name.startsWith('__'));
  } catch {
    return [];
  }
}

/** What createTopic sets. -1: as the cluster has it by default. */
export interface NewTopic {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Creates a topic. It is no error when somebody else was quicker. The nodes learn of it one after the other,
 * so `findTopic` may not find it yet.
 *
 * @throws MillraceError ERR_MILLRACE_TOPIC, ERR_MILLRACE_BROKER
 */
export async function createTopic(connection: Connection, what: string, topic: string, wanted: NewTopic): Promise<void> {
  const { partitions, replicationFactor, settings = {} } = wanted;
  const admin = new (privateClient().Kafka)({ ...connection.config, retry: { retries: 3 } }).admin();
  try {
    await within(CREATE_TIMEOUT_MS, admin.connect());
    await within(
      CREATE_TIMEOUT_MS,
      admin.createTopics({
        topics: [{ topic, numPartitions: partitions, replicationFactor, configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })) }],
        waitForLeaders: false,
      }),
    );
  } catch (cause) {
    const refused = (cause as { errors?: unknown[] }).errors?.[0] ?? cause;
    if (isConnectionError(refused)) throw connection.error(`${what}: topic ${topic} cannot be created`, cause);
    throw new MillraceError(
      'ERR_MILLRACE_TOPIC',
      `${what}: topic ${topic} cannot be created with ${partitions} partitions and ${replicationFactor < 0 ? 'as many replicas as the cluster gives' : `${replicationFactor} replicas`}: ${describe(refused).message}`,
      { cause },
    );
  } finally {
    await within(CREATE_TIMEOUT_MS, admin.disconnect()).catch(() => {});
  }
}

/**
 * A setting of a topic; undefined where this user may not ask.
 *
 * @throws MillraceError ERR_MILLRACE_BROKER
 */
export async function topicSetting(connection: Connection, what: string, topic: string, setting: string): Promise<string | undefined> {
  const client = privateClient();
  const admin = new client.Kafka({ ...connection.config, retry: { retries: 3 } }).admin();
  try {
    await within(CREATE_TIMEOUT_MS, admin.connect());
    const { resources } = await within(
      CREATE_TIMEOUT_MS,
      admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC_RESOURCE, name: topic, configNames: [setting] }] }),
    );
    return resources[0]?.configEntries.find(({ configName }) => configName === setting)?.configValue;
  } catch (cause) {
    if (describe(cause).type.endsWith('AUTHORIZATION_FAILED')) return undefined;
    throw connection.error(`${what}: the settings of topic ${topic} cannot be read`, cause);
  } finally {
    await within(CREATE_TIMEOUT_MS, admin.disconnect()).catch(() => {});
  }
}

/**
 * Offsets by partition: the `earliest` of the log, or its end. At isolation level read_committed the end is
 * that of the oldest open transaction.
 */
export async function logOffsets(
  cluster: Cluster,
  topic: string,
  partitions: readonly number[],
  which: 'earliest' | 'end',
  isolationLevel: number = READ_UNCOMMITTED,
): Promise<Map<number, number>> {
  const wanted = new Set(partitions);
  const leaders = new Map<number, number[]>();
  for (const { partition, leader, code } of (await cluster.topic(topic)).partitions) {
    if (!wanted.has(partition)) continue;
    if (leader < 0) mustSucceed(code === 0 ? CODE.leaderNotAvailable : code);
    leaders.set(leader, [...(leaders.get(leader) ?? []), partition]);
  }
  const answers = await Promise.all(
    [...leaders].map(([leader, ids]) => cluster.ask(leader, listOffsetsRequest(topic, ids, which === 'earliest' ? -2 : -1, isolationLevel))),
  );
  return new Map(
    answers.flat().map(({ partition, code, offset }) => {
      mustSucceed(code);
      return [partition, offset];
    }),
  );
}
