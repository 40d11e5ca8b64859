/**
 * The Kafka sink: its public function. Workers encode result rows into record batches (io/record-batch); the other end
 * (topic-writer.ts) sends them to the broker as they are. At-least-once, `commit` resolves when the broker has acknowledged everything.
 * Exactly-once, the rows go into the job's transaction (transactions.ts), which makes them visible.
 */

import { recordSinkEncoder } from '../record-batch/index.ts';
import { type ChangelogSink, changelogOf, type SinkEncoder, type SinkEncoderContext, upsertKeyOf } from '../sink.ts';
import { checkSinkOptions, type KafkaSinkOptions } from './options.ts';
import { openWriter } from './topic-writer.ts';
import { transactionsOf } from './transactions.ts';

/**
 * Writes to a topic.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function sink<R>(options: KafkaSinkOptions<R>): ChangelogSink<R> {
  const name = `kafka ${options?.topic}`;
  checkSinkOptions(name, options);
  const { value: codec, key, timestamp, batchBytesMax, compression } = options;
  const canBeExact = (options.acks ?? -1) === -1;
  return {
    name,
    changelog: changelogOf(name, options.changelog),
    upsertKey: upsertKeyOf(name, options),
    delivery: canBeExact ? 'transactional' : 'at-least-once',
    ...(canBeExact && { transactions: transactionsOf(options) }),
    check(schema) {
      for (const column of key === undefined ? [] : [key].flat()) schema.require(column, `The key of the sink ${name}`);
      if (timestamp !== undefined && timestamp !== 'now') schema.require(timestamp, `The timestamp of the sink ${name}`);
    },
    open: (context) => openWriter(name, options, context),
    encoder: (context: SinkEncoderContext): SinkEncoder =>
      recordSinkEncoder(context, {
        codec,
        ...(key !== undefined && { key }),
        ...(timestamp !== undefined && { timestamp }),
        ...(batchBytesMax !== undefined && { batchBytesMax }),
        ...(compression !== undefined && { compression }),
      }),
  };
}
