/**
 * Rows and keys as JavaScript values, for operators that call user-defined functions or keep state by key in
 * a Map. Each row is a fresh object that the function may keep; nobody else sees what it writes into it.
 */

import { type AnyRow, assert, type Batch, type Field, listOf, memberOf, nullable, readValue, type Schema, setMember, utf8 } from '../../core/index.ts';

/**
 * Reads the named columns of rows as objects. Names are own properties, even where a column is named
 * `__proto__`.
 */
export class RowReader {
  readonly #columns: readonly number[];
  readonly #names: readonly string[];
  /** Where an object is not made by plain assignment: columns of structs, `__proto__`. */
  readonly #fields: readonly Field[] | undefined;

  /**
   * @param columns positions; default all
   * @param names of the members of the objects; default those of the columns
   */
  constructor(
    schema: Schema,
    columns: readonly number[] = schema.fields.map((_, c) => c),
    names: readonly string[] = columns.map((c) => schema.field(c).name),
  ) {
    this.#columns = columns;
    this.#names = names;
    const fields = columns.map((c, i) => ({ name: names[i] as string, type: schema.field(c).type }));
    this.#fields = fields.some(({ name, type }) => type.nested === true || name === '__proto__') ? fields : undefined;
  }

  read(batch: Batch, row: number): AnyRow {
    const { memory } = batch;
    const names = this.#names;
    const object: Record<string, unknown> = {};
    for (let i = 0; i < names.length; i++) {
      const value = readValue(memory, batch.column(this.#columns[i] as number), row);
      if (this.#fields === undefined) object[names[i] as string] = value;
      else setMember(object, this.#fields[i] as Field, value);
    }
    return object;
  }

  /** The same members of an object that has them. */
  pick(row: AnyRow): AnyRow {
    const object: Record<string, unknown> = {};
    if (this.#fields !== undefined) for (const field of this.#fields) setMember(object, field, memberOf(row, field));
    else for (const name of this.#names) object[name] = row[name];
    return object as AnyRow;
  }
}

/**
 * A key as a Map takes it: two rows have the same one exactly when their key columns are equal (null is a
 * value; 0 equals -0; NaN equals NaN).
 */
export type Key = string | number | bigint | boolean | null;

/**
 * Makes the key of a row. One column: its value, since a Map compares values as keys are compared. Several,
 * or bytes: an injective text.
 */
export function keyReader(keys: readonly number[], schema: Schema): (batch: Batch, row: number) => Key {
  const [only] = keys;
  if (keys.length === 1 && only !== undefined && isOwnKey(schema.field(only))) {
    return (batch, row) => readValue(batch.memory, batch.column(only), row) as Key;
  }
  // Lists by their texts.
  const isList = keys.map((c) => schema.field(c).type.element !== undefined);
  return (batch, row) => {
    let key = '';
    for (let i = 0; i < keys.length; i++) {
      const column = batch.column(keys[i] as number);
      key += encoded(readValue(batch.memory, isList[i] === true ? { ...column, type: TEXT } : column, row));
    }
    return key;
  };
}

const TEXT = nullable(utf8);

/** Whether a Map compares the column's values as keys are compared. */
function isOwnKey({ type }: Field): boolean {
  return type.name !== 'binary' && type.element === undefined;
}

/** No encoding is a prefix of another of the same type; texts are preceded by their length. */
function encoded(value: unknown): string {
  if (value === null) return 'n';
  if (typeof value === 'string') return `${value.length}:${value}`;
  if (typeof value === 'number') return `${value === 0 ? 0 : value};`;
  if (value instanceof Uint8Array) return `${value.length}:${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`;
  return `${String(value)};`;
}

/** The values of the columns that {@link keyReader} made a key of. */
export function keyValues(key: Key, fields: readonly Field[]): unknown[] {
  if (fields.length === 1 && isOwnKey(fields[0] as Field)) return [key];
  assert(typeof key === 'string', 'a key of several columns is a text');
  let at = 0;
  return fields.map(({ type: { name, element } }) => {
    if (key[at] === 'n') {
      at++;
      return null;
    }
    const isText = name === 'utf8' || name === 'binary';
    const end = key.indexOf(isText ? ':' : ';', at);
    const head = key.slice(at, end);
    at = end + 1;
    if (isText) {
      const text = key.slice(at, at + Number(head));
      at += text.length;
      if (element !== undefined) return listOf(element, text);
      return name === 'utf8' ? text : Uint8Array.from(Buffer.from(text, 'latin1'));
    }
    return name === 'bool' ? head === 'true' : name === 'i64' ? BigInt(head) : Number(head);
  });
}

/**
 * A rough size of a value in the heap, for state bytes. It looks one level deep into objects, to stay cheap.
 */
export function roughBytes(value: unknown, depth = 1): number {
  if (typeof value === 'string') return 16 + value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (ArrayBuffer.isView(value)) return 64 + value.byteLength;
  if (depth === 0) return 64;
  let bytes = 48;
  if (Array.isArray(value)) return bytes + value.length * (value.length === 0 ? 8 : 8 + roughBytes(value[0], depth - 1));
  if (value instanceof Map || value instanceof Set) return bytes + value.size * 64;
  for (const name of Object.keys(value)) bytes += 8 + roughBytes((value as Record<string, unknown>)[name], depth - 1);
  return bytes;
}
