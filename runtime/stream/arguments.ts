/** Checks of what a method of a stream is given, for callers without types. */

import { MillraceError, type Schema, shown, schema as toSchema } from '../../core/index.ts';
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
export function newColumns(columns: unknown): { readonly schema: Schema; readonly values: readonly ColumnValue[] } {
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
  return {
    schema: toSchema(Object.fromEntries(entries.map(([name, [type]]) => [name, type]))),
    values: entries.map(([, [, fn]]) => ({ fn: fn as (row: unknown) => unknown })),
  };
}

/** Names of rename(): new ones by the old ones. */
export function newNames(names: unknown): ReadonlyMap<string, string> {
  const entries = typeof names === 'object' && names !== null && !Array.isArray(names) ? Object.entries(names as Record<string, unknown>) : [];
  if (entries.length === 0 || entries.some(([, to]) => typeof to !== 'string' || to === '')) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `rename() got ${shown(names)}. Give new names by the old ones: rename({ ts: 'at' }).`);
  }
  return new Map(entries as [string, string][]);
}
