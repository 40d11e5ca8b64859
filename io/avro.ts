/**
 * Avro, one record of a schema per record: the door of the codec. avro/decode.ts reads records, avro/encode.ts
 * writes them.
 */

import { checkOptionNames, MillraceError, type Schema, shown } from '../core/index.ts';
import { avroColumns } from './avro/columns.ts';
import { AvroDecoder } from './avro/decode.ts';
import { derivedSchema } from './avro/derived.ts';
import { AvroEncoder } from './avro/encode.ts';
import { bareFrame, markedFrame, markOf, registryFrame } from './avro/frames.ts';
import { Resolution, Unresolvable } from './avro/resolution.ts';
import { type AvroType, parseAvroSchema } from './avro/schema.ts';
import type { AvroRow, AvroSchema } from './avro/types.ts';
import type { Codec } from './codec.ts';
import { mustBeRegistry, preparedId, registryPrefix, type SchemaRegistry } from './schema-registry.ts';

export interface AvroOptions {
  /**
   * The schema that records were written with, where it is not the one to read with: fields are found by name and
   * alias, numbers are promoted, missing fields get their default, as the specification has it. With `encoding:
   * 'single-object'`, several: a record names its own.
   */
  readonly writer?: AvroSchema | object | readonly object[];
  /**
   * What precedes each record. `binary`, the default: nothing. `single-object`: the two bytes C3 01 and the
   * fingerprint of its schema (CRC-64-AVRO).
   */
  readonly encoding?: 'binary' | 'single-object';
  /**
   * Records name their schema by its id in a schema registry: `registry({ url })`. Reading fetches what they were written
   * with. A sink registers what it writes.
   */
  readonly registry?: SchemaRegistry;
  /** Columns that keep the type beneath their logical type: a timestamp-micros is an i64 of microseconds then, a decimal binary. */
  readonly raw?: readonly string[];
  /** Full name of the record, where no schema is given, and what is written has one of its own. Default: `millrace.Row`. */
  readonly name?: string;
}

/**
 * One record of Avro 1.12 per record. With a schema (a record) it reads, and what it writes has that schema. Without
 * one it only writes, with a schema that fits the columns: it is in `avroSchemaOf(schema)`.
 *
 * | Avro | column |
 * |---|---|
 * | boolean, int, long, float, double, string, bytes, fixed | bool, i32, i64, f32, f64, utf8, binary, binary |
 * | enum | utf8, its symbol |
 * | a record | a struct: its members are columns |
 * | a union with null | nullable |
 * | an array | a list |
 * | a map | jsonText, an object |
 * | a union of several types | jsonText: null, or an object with the type's name, `{"string":"a"}` |
 * | a record within itself | jsonText |
 * | timestamp-millis, -micros, -nanos, local-timestamp-... | timestamp; what is below a millisecond is cut. `raw` keeps it |
 * | date | timestamp, of its midnight in UTC |
 * | time-millis, time-micros | i32, i64, as they are |
 * | decimal | utf8, with all its digits: `12.30` |
 * | uuid | utf8 |
 * | duration | binary |
 *
 * A record that is none of the schema is refused with the byte and the field: what ends too early or too late, lengths and
 * counts beyond what is there, booleans that are neither 0 nor 1, text that is no UTF-8, more than 256 values inside one
 * another.
 *
 * Writing takes a column where the type of its field holds all of its values. A field without a column is written as
 * its default. A column without a field is refused when the job starts, and so is a type that does not fit; a value that
 * does not (null where there is no null, a text that is no symbol) ends the job.
 *
 * @example avro({ type: 'record', name: 'Click', fields: [{ name: 'page', type: 'string' }, { name: 'ms', type: ['null', 'double'] }] })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when it is no schema, or the writer's cannot be read with it; ERR_MILLRACE_OPTION
 */
export function avro(schema?: undefined, options?: AvroOptions): Codec<never>;
export function avro<const S extends AvroSchema>(schema: S, options?: AvroOptions): Codec<AvroRow<S>>;
export function avro(schema: object, options?: AvroOptions): Codec<Readonly<Record<string, unknown>>>;
export function avro(schema?: unknown, options: AvroOptions = {}): Codec {
  checkOptionNames('avro()', options, { writer: true, encoding: true, registry: true, raw: true, name: true });
  const { encoding = 'binary', raw = [], name = 'millrace.Row' } = options;
  if (encoding !== 'binary' && encoding !== 'single-object')
    throw new MillraceError('ERR_MILLRACE_OPTION', `avro(): encoding is ${shown(encoding)}. Give 'binary' or 'single-object'.`);
  const { registry } = options;
  mustBeRegistry('avro()', registry);
  if (registry !== undefined && (options.encoding !== undefined || options.writer !== undefined))
    throw new MillraceError('ERR_MILLRACE_OPTION', 'avro(): with a registry, records name their schema by its id. Leave encoding and writer out.');
  const type = schema === undefined ? undefined : parseAvroSchema('avro()', schema);
  const columns = type === undefined ? undefined : avroColumns('avro()', type, raw);
  const writers = writersOf(options, type);
  const frame = registry !== undefined ? registryFrame(registry) : encoding === 'binary' ? bareFrame(writers[0] as AvroType) : markedFrame(writers);
  const written = (of: Schema): unknown => schema ?? derivedSchema(of, name);
  if (type !== undefined && columns !== undefined) for (const writer of writers) mustResolve(writer, type, columns);
  return {
    name: 'avro',
    isRowPerRecord: true,
    schema: columns?.schema,
    decoder(context) {
      if (type === undefined || columns === undefined)
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          "avro() without a schema can only write. Give the schema to read with: avro({ type: 'record', name: 'Click', fields: [...] }).",
        );
      return new AvroDecoder(context, type, columns, frame);
    },
    ...(registry !== undefined && {
      prepare: ({ topic, schema: of, ...wait }) => {
        const json = written(of);
        const record = type?.name ?? name;
        return registry.idOf({ topic, record, type: 'AVRO', schema: typeof json === 'string' ? json : JSON.stringify(json) }, wait);
      },
    }),
    encoder(context, of) {
      const own = type ?? parseAvroSchema('avro()', written(of));
      const prefix = registry !== undefined ? registryPrefix(preparedId('avro()', context)) : encoding === 'binary' ? new Uint8Array(0) : markOf(own);
      return new AvroEncoder(context.memory, of, own, prefix);
    },
  };
}

/**
 * The schema that `avro()` without one writes for some columns, as JSON.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE where a column's name is no name of Avro
 */
export function avroSchemaOf(schema: Schema, name = 'millrace.Row'): object {
  return derivedSchema(schema, name) as object;
}

function writersOf({ writer, encoding }: AvroOptions, type: AvroType | undefined): readonly AvroType[] {
  const own = type === undefined ? [] : [type];
  if (writer === undefined) return own;
  if (type === undefined) throw new MillraceError('ERR_MILLRACE_OPTION', 'avro(): writer is given, and no schema to read with.');
  const isList = Array.isArray(writer);
  const given = (isList ? (writer as readonly unknown[]) : [writer]).map((schema) => parseAvroSchema('avro(): writer', schema));
  if (encoding === 'single-object') return [...given, ...own];
  if (isList)
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      "avro(): writer has several schemas, but nothing tells which one a record has. Give one, or encoding: 'single-object'.",
    );
  return given;
}

function mustResolve(writer: AvroType, reader: AvroType, columns: ReturnType<typeof avroColumns>): void {
  try {
    new Resolution(
      undefined,
      columns.schema.fields.map((_, c) => c),
    ).record(writer, reader, columns);
  } catch (error) {
    if (!(error instanceof Unresolvable)) throw error;
    throw new MillraceError(
      'ERR_MILLRACE_SCHEMA',
      `avro(): what the writer's schema ${shown(writer.name ?? writer.kind)} gives cannot be read: ${error.message}.`,
    );
  }
}
