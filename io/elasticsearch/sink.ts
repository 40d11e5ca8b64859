/** The Elasticsearch sink: workers write the items of bulk requests, this end sends them as they are. */

import { withoutSign } from '../../core/index.ts';
import { DeliveryWriter, deliverySettings, recordBlockEncoder, untilOpen } from '../delivery/index.ts';
import { HttpClient } from '../http/index.ts';
import { type ChangelogSink, changelogOf } from '../sink.ts';
import { Bulk, openIndex } from './bulk.ts';
import { bulkEncoder } from './encode.ts';
import { IndexName } from './index-name.ts';
import { checkColumns, checkOptions, type ElasticsearchSinkOptions } from './options.ts';

/** Sizes that Elastic recommends to begin with. */
const REQUEST = { requestRows: 5_000, requestBytes: 5 * 1_024 * 1_024 };

/**
 * Writes documents to Elasticsearch 7 and later, OpenSearch, and what else speaks `_bulk`.
 *
 * With `id` it is idempotent: rows that come again replace themselves, so a job with it can be exactly-once.
 * Without, it is at-least-once. A document that the server refuses (a value that does not fit the mapping) goes
 * to the ledger with the server's words, and the others go on. A timestamp is written as milliseconds, which
 * the type `date` takes as it is.
 *
 * @example elasticsearch.sink({ url: 'http://127.0.0.1:9200', index: 'clicks', id: ['page', 'windowStart'] })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the server refuses the
 * index or the credentials, or is away for longer than deliveryTimeout.
 */
export function sink<R>(options: ElasticsearchSinkOptions): ChangelogSink<R> {
  const name = `elasticsearch ${options?.index}`;
  checkOptions(name, options);
  const { id } = options;
  const settings = deliverySettings(name, options, REQUEST);
  if (options.indexTime !== undefined) new IndexName(name, options.index);
  new HttpClient(name, options, settings.concurrency).close();
  return {
    name,
    delivery: id === undefined ? 'at-least-once' : 'idempotent',
    changelog: changelogOf(name, options.changelog),
    upsertKey: id === undefined ? undefined : [id].flat(),
    check: (schema) => checkColumns(name, options, schema),
    async open(context) {
      const client = new HttpClient(name, options, settings.concurrency);
      const place = `${name} at ${client.place}`;
      try {
        await untilOpen(place, settings, context, (signal) => openIndex(name, client, options, withoutSign(context.schema), signal));
      } catch (error) {
        client.close();
        throw error;
      }
      return new DeliveryWriter(new Bulk(name, client, options), settings, { ...context, name: place });
    },
    encoder: (context) => recordBlockEncoder(context, bulkEncoder(context, context.schema, name, options)),
  };
}
