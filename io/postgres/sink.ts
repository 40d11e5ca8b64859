/** The PostgreSQL sink: workers write lines of COPY text, this end sends them as they are. */

import { SIGN, withoutSign } from '../../core/index.ts';
import { DeliveryWriter, deliverySettings, recordBlockEncoder, untilOpen } from '../delivery/index.ts';
import { type ChangelogSink, changelogOf } from '../sink.ts';
import { Connection, clientOptions, failureOf, loadPg, placeOf } from './connection.ts';
import { copyEncoder } from './copy-text.ts';
import { Loader } from './loader.ts';
import { checkColumns, checkOptions, type PostgresSinkOptions } from './options.ts';
import { StagedWriter } from './staged-writer.ts';
import { Staging } from './staging.ts';
import { Table } from './table.ts';
import { appending, replacing } from './ways.ts';

const REQUEST = { requestRows: 20_000, requestBytes: 4 * 1_024 * 1_024 };

/**
 * Writes rows into a table of PostgreSQL 12 and later, through the client `pg` (`npm i pg`) and by COPY.
 *
 * With `key` it is idempotent: a row replaces the one of its key. Without, rows are appended: at-least-once they are
 * visible as they are written, and those behind the last commit come twice after a failure. Exactly-once they wait in a
 * table beside it, and become visible with their checkpoint, in the transaction that notes its number in
 * `millrace_commits`. A row that the server refuses (a value, a constraint) goes to the ledger, and the others go on.
 *
 * An instant is written in UTC (timestamptz, timestamp, date, or text), binary as bytea. i8 and i16 fit smallint, i32
 * integer, u32 and i64 bigint, f32 real, f64 double precision, text any type that reads itself from text (uuid, jsonb).
 *
 * @example postgres.sink({ connection: 'postgresql://app@127.0.0.1/stats', table: 'clicks', key: ['page', 'windowStart'] })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the table or its columns do not
 * fit, when the server refuses user or table, or is away for longer than deliveryTimeout.
 */
export function sink<R>(options: PostgresSinkOptions): ChangelogSink<R> {
  const what = `postgres ${options?.table}`;
  checkOptions(what, options);
  const { connection, table: tableName, key } = options;
  const sinkName = options.name === undefined ? tableName : `${tableName} as ${options.name}`;
  const settings = deliverySettings(what, options, REQUEST);
  const keys = key === undefined ? [] : [key].flat();
  return {
    name: what,
    delivery: key === undefined ? 'replayed by epoch' : 'idempotent',
    changelog: changelogOf(what, options.changelog),
    upsertKey: key === undefined ? undefined : keys,
    ...(key === undefined ? { place: `the table ${sinkName} of PostgreSQL (two sinks of it need the option name)` } : {}),
    check: (schema) => checkColumns(what, options, withoutSign(schema)),
    async open(context) {
      const pg = await loadPg(what);
      const schema = withoutSign(context.schema);
      const isChanges = context.schema.indexOf(SIGN) >= 0;
      const table = new Table(what, tableName, schema, keys);
      const isStaged = key === undefined && context.guarantee === 'exactly-once';
      const { pipeline: job } = context;
      const client = clientOptions(connection, isStaged ? Staging.applicationName(job, sinkName, table.sql) : 'millrace');
      const place = placeOf(pg, client);
      const connect = (signal: AbortSignal): Promise<Connection> => Connection.open(pg, client, signal);
      const delivered = { ...context, name: `${what} at ${place}` };
      const staging = new Staging({ name: what, table, schema, job, sink: sinkName, lanes: settings.concurrency });
      await untilOpen(delivered.name, settings, context, async (signal) => {
        let opened: Connection | undefined;
        try {
          opened = await connect(signal);
          await table.open(opened, signal, options.createTable === true);
          // Rows of a checkpoint of a job that was exactly-once before.
          if (key === undefined && !isStaged && (await Staging.isKnown(opened, signal, table, job, sinkName))) {
            for (const { row, message } of await staging.recover(opened, signal, undefined))
              context.refused?.({ epoch: -1, unit: 0, message: `${delivered.name} refuses a row: ${message}. The row: ${row}` });
          }
        } catch (error) {
          throw failureOf(what, place, error);
        } finally {
          await opened?.close();
        }
      });
      if (isStaged) return new StagedWriter(place, connect, staging, settings, delivered);
      const way = key === undefined ? appending(table) : replacing(table, isChanges);
      return new DeliveryWriter(new Loader(what, place, connect, way), settings, delivered);
    },
    encoder: (context) => recordBlockEncoder(context, copyEncoder(context, context.schema, keys, context.schema.indexOf(SIGN) >= 0)),
  };
}
