/**
 * CSV, one record per line (RFC 4180): the door of the codec. Fields are in the order of the schema's columns,
 * or in that of a header.
 *
 * The source decides what a record is. In a Kafka record a quoted field may hold line ends. A source of lines
 * cuts at every line end, also within quotes, so such a field does not survive there. A line ends with \n,
 * \r\n or \r.
 */

import { type ColumnName, checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, shown, schema as toSchema } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { CsvDecoder } from './csv/decode.ts';
import { CsvEncoder } from './csv/encode.ts';
import { headerByName } from './csv/header.ts';
import type { CsvLayout } from './csv/layout.ts';
import { checkColumnOptions, type TimeOptions, timeFormatsOf } from './text-columns.ts';

export interface CsvColumnOptions extends TimeOptions {
  /**
   * Texts that stand for null, in columns that are nullable; a quoted field never does. Default: [''], the
   * empty field. A list takes its place, so name '' there, too: ['', 'NA'].
   */
  readonly nulls?: readonly string[];
}

export interface CsvOptions<C extends string = string> extends CsvColumnOptions {
  /**
   * Whether the first record of a partition (in a file: after the lines of `skipLines`) names the columns.
   * `true`: it is checked against the schema, and left out. `'byName'`: columns are found by it, in any
   * order, in each file; others are not decoded. One that the schema names and the file does not have is null,
   * or an error where it is not nullable. For files only. Default false. Encoding writes no header.
   */
  readonly header?: boolean | 'byName';
  /** One ASCII character. Default: a comma. */
  readonly delimiter?: string;
  /** By column, what differs from the options for all: `columns: { at: { time: 'dd.MM.yyyy', zone: 'Europe/Berlin' } }`. */
  readonly columns?: { readonly [name in C]?: CsvColumnOptions };
}

/**
 * One line of comma-separated values per record.
 *
 * Decoding expects as many fields as columns (with `header: 'byName'`, as the header has). An empty unquoted
 * field, or one of `nulls`, is null where the column is nullable; otherwise it is the text, or refused.
 * Numbers are as in JSON (floats may also be NaN, Infinity, -Infinity), bools `true` or `false`, timestamps as
 * `time` says, without it milliseconds or ISO 8601, binary base64. A quote may only appear in a quoted field,
 * doubled.
 *
 * Encoding writes null as nothing, an empty text as `""`, quotes where the text needs them, a timestamp as
 * milliseconds. It knows no `nulls` and no `time`.
 *
 * @example csv({ page: utf8, ms: nullable(f64) }, { header: true })
 * @example csv({ page: utf8, ms: nullable(f64), at: timestamp }, { header: 'byName', nulls: ['', 'NA'], time: 'yyyy/MM/dd HH:mm', zone: 'Europe/Berlin' })
 * @throws MillraceError ERR_MILLRACE_OPTION for a delimiter that cannot be one, and for patterns, zones and
 * columns that are none
 */
export function csv<S extends SchemaFields>(fields: S, options?: CsvOptions<ColumnName<RowOf<S>>>): Codec<RowOf<S>>;
export function csv(fields: Schema, options?: CsvOptions): Codec;
export function csv(fields?: undefined, options?: CsvOptions): Codec<never>;
export function csv(fields?: SchemaFields | Schema, options: CsvOptions = {}): Codec {
  checkOptionNames('csv()', options, { header: true, delimiter: true, nulls: true, time: true, zone: true, unit: true, columns: true });
  const schema = fields === undefined ? undefined : toSchema(fields);
  const layout = layoutOf(schema, options);
  return {
    name: 'csv',
    isRowPerRecord: true,
    breaksAtCr: true,
    schema,
    ...(schema !== undefined && layout.header === 'byName' && { headed: { fault: (line) => headerByName(line, layout.delimiter, schema).fault } }),
    decoder(context) {
      if (!schema)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'csv() without a schema can only write. Name the columns to read: csv({ page: utf8, ms: f64 }).');
      return new CsvDecoder(context, schema, layout);
    },
    encoder(context, of) {
      if (of.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', 'csv() cannot write rows without columns. Select at least one.');
      return new CsvEncoder(context, layout.delimiter);
    },
  };
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
function layoutOf(schema: Schema | undefined, options: CsvOptions): CsvLayout {
  const { delimiter = ',', header = false, nulls, columns = {} } = options;
  if (typeof delimiter !== 'string' || !/^[\x20-\x7e\t]$/.test(delimiter) || /["\w.+-]/.test(delimiter)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `The delimiter of csv() is ${shown(delimiter)}. Use one ASCII character that is no letter, digit, quote, point or sign: ',' ';' '|' or '\\t'.`,
    );
  }
  if (typeof header !== 'boolean' && header !== 'byName')
    throw new MillraceError('ERR_MILLRACE_OPTION', `The header of csv() is ${shown(header)}. Give true, false or 'byName'.`);
  if (schema !== undefined) checkColumnOptions<CsvColumnOptions>('csv()', schema, columns, { nulls: true, time: true, zone: true, unit: true });
  const fields = schema?.fields ?? [];
  return {
    delimiter: delimiter.charCodeAt(0),
    header,
    nulls: fields.map(({ name }) => nullTexts(columns[name]?.nulls ?? nulls ?? [''])),
    timeFormats: schema === undefined ? [] : timeFormatsOf('csv()', schema, options, columns),
  };
}

function nullTexts(nulls: readonly string[]): readonly Uint8Array[] {
  if (!Array.isArray(nulls) || nulls.some((text) => typeof text !== 'string'))
    throw new MillraceError('ERR_MILLRACE_OPTION', `The nulls of csv() are ${shown(nulls)}. Give a list of texts, such as ['', 'NA'].`);
  return nulls.map((text) => new TextEncoder().encode(text));
}
