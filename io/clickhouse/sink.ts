/** The ClickHouse sink: workers write TabSeparated lines, this end inserts them by HTTP. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions, DeliveryWriter, deliverySettings, recordBlockEncoder, untilOpen } from '../delivery/index.ts';
import { HTTP_OPTIONS, HttpClient, type HttpConnectionOptions } from '../http/index.ts';
import { type ChangelogSink, changelogOf, type SinkWriter } from '../sink.ts';
import { type ClickhouseInfo, checkColumns, definitionsOf, type Form, formsFor, quoted } from './columns.ts';
import { TabSeparated } from './encode.ts';
import { ask, Inserts, type ServerFacts, tell } from './insert.ts';

export interface ClickhouseSinkOptions extends HttpConnectionOptions, DeliveryOptions {
  readonly table: string;
  /** Default: that of the user. */
  readonly database?: string;
  /** Makes the table from the columns if it does not exist. `engine`: default `MergeTree`. */
  readonly createTable?: { readonly orderBy: string | readonly string[]; readonly engine?: string };
  /**
   * `idempotent`: the table is a ReplacingMergeTree, whose rows of one sorting key become one, and readers say FINAL; so
   * exactly-once is allowed. `open` checks the engine.
   */
  readonly delivery?: 'at-least-once' | 'idempotent';
  /** How rows of a table are written: see {@link Changelog}. Default: as fits the table. */
  readonly changelog?: 'retract' | 'append';
  /** Settings of the server that are sent with each INSERT. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

const OPTIONS = {
  ...HTTP_OPTIONS,
  ...DELIVERY_OPTIONS,
  table: true,
  database: true,
  createTable: true,
  delivery: true,
  changelog: true,
  settings: true,
} as const;

/** Few large blocks suit the server; each is one part. */
const REQUEST = { requestRows: 100_000, requestBytes: 8 * 1_024 * 1_024, concurrency: 2 };

/**
 * Inserts into a table of ClickHouse 18 and later, without a client. At-least-once: a request whose answer was lost is
 * sent again, under the same insert_deduplication_token where the server knows that setting (replicated tables, and
 * others with non_replicated_deduplication_window, drop it then). With `delivery: 'idempotent'` the table replaces rows of
 * a key, and the job can be exactly-once. A row that the server refuses goes to the ledger.
 *
 * Columns have to hold all values of ours (u32 fits UInt32 and wider): the server itself cuts numbers off in silence. An
 * instant fits DateTime (seconds, 1970 to 2106), DateTime64 (1900 to 2299) and Int64 (milliseconds). Doubles are read by the
 * server from their shortest text; old versions read the smallest ones (below 1e-307) as 0.
 *
 * @example clickhouse.sink({ url: 'http://127.0.0.1:8123', table: 'clicks', createTable: { orderBy: 'page' } })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the table does not fit, when the
 * server refuses the user, or is away for longer than deliveryTimeout.
 */
export function sink<R>(options: ClickhouseSinkOptions): ChangelogSink<R> {
  const name = `clickhouse ${options?.table}`;
  check(name, options);
  const { database, table, delivery = 'at-least-once', settings: own = {} } = options;
  const settings = deliverySettings(name, options, REQUEST);
  new HttpClient(name, options, settings.concurrency).close();
  return {
    name,
    delivery,
    changelog: changelogOf(name, options.changelog),
    check: (schema) => checkColumns(name, schema),
    async open(context): Promise<SinkWriter> {
      const client = new HttpClient(name, options, settings.concurrency);
      const place = `${name} at ${client.place}`;
      try {
        const { facts, forms } = await untilOpen(place, settings, context, (signal) => openTable(name, client, options, context.schema, signal));
        const columns = context.schema.fields.map((field) => quoted(field.name)).join(', ');
        const insert = `INSERT INTO ${quoted(table)} (${columns}) FORMAT TabSeparated`;
        const sent = Object.fromEntries(Object.entries(own).map(([setting, value]) => [setting, String(value)]));
        return new Writer(forms, new DeliveryWriter(new Inserts(name, client, database, insert, facts, sent), settings, { ...context, name: place }));
      } catch (error) {
        client.close();
        throw error;
      }
    },
    encoder: (context) => recordBlockEncoder(context, new TabSeparated(context, context.schema, (context.info as ClickhouseInfo).forms)),
  };
}

/** A writer that tells the workers how columns are written. */
class Writer implements SinkWriter {
  readonly info: ClickhouseInfo;
  readonly write: SinkWriter['write'];
  readonly commit: SinkWriter['commit'];
  readonly close: SinkWriter['close'];
  readonly counts: NonNullable<SinkWriter['counts']>;

  constructor(forms: readonly Form[], inner: DeliveryWriter) {
    this.info = { ...inner.info, forms };
    this.write = (block) => inner.write(block);
    this.commit = () => inner.commit();
    this.close = () => inner.close();
    this.counts = () => inner.counts();
  }
}

function check(name: string, options: ClickhouseSinkOptions): void {
  checkOptionNames(name, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${name}: ${message}`);
  const { table, database, createTable, delivery = 'at-least-once', changelog, settings = {} } = options;
  if (typeof table !== 'string' || table === '') throw refused(`table is ${shown(table)}; it must be the name of a table.`);
  if (database !== undefined && (typeof database !== 'string' || database === '')) throw refused(`database is ${shown(database)}; it must be a name.`);
  if (createTable !== undefined) {
    checkOptionNames(`${name}: createTable`, createTable, { orderBy: true, engine: true });
    if ([createTable.orderBy].flat().some((column) => typeof column !== 'string' || column === ''))
      throw refused(`createTable.orderBy is ${shown(createTable.orderBy)}; it must be a column, or several.`);
    if (createTable.engine !== undefined && typeof createTable.engine !== 'string')
      throw refused(`createTable.engine is ${shown(createTable.engine)}; it must be a text: 'ReplacingMergeTree'.`);
  }
  if (delivery !== 'at-least-once' && delivery !== 'idempotent') throw refused(`delivery is ${shown(delivery)}; it must be 'at-least-once' or 'idempotent'.`);
  if ((changelog as string) === 'upsert')
    throw refused("changelog is 'upsert', and rows of this server are not deleted by key. Take 'retract' (with a column retracted) or 'append'.");
  if (typeof settings !== 'object' || settings === null || Object.values(settings).some((value) => typeof value !== 'string' && typeof value !== 'number'))
    throw refused(`settings is ${shown(settings)}; it must be an object of texts and numbers.`);
}

async function openTable(
  name: string,
  client: HttpClient,
  options: ClickhouseSinkOptions,
  schema: Schema,
  signal: AbortSignal,
): Promise<{ facts: ServerFacts; forms: Form[] }> {
  const { database, table, createTable, delivery } = options;
  const asked = <R>(query: string): Promise<R[]> => ask<R>(name, client, database, query, signal);
  const [{ version = '' } = {}] = await asked<{ version: string }>('SELECT version() AS version');
  const known = await asked<{ name: string }>("SELECT name FROM system.settings WHERE name IN ('insert_deduplicate', 'insert_deduplication_token')");
  if (createTable !== undefined) {
    const orderBy = [createTable.orderBy].flat().map(quoted).join(', ');
    const [major = 0] = version.split('.').map(Number);
    const columns = definitionsOf(schema, major >= 20);
    await tell(
      name,
      client,
      database,
      `CREATE TABLE IF NOT EXISTS ${quoted(table)} (${columns}) ENGINE = ${createTable.engine ?? 'MergeTree'} ORDER BY (${orderBy})`,
      signal,
    );
  }
  const forms = formsFor(name, schema, await asked(`DESCRIBE TABLE ${quoted(table)}`));
  if (delivery === 'idempotent') {
    const [{ engine = '' } = {}] = await asked<{ engine: string }>(
      `SELECT engine FROM system.tables WHERE database = ${database === undefined ? 'currentDatabase()' : text(database)} AND name = ${text(table)}`,
    );
    if (!engine.includes('Replacing'))
      throw new MillraceError(
        'ERR_MILLRACE_SINK',
        `${name}: delivery is 'idempotent', and the engine of the table is ${engine}, which keeps rows that come again twice. Take a ReplacingMergeTree, or leave delivery out.`,
      );
  }
  return { facts: { version, settings: new Set(known.map((setting) => setting.name)) }, forms };
}

function text(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
