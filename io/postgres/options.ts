/** The options of `postgres.sink`. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions } from '../delivery/index.ts';
import type { Changelog } from '../sink.ts';

/** As the client `pg` takes them: `host`, `port`, `database`, `user`, `password`, `ssl`, ... */
export interface PostgresConnection {
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly user?: string;
  readonly password?: string | (() => string | Promise<string>);
  readonly ssl?: unknown;
  readonly [option: string]: unknown;
}

export interface PostgresSinkOptions extends DeliveryOptions {
  /** `postgresql://user:password@host:5432/database`, or the options of the client `pg`. */
  readonly connection: string | PostgresConnection;
  /** `clicks`, or with its schema: `stats.clicks`. */
  readonly table: string;
  /**
   * Column, or columns, with a unique index: a row replaces the one of the same key (INSERT ... ON CONFLICT), and rows
   * of a table that go are deleted. Without it rows are appended.
   */
  readonly key?: string | readonly string[];
  /** Makes the table from the columns, with the key as its primary key, if it does not exist. */
  readonly createTable?: boolean;
  /** How rows of a table are written: see {@link Changelog}. Default: with a key rows are replaced and deleted. */
  readonly changelog?: Changelog;
  /** Tells this sink from another one of the pipeline that appends to the same table. */
  readonly name?: string;
}

const OPTIONS = { ...DELIVERY_OPTIONS, connection: true, table: true, key: true, createTable: true, changelog: true, name: true } as const;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkOptions(what: string, options: PostgresSinkOptions): void {
  checkOptionNames(what, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
  const { connection, table, key, createTable, changelog, name } = options;
  if (typeof connection === 'string' ? !/^postgres(ql)?:\/\//.test(connection) : typeof connection !== 'object' || connection === null)
    throw refused(
      `connection is ${typeof connection === 'string' ? 'a text that does not begin with postgresql://' : shown(connection)}; it must be 'postgresql://user:password@host:5432/database', or the options of the client pg.`,
    );
  if (typeof table !== 'string' || namesIn(table).some((part) => part === '' || part.includes('\0')) || namesIn(table).length > 2)
    throw refused(`table is ${shown(table)}; it must be the name of a table, as it is, or a schema and a table with a dot between them.`);
  if (key !== undefined && ([key].flat().length === 0 || [key].flat().some((column) => typeof column !== 'string')))
    throw refused(`key is ${shown(key)}; it must be a column, or several.`);
  if (changelog === 'upsert' && key === undefined)
    throw refused("changelog is 'upsert', which replaces by key. Give the columns of a unique index: key: 'page'.");
  if (changelog !== undefined && changelog !== 'upsert' && key !== undefined && changelog === 'retract')
    throw refused("changelog is 'retract', which writes old rows beside new ones, and key lets one row of a key be. Leave one of them out.");
  if (createTable !== undefined && typeof createTable !== 'boolean') throw refused(`createTable is ${shown(createTable)}; it must be true or false.`);
  if (name !== undefined && (typeof name !== 'string' || name === '')) throw refused(`name is ${shown(name)}; it must be a text.`);
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot serve */
export function checkColumns(what: string, { key = [] }: PostgresSinkOptions, schema: Schema): void {
  for (const column of [key].flat()) schema.require(column, `The key of ${what}`);
  if (schema.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${what}: the stream has no columns, so there is nothing to write.`);
  for (const { name, type } of schema.fields) {
    if (Object.hasOwn(TYPES, type.name)) continue;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${what}: the column ${shown(name)} is ${type.name}, which this sink cannot write. Leave it out, or make text of it.`,
    );
  }
}

/** Schema and table, or the table alone. */
export function namesIn(table: string): string[] {
  return table.split('.');
}

/** An identifier, quoted. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** What a table is made of, and into what else a column may go, by pg_type's names. */
export const TYPES: Readonly<Record<string, { readonly made: string; readonly takes: readonly string[] }>> = {
  bool: { made: 'boolean', takes: ['bool'] },
  i8: { made: 'smallint', takes: ['int2', 'int4', 'int8', 'numeric', 'float4', 'float8'] },
  i16: { made: 'smallint', takes: ['int2', 'int4', 'int8', 'numeric', 'float4', 'float8'] },
  i32: { made: 'integer', takes: ['int2', 'int4', 'int8', 'numeric', 'float8', 'oid'] },
  u32: { made: 'bigint', takes: ['int2', 'int4', 'int8', 'numeric', 'float8', 'oid'] },
  i64: { made: 'bigint', takes: ['int2', 'int4', 'int8', 'numeric'] },
  f32: { made: 'real', takes: ['float4', 'float8', 'numeric'] },
  f64: { made: 'double precision', takes: ['float4', 'float8', 'numeric'] },
  utf8: { made: 'text', takes: ['*'] },
  binary: { made: 'bytea', takes: ['bytea'] },
  timestamp: { made: 'timestamptz', takes: ['timestamptz', 'timestamp', 'date'] },
};
/** Every column can be kept as text. */
export const TEXTS: readonly string[] = ['text', 'varchar', 'bpchar', 'citext'];
