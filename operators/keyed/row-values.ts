/**
 * Rows and keys as JavaScript values, for operators that call user-defined functions or keep state by key in
 * a Map. Each row is a fresh object that the function may keep; nobody else sees what it writes into it.
 */

import { type AnyRow, assert, type Batch, type Field, readValue, type Schema } from '../../core/index.ts';

/**
 * Reads the named columns of rows as objects. Names are own properties, even where a column is named
 * `__proto__`.
 */
export class RowReader {
  readonly #columns: readonly number[];
  readonly #names: readonly string[];
  readonly #hasProto: boolean;

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
    this.#hasProto = this.#names.includes('__proto__');
  }

  read(batch: Batch, row: number): AnyRow {
    const { memory } = batch;
    const names = this.#names;
    const object: Record<string, unknown> = {};
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const value = readValue(memory, batch.column(this.#columns[i] as number), row);
      if (this.#hasProto && name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
      else object[name] = value;
    }
    return object;
  }

  /** The same members of an object that has them. */
  pick(row: AnyRow): AnyRow {
    const object: Record<string, unknown> = {};
    for (const name of this.#names) Object.defineProperty(object, name, { value: row[name], enumerable: true, configurable: true, writable: true });
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
  if (keys.length === 1 && only !== undefined && schema.field(only).type.name !== 'binary') {
    return (batch, row) => readValue(batch.memory, batch.column(only), row) as Key;
  }
  return (batch, row) => {
    let key = '';
    for (let i = 0; i < keys.length; i++) key += encoded(readValue(batch.memory, batch.column(keys[i] as number), row));
    return key;
  };
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
  if (fields.length === 1 && fields[0]?.type.name !== 'binary') return [key];
  assert(typeof key === 'string', 'a key of several columns is a text');
  let at = 0;
  return fields.map(({ type: { name } }) => {
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
