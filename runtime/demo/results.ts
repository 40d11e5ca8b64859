/** Reads the demo's results back, through the sources that users have, and keeps them on the main thread. */

import { collect, json, log } from '../../io/index.ts';
import { f64, timestamp, utf8 } from '../index.ts';
import { pipeline } from '../stream/index.ts';

const pageMinute = { page: utf8, windowStart: timestamp, windowEnd: timestamp, clicks: f64, meanMs: f64 };

export const results = collect();

export default async ({ dir, brokers, output, group }: { dir?: string; brokers?: string; output?: string; group?: string }) => {
  const value = json(pageMinute);
  if (dir !== undefined)
    return pipeline('results')
      .from(log.source({ dir, topic: 'clicks-per-page', value }))
      .to(results);
  const { kafka } = await import('../../io/kafka/index.ts');
  return pipeline('results')
    .from(kafka.source({ brokers: (brokers as string).split(','), topic: output as string, group: group as string, value }))
    .to(results);
};
