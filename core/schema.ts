/**
 * Column types, schemas, and the row type that TypeScript infers from them.
 *
 * A schema names columns in order; its types are the Arrow types that a stream can hold. `RowOf` turns a
 * schema into the type of a row, so that a pipeline's functions are checked by the compiler: a typo in a
 * column name is an error.
 *
 * A struct has no column of its own. Its members are columns with dotted names, `user.id`, of a type that is
 * `nested`; only rows and formats show them as members of an object (nested-row.ts). A list is a utf8 column of
 * JSON text in one form (list-text.ts), so that every operator carries it as it carries a text.
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
  /** Of utf8: the text is a JSON value, without white space between its tokens. */
  readonly json?: true;
  /** Of utf8: the text is a list of these, as JSON (list-text.ts). */
  readonly element?: ElementType;
  /** The dots in the column's name lead into an object: `user.id` is the member `id` of `user`. */
  readonly nested?: true;
  readonly _value?: V;
}

/** What a list holds: values of a type, or objects. */
export type ElementType = DataType | SchemaFields;

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

/**
 * Any JSON value, as its text: what a topic has there, without the white space between its tokens. A string in
 * user-defined functions. Where a row is written as JSON it is the value again.
 */
export const jsonText: DataType<string> = Object.freeze({ name: 'utf8', nullable: false, width: 0, json: true });

/** The members of a struct that may be missing: each of them is null then. */
export type NullableFields<S extends SchemaFields> = {
  readonly [K in keyof S]: S[K] extends DataType<infer V> ? DataType<V | null> : S[K] extends SchemaFields ? NullableFields<S[K]> : never;
};

/**
 * The same type, with nulls: `null` in user-defined functions, a validity bitmap in memory. Of a struct: all of
 * its members, which are null where it is.
 */
export function nullable<V>(of: DataType<V>): DataType<V | null>;
export function nullable<S extends SchemaFields>(of: S): NullableFields<S>;
export function nullable(of: ElementType): ElementType {
  if (isType(of)) return Object.freeze({ ...of, nullable: true });
  return Object.fromEntries(Object.entries(of).map(([name, member]) => [name, nullable(member as DataType)]));
}

/**
 * A list: an array in user-defined functions. Its elements are of a type, or objects of types; an element may be
 * a list, too.
 *
 * @example list(utf8)
 * @example list({ sku: utf8, n: nullable(i32) })
 * @throws MillraceError ERR_MILLRACE_SCHEMA for what is no type
 */
export function list<V>(element: DataType<V>): DataType<readonly V[]>;
export function list<S extends SchemaFields>(element: S): DataType<readonly RowOf<S>[]>;
export function list(element: ElementType): DataType {
  checkElement(element);
  return Object.freeze({ name: 'utf8', nullable: false, width: 0, element });
}

/** A schema as a user writes it: column names with their types, in order. An object of types is a struct. */
export interface SchemaFields {
  readonly [name: string]: DataType | SchemaFields;
}
/** The row that user-defined functions see for a schema. */
export type RowOf<S extends SchemaFields> = {
  readonly [K in keyof S]: S[K] extends DataType<infer V> ? V : S[K] extends SchemaFields ? RowOf<S[K]> : unknown;
};
/**
 * The columns of a row, by name: those of a struct with the way to them, `user.id`. Lists and bytes are values.
 */
export type ColumnName<R> = {
  [K in keyof R & string]: unknown extends R[K]
    ? K
    : NonNullable<R[K]> extends readonly unknown[] | Uint8Array | Date
      ? K
      : NonNullable<R[K]> extends object
        ? `${K}.${ColumnName<NonNullable<R[K]>>}`
        : K;
}[keyof R & string];
/** The same, and structs by their names. */
export type ColumnOrStruct<R> = {
  [K in keyof R & string]: K | (ColumnName<Pick<R, K>> extends K ? never : `${K}.${ColumnOrStruct<NonNullable<R[K]>>}`);
}[keyof R & string];
/** The type of a column of a row. */
export type ValueAt<R, C> = C extends keyof R
  ? R[C]
  : C extends `${infer S}.${infer Rest}`
    ? S extends keyof R
      ? ValueAt<NonNullable<R[S]>, Rest>
      : never
    : never;
type Behind<C, S> = S extends string ? (C extends `${S}.${infer Rest}` ? Rest : never) : never;
/** A row of some of the columns. */
export type PickColumns<R, C> = {
  readonly [K in keyof R as K extends C ? K : [Behind<C, K>] extends [never] ? never : K]: K extends C ? R[K] : PickColumns<NonNullable<R[K]>, Behind<C, K>>;
};
/** A row without some of the columns. */
export type OmitColumns<R, C> = {
  readonly [K in keyof R as K extends C ? never : K]: [Behind<C, K>] extends [never] ? R[K] : OmitColumns<NonNullable<R[K]>, Behind<C, K>>;
};
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
    return this.fields.map((f) => `${JSON.stringify(f.name)}:${typeText(f.type)}`).join(', ');
  }
}

/** A type as messages and plans have it: `utf8`, `f64?`, `json`, `list<utf8>`. */
export function typeText(type: DataType): string {
  return `${kindText(type)}${type.nullable ? '?' : ''}`;
}

/** The same, whether it may be null or not. */
export function kindText(type: DataType): string {
  if (type.json) return 'json';
  return type.element === undefined ? type.name : `list<${elementText(type.element)}>`;
}

/** Whether the text that a column holds is JSON: of any value, or of a list. */
export function holdsJson(type: DataType | undefined): boolean {
  return type?.json === true || type?.element !== undefined;
}

function elementText(element: ElementType): string {
  if (isType(element)) return typeText(element);
  return `{${Object.entries(element)
    .map(([name, member]) => `${JSON.stringify(name)}:${elementText(member)}`)
    .join(', ')}}`;
}

/** Whether it is a type, and not the members of a struct. */
export function isType(of: unknown): of is DataType {
  return typeof of === 'object' && of !== null && typeof (of as { name?: unknown }).name === 'string' && TYPE_NAMES.has((of as { name: string }).name);
}

const TYPE_NAMES: ReadonlySet<string> = new Set(['bool', 'i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64', 'utf8', 'binary', 'timestamp']);

/**
 * Makes a schema from column names and types. An object of types is a struct: its members become columns, named
 * by the way to them.
 *
 * @example schema({ page: utf8, ms: f64, at: timestamp })
 * @example schema({ user: { id: utf8, tags: list(utf8) }, payload: jsonText })
 * @throws MillraceError ERR_MILLRACE_SCHEMA when a value is not a column type
 */
export function schema(fields: SchemaFields | Schema): Schema {
  if (fields instanceof Schema) return fields;
  return new Schema(Object.keys(fields).flatMap((name) => columnsOf(name, fields[name])));
}

function columnsOf(name: string, of: unknown): Field[] {
  if (isType(of)) return [{ name, type: of }];
  if (!isStruct(of)) refuseType(`Column ${shown(name)}`, of);
  return Object.keys(of).flatMap((member) => {
    checkMember(name, member);
    return columnsOf(`${name}.${member}`, of[member]).map((field) => ({ name: field.name, type: Object.freeze({ ...field.type, nested: true as const }) }));
  });
}

function checkElement(element: unknown): void {
  if (isType(element)) return;
  if (!isStruct(element)) refuseType('A list', element);
  for (const member of Object.keys(element)) {
    checkMember('a list', member);
    checkElement(element[member]);
  }
}

function isStruct(of: unknown): of is Readonly<Record<string, unknown>> {
  if (typeof of !== 'object' || of === null || Object.keys(of).length === 0) return false;
  const prototype = Object.getPrototypeOf(of);
  return prototype === Object.prototype || prototype === null;
}

/** Dots part the names on the way to a column. */
function checkMember(struct: string, member: string): void {
  if (!member.includes('.') && member !== '') return;
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    `A member of ${shown(struct)} is named ${shown(member)}. In a struct, names have at least one character and no dot; read such a member under another name by the codec's option from.`,
  );
}

function refuseType(what: string, of: unknown): never {
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    `${what} has the type ${shown(of)}. Use one of ${[...TYPE_NAMES].join(', ')}, jsonText, list(type), nullable(type), or an object of them.`,
  );
}
