// The demo's job, examples/clicks.ts, on the log or on Kafka, with its results kept on the main thread.

import { arrow, collect, json, log } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { click, clicksPerPage } from '../../../examples/clicks.ts';

export const results = collect();

export interface Params {
  readonly format: 'json' | 'arrow';
  /** Read the log in this folder ... */
  readonly dir?: string;
  /** ... or this topic of these brokers. */
  readonly brokers?: string[];
  readonly topic?: string;
  readonly group?: string;
}

export default ({ format, dir, brokers = [], topic = 'clicks', group = 'test' }: Params) => {
  const value = format === 'arrow' ? arrow(click) : json(click);
  return clicksPerPage(dir !== undefined ? log.source({ dir, topic, value }) : kafka.source({ brokers, topic, group, value }), results);
};
