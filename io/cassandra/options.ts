/** The options of `cassandra.sink`. */

import { checkOptionNames, type Duration, durationMs, MillraceError, type Schema, shown } from '../../core/index.ts';
import { type ColumnNames, checkColumnNames, type NamedColumn, namedColumns } from '../column-names.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions } from '../delivery/index.ts';
import type { Changelog } from '../sink.ts';
import { TARGETS } from './values.ts';

/** How many replicas must have a row before it counts as stored, by the driver's names. */
export type CassandraConsistency = 'any' | 'one' | 'two' | 'three' | 'quorum' | 'all' | 'localQuorum' | 'eachQuorum' | 'localOne';

export interface CassandraSinkOptions extends DeliveryOptions {
  /** Nodes to begin with: `['127.0.0.1']`, with a port where it is not 9042. */
  readonly contactPoints: string | readonly string[];
  /** The data centre of the nodes that rows are sent to. */
  readonly localDataCenter: string;
  readonly keyspace: string;
  /** The table. It has to be there. */
  readonly table: string;
  /**
   * The columns that are the table's primary key. It is checked when the job starts. Needed where rows of a table
   * are replaced and deleted; facts can do without.
   */
  readonly key?: string | readonly string[];
  /** The columns to write, and their names in the table. Default: all, by their names, with capitals as they are. */
  readonly columns?: ColumnNames;
  /**
   * An integer or timestamp column that becomes the time of the write (`USING TIMESTAMP`: microseconds; a timestamp
   * is turned into them). Cassandra keeps what has the higher one, so a process that was replaced and still sends
   * changes nothing newer. Rows of one key need times that differ, or the same values: of two cells of one time
   * Cassandra keeps the larger. Not for the changes of a table. Default: the clock of this machine.
   */
  readonly version?: string;
  /** Rows vanish so long after they were written. */
  readonly ttl?: Duration;
  /** `write` (default): a null deletes the earlier value of the cell. `skip`: an earlier value stays. */
  readonly nulls?: 'write' | 'skip';
  /** Default `'localQuorum'`. */
  readonly consistency?: CassandraConsistency;
  /** How rows of a table are written: see {@link Changelog}. Default: rows are replaced and deleted. */
  readonly changelog?: Changelog;
  /**
   * Rows that one node owns go to it together, in unlogged batches of at most so many partitions. More than 10 make
   * Cassandra warn (`unlogged_batch_across_partitions_warn_threshold`). 1: only rows of one partition go together.
   * Default 10.
   */
  readonly batchPartitions?: number;
  /**
   * Most bytes of a batch that has several partitions. Default 5000: Cassandra warns of more (`batch_size_warn_threshold`),
   * and refuses ten times that.
   */
  readonly batchBytes?: number;
  readonly auth?: { readonly username: string; readonly password: string };
  /** As for `tls.connect`. Without it connections are not encrypted. */
  readonly ssl?: object;
  /** More options of the driver's client: `{ protocolOptions: { maxVersion: 4 } }`. */
  readonly client?: object;
}

export interface CassandraSettings {
  readonly ttlSeconds: number | undefined;
  readonly batchPartitions: number;
  readonly batchBytes: number;
}

const OPTIONS = {
  ...DELIVERY_OPTIONS,
  contactPoints: true,
  localDataCenter: true,
  keyspace: true,
  table: true,
  key: true,
  columns: true,
  version: true,
  ttl: true,
  nulls: true,
  consistency: true,
  changelog: true,
  batchPartitions: true,
  batchBytes: true,
  auth: true,
  ssl: true,
  client: true,
} as const;

const CONSISTENCIES: readonly string[] = ['any', 'one', 'two', 'three', 'quorum', 'all', 'localQuorum', 'eachQuorum', 'localOne'];
const VERSION_TYPES = ['timestamp', 'i64', 'i32', 'u32'];
const BATCH_PARTITIONS = 10;
const BATCH_BYTES = 5_000;
const TTL_SECONDS_MAX = 20 * 365 * 86_400;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkOptions(name: string, options: CassandraSinkOptions): CassandraSettings {
  checkOptionNames(name, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${name}: ${message}`);
  const { contactPoints, localDataCenter, keyspace, table, key, columns, version, ttl, nulls, consistency, auth, ssl, client } = options;
  const isName = (value: unknown): boolean => typeof value === 'string' && value !== '';
  const points = [contactPoints].flat();
  if (points.length === 0 || !points.every(isName))
    throw refused(`contactPoints is ${shown(contactPoints)}; it must be a node, or a list of nodes: ['127.0.0.1'].`);
  if (!isName(localDataCenter))
    throw refused(`localDataCenter is ${shown(localDataCenter)}; it must be the name of a data centre, as nodetool status shows it.`);
  if (!isName(keyspace)) throw refused(`keyspace is ${shown(keyspace)}; it must be the name of a keyspace.`);
  if (!isName(table)) throw refused(`table is ${shown(table)}; it must be the name of a table.`);
  if (key !== undefined && ([key].flat().length === 0 || ![key].flat().every(isName)))
    throw refused(`key is ${shown(key)}; it must be a column, or a list of columns.`);
  checkColumnNames(name, columns);
  if (version !== undefined && !isName(version)) throw refused(`version is ${shown(version)}; it must be a column.`);
  if (nulls !== undefined && nulls !== 'write' && nulls !== 'skip') throw refused(`nulls is ${shown(nulls)}; it must be 'write' or 'skip'.`);
  if (consistency !== undefined && !CONSISTENCIES.includes(consistency))
    throw refused(`consistency is ${shown(consistency)}; it must be one of ${CONSISTENCIES.join(', ')}.`);
  if (auth !== undefined) {
    checkOptionNames(`${name}: auth`, auth, { username: true, password: true });
    if (typeof auth.username !== 'string' || typeof auth.password !== 'string') throw refused('auth must have a username and a password.');
  }
  for (const [option, value] of Object.entries({ ssl, client }))
    if (value !== undefined && (typeof value !== 'object' || value === null)) throw refused(`${option} is ${shown(value)}; it must be an object.`);
  const ttlSeconds = ttl === undefined ? undefined : Math.ceil(durationMs(ttl, `${name}: ttl`, 1_000) / 1_000);
  if (ttlSeconds !== undefined && ttlSeconds > TTL_SECONDS_MAX) throw refused(`ttl is ${shown(ttl)}; Cassandra takes 20 years at most.`);
  const whole = (option: 'batchPartitions' | 'batchBytes', standard: number, max: number): number => {
    const value = options[option] ?? standard;
    if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
    throw refused(`${option} is ${shown(value)}; it must be a whole number from 1 to ${max}.`);
  };
  return {
    ttlSeconds,
    batchPartitions: whole('batchPartitions', BATCH_PARTITIONS, 10_000),
    batchBytes: whole('batchBytes', BATCH_BYTES, 1 << 24),
  };
}

/**
 * The columns that are written, with their names in the table.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot serve
 */
export function checkColumns(name: string, { key, columns, version }: CassandraSinkOptions, schema: Schema): NamedColumn[] {
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_PIPELINE', `${name}: ${message}`);
  const named = namedColumns(name, columns, schema);
  for (const { column } of named) {
    const { type } = schema.field(schema.indexOf(column));
    if (TARGETS[type.name] === undefined)
      throw refused(
        `the column ${shown(column)} is ${type.name}, which this sink cannot write. Turn it into one of ${Object.keys(TARGETS).join(', ')}, or leave it out.`,
      );
  }
  for (const column of key === undefined ? [] : [key].flat()) {
    schema.require(column, `The key of ${name}`);
    if (!named.some((one) => one.column === column)) throw refused(`key names the column ${shown(column)}, which is not among the columns that are written.`);
  }
  if (version !== undefined) {
    const { type } = schema.field(schema.require(version, `The version of ${name}`));
    if (!VERSION_TYPES.includes(type.name))
      throw refused(`version names the column ${shown(version)}, which is ${type.name}; it has to be ${VERSION_TYPES.join(', ')}.`);
  }
  return named;
}
