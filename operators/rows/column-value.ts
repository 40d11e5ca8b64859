/** The values of new columns: a function or another column, and perhaps a condition, parsed as one. */

import type { Identifier } from 'acorn';
import { type Field, memberOf, rowObject, type Schema } from '../../core/index.ts';
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

/** The same as a function that returns a row with this column. @param input the columns that it sees */
export function columnFunction(field: Field, value: ColumnValue, input: Schema): RowFunction {
  const { where } = value;
  const from = 'fn' in value ? undefined : input.field(input.require(value.column, 'withColumns'));
  const of: (row: never) => unknown = 'fn' in value ? value.fn : (row) => memberOf(row, from as Field);
  return (row) => rowObject([field], [where === undefined || where(row) ? of(row) : null]);
}

function columnItself(column: string): ParsedFunction {
  const result: Identifier = { type: 'Identifier', name: 'value', start: 0, end: 0 };
  return { reads: new Set([column]), body: { row: undefined, columns: new Map([['value', column]]), locals: [], result, isColumn: true } };
}
