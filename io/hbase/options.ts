/** The options of `hbase.sink`. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';
import { type ColumnNames, checkColumnNames, namedColumns } from '../column-names.ts';
import { DELIVERY_OPTIONS, type DeliveryOptions } from '../delivery/index.ts';
import { HTTP_OPTIONS, type HttpConnectionOptions } from '../http/index.ts';
import type { Changelog } from '../sink.ts';

export interface HBaseSinkOptions extends HttpConnectionOptions, DeliveryOptions {
  /** The table: `clicks`, or `namespace:clicks`. */
  readonly table: string;
  /** Column, or columns, that make the row key, in this order. A row where one of them is null is refused. */
  readonly key: string | readonly string[];
  /**
   * `text` (default): values as text with `separator` in between; a time is its milliseconds. `binary`: values as
   * HBase's `Bytes` writes them, big-endian in a fixed width; text has a zero byte behind it, unless it is last.
   */
  readonly keyEncoding?: 'text' | 'binary';
  /**
   * One character between the values of a text key. Default `'|'`. A row with text that has it in it, before the
   * last column of the key, is refused: two rows could get one key.
   */
  readonly separator?: string;
  /**
   * Spreads keys that grow with time over so many regions: a key begins with the CRC-32C of the rest of it modulo
   * `salt`, as decimal digits and `separator` (text) or as one byte (binary). 2 to 256.
   */
  readonly salt?: number;
  /** The column family of the cells. */
  readonly family: string;
  /**
   * The columns to write, and the qualifiers of their cells. A qualifier with a family before it, `g:n`, goes there.
   * Default: all columns that are not in the key, by their names.
   */
  readonly columns?: ColumnNames;
  /**
   * `text` (default): numbers in decimal, `true` and `false`, times in milliseconds. `binary`: as HBase's `Bytes`
   * writes them (i8 1 byte, i16 2, i32 and f32 4, u32, i64, f64 and timestamp 8, bool -1 or 0). Text and binary
   * columns are written as they are.
   */
  readonly valueEncoding?: 'text' | 'binary';
  /**
   * `empty` (default): a null is a cell without bytes, so that an earlier value of the row is gone. `skip`: a null is
   * no cell; an earlier value stays.
   */
  readonly nulls?: 'empty' | 'skip';
  /**
   * An integer or timestamp column that becomes the version of the cells (HBase's timestamp; ms of a time). Rows with
   * a lower version, as a process that was replaced may still send, do not hide those with a higher one. Not for the
   * changes of a table: HBase hides a row that comes again under the version that was deleted.
   */
  readonly version?: string;
  /** How rows of a table are written: see {@link Changelog}. Default: rows are replaced and deleted. */
  readonly changelog?: Changelog;
  /** Makes the table if it does not exist; with these attributes of its families: `{ VERSIONS: 3, COMPRESSION: 'GZ' }`. */
  readonly createTable?: true | Readonly<Record<string, string | number | boolean>>;
}

const OPTIONS = {
  ...HTTP_OPTIONS,
  ...DELIVERY_OPTIONS,
  table: true,
  key: true,
  keyEncoding: true,
  separator: true,
  salt: true,
  family: true,
  columns: true,
  valueEncoding: true,
  nulls: true,
  version: true,
  changelog: true,
  createTable: true,
} as const;

const TYPES = ['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'utf8', 'binary', 'timestamp'];
const VERSION_TYPES = ['timestamp', 'i64', 'i32', 'u32'];
const TABLE = /^(?:[\w]+:)?[\w][\w.-]*$/;

export const SEPARATOR = '|';

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkOptions(name: string, options: HBaseSinkOptions): void {
  checkOptionNames(name, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${name}: ${message}`);
  const { table, key, keyEncoding, separator, salt, family, columns, valueEncoding, nulls, version, createTable } = options;
  if (typeof table !== 'string' || !TABLE.test(table))
    throw refused(`table is ${shown(table)}; it must be the name of a table, of letters, digits, _ - and dots, with 'namespace:' before it if need be.`);
  const keys = [key].flat();
  if (keys.length === 0 || keys.some((column) => typeof column !== 'string' || column === ''))
    throw refused(`key is ${shown(key)}; it must be a column, or a list of columns, that make the row key.`);
  const either = (option: string, value: unknown, one: string, other: string): void => {
    if (value !== undefined && value !== one && value !== other) throw refused(`${option} is ${shown(value)}; it must be '${one}' or '${other}'.`);
  };
  either('keyEncoding', keyEncoding, 'text', 'binary');
  either('valueEncoding', valueEncoding, 'text', 'binary');
  either('nulls', nulls, 'empty', 'skip');
  if (separator !== undefined && (typeof separator !== 'string' || !/^[!-~]$/.test(separator) || /[\w.+-]/.test(separator)))
    throw refused(`separator is ${shown(separator)}; it must be one printable ASCII character that numbers do not have, such as '|'.`);
  if (separator !== undefined && keyEncoding === 'binary') throw refused("separator is for text keys, and keyEncoding is 'binary'. Leave it out.");
  if (salt !== undefined && !(Number.isInteger(salt) && salt >= 2 && salt <= 256))
    throw refused(`salt is ${shown(salt)}; it must be a whole number from 2 to 256.`);
  if (typeof family !== 'string' || family === '' || /[^!-~]|[:/]/.test(family))
    throw refused(`family is ${shown(family)}; it must be the name of a column family.`);
  checkColumnNames(name, columns);
  if (version !== undefined && (typeof version !== 'string' || version === '')) throw refused(`version is ${shown(version)}; it must be a column.`);
  if (createTable !== undefined && createTable !== true && (typeof createTable !== 'object' || createTable === null))
    throw refused(`createTable is ${shown(createTable)}; it must be true, or the attributes of the families: { VERSIONS: 3 }.`);
}

/** A column that becomes a cell. */
export interface CellColumn {
  readonly column: string;
  readonly family: string;
  readonly qualifier: string;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there */
export function cellColumns(name: string, { key, family, columns }: HBaseSinkOptions, schema: Schema): CellColumn[] {
  const keys = [key].flat();
  const named = namedColumns(name, columns, schema).filter(({ column }) => columns !== undefined || !keys.includes(column));
  return named.map(({ column, name: cell }) => {
    const colon = columns === undefined ? -1 : cell.indexOf(':');
    return colon < 0 ? { column, family, qualifier: cell } : { column, family: cell.slice(0, colon), qualifier: cell.slice(colon + 1) };
  });
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there, or cannot serve */
export function checkColumns(name: string, options: HBaseSinkOptions, schema: Schema): void {
  const { key, version } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_PIPELINE', `${name}: ${message}`);
  const typed = (column: string, option: string, types: readonly string[]): void => {
    const { type } = schema.field(schema.require(column, `The ${option} of ${name}`));
    if (!types.includes(type.name)) throw refused(`${option} names the column ${shown(column)}, which is ${type.name}; it has to be ${types.join(', ')}.`);
  };
  for (const column of [key].flat()) typed(column, 'key', TYPES);
  if (version !== undefined) typed(version, 'version', VERSION_TYPES);
  const cells = cellColumns(name, options, schema);
  for (const { column } of cells) typed(column, 'columns', TYPES);
  if (cells.length === 0) throw refused('all columns are in the key, and HBase stores no row without a cell. Name one in columns, too.');
}
