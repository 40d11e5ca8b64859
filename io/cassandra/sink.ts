/** The Cassandra sink: workers write the values in CQL's own bytes, cassandra-driver sends them. */

import { MillraceError, SIGN, withoutSign } from '../../core/index.ts';
import { DeliveryWriter, deliverySettings, recordBlockEncoder, untilOpen } from '../delivery/index.ts';
import { type ChangelogSink, changelogOf } from '../sink.ts';
import { Batches } from './batches.ts';
import { valuesEncoder } from './encode.ts';
import { type CassandraSinkOptions, checkColumns, checkOptions } from './options.ts';
import { openTable } from './table.ts';

const REQUEST = { requestRows: 2_000, requestBytes: 1_024 * 1_024 };

/**
 * Writes rows into a table of Cassandra, or of what else speaks CQL 4. It needs `npm i cassandra-driver`.
 *
 * It is idempotent: a row that comes again has the same primary key, and replaces itself. So a job with it can be
 * exactly-once. With `version` a process that was replaced, and still sends, changes nothing that is newer. A row
 * that Cassandra refuses (text that is no UTF-8, a key that is null) goes to the ledger, and the others go on.
 *
 * @example cassandra.sink({ contactPoints: '127.0.0.1', localDataCenter: 'datacenter1', keyspace: 'web', table: 'clicks', version: 'windowEnd' })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the driver or the table is not
 * there, when a column does not fit, when the server refuses the credentials, or is away for longer than
 * deliveryTimeout.
 */
export function sink<R>(options: CassandraSinkOptions): ChangelogSink<R> {
  const name = `cassandra ${options?.keyspace}.${options?.table}`;
  const own = checkOptions(name, options);
  const settings = deliverySettings(name, options, REQUEST);
  const key = options.key === undefined ? undefined : [options.key].flat();
  return {
    name,
    delivery: 'idempotent',
    changelog: changelogOf(name, options.changelog),
    upsertKey: key,
    check: (schema) => void checkColumns(name, options, schema),
    async open(context) {
      if (options.version !== undefined && context.schema.indexOf(SIGN) >= 0)
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `${name}: version is for facts, and rows of this table go. Cassandra would hide a row that comes again at the time at which it was deleted. Leave version out.`,
        );
      const place = `${name} at ${[options.contactPoints].flat().join(', ')}`;
      const table = await untilOpen(place, settings, context, (signal) => openTable(name, options, withoutSign(context.schema), signal));
      return new DeliveryWriter(new Batches(name, options, own, table), settings, { ...context, name: place }, table.plan);
    },
    encoder: (context) => recordBlockEncoder(context, valuesEncoder(context, key ?? [], options.version)),
  };
}
