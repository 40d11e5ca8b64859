/**
 * JSON, one object per record: the door of the codec. json/decode.ts reads records, json/encode.ts writes
 * them.
 */

import { checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, schema as toSchema } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { JsonDecoder } from './json/decode.ts';
import { JsonEncoder } from './json/encode.ts';
import { checkColumnOptions, type TimeOptions, timeFormatsOf } from './text-columns.ts';

export interface JsonOptions<C extends string = string> extends TimeOptions {
  /** By column, what differs from the options for all: `columns: { at: { time: 'dd.MM.yyyy' } }`. */
  readonly columns?: { readonly [name in C]?: TimeOptions };
}

/**
 * One JSON object per record. With a schema it decodes: keys are column names, and other keys are skipped.
 * They are checked all the same: a record is valid JSON as a whole, or it is refused. Without a schema it
 * only encodes.
 *
 * Decoding takes what `JSON.parse` accepts, in any key order; the last of duplicate keys counts. Nesting goes
 * up to 10,000 levels. Invalid UTF-8 is refused; a lone surrogate escape becomes U+FFFD. Numbers are the
 * doubles of `JSON.parse`. Integer columns refuse fractions and values out of range; i64 is exact over 64
 * bits. A timestamp is a number of milliseconds (floored) or ISO 8601 text (without an offset: UTC), or text as
 * `time` and `zone` say. binary is base64. A missing key is null.
 *
 * Records whose schema has a timestamp with a `time` or a `zone` are read one by one, which takes some eight
 * times as long.
 *
 * Encoding writes byte for byte what `JSON.stringify` gives for the row, columns in order. NaN and infinities
 * become null, i64 an integer literal, a timestamp milliseconds, binary base64.
 *
 * @example json({ page: utf8, ms: nullable(f64), at: timestamp })
 * @example json({ host: utf8, at: timestamp }, { time: 'dd/MMM/yyyy:HH:mm:ss Z' })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the fields are no schema, ERR_MILLRACE_OPTION for a pattern or
 * a zone that is none
 */
export function json(): Codec<never>;
export function json<S extends SchemaFields>(fields: S, options?: JsonOptions<keyof S & string>): Codec<RowOf<S>>;
export function json(fields: Schema, options?: JsonOptions): Codec;
export function json(fields?: SchemaFields | Schema, options: JsonOptions = {}): Codec {
  checkOptionNames('json()', options, { time: true, zone: true, columns: true });
  const schema = fields === undefined ? undefined : toSchema(fields);
  const { columns = {} } = options;
  if (schema !== undefined) checkColumnOptions<TimeOptions>('json()', schema, columns, { time: true, zone: true });
  const formats = schema === undefined ? [] : timeFormatsOf('json()', schema, options, columns);
  return {
    name: 'json',
    isRowPerRecord: true,
    schema,
    decoder(context) {
      if (!schema)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'json() without a schema can only write. Name the columns to read: json({ page: utf8, ms: f64 }).');
      return new JsonDecoder(context, schema, formats);
    },
    encoder: (context, of) => new JsonEncoder(context, of),
  };
}
