/**
 * Schemas of users' own libraries (zod, valibot, arktype and others), by the interface that these have agreed on: Standard
 * Schema, https://standardschema.dev. What is used of it, and which columns its JSON Schema makes.
 */

import { bool, type DataType, f64, i32, isType, jsonText, list, MillraceError, nullable, type SchemaFields, shown, utf8 } from '../core/index.ts';

/** A schema that validates values. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    /** Of libraries that tell their JSON Schema. */
    readonly jsonSchema?: { output(options: { target: string }): Record<string, unknown> };
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined }[] };

/** The output of a schema. */
export type StandardOutput<S> = S extends { readonly '~standard': { readonly types?: { readonly output: infer O } | undefined } } ? O : unknown;

type Null<T> = undefined extends T ? null : null extends T ? null : never;

/** The value of a column for a member of the output: what has no column of its own is JSON text. */
export type StandardValue<T, V = Exclude<T, null | undefined>> = unknown extends T
  ? string | null
  : [V] extends [string] | [number] | [boolean]
    ? V | Null<T>
    : [V] extends [readonly (infer E)[]]
      ? readonly StandardValue<E>[] | Null<T>
      : [V] extends [object]
        ? string extends keyof V
          ? string | Null<T>
          : { readonly [K in keyof V]-?: StandardValue<V[K]> | Null<T> }
        : string | Null<T>;

/** The row that functions see for the output of a schema. */
export type StandardRow<S> = { readonly [K in keyof StandardOutput<S>]-?: StandardValue<StandardOutput<S>[K]> };

export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return typeof (value as Partial<StandardSchema>)['~standard']?.validate === 'function';
}

/**
 * The columns of what a schema gives.
 *
 * @throws MillraceError ERR_MILLRACE_SCHEMA when it tells none
 */
export function fieldsOfStandard(what: string, { '~standard': standard }: StandardSchema): SchemaFields {
  const { vendor, jsonSchema } = standard;
  const advice = `Give the columns beside it: json({ page: utf8 }, { validate: schema }).`;
  if (jsonSchema === undefined)
    throw new MillraceError('ERR_MILLRACE_SCHEMA', `${what}: the schema of ${vendor} does not tell its JSON Schema, so its columns are not known. ${advice}`);
  let of: Json;
  try {
    of = jsonSchema.output({ target: 'draft-2020-12' });
  } catch (cause) {
    throw new MillraceError('ERR_MILLRACE_SCHEMA', `${what}: the schema of ${vendor} has no JSON Schema: ${(cause as Error).message}. ${advice}`, { cause });
  }
  const fields = structOf(of);
  if (fields === undefined)
    throw new MillraceError('ERR_MILLRACE_SCHEMA', `${what}: the schema of ${vendor} gives ${shown(of)}, which is no object with members. ${advice}`);
  return fields;
}

type Json = Readonly<Record<string, unknown>>;
type Element = DataType | SchemaFields;

function structOf({ type, properties, additionalProperties, required = [] }: Json): SchemaFields | undefined {
  const isOpen = typeof additionalProperties === 'object' && additionalProperties !== null;
  if ((type !== undefined && type !== 'object') || typeof properties !== 'object' || properties === null || isOpen) return undefined;
  const members = Object.entries(properties).map(([name, member]) => {
    const of = typeOf(member as Json);
    return [name, (required as readonly string[]).includes(name) ? of : nullable(of as never)] as const;
  });
  return members.length === 0 ? undefined : (Object.fromEntries(members) as SchemaFields);
}

function typeOf(of: Json): DataType | SchemaFields {
  const { sole, isNullable } = withoutNull(of);
  const made = sole === undefined ? jsonText : plainOf(sole);
  return isNullable ? (nullable(made as never) as DataType | SchemaFields) : made;
}

/** One type besides null, of a union; undefined: it has several. */
function withoutNull(of: Json): { readonly sole: Json | undefined; readonly isNullable: boolean } {
  const { type, anyOf, oneOf } = of;
  if (Array.isArray(type)) {
    const others = type.filter((one) => one !== 'null');
    return { sole: others.length === 1 ? { ...of, type: others[0] } : undefined, isNullable: others.length < type.length };
  }
  const branches = (anyOf ?? oneOf) as readonly Json[] | undefined;
  if (!Array.isArray(branches)) return { sole: of, isNullable: type === 'null' };
  const others = branches.filter((branch) => branch['type'] !== 'null');
  const [sole, ...more] = others;
  // Texts of several forms are texts.
  const isOne = sole !== undefined && (more.length === 0 || (isPlain(sole) && more.every((other) => isPlain(other) && plainOf(other) === plainOf(sole))));
  return { sole: isOne ? sole : undefined, isNullable: others.length < branches.length };
}

function isPlain(of: Json): boolean {
  const made = plainOf(of);
  return made === utf8 || made === f64 || made === bool;
}

function plainOf(of: Json): Element {
  const values = Array.isArray(of['enum']) ? (of['enum'] as unknown[]) : 'const' in of ? [of['const']] : undefined;
  const kinds = new Set(values?.map((value) => typeof value));
  const type = of['type'] ?? (kinds.size === 1 ? [...kinds][0] : undefined);
  switch (type) {
    case 'string':
      return utf8;
    case 'boolean':
      return bool;
    case 'number':
      return f64;
    case 'integer': {
      const { minimum, maximum } = of;
      return typeof minimum === 'number' && typeof maximum === 'number' && minimum >= -2_147_483_648 && maximum <= 2_147_483_647 ? i32 : f64;
    }
    case 'array': {
      const { items, prefixItems } = of;
      if (typeof items !== 'object' || items === null || prefixItems !== undefined) return jsonText;
      const { sole, isNullable } = withoutNull(items as Json);
      const element = sole === undefined ? jsonText : plainOf(sole);
      if (!isNullable) return list(element as never);
      return list(nullable(isType(element) ? element : jsonText));
    }
    default:
      return structOf(of) ?? jsonText;
  }
}
