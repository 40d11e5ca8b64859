/** The schema of Avro that fits some columns, for `avro()` without one: what it then writes. */

import { type DataType, type ElementType, isType, MillraceError, pathOf, type Schema, shown } from '../../core/index.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const PLAIN: Readonly<Record<DataType['name'], unknown>> = {
  bool: 'boolean',
  i8: 'int',
  i16: 'int',
  i32: 'int',
  u32: 'long',
  i64: 'long',
  f32: 'float',
  f64: 'double',
  utf8: 'string',
  binary: 'bytes',
  timestamp: { type: 'long', logicalType: 'timestamp-millis' },
};

/**
 * A record with a field for each column. Structs are records, lists arrays, nullable columns unions with null whose
 * default is null, a u32 a long, a timestamp a timestamp-millis, a jsonText a string.
 *
 * @param name full name of the record; those within it are named by the way to them
 * @throws MillraceError ERR_MILLRACE_PIPELINE where a column's name is no name of Avro
 */
export function derivedSchema(schema: Schema, name: string): unknown {
  const root = new Map<string, unknown>();
  for (const field of schema.fields) {
    let at = root;
    const path = pathOf(field);
    for (const part of path.slice(0, -1)) {
      let inner = at.get(part);
      if (!(inner instanceof Map)) at.set(part, (inner = new Map()));
      at = inner as Map<string, unknown>;
    }
    at.set(path.at(-1) as string, field.type);
  }
  return recordOf([...root], name);
}

function recordOf(members: readonly (readonly [string, unknown])[], name: string): unknown {
  const fields = members.map(([member, of]) => {
    if (!NAME.test(member))
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `avro() cannot write the column ${shown(member)}: names of Avro have letters, digits and underscores, and begin with no digit. Rename it.`,
      );
    const type = of instanceof Map ? recordOf([...of], `${name}_${member}`) : typeOf(of as ElementType, `${name}_${member}`);
    return Array.isArray(type) ? { name: member, type, default: null } : { name: member, type };
  });
  return { type: 'record', name, fields };
}

function typeOf(of: ElementType, name: string): unknown {
  if (!isType(of)) return recordOf(Object.entries(of), name);
  const type = of.element === undefined ? PLAIN[of.name] : { type: 'array', items: typeOf(of.element, `${name}_item`) };
  return of.nullable ? ['null', type] : type;
}
