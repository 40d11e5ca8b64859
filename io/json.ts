/** JSON, one object a record: the door of the codec. How records are read is json/decode.ts, how they are written json/encode.ts. */

import { checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, schema as toSchema } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { JsonDecoder } from './json/decode.ts';
import { JsonEncoder } from './json/encode.ts';

/**
 * One JSON object a record. With a schema it decodes: a key is a column, and keys that no column is named after are
 * skipped (but checked: a record is JSON as a whole, or it is refused). Without one it only encodes.
 *
 * Decoding: what `JSON.parse` accepts, in any key order, the last of duplicate keys counting; nesting up to 10,000
 * levels; invalid UTF-8 refused; a lone surrogate escape becomes U+FFFD. Numbers are the doubles of `JSON.parse`;
 * integer columns refuse fractions and what is out of range; i64 is exact over 64 bits. A timestamp is a number of
 * milliseconds (floored) or ISO 8601 text (without an offset: UTC). binary is base64. A missing key is null.
 *
 * Encoding: byte for byte what `JSON.stringify` writes for the row, columns in order; NaN and infinities as null, i64 as
 * an integer literal, a timestamp as milliseconds, binary as base64.
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
