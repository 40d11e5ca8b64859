/**
 * Schemas with structs and lists, as Arrow has them: the columns of a struct are children of one field, and a
 * list is a field with a child for its elements. nested-write.ts and nested-read.ts go along this tree.
 */

import * as flatbuffers from 'flatbuffers';
import { pathOf } from '../nested-row.ts';
import { type DataType, type ElementType, isType, type Schema } from '../schema.ts';
import * as wire from './generated/index.ts';
import { KIND } from './message.ts';
import { framed, writeType } from './schema.ts';

/** The numbers of these types in the format's union `Type`. Their tables have no fields. */
const LIST = 12;
const STRUCT = 13;

/** A field of the tree. */
export type Node =
  /** A column of the schema; `type` has no elements. */
  | { readonly kind: 'column'; readonly name: string; readonly type: DataType; readonly column: number }
  /** A column of lists. */
  | { readonly kind: 'list'; readonly name: string; readonly type: DataType; readonly element: Node; readonly column: number }
  | { readonly kind: 'struct'; readonly name: string; readonly members: readonly Node[] }
  /** A value within a list. */
  | { readonly kind: 'value'; readonly name: string; readonly type: DataType };

/** Whether the schema is one of this file's, and not of plain columns. */
export function isNestedSchema(schema: Schema): boolean {
  return schema.fields.some(({ type }) => type.nested === true || type.element !== undefined);
}

/** The tree of a schema: structs where their first column stands. */
export function treeOf(schema: Schema): Node[] {
  return membersOf(
    schema,
    schema.fields.map((field, column) => ({ path: pathOf(field), column })),
  );
}

function membersOf(schema: Schema, columns: readonly { readonly path: readonly string[]; readonly column: number }[]): Node[] {
  const groups = new Map<string, { path: readonly string[]; column: number }[]>();
  for (const { path, column } of columns) {
    const key = path.length > 1 ? `struct ${path[0]}` : `column ${column}`;
    groups.set(key, [...(groups.get(key) ?? []), { path: path.slice(1), column }]);
  }
  return [...groups].map(([key, group]): Node => {
    const { path, column } = group[0] as (typeof group)[number];
    if (path.length > 0) return { kind: 'struct', name: key.slice('struct '.length), members: membersOf(schema, group) };
    const { type, name: whole } = schema.field(column);
    const name = pathOf({ name: whole, type }).at(-1) as string;
    return type.element === undefined ? { kind: 'column', name, type, column } : { kind: 'list', name, type, element: elementNode(type.element), column };
  });
}

/** The elements of a list, as pyarrow names them. */
export function elementNode(element: ElementType, name = 'item'): Node {
  if (!isType(element)) return { kind: 'struct', name, members: Object.entries(element).map(([member, of]) => elementNode(of as ElementType, member)) };
  return element.element === undefined
    ? { kind: 'value', name, type: element }
    : { kind: 'list', name, type: element, element: elementNode(element.element), column: -1 };
}

const messages = new WeakMap<Schema, Uint8Array>();

/** The Schema message, frame included. Made once per schema. */
export function nestedSchemaMessage(schema: Schema): Uint8Array {
  let message = messages.get(schema);
  if (message === undefined) {
    const builder = new flatbuffers.Builder(1024);
    const fields = treeOf(schema).map((node) => writeField(builder, node));
    const fieldsAt = wire.Schema.createFieldsVector(builder, fields);
    wire.Schema.startSchema(builder);
    wire.Schema.addFields(builder, fieldsAt);
    message = framed(builder, KIND.schema, wire.Schema.endSchema(builder));
    messages.set(schema, message);
  }
  return message;
}

function writeField(builder: flatbuffers.Builder, node: Node): flatbuffers.Offset {
  const nameAt = builder.createString(node.name);
  const inner = node.kind === 'struct' ? node.members : node.kind === 'list' ? [node.element] : [];
  const children = wire.Field.createChildrenVector(
    builder,
    inner.map((child) => writeField(builder, child)),
  );
  let type: [number, flatbuffers.Offset];
  if (node.kind === 'struct' || node.kind === 'list') {
    builder.startObject(0);
    type = [node.kind === 'list' ? LIST : STRUCT, builder.endObject()];
  } else type = writeType(builder, node.type);
  wire.Field.startField(builder);
  wire.Field.addName(builder, nameAt);
  wire.Field.addNullable(builder, node.kind !== 'struct' && node.type.nullable);
  wire.Field.addTypeType(builder, type[0]);
  wire.Field.addType(builder, type[1]);
  wire.Field.addChildren(builder, children);
  return wire.Field.endField(builder);
}
