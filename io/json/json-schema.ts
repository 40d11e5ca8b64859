/** The JSON Schema (draft 7) of what `json()` writes for some columns, for a schema registry. */

import { type DataType, type ElementType, isType, pathOf, type Schema } from '../../core/index.ts';

const KINDS: Readonly<Record<DataType['name'], object>> = {
  bool: { type: 'boolean' },
  i8: { type: 'integer', minimum: -128, maximum: 127 },
  i16: { type: 'integer', minimum: -32_768, maximum: 32_767 },
  i32: { type: 'integer', minimum: -2_147_483_648, maximum: 2_147_483_647 },
  u32: { type: 'integer', minimum: 0, maximum: 4_294_967_295 },
  i64: { type: 'integer' },
  // NaN and the infinities are written as null.
  f32: { type: ['number', 'null'] },
  f64: { type: ['number', 'null'] },
  utf8: { type: 'string' },
  binary: { type: 'string', contentEncoding: 'base64' },
  timestamp: { type: 'integer' },
};

interface ObjectSchema {
  readonly type: 'object';
  readonly properties: Record<string, object>;
  readonly required: string[];
}

/** @param title names what a record is */
export function jsonSchemaOf(schema: Schema, title: string): object {
  const root = objectOf();
  for (const field of schema.fields) {
    let at = root;
    const path = pathOf(field);
    for (const name of path.slice(0, -1)) {
      if (!Object.hasOwn(at.properties, name)) add(at, name, objectOf());
      at = at.properties[name] as ObjectSchema;
    }
    add(at, path.at(-1) as string, kindOf(field.type));
  }
  return { $schema: 'http://json-schema.org/draft-07/schema#', title, ...root };
}

function objectOf(): ObjectSchema {
  return { type: 'object', properties: Object.create(null) as Record<string, object>, required: [] };
}

function add(object: ObjectSchema, name: string, of: object): void {
  object.properties[name] = of;
  object.required.push(name);
}

function kindOf(of: ElementType): object {
  if (!isType(of)) {
    const object = objectOf();
    for (const [name, member] of Object.entries(of)) add(object, name, kindOf(member as ElementType));
    return object;
  }
  if (of.json) return {};
  const kind: { readonly type?: string | readonly string[] } =
    of.element === undefined ? KINDS[of.name] : ({ type: 'array', items: kindOf(of.element) } as never);
  if (!of.nullable || Array.isArray(kind.type)) return kind;
  return { ...kind, type: [kind.type as string, 'null'] };
}
