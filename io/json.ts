/**
 * JSON, one object per record: the door of the codec. json/decode.ts reads records, json/encode.ts writes
 * them.
 */

import { checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, schema as toSchema } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { JsonDecoder } from './json/decode.ts';
import { JsonEncoder } from './json/encode.ts';

/**
 * One JSON object per record. With a schema it decodes: keys are column names, and other keys are skipped.
 * They are checked all the same: a record is valid JSON as a whole, or it is refused. Without a schema it
 * only encodes.
 *
 * Decoding takes what `JSON.parse` accepts, in any key order; the last of duplicate keys counts. Nesting goes
 * up to 10,000 levels. Invalid UTF-8 is refused; a lone surrogate escape becomes U+FFFD. Numbers are the
 * doubles of `JSON.parse`. Integer columns refuse fractions and values out of range; i64 is exact over 64
 * bits. A timestamp is a number of milliseconds (floored) or ISO 8601 text (without an offset: UTC). binary
 * is base64. A missing key is null.
 *
 * Encoding writes byte for byte what `JSON.stringify` gives for the row, columns in order. NaN and infinities
 * become null, i64 an integer literal, a timestamp milliseconds, binary base64.
 *
 * @example json({ page: utf8, ms: nullable(f64), at: timestamp })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the fields are no schema
 */
export function json(): Codec<never>;
export function json<S extends SchemaFields>(fields: S): Codec<RowOf<S>>;
export function json(fields: Schema): Codec;
export function json(fields?: SchemaFields | Schema, options: object = {}): Codec {
  checkOptionNames('json()', options, {});
  const schema = fields === undefined ? undefined : toSchema(fields);
  return {
    name: 'json',
    isRowPerRecord: true,
    schema,
    decoder(context) {
      if (!schema)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'json() without a schema can only write. Name the columns to read: json({ page: utf8, ms: f64 }).');
      return new JsonDecoder(context, schema);
    },
    encoder: (context, of) => new JsonEncoder(context, of),
  };
}
