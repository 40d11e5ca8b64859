/**
 * Rows as objects where columns are members of structs: the column `user.id` is `row.user.id`. Only a column
 * whose type is `nested` is meant so; any other has its whole name, dots and all, for its member.
 */

import type { Field } from './schema.ts';

/** The names on the way from a row to a column's value. */
export function pathOf({ name, type }: Field): readonly string[] {
  return type.nested ? name.split('.') : [name];
}

/** Sets the value of a column in a row that is being made. Members are its own, even `__proto__`. */
export function setMember(row: object, { name, type }: Field, value: unknown): void {
  if (!type.nested) {
    setOwn(row, name, value);
    return;
  }
  const path = name.split('.');
  let object = row;
  for (let i = 0; i < path.length - 1; i++) {
    const key = path[i] as string;
    let next = Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
    if (typeof next !== 'object' || next === null) {
      next = {};
      setOwn(object, key, next);
    }
    object = next as object;
  }
  setOwn(object, path.at(-1) as string, value);
}

/**
 * The value of a column in a row, undefined where it has none. A name that every object inherits must be the
 * row's own. A struct that is missing or null has no members.
 */
export function memberOf(row: object, { name, type }: Field): unknown {
  if (!type.nested) return ownMember(row, name);
  let value: unknown = row;
  for (const key of name.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = ownMember(value, key);
  }
  return value;
}

/** A row's object with these values, one for each field. */
export function rowObject(fields: readonly Field[], values: readonly unknown[]): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (let c = 0; c < fields.length; c++) setMember(row, fields[c] as Field, values[c]);
  return row;
}

function ownMember(row: object, name: string): unknown {
  return name in Object.prototype && !Object.hasOwn(row, name) ? undefined : (row as Record<string, unknown>)[name];
}

function setOwn(row: object, name: string, value: unknown): void {
  if (name !== '__proto__') (row as Record<string, unknown>)[name] = value;
  else Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
}
