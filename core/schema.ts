/**
 * Column types, schemas, and the row type that TypeScript infers from them.
 *
 * A schema names columns in order; its types are the Arrow types that a stream can hold. `RowOf` turns a
 * schema into the type of a row, so that a pipeline's functions are checked by the compiler: a typo in a
 * column name is an error.
 */

import { MillraceError, shown } from './errors.ts';

export type TypeName = 'bool' | 'i8' | 'i16' | 'i32' | 'u32' | 'i64' | 'f32' | 'f64' | 'utf8' | 'binary' | 'timestamp';

/**
 * A column type. `V` is the type of the value in user-defined functions; it exists for the type checker only.
 */
export interface DataType<V = unknown> {
  readonly name: TypeName;
  readonly nullable: boolean;
  /**
   * Bytes of a value in the column's data buffer; 0 for bool (one bit) and for utf8 and binary (i32 offsets).
   */
  readonly width: 0 | 1 | 2 | 4 | 8;
  readonly _value?: V;
}

const type = <V>(name: TypeName, width: DataType['width']): DataType<V> => Object.freeze({ name, nullable: false, width });

export const bool = type<boolean>('bool', 0);
export const i8 = type<number>('i8', 1);
export const i16 = type<number>('i16', 2);
export const i32 = type<number>('i32', 4);
export const u32 = type<number>('u32', 4);
/** A bigint in user-defined functions. */
export const i64 = type<bigint>('i64', 8);
export const f32 = type<number>('f32', 4);
export const f64 = type<number>('f64', 8);
export const utf8 = type<string>('utf8', 0);
export const binary = type<Uint8Array>('binary', 0);
/**
 * Milliseconds since 1970: an i64 in memory (Arrow timestamp[ms, UTC]), a number in user-defined functions.
 */
export const timestamp = type<number>('timestamp', 8);

/** The same type, with nulls: `null` in user-defined functions, a validity bitmap in memory. */
export function nullable<V>(of: DataType<V>): DataType<V | null> {
  return Object.freeze({ name: of.name, nullable: true, width: of.width });
}

/** A schema as a user writes it: column names with their types, in order. */
export type SchemaFields = Readonly<Record<string, DataType>>;
/** The row that user-defined functions see for a schema. */
export type RowOf<S extends SchemaFields> = { readonly [K in keyof S]: S[K] extends DataType<infer V> ? V : never };
/** A row of any schema. */
export type AnyRow = Readonly<Record<string, unknown>>;

export interface Field {
  readonly name: string;
  readonly type: DataType;
}

/** An ordered list of named, typed columns. Immutable. */
export class Schema {
  readonly fields: readonly Field[];
  readonly #index: ReadonlyMap<string, number>;

  constructor(fields: readonly Field[]) {
    const index = new Map<string, number>();
    for (const field of fields) {
      if (index.has(field.name)) {
        throw new MillraceError('ERR_MILLRACE_SCHEMA', `Two columns are named ${shown(field.name)}. Name each column once.`);
      }
      index.set(field.name, index.size);
    }
    this.fields = Object.freeze(fields.map((field) => Object.freeze({ name: field.name, type: field.type })));
    this.#index = index;
  }

  get length(): number {
    return this.fields.length;
  }

  /** The column's position, or -1. */
  indexOf(name: string): number {
    return this.#index.get(name) ?? -1;
  }

  /**
   * The column's position.
   *
   * @param what who asks, for the message ("keyBy", "the json codec")
   * @throws MillraceError ERR_MILLRACE_PIPELINE when there is no such column
   */
  require(name: string, what: string): number {
    const index = this.indexOf(name);
    if (index < 0) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `${what} names the column ${shown(name)}, but the columns here are ${this.fields.map((f) => f.name).join(', ') || '(none)'}.`,
      );
    }
    return index;
  }

  field(index: number): Field {
    const field = this.fields[index];
    if (!field) throw new RangeError(`column ${index} of ${this.length}`);
    return field;
  }

  /** The named columns, in the given order. */
  select(names: readonly string[], what: string): Schema {
    return new Schema(names.map((name) => this.field(this.require(name, what))));
  }

  equals(other: Schema): boolean {
    return this.toString() === other.toString();
  }

  /**
   * `name:type` of each column, with `?` after a nullable type: the form that explain prints and that the
   * identity of a plan uses.
   */
  toString(): string {
    return this.fields.map((f) => `${JSON.stringify(f.name)}:${f.type.name}${f.type.nullable ? '?' : ''}`).join(', ');
  }
}

const TYPE_NAMES: ReadonlySet<string> = new Set(['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'utf8', 'binary', 'timestamp']);

/**
 * Makes a schema from column names and types.
 *
 * @example schema({ page: utf8, ms: f64, at: timestamp })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when a value is not a column type
 */
export function schema(fields: SchemaFields | Schema): Schema {
  if (fields instanceof Schema) return fields;
  return new Schema(
    Object.keys(fields).map((name) => {
      const of = fields[name] as DataType | undefined;
      if (typeof of !== 'object' || of === null || !TYPE_NAMES.has(of.name)) {
        throw new MillraceError(
          'ERR_MILLRACE_SCHEMA',
          `Column ${shown(name)} has the type ${shown(of)}. Use one of ${[...TYPE_NAMES].join(', ')}, or nullable(type).`,
        );
      }
      return { name, type: of };
    }),
  );
}
