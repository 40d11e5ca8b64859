/**
 * JSON, one object per record: the door of the codec. json/decode.ts reads records, json/encode.ts writes
 * them.
 */

import { type ColumnName, checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, shown, schema as toSchema } from '../core/index.ts';
import type { Codec } from './codec.ts';
import { FramedDecoder, PrefixedEncoder } from './framed.ts';
import { JsonDecoder } from './json/decode.ts';
import { JsonEncoder } from './json/encode.ts';
import { jsonSchemaOf } from './json/json-schema.ts';
import { jsonColumns } from './json/layout.ts';
import { ValidatedDecoder } from './json/validate.ts';
import { mustBeRegistry, preparedId, REGISTRY_BYTES, registryIdAt, registryPrefix, type SchemaRegistry } from './schema-registry.ts';
import { fieldsOfStandard, isStandardSchema, type StandardRow, type StandardSchema } from './standard-schema.ts';
import { checkColumnOptions, type TimeOptions, timeFormatsOf } from './text-columns.ts';

export interface JsonOptions<S extends SchemaFields = SchemaFields> extends TimeOptions {
  /**
   * By column, the member that has its value, where it is not the column's name: `from: { at: '@timestamp' }`.
   * Dots lead into objects; a list of names says the way where names have dots: `from: { level: ['log.level'] }`.
   */
  readonly from?: { readonly [name in ColumnName<RowOf<S>>]?: string | readonly string[] };
  /** What stands for a key that is missing, and for a null where a column is not nullable. */
  readonly defaults?: DefaultsOf<RowOf<S>>;
  /**
   * Records begin with a zero byte and the id of their schema in a schema registry: `registry({ url })`. Reading goes by
   * the columns, and asks the registry nothing. A sink registers the JSON Schema of its columns.
   */
  readonly registry?: SchemaRegistry;
  /**
   * A schema of zod, valibot, arktype or any library with Standard Schema: each record is parsed as a whole and validated,
   * and the columns get what comes out. What it refuses is in the ledger with its words. That takes objects, and some ten times
   * as long; it leaves no room for `from`, `defaults` and times, which are the schema's then.
   */
  readonly validate?: StandardSchema;
  /** By column, what differs from the options for all: `columns: { at: { time: 'dd.MM.yyyy' } }`. */
  readonly columns?: { readonly [name in ColumnName<RowOf<S>>]?: TimeOptions };
}

/** Some values of a row. */
export type DefaultsOf<R> = {
  readonly [K in keyof R]?: NonNullable<R[K]> extends readonly unknown[] | Uint8Array | Date
    ? R[K]
    : NonNullable<R[K]> extends object
      ? unknown extends R[K]
        ? unknown
        : DefaultsOf<R[K]>
      : R[K];
};

/**
 * One JSON object per record. With a schema it decodes: keys are column names, and other keys are skipped.
 * They are checked all the same: a record is valid JSON as a whole, or it is refused. Without a schema it
 * only encodes.
 *
 * Decoding takes what `JSON.parse` accepts, in any key order; the last of duplicate keys counts. Nesting goes
 * up to 10,000 levels. Invalid UTF-8 is refused; a lone surrogate escape becomes U+FFFD. Numbers are the
 * doubles of `JSON.parse`. Integer columns refuse fractions and values out of range; i64 is exact over 64
 * bits. A timestamp is a number of milliseconds (floored) or ISO 8601 text (without an offset: UTC), or text as
 * `time` and `zone` say; with a `unit`, a number is one of seconds, micro- or nanoseconds. binary is base64.
 *
 * A missing key has the column's default, or is null. A struct that is missing or null has no members. The last
 * of two objects under one key counts, as a whole. A column with dots in its name, such as `'geo.lat': f64`, is
 * read from the object `geo` as well as from a member `geo.lat`; a record that has both gives the latter.
 *
 * A jsonText is the text of the value, without white space between its tokens; all else of it, escapes and
 * forms of numbers, stays as it is. Where its column is nullable, null is null.
 *
 * Records whose schema has a timestamp with a `time` or a `zone` are read one by one, which takes some eight
 * times as long.
 *
 * In place of columns it takes a schema of a library with Standard Schema that tells its JSON Schema (zod, arktype); see
 * `validate`. Numbers are f64, or i32 where the schema says so; texts, bools, lists and objects as they are; what is of several
 * types, or has members of any name, is jsonText; what may be missing is nullable.
 *
 * Encoding writes byte for byte what `JSON.stringify` gives for the row, columns in order. NaN and infinities
 * become null, i64 an integer literal, a timestamp milliseconds, binary base64.
 *
 * @example json({ page: utf8, ms: nullable(f64), at: timestamp })
 * @example json({ user: { id: utf8, tags: list(utf8) }, payload: jsonText, at: timestamp }, { from: { at: '@timestamp' }, unit: 's' })
 * @example json(z.object({ page: z.string(), ms: z.number() }))
 * @example json({ host: utf8, at: timestamp }, { time: 'dd/MMM/yyyy:HH:mm:ss Z' })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the fields are no schema, ERR_MILLRACE_OPTION for a pattern or
 * a zone that is none, for names that are no columns, and for defaults that do not fit
 */
export function json(fields?: undefined, options?: Pick<JsonOptions, 'registry'>): Codec<never>;
export function json<S extends SchemaFields>(fields: S, options?: JsonOptions<S>): Codec<RowOf<S>>;
export function json(fields: Schema, options?: JsonOptions): Codec;
export function json<S extends StandardSchema>(schema: S, options?: Pick<JsonOptions, 'registry'>): Codec<StandardRow<S>>;
export function json(given?: SchemaFields | Schema | StandardSchema, options: JsonOptions = {}): Codec {
  checkOptionNames('json()', options, { time: true, zone: true, unit: true, from: true, defaults: true, columns: true, registry: true, validate: true });
  const validator = isStandardSchema(given) ? given : options.validate;
  const fields = isStandardSchema(given) ? fieldsOfStandard('json()', given) : given;
  const schema = fields === undefined ? undefined : toSchema(fields);
  if (validator !== undefined) checkValidator(validator, schema, options);
  const { columns = {}, from = {}, defaults = {}, registry } = options;
  mustBeRegistry('json()', registry);
  if (schema !== undefined) checkColumnOptions<TimeOptions>('json()', schema, columns, { time: true, zone: true, unit: true });
  const formats = schema === undefined ? [] : timeFormatsOf('json()', schema, options, columns);
  const members = schema === undefined ? [] : jsonColumns(schema, from, defaults);
  const codec: Codec = {
    name: 'json',
    isRowPerRecord: true,
    schema,
    decoder(context) {
      if (!schema)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'json() without a schema can only write. Name the columns to read: json({ page: utf8, ms: f64 }).');
      if (validator !== undefined) return new ValidatedDecoder(context, schema, validator);
      return new JsonDecoder(context, schema, members, formats);
    },
    encoder: (context, of) => new JsonEncoder(context, of),
  };
  return registry === undefined ? codec : registered(codec, registry);
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
function checkValidator(validator: StandardSchema, schema: Schema | undefined, options: JsonOptions): void {
  if (!isStandardSchema(validator))
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `json(): validate is ${shown(validator)}. Give a schema of zod, valibot or arktype, or of any library with Standard Schema.`,
    );
  if (schema === undefined)
    throw new MillraceError('ERR_MILLRACE_OPTION', 'json(): validate is given, and no columns. Name them: json({ page: utf8 }, { validate: schema }).');
  const other = (['from', 'defaults', 'time', 'zone', 'unit', 'columns'] as const).find((name) => options[name] !== undefined);
  if (other !== undefined)
    throw new MillraceError('ERR_MILLRACE_OPTION', `json(): ${other} is given beside a schema that validates. What it does is up to the schema: leave it out.`);
}

/** The same behind the id of a schema. */
function registered(codec: Codec, registry: SchemaRegistry): Codec {
  return {
    ...codec,
    prepare: ({ topic, schema, ...wait }) => registry.idOf({ topic, record: topic, type: 'JSON', schema: JSON.stringify(jsonSchemaOf(schema, topic)) }, wait),
    decoder: (context) =>
      new FramedDecoder(context, codec, {
        shown: 'a zero byte and the id of a schema, 4 bytes',
        bytesAt: (at, length) => (registryIdAt(context.memory, at, length) < 0 ? -1 : REGISTRY_BYTES),
      }),
    encoder: (context, of) => new PrefixedEncoder(context.memory.u8, codec.encoder(context, of), registryPrefix(preparedId('json()', context))),
  };
}
