/** The values of new columns: a function or another column, and perhaps a condition, parsed as one. */

import type { Identifier } from 'acorn';
import type { ColumnValue } from './operation.ts';
import { type ExpressionBody, type ParsedFunction, parseRowFunction, type RowFunction } from './parse.ts';

export interface ParsedColumn {
  readonly reads: ParsedFunction['reads'];
  /** Undefined: it is no expression. */
  readonly body: ExpressionBody | undefined;
  /** The condition; undefined: there is none. */
  readonly where: ExpressionBody | undefined;
}

/**
 * @param operation names the operation, for messages
 * @throws MillraceError ERR_MILLRACE_PIPELINE for what is not a plain function
 */
export function parseColumn(value: ColumnValue, operation: string): ParsedColumn {
  const given = 'fn' in value ? parseRowFunction(value.fn as RowFunction, operation) : columnItself(value.column);
  if (value.where === undefined) return { ...given, where: undefined };
  const where = parseRowFunction(value.where as RowFunction, operation);
  const reads = given.reads === 'all' || where.reads === 'all' ? 'all' : new Set([...given.reads, ...where.reads]);
  // Locals are declared ahead of the row's expression. Those of the value may fail where the condition does not hold.
  const areExpressions = given.body?.locals.length === 0 && where.body?.locals.length === 0;
  return areExpressions ? { reads, body: given.body, where: where.body } : { reads, body: undefined, where: undefined };
}

/** The same as a function that returns a row with this column. */
export function columnFunction(name: string, value: ColumnValue): RowFunction {
  const { where } = value;
  const of: (row: never) => unknown = 'fn' in value ? value.fn : (row) => row[value.column];
  return where === undefined ? (row) => ({ [name]: of(row) }) : (row) => ({ [name]: where(row) ? of(row) : null });
}

function columnItself(column: string): ParsedFunction {
  const result: Identifier = { type: 'Identifier', name: 'value', start: 0, end: 0 };
  return { reads: new Set([column]), body: { row: undefined, columns: new Map([['value', column]]), locals: [], result } };
}
