// Jobs on Kafka with windows small enough that a test sees many, and a group whose dead members are soon forgotten.

import { arrow, type ChangelogSink, collect, count, f64, json, mean, pipeline, text, timestamp, tumbling, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { wordCount } from '../../../examples/word-count.ts';

export const click = { page: utf8, ms: f64, at: timestamp };
export const results = collect();

export interface Params {
  /** Comma separated, so that the command line can say it too. */
  readonly brokers: string;
  readonly input: string;
  readonly group: string;
  readonly what?: 'windows' | 'count' | 'words';
  readonly format?: 'json' | 'arrow';
  /** Topic to write to; without it the results are collected. */
  readonly output?: string;
  /** Milliseconds; a text when it comes from the command line. */
  readonly sessionTimeout?: number | string;
  /** How long a broker is waited for; the same. */
  readonly brokerTimeout?: number | string;
}

export default ({ brokers, input, group, what = 'windows', format = 'json', output, sessionTimeout = 6_000, brokerTimeout = 120_000 }: Params) => {
  const servers = brokers.split(',');
  const patience = { brokerTimeout: Number(brokerTimeout) };
  const options = { brokers: servers, topic: input, group, sessionTimeout: Number(sessionTimeout), ...patience };
  const sink = (key: string): ChangelogSink =>
    (output === undefined ? results : kafka.sink({ brokers: servers, topic: output, key, value: json(), ...patience })) as ChangelogSink;
  if (what === 'words') return wordCount(kafka.source({ ...options, value: text() }), sink('word'));
  const clicks = pipeline('on-kafka').from(kafka.source({ ...options, value: format === 'arrow' ? arrow(click) : json(click) }));
  if (what === 'count') return clicks.keyBy('page').count().to(sink('page'));
  return clicks
    .withWatermark('at', '1s')
    .keyBy('page')
    .window(tumbling('10s'))
    .aggregate({ clicks: count(), meanMs: mean('ms') })
    .to(sink('page'));
};
