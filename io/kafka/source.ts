/** The Kafka source: its public function. */

import type { CodedSource } from '../codec.ts';
import { exchangeTopic } from './exchange-topic.ts';
import { checkSourceOptions, domainOf, type KafkaSourceOptions } from './options.ts';
import { partOf, sourceOf } from './partitions.ts';
import { joinTaskGroup } from './task-sharing.ts';

/**
 * Reads a topic, for a consumer group.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION; ERR_MILLRACE_PIPELINE when the codec has no schema
 */
export function source<R>(options: KafkaSourceOptions<R>): CodedSource<R> {
  const name = `kafka ${options?.topic}`;
  checkSourceOptions(name, options);
  return {
    ...sourceOf(name, options, undefined),
    shared: {
      domain: domainOf(options),
      part: (task) => partOf(options, task),
      exchange: (pipeline, task) => exchangeTopic(options, pipeline, task),
      join: (context) => joinTaskGroup(options, context),
    },
  };
}
