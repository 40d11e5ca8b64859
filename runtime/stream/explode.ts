/** `explode`: a row for each element of a list. */

import {
  type DataType,
  isType,
  MillraceError,
  memberOf,
  type OmitColumns,
  rowObject,
  Schema,
  shown,
  schema as toSchema,
  typeText,
  type ValueAt,
} from '../../core/index.ts';
import type { RowOperation } from '../../operators/index.ts';
import type { Simplify } from './row-types.ts';

/** Columns that hold lists. */
export type ListColumn<R, C> = C extends string ? (NonNullable<ValueAt<R, C>> extends readonly unknown[] ? C : never) : never;

type ElementOf<T> = NonNullable<T> extends readonly (infer E)[] ? E : never;
type AtPath<C, V> = C extends `${infer S}.${infer Rest}` ? { readonly [P in S]: AtPath<Rest, V> } : { readonly [P in C & string]: V };

/** The row with an element in the place of its list. */
export type Exploded<R, C extends string> = Simplify<OmitColumns<R, C> & AtPath<C, ElementOf<ValueAt<R, C>>>>;

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that holds no list, or that is not there
 */
export function explodeOperation(schema: Schema, column: string): RowOperation {
  const list = schema.field(schema.require(column, 'explode'));
  const { element } = list.type;
  if (element === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `explode(${shown(column)}) needs a column of lists, and ${shown(column)} is ${typeText(list.type)}. Make one: map({ ${column}: list(utf8) }, ...).`,
    );
  }
  const nested = list.type.nested ? { nested: true as const } : {};
  const made = isType(element)
    ? [{ name: column, type: { ...element, ...nested } }]
    : toSchema({ [column]: element }).fields.map(({ name, type }) => ({ name, type: { ...type, nested: true as const } as DataType }));
  const fields = schema.fields.flatMap((field) => (field === list ? made : [field]));
  const others = schema.fields.filter((field) => field !== list);
  const target = { name: column, type: { ...list.type, ...nested } };
  return {
    kind: 'flatMap',
    schema: new Schema(fields),
    fn: (row: object, emit) => {
      const values = others.map((field) => memberOf(row, field));
      // The element takes the list's place, as one member: its columns are found below it.
      for (const value of (memberOf(row, list) as readonly unknown[] | null) ?? []) emit(rowObject([...others, target], [...values, value]));
    },
  };
}
