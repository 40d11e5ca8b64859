/** The options of `redis.sink`. */

import type { ConnectionOptions } from 'node:tls';
import { checkOptionNames, type Duration, durationMs, MillraceError, type Schema, shown } from '../../core/index.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions } from '../delivery/index.ts';
import type { Changelog } from '../sink.ts';

interface RedisOptions extends DeliveryOptions {
  /** `redis://user:password@127.0.0.1:6379/0`, or `rediss://` with TLS. The path is the number of the database. */
  readonly url: string;
  /** As for `tls.connect`: `ca`, `cert`, `key`, `rejectUnauthorized`, `servername`, ... */
  readonly ssl?: ConnectionOptions;
  /** How rows of a table are written: see {@link Changelog}. Default: with a key they are replaced and deleted. */
  readonly changelog?: Changelog;
}

/** A hash for each row: a field for each column that is not null. */
export interface RedisHashOptions extends RedisOptions {
  readonly type: 'hash';
  /** Column, or columns, that name a hash: `prefix` and its text, or a JSON array of several. */
  readonly key: string | readonly string[];
  /** Default `''`. */
  readonly prefix?: string;
  /** A hash goes so long after its last row. */
  readonly ttl?: Duration;
}

/** One sorted set, or one for each value of `key`: members by score. */
export interface RedisSortedSetOptions extends RedisOptions {
  readonly type: 'sortedSet';
  /** The column of the member's text. */
  readonly member: string;
  /** A column of numbers. */
  readonly score: string;
  /** Columns that, behind `prefix`, name the set. Default: `prefix` alone does. */
  readonly key?: string | readonly string[];
  readonly prefix: string;
}

/** Entries of a stream, with a field for each column that is not null. */
export interface RedisStreamOptions extends RedisOptions {
  readonly type: 'stream';
  readonly stream: string;
  /** The stream keeps about so many entries. Default: all. */
  readonly lengthMax?: number;
}

export type RedisSinkOptions = RedisHashOptions | RedisSortedSetOptions | RedisStreamOptions;

const COMMON = { ...DELIVERY_OPTIONS, url: true, ssl: true, changelog: true, type: true } as const;
const HASH = { ...COMMON, key: true, prefix: true, ttl: true } as const;
const SORTED_SET = { ...COMMON, key: true, prefix: true, member: true, score: true } as const;
const STREAM = { ...COMMON, stream: true, lengthMax: true } as const;

/** Whose options they are, as messages begin. No password is in it. */
export function nameOf(options: RedisSinkOptions): string {
  if (options?.type === 'stream') return `redis stream ${options.stream}`;
  return `redis ${options?.type === 'sortedSet' ? 'sorted set' : 'hash'} ${options?.prefix ?? ''}${[options?.key ?? []]
    .flat()
    .map((column) => `{${column}}`)
    .join('')}`;
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkOptions(what: string, options: RedisSinkOptions): void {
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
  const isColumns = (value: unknown): boolean => [value].flat().length > 0 && [value].flat().every((column) => typeof column === 'string');
  const type = (options as { readonly type?: unknown } | undefined)?.type;
  if (options?.type === 'hash') {
    checkOptionNames(what, options, HASH);
    if (!isColumns(options.key)) throw refused(`key is ${shown(options.key)}; it must be a column, or several.`);
    if (options.ttl !== undefined) durationMs(options.ttl, `${what}: ttl`, 1);
  } else if (options?.type === 'sortedSet') {
    checkOptionNames(what, options, SORTED_SET);
    if (options.key !== undefined && !isColumns(options.key)) throw refused(`key is ${shown(options.key)}; it must be a column, or several.`);
    if (typeof options.member !== 'string' || typeof options.score !== 'string') throw refused('member and score have to be names of columns.');
    if (typeof options.prefix !== 'string' || options.prefix === '')
      throw refused(`prefix is ${shown(options.prefix)}; it must be the name of the set, or what comes before key.`);
  } else if (options?.type === 'stream') {
    checkOptionNames(what, options, STREAM);
    const { stream, lengthMax, changelog } = options;
    if (typeof stream !== 'string' || stream === '') throw refused(`stream is ${shown(stream)}; it must be the name of a stream.`);
    if (lengthMax !== undefined && !(Number.isSafeInteger(lengthMax) && lengthMax >= 1))
      throw refused(`lengthMax is ${shown(lengthMax)}; it must be a whole number above 0.`);
    if (changelog === 'upsert') throw refused("changelog is 'upsert', and entries of a stream are not replaced. Take 'retract' or 'append', or type 'hash'.");
  } else throw refused(`type is ${shown(type)}; it must be 'hash', 'sortedSet' or 'stream'.`);
  if (options.type !== 'stream' && options.changelog === 'retract')
    throw refused("changelog is 'retract', which writes old rows beside new ones, and here one row of a key is kept. Leave it out.");
  addressOf(what, options.url);
}

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
  readonly username: string;
  readonly password: string;
  readonly database: number;
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function addressOf(what: string, url: string): RedisAddress {
  let parsed: URL | undefined;
  try {
    parsed = new URL(url);
  } catch {}
  const database = Number(parsed?.pathname.replace(/^\//, '') || 0);
  if (parsed === undefined || !['redis:', 'rediss:'].includes(parsed.protocol) || parsed.hostname === '' || !Number.isInteger(database) || database < 0)
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: url is no address of a Redis: 'redis://user:password@127.0.0.1:6379/0', or rediss:// with TLS.`);
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || 6_379),
    isSecure: parsed.protocol === 'rediss:',
    username: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database,
  };
}

/** Columns by which a row is told from others: what a table is upserted by. */
export function upsertKeyOf(options: RedisSinkOptions): readonly string[] | undefined {
  if (options.type === 'stream') return undefined;
  return options.type === 'hash' ? [options.key].flat() : [...[options.key ?? []].flat(), options.member];
}

const NUMBERS: readonly string[] = ['i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'timestamp'];
const WRITABLE: readonly string[] = [...NUMBERS, 'bool', 'utf8', 'binary'];

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot serve */
export function checkColumns(what: string, options: RedisSinkOptions, schema: Schema): void {
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_PIPELINE', `${what}: ${message}`);
  for (const { name, type } of schema.fields)
    if (!WRITABLE.includes(type.name))
      throw refused(`the column ${shown(name)} is ${type.name}, which this sink cannot write. Leave it out, or make text of it.`);
  if (schema.length === 0) throw refused('the stream has no columns, so there is nothing to write.');
  for (const column of upsertKeyOf(options) ?? []) {
    const { type } = schema.field(schema.require(column, `The key of ${what}`));
    if (type.nullable) throw refused(`the column ${shown(column)} may be null, and names what is written. Make it not null: .filter() and .map().`);
  }
  if (options.type !== 'sortedSet') {
    if (options.type === 'stream' && schema.fields.every(({ type }) => type.nullable))
      throw refused('all columns may be null, and an entry has at least one field. Add a column that is never null.');
    return;
  }
  const { type } = schema.field(schema.require(options.score, `The score of ${what}`));
  if (!NUMBERS.includes(type.name) || type.nullable)
    throw refused(
      `score names the column ${shown(options.score)}, which is ${type.nullable ? 'nullable ' : ''}${type.name}; it has to be a number that is never null.`,
    );
}
