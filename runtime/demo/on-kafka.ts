/** The demo on Kafka: two topics of its own, which it deletes when it is done. */

import { randomBytes } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { MillraceError } from '../../core/index.ts';
import type { Place } from './place.ts';

const PARTITIONS = 4;

/** @throws MillraceError ERR_MILLRACE_BROKER when no broker answers */
export async function onKafka(brokers: string): Promise<Place> {
  const id = `millrace-demo-${randomBytes(4).toString('hex')}`;
  const input = `${id}-clicks`;
  const output = `${id}-clicks-per-page`;
  const admin = new Kafka({ clientId: id, brokers: brokers.split(','), logLevel: logLevel.NOTHING, retry: { retries: 2 } }).admin();
  try {
    await admin.connect();
    const topics = [input, output].map((topic) => ({ topic, numPartitions: PARTITIONS }));
    await admin.createTopics({ topics, waitForLeaders: true });
  } catch (cause) {
    await admin.disconnect();
    throw new MillraceError(
      'ERR_MILLRACE_BROKER',
      `The demo cannot make its topics at ${brokers}: ${cause instanceof Error ? cause.message : String(cause)}. Start a broker (npm run kafka) and give its address with --brokers.`,
      { cause },
    );
  }
  return {
    makeClicks: 'clicks-data-kafka',
    mainJob: 'clicks-kafka',
    params: { brokers, input, output, group: id },
    results: { brokers, output, group: `${id}-results` },
    close: async () => {
      try {
        // And that of tasks, where processes have shared the job.
        await admin.deleteTopics({ topics: (await admin.listTopics()).filter((topic) => topic.startsWith(id)) });
      } finally {
        await admin.disconnect();
      }
    },
  };
}
