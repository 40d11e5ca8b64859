/** The option `columns` of sinks: which columns of the stream are written, and by what name. */

import { MillraceError, type Schema, shown, withoutSign } from '../core/index.ts';

/** Columns that are written under their own names, or under others: `{ windowStart: 'window_start' }`. */
export type ColumnNames = readonly string[] | Readonly<Record<string, string>>;

export interface NamedColumn {
  /** In the stream. */
  readonly column: string;
  /** Outside. */
  readonly name: string;
}

/** @throws MillraceError ERR_MILLRACE_OPTION when it is neither */
export function checkColumnNames(what: string, columns: ColumnNames | undefined): void {
  if (columns === undefined) return;
  const isNames = (values: readonly unknown[]): boolean => values.length > 0 && values.every((value) => typeof value === 'string' && value !== '');
  if (typeof columns === 'object' && columns !== null && isNames(Object.values(columns))) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: columns is ${shown(columns)}; it must be a list of columns, or an object that gives each its name there: { windowStart: 'window_start' }.`,
  );
}

/**
 * The columns to write: those that the option names, or all.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that is not there
 */
export function namedColumns(what: string, columns: ColumnNames | undefined, schema: Schema): NamedColumn[] {
  if (columns === undefined) return withoutSign(schema).fields.map(({ name }) => ({ column: name, name }));
  const named = Array.isArray(columns) ? columns.map((name: string) => [name, name] as const) : Object.entries(columns as Record<string, string>);
  return named.map(([column, name]) => {
    schema.require(column, `The columns of ${what}`);
    return { column, name };
  });
}
