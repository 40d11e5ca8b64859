/** The HBase sink: workers write the rows as HBase's REST server takes them, this end sends them as they are. */

import { MillraceError, SIGN } from '../../core/index.ts';
import { DeliveryWriter, deliverySettings, recordBlockEncoder, untilOpen } from '../delivery/index.ts';
import { HttpClient } from '../http/index.ts';
import { type ChangelogSink, changelogOf } from '../sink.ts';
import { cellsEncoder } from './encode.ts';
import { checkColumns, checkOptions, type HBaseSinkOptions } from './options.ts';
import { openTable, Rest } from './rest.ts';

/** Small enough that a region server takes it at once. */
const REQUEST = { requestRows: 2_000, requestBytes: 2 * 1_024 * 1_024 };

/**
 * Writes rows into a table of HBase, through its REST server.
 *
 * It is idempotent: a row that comes again has the same key, and replaces itself. So a job with it can be
 * exactly-once. With `version` a process that was replaced, and still sends, changes nothing that is newer. A row
 * that HBase refuses (a cell that is too large, a key that is null) goes to the ledger, and the others go on. A row of
 * a table that goes is deleted, with all its families.
 *
 * @example hbase.sink({ url: 'http://127.0.0.1:8080', table: 'clicks', key: ['page', 'windowStart'], family: 'c', version: 'windowEnd' })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the table or a family is not
 * there, when the server refuses the credentials, or is away for longer than deliveryTimeout.
 */
export function sink<R>(options: HBaseSinkOptions): ChangelogSink<R> {
  const name = `hbase ${options?.table}`;
  checkOptions(name, options);
  const settings = deliverySettings(name, options, REQUEST);
  new HttpClient(name, options, settings.concurrency).close();
  return {
    name,
    delivery: 'idempotent',
    changelog: changelogOf(name, options.changelog),
    upsertKey: [options.key].flat(),
    check: (schema) => checkColumns(name, options, schema),
    async open(context) {
      if (options.version !== undefined && context.schema.indexOf(SIGN) >= 0)
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `${name}: version is for facts, and rows of this table go. HBase would hide a row that comes again under the version that was deleted. Leave version out.`,
        );
      const client = new HttpClient(name, options, settings.concurrency * 2);
      const place = `${name} at ${client.place}`;
      try {
        await untilOpen(place, settings, context, (signal) => openTable(name, client, options, context.schema, signal));
      } catch (error) {
        client.close();
        throw error;
      }
      return new DeliveryWriter(new Rest(name, client, options), settings, { ...context, name: place });
    },
    encoder: (context) => recordBlockEncoder(context, cellsEncoder(context, context.schema, name, options)),
  };
}
