/** The table: what it is like, checked against the columns that are to be written, and the statements for it. */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { NamedColumn } from '../column-names.ts';
import { type Client, type Driver, endClient, loadDriver, makeClient, meaningOf, orAborted, unavailable, wordsOf } from './driver.ts';
import type { TablePlan } from './encode.ts';
import { type CassandraSettings, type CassandraSinkOptions, checkColumns } from './options.ts';
import { TARGETS } from './values.ts';

export interface OpenTable {
  readonly driver: Driver;
  readonly client: Client;
  readonly plan: TablePlan;
}

interface TableColumn {
  readonly column_name: string;
  readonly kind: string;
  readonly position: number;
  readonly type: string;
}

const COLUMNS = 'SELECT column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?';
const KEYSPACES = 'SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?';

/**
 * Connects, and checks the table.
 *
 * @throws MillraceError ERR_MILLRACE_SINK; Unavailable when no node answers
 */
export async function openTable(name: string, options: CassandraSinkOptions, schema: Schema, signal: AbortSignal): Promise<OpenTable> {
  const opening = connectTo(name, options, schema);
  try {
    return await orAborted(opening, signal);
  } catch (error) {
    // When it has been given up, and opens nevertheless.
    opening.then(
      ({ client }) => endClient(client),
      () => {},
    );
    throw error;
  }
}

async function connectTo(name: string, options: CassandraSinkOptions, schema: Schema): Promise<OpenTable> {
  const driver = await loadDriver(name);
  let client: Client | undefined;
  try {
    client = makeClient(driver, options);
    await client.connect();
    const plan = await planOf(name, client, options, schema);
    return { driver, client, plan };
  } catch (error) {
    if (client !== undefined) await endClient(client);
    if (error instanceof MillraceError) throw error;
    if (meaningOf(error) === 'unavailable') throw unavailable(error);
    throw new MillraceError('ERR_MILLRACE_SINK', `${name} cannot be written to: ${wordsOf(error)}.${hintFor(error)}`, { cause: error });
  }
}

/**
 * @throws MillraceError ERR_MILLRACE_SINK when the table is not there, or not as the columns need it
 */
async function planOf(name: string, client: Client, options: CassandraSinkOptions, schema: Schema): Promise<TablePlan> {
  const { keyspace, table, key } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_SINK', `${name}: ${message}`);
  const named = checkColumns(name, options, schema);
  const there = await tableColumns(client, options);
  if (there.length === 0) {
    const { rows } = await client.execute(KEYSPACES, [keyspace], { prepare: true });
    if (rows.length === 0) throw refused(`there is no keyspace ${shown(keyspace)}. Make it with CREATE KEYSPACE, with the replication that it needs.`);
    throw refused(`the keyspace ${keyspace} has no table ${shown(table)}. This one would do: ${suggestion(options, named, schema)}`);
  }
  const wanted = named.map(({ column, name: theirs }) => {
    const found = there.find((one) => one.column_name === theirs);
    const type = schema.field(schema.indexOf(column)).type.name;
    if (found === undefined) {
      const names = there.map((one) => one.column_name);
      const near = names.find((one) => plain(one) === plain(theirs));
      const hint =
        near === undefined
          ? 'Name the columns to write: columns: [...].'
          : `Give its name there: columns: { ${JSON.stringify(column)}: ${JSON.stringify(near)}, ... }.`;
      throw refused(`the table ${shown(table)} has no column ${shown(theirs)}. It has ${names.join(', ')}. ${hint}`);
    }
    if (found.type === 'counter')
      throw refused(`the column ${shown(theirs)} is a counter, which is added to and never set: rows that come again would count twice.`);
    if (TARGETS[type]?.includes(found.type) !== true)
      throw refused(
        `the column ${shown(column)} is ${type}, and the table's ${shown(theirs)} is ${found.type}. It takes ${type} as ${TARGETS[type]?.join(', ')}.`,
      );
    return { column, name: theirs, type: found.type, kind: found.kind, position: found.position };
  });
  const ofKind = (kind: string) => wanted.filter((one) => one.kind === kind).sort((one, other) => one.position - other.position);
  const keys = [...ofKind('partition_key'), ...ofKind('clustering')];
  const missing = there.filter((one) => isKey(one) && !keys.some(({ name: theirs }) => theirs === one.column_name));
  if (missing.length > 0)
    throw refused(`the table's key has the column ${shown(missing[0]?.column_name)}, and nothing is written to it. Add it to the stream, or to columns.`);
  if (
    key !== undefined &&
    !sameNames(
      keys.map(({ column }) => column),
      [key].flat(),
    )
  )
    throw refused(
      `key is ${[key].flat().join(', ')}, and the primary key of the table is ${keys.map(({ column }) => column).join(', ')}. Give these as its key.`,
    );
  const columns = [...keys, ...wanted.filter((one) => !isKey(one))].map(({ column, name: theirs, type }) => ({ column, name: theirs, type }));
  const ranges = [...client.metadata.getTokenRanges()];
  return { partitionCount: 1, columns, partitionKeys: ofKind('partition_key').length, keys: keys.length, hasRing: ranges.length > 1 };
}

/** Whether the table is still there. */
export async function isThere(client: Client, options: CassandraSinkOptions): Promise<boolean> {
  return (await tableColumns(client, options)).length > 0;
}

async function tableColumns(client: Client, { keyspace, table }: CassandraSinkOptions): Promise<readonly TableColumn[]> {
  const { rows } = await client.execute(COLUMNS, [keyspace, table], { prepare: true });
  return rows as unknown as readonly TableColumn[];
}

export interface Statements {
  /** Its values: those of the plan's columns, then the time of the write. */
  readonly insert: string;
  /** Its values: the time of the write, then the key. */
  readonly delete: string;
}

export function statementsFor({ keyspace, table }: CassandraSinkOptions, { columns, keys }: TablePlan, { ttlSeconds }: CassandraSettings): Statements {
  const place = `${quoted(keyspace)}.${quoted(table)}`;
  const names = columns.map(({ name }) => quoted(name));
  const ttl = ttlSeconds === undefined ? '' : ` AND TTL ${ttlSeconds}`;
  return {
    insert: `INSERT INTO ${place} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')}) USING TIMESTAMP ?${ttl}`,
    delete: `DELETE FROM ${place} USING TIMESTAMP ? WHERE ${names
      .slice(0, keys)
      .map((column) => `${column} = ?`)
      .join(' AND ')}`,
  };
}

function suggestion({ keyspace, table, key }: CassandraSinkOptions, named: readonly NamedColumn[], schema: Schema): string {
  const columns = named.map(({ column, name }) => `${quoted(name)} ${TARGETS[schema.field(schema.indexOf(column)).type.name]?.[0]}`);
  const keys = (key === undefined ? [named[0]?.column] : [key].flat()).map((column) =>
    quoted(named.find((one) => one.column === column)?.name ?? String(column)),
  );
  return `CREATE TABLE ${quoted(keyspace)}.${quoted(table)} (${columns.join(', ')}, PRIMARY KEY (${keys.join(', ')}))`;
}

function hintFor(error: unknown): string {
  const words = String((error as Error).message);
  if (/local_?data_?center/i.test(words)) return ' Check the option localDataCenter.';
  return /authenti|credential|password/i.test(words) ? ' Check the option auth.' : '';
}

/** Names that are in lower case need no quotes. */
function quoted(name: string): string {
  return /^[a-z][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** Words of CQL that a name may be only in quotes. */
const RESERVED: ReadonlySet<string> = new Set(
  `add allow alter and apply asc authorize batch begin by columnfamily create default delete desc describe drop entries execute from full grant if in
  index infinity insert into is keyspace limit materialized mbean mbeans modify nan norecursive not null of on or order primary rename replace revoke
  schema select set table to token truncate unlogged unset update use using view where with`.split(/\s+/),
);

function isKey({ kind }: { readonly kind: string }): boolean {
  return kind === 'partition_key' || kind === 'clustering';
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}
