/** Which columns of a table take which of ours, and how a value is written for them. */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { SinkInfo } from '../sink.ts';

/** What workers have to know of the table. */
export interface ClickhouseInfo extends SinkInfo {
  /** By column of the stream: what an instant, or bytes, become. */
  readonly forms: readonly Form[];
}

/**
 * `plain`: numbers and text as they are. `seconds`: ten digits, for DateTime. `decimal`: seconds with three decimals, for
 * DateTime64. `ms`: an instant as its milliseconds.
 */
export type Form = 'plain' | 'seconds' | 'decimal' | 'ms';

const WIDER: Readonly<Record<string, readonly string[]>> = {
  bool: ['Bool', 'UInt8', 'Int8'],
  i8: ['Int8', 'Int16', 'Int32', 'Int64', 'Float32', 'Float64'],
  i16: ['Int16', 'Int32', 'Int64', 'Float32', 'Float64'],
  i32: ['Int32', 'Int64', 'Float64'],
  u32: ['UInt32', 'UInt64', 'Int64', 'Float64'],
  i64: ['Int64'],
  f32: ['Float32', 'Float64'],
  f64: ['Float64'],
  utf8: ['String', 'FixedString', 'Enum8', 'Enum16', 'UUID'],
  binary: ['String', 'FixedString'],
  timestamp: ['DateTime', 'DateTime64', 'Int64'],
};

const MADE: Readonly<Record<string, string>> = {
  bool: 'UInt8',
  i8: 'Int8',
  i16: 'Int16',
  i32: 'Int32',
  u32: 'UInt32',
  i64: 'Int64',
  f32: 'Float32',
  f64: 'Float64',
  utf8: 'String',
  binary: 'String',
};

/** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that cannot be written */
export function checkColumns(what: string, schema: Schema): void {
  if (schema.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', `${what}: the stream has no columns, so there is nothing to write.`);
  for (const { name, type } of schema.fields) {
    if (Object.hasOwn(WIDER, type.name)) continue;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${what}: the column ${shown(name)} is ${type.name}, which this sink cannot write. Leave it out, or make text of it.`,
    );
  }
}

/** The columns of a table that is made, with milliseconds where the server has them. */
export function definitionsOf(schema: Schema, hasMilliseconds: boolean): string {
  return schema.fields
    .map(({ name, type }) => {
      const made = type.name === 'timestamp' ? (hasMilliseconds ? "DateTime64(3, 'UTC')" : "DateTime('UTC')") : MADE[type.name];
      return `${quoted(name)} ${type.nullable ? `Nullable(${made})` : made}`;
    })
    .join(', ');
}

/**
 * How each column is written.
 *
 * @throws MillraceError ERR_MILLRACE_SINK for one that the table does not have, or of a type that does not hold its values
 */
export function formsFor(
  what: string,
  schema: Schema,
  table: readonly { readonly name: string; readonly type: string; readonly default_type?: string }[],
): Form[] {
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_SINK', `${what}: ${message}.`);
  return schema.fields.map(({ name, type }): Form => {
    const column = table.find((one) => one.name === name);
    if (column === undefined)
      throw refused(
        `the table has no column ${shown(name)}; it has ${table.map((one) => one.name).join(', ')}. Rename the column of the stream, or leave it out with .select()`,
      );
    if (column.default_type === 'MATERIALIZED' || column.default_type === 'ALIAS')
      throw refused(`the column ${shown(name)} is ${column.default_type}, and takes no value. Leave it out with .select()`);
    const isNullable = /Nullable\(/.test(column.type);
    if (type.nullable && !isNullable)
      throw refused(
        `the column ${shown(name)} is ${column.type} in the table, and may be null in the stream. Make it Nullable(...), or give the stream a value in place of null`,
      );
    const inner = column.type.replace(/^LowCardinality\((.*)\)$/, '$1').replace(/^Nullable\((.*)\)$/, '$1');
    const base = /^\w+/.exec(inner)?.[0] ?? '';
    const takes = WIDER[type.name] as readonly string[];
    if (!takes.includes(base))
      throw refused(`the column ${shown(name)} is ${column.type} in the table and ${type.name} in the stream, whose values all fit ${takes.join(', ')}`);
    if (type.name !== 'timestamp') return 'plain';
    return base === 'DateTime' ? 'seconds' : base === 'DateTime64' ? 'decimal' : 'ms';
  });
}

/** An identifier, quoted. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
