/** The options of `elasticsearch.sink`. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions } from '../delivery/index.ts';
import { HTTP_OPTIONS, type HttpConnectionOptions } from '../http/index.ts';
import type { Changelog } from '../sink.ts';

export interface ElasticsearchSinkOptions extends HttpConnectionOptions, DeliveryOptions {
  /**
   * The index, alias or data stream. A part in braces is the time of the row in UTC, as in `clicks-{yyyy.MM.dd}`:
   * `yyyy`, `MM`, `dd`, `HH`, taken from the column `indexTime`.
   */
  readonly index: string;
  /** The timestamp column that an index with a time in its name goes by. */
  readonly indexTime?: string;
  /**
   * Column, or columns, that name a document: rows that are written again replace themselves, so the sink is
   * idempotent. Without it the server makes an id, and rows that come again are there twice. A row whose id is
   * null gets one of the server.
   */
  readonly id?: string | readonly string[];
  /**
   * `index` (default): replaces a document of the same id. `create`: leaves it as it is; data streams take
   * nothing else. `update`: sets the columns of the row in it, or makes it.
   */
  readonly operation?: 'index' | 'create' | 'update';
  /**
   * An integer or timestamp column. A document is only replaced by a row with the same version or a higher one
   * (version_type external_gte): what a process that was replaced still sends changes nothing.
   */
  readonly version?: string;
  /** How rows of a table are written: see {@link Changelog}. Default: documents are replaced and deleted. */
  readonly changelog?: Changelog;
  /**
   * Makes the index with these settings and mappings if it does not exist; `true`: with a mapping of the
   * columns (text as `keyword`). Without it the server's own rule applies.
   */
  readonly createIndex?: true | { readonly settings?: object; readonly mappings?: object };
  /** The ingest pipeline that documents go through. */
  readonly ingestPipeline?: string;
  /** Readers see what is committed: each request waits for a refresh. Slow; for tests and small outputs. */
  readonly refresh?: boolean;
}

const OPTIONS = {
  ...HTTP_OPTIONS,
  ...DELIVERY_OPTIONS,
  index: true,
  indexTime: true,
  id: true,
  operation: true,
  version: true,
  changelog: true,
  createIndex: true,
  ingestPipeline: true,
  refresh: true,
} as const;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkOptions(name: string, options: ElasticsearchSinkOptions): void {
  checkOptionNames(name, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${name}: ${message}`);
  const { index, indexTime, id, operation = 'index', version, createIndex, ingestPipeline, refresh, changelog } = options;
  if (typeof index !== 'string' || index === '') throw refused(`index is ${shown(index)}; it must be the name of an index, an alias or a data stream.`);
  const fixed = index.replace(/\{[^}]*\}/g, '');
  if (fixed !== fixed.toLowerCase() || /[\\/*?"<>| ,#:]/.test(fixed) || /^[-_+.]/.test(index) || Buffer.byteLength(index) > 255)
    throw refused(
      `index is ${shown(index)}. Names of indices are lower case, without \\ / * ? " < > | , # : and blanks, and do not begin with - _ + or a dot.`,
    );
  const isTimed = fixed !== index;
  if (isTimed && indexTime === undefined)
    throw refused(`index is ${shown(index)}, with a time in it. Name the timestamp column that it comes from: indexTime: 'windowStart'.`);
  if (!isTimed && indexTime !== undefined)
    throw refused(`indexTime is given, but index ${shown(index)} has no time in it. Write one: '${index}-{yyyy.MM.dd}'.`);
  if (id !== undefined && ([id].flat().length === 0 || [id].flat().some((column) => typeof column !== 'string')))
    throw refused(`id is ${shown(id)}; it must be a column, or several.`);
  if (!['index', 'create', 'update'].includes(operation)) throw refused(`operation is ${shown(operation)}; it must be 'index', 'create' or 'update'.`);
  if (operation === 'update' && id === undefined) throw refused("operation is 'update', which needs to know the document. Give its id: id: 'page'.");
  if (version !== undefined && (id === undefined || operation !== 'index'))
    throw refused("version compares documents of one id, which only the operation 'index' does. Give id, and leave operation out.");
  if (changelog === 'upsert' && id === undefined)
    throw refused("changelog is 'upsert', which replaces by id. Give the columns that name a document: id: 'page'.");
  if (createIndex !== undefined && createIndex !== true && (typeof createIndex !== 'object' || createIndex === null))
    throw refused(`createIndex is ${shown(createIndex)}; it must be true, or { settings, mappings }.`);
  if (createIndex !== undefined && isTimed) throw refused('createIndex makes one index, and index has a time in it. Use an index template of the server.');
  if (ingestPipeline !== undefined && typeof ingestPipeline !== 'string') throw refused(`ingestPipeline is ${shown(ingestPipeline)}; it must be a name.`);
  if (refresh !== undefined && typeof refresh !== 'boolean') throw refused(`refresh is ${shown(refresh)}; it must be true or false.`);
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot serve */
export function checkColumns(name: string, { id, indexTime, version }: ElasticsearchSinkOptions, schema: Schema): void {
  for (const column of id === undefined ? [] : [id].flat()) schema.require(column, `The id of ${name}`);
  const typed = (column: string | undefined, option: string, types: readonly string[]): void => {
    if (column === undefined) return;
    const { type } = schema.field(schema.require(column, `The ${option} of ${name}`));
    if (types.includes(type.name)) return;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${name}: ${option} names the column ${shown(column)}, which is ${type.name}; it has to be ${types.join(' or ')}.`,
    );
  };
  typed(indexTime, 'indexTime', ['timestamp']);
  typed(version, 'version', ['timestamp', 'i64', 'i32', 'u32']);
}
