/** How processes share the tasks of a job: by a consumer group, of which the topic between the tasks is the topic. */

import type { Sharing, SharingContext } from '../shared-source.ts';
import { Cluster, findOrCreateTopic, Patience, TaskGroup } from './client/index.ts';
import { exchangeTopicOf, newExchangeTopic } from './exchange-topic.ts';
import { Connection, within } from './kafkajs/index.ts';
import { BROKER_TIMEOUT_MS, type KafkaSourceOptions } from './options.ts';

const HEARTBEAT_MS_MAX = 1_000;
const REBALANCE_MS = 10_000;
const LEAVE_TIMEOUT_MS = 1_000;

export async function joinTaskGroup(options: KafkaSourceOptions, context: SharingContext): Promise<Sharing> {
  const { pipeline, tasks, sessionMs, signal, waiting } = context;
  const name = `tasks of ${pipeline}`;
  const topic = exchangeTopicOf(options.group, pipeline);
  const cluster = new Cluster(new Connection(options));
  const patience = new Patience(cluster.connection, { name, timeoutMs: options.brokerTimeout ?? BROKER_TIMEOUT_MS, signal, waiting: waiting?.bind(context) });
  try {
    await findOrCreateTopic(cluster, patience, name, topic, newExchangeTopic(tasks));
    const group = new TaskGroup(
      cluster,
      patience,
      { name, group: `${options.group}.tasks`, topic, tasks, sessionMs, heartbeatMs: Math.min(HEARTBEAT_MS_MAX, sessionMs / 5), rebalanceMs: REBALANCE_MS },
      context,
    );
    await group.join();
    return {
      async leave() {
        await within(LEAVE_TIMEOUT_MS, group.leave()).catch(() => {});
        patience.end();
        cluster.close();
      },
    };
  } catch (error) {
    cluster.close();
    throw error;
  }
}
