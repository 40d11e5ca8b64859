/**
 * Which columns a record of Avro becomes. A record in it is a struct: its members are columns. What has no column
 * of its own is text: arrays are lists, maps, unions of several types and records that contain themselves are the
 * JSON of their value.
 */

import {
  binary,
  bool,
  type DataType,
  type ElementType,
  type Field,
  f32,
  f64,
  i32,
  i64,
  jsonText,
  kindText,
  list,
  MillraceError,
  nearNames,
  nullable,
  Schema,
  shown,
  timestamp,
  utf8,
} from '../../core/index.ts';
import { type AvroField, type AvroType, isUnionOfNull, soleBranch } from './schema.ts';

/** A field of the record, or of one in it, with what it becomes. */
export interface AvroPlace {
  readonly field: AvroField;
  /** The field's type, without the null of its union, and without a logical type that is not wanted. */
  readonly type: AvroType;
  /** The field's type as it stands there. */
  readonly isNullable: boolean;
  /** Position among the columns; -1: it is a struct of members. */
  readonly column: number;
  readonly members: readonly AvroPlace[];
}

export interface AvroColumns {
  readonly schema: Schema;
  readonly places: readonly AvroPlace[];
}

/**
 * @param raw columns that keep the type beneath their logical type
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the type is no record, or has no fields; ERR_MILLRACE_OPTION for
 * names in `raw` that are no columns
 */
export function avroColumns(what: string, type: AvroType, raw: readonly string[] = []): AvroColumns {
  if (type.kind !== 'record')
    throw new MillraceError(
      'ERR_MILLRACE_SCHEMA',
      `${what}: the schema is ${shown(type.name ?? type.kind)}, which is no record. Columns are the fields of a record.`,
    );
  const fields: Field[] = [];
  const places = placesOf(type, '', false, new Set(raw), new Set([type]), fields);
  if (fields.length === 0) throw new MillraceError('ERR_MILLRACE_SCHEMA', `${what}: the record ${type.name} has no fields, so there is no column.`);
  const names = fields.map(({ name }) => name);
  const unknown = raw.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const [near] = nearNames(unknown, names);
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what}: raw names the column ${shown(unknown)}, which there is not. ${near === undefined ? `The columns are: ${names.join(', ')}.` : `Did you mean ${near}?`}`,
    );
  }
  return { schema: new Schema(fields), places };
}

function placesOf(record: AvroType, at: string, isNullable: boolean, raw: ReadonlySet<string>, open: ReadonlySet<AvroType>, fields: Field[]): AvroPlace[] {
  return (record.fields as readonly AvroField[]).map((field): AvroPlace => {
    const name = `${at}${field.name}`;
    const sole = field.type.kind === 'union' ? soleBranch(field.type) : field.type;
    const mayBeNull = isNullable || isUnionOfNull(field.type);
    if (sole?.kind === 'record' && !open.has(sole) && (sole.fields as readonly AvroField[]).length > 0) {
      const members = placesOf(sole, `${name}.`, mayBeNull, raw, new Set([...open, sole]), fields);
      return { field, type: sole, isNullable: mayBeNull, column: -1, members };
    }
    const type = sole === undefined ? field.type : raw.has(name) ? { ...sole, logical: undefined } : sole;
    const column = typeOf(type, open);
    const own = mayBeNull || type.kind === 'null' ? nullable(column) : column;
    fields.push({ name, type: Object.freeze(at === '' ? own : { ...own, nested: true as const }) });
    return { field, type, isNullable: mayBeNull, column: fields.length - 1, members: [] };
  });
}

/** The type of a column. */
function typeOf(type: AvroType, open: ReadonlySet<AvroType>): DataType {
  const of = elementOf(type, open);
  return isDataType(of) ? of : jsonText;
}

function isDataType(of: ElementType): of is DataType {
  return typeof (of as { name?: unknown }).name === 'string' && typeof (of as { width?: unknown }).width === 'number';
}

/** What a list of such values holds. */
export function elementOf(type: AvroType, open: ReadonlySet<AvroType>): ElementType {
  switch (type.logical) {
    case 'date':
    case 'timestamp-millis':
    case 'timestamp-micros':
    case 'timestamp-nanos':
    case 'local-timestamp-millis':
    case 'local-timestamp-micros':
    case 'local-timestamp-nanos':
      return timestamp;
    case 'uuid':
    case 'decimal':
      return utf8;
  }
  switch (type.kind) {
    case 'boolean':
      return bool;
    case 'int':
      return i32;
    case 'long':
      return i64;
    case 'float':
      return f32;
    case 'double':
      return f64;
    case 'bytes':
    case 'fixed':
      return binary;
    case 'string':
    case 'enum':
      return utf8;
    case 'array':
      return list(elementOf(type.items as AvroType, open) as DataType);
    case 'union': {
      const sole = soleBranch(type);
      const of = sole === undefined ? jsonText : elementOf(sole, open);
      if (!isUnionOfNull(type)) return of;
      return nullable(isDataType(of) ? of : jsonText);
    }
    case 'record': {
      const fields = type.fields as readonly AvroField[];
      if (open.has(type) || fields.length === 0) return jsonText;
      const inner = new Set([...open, type]);
      return Object.fromEntries(fields.map((field) => [field.name, elementOf(field.type, inner)]));
    }
    case 'null':
      return nullable(jsonText);
    default:
      return jsonText;
  }
}

/** A column's type, as messages say it. */
export function columnText({ name, type }: Field): string {
  return `column ${shown(name)} of ${kindText(type)}`;
}
