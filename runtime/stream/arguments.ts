/** Checks of what a method of a stream is given, for callers without types. */

import { MillraceError, memberOf, Schema, shown, schema as toSchema } from '../../core/index.ts';
import type { ColumnValue } from '../../operators/index.ts';

/** Columns come first, then the function. */
export function mustHaveColumns(schema: unknown, fn: unknown, what: string, example: string): void {
  if (typeof schema === 'function' || typeof schema !== 'object' || schema === null) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${what}() takes the columns of the new rows first, and then the function: ${what}({ page: utf8, ms: f64 }, ${example}). It got ${shown(schema)}.`,
    );
  }
  mustBeFunction(fn, what);
}

export function mustBeFunction(fn: unknown, what: string): void {
  if (typeof fn !== 'function') throw new MillraceError('ERR_MILLRACE_PIPELINE', `${what}() got ${shown(fn)} where a function is needed.`);
}

/** Columns of withColumns(): the type of each, and the function that gives its value. */
export function newColumns(columns: unknown, before: Schema): { readonly schema: Schema; readonly values: readonly ColumnValue[] } {
  const example = 'withColumns({ total: [f64, (r) => r.price * r.count] })';
  if (typeof columns !== 'object' || columns === null || Array.isArray(columns) || Object.keys(columns).length === 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withColumns() got ${shown(columns)}. Give the columns by name, each as its type and a function: ${example}.`,
    );
  }
  const entries = Object.entries(columns as Record<string, unknown>).map(([name, given]) => {
    if (!Array.isArray(given) || given.length !== 2 || typeof given[1] !== 'function') {
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `withColumns() got ${shown(given)} for ${shown(name)}. Give its type and a function: ${example}.`);
    }
    return [name, given] as const;
  });
  const made = entries.flatMap(([name, [type, given]]) => {
    const fn = given as (row: unknown) => unknown;
    return toSchema({ [name]: type }).fields.map((field) => {
      // A column of a struct that is there stays one.
      if (!field.type.nested) {
        const { nested } = before.fields[before.indexOf(name)]?.type ?? {};
        return { field: { name, type: nested ? { ...field.type, nested } : field.type }, fn };
      }
      return { field, fn: (row: unknown) => memberOf({ [name]: fn(row) }, field) };
    });
  });
  return { schema: new Schema(made.map(({ field }) => field)), values: made.map(({ fn }) => ({ fn })) };
}

/** The columns that are named; the name of a struct stands for all of its columns. */
export function columnsOf(schema: Schema, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    if (schema.indexOf(name) >= 0) return [name];
    const members = schema.fields.filter((field) => field.type.nested && field.name.startsWith(`${name}.`));
    return members.length === 0 ? [name] : members.map((field) => field.name);
  });
}

/** Names of rename(): new ones by the old ones. */
export function newNames(names: unknown, schema: Schema): ReadonlyMap<string, string> {
  const entries = typeof names === 'object' && names !== null && !Array.isArray(names) ? Object.entries(names as Record<string, unknown>) : [];
  if (entries.length === 0 || entries.some(([, to]) => typeof to !== 'string' || to === '')) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `rename() got ${shown(names)}. Give new names by the old ones: rename({ ts: 'at' }).`);
  }
  // The name of a struct stands for the beginnings of its columns' names.
  return new Map(
    (entries as [string, string][]).flatMap(([from, to]) => columnsOf(schema, [from]).map((name) => [name, `${to}${name.slice(from.length)}`] as const)),
  );
}
