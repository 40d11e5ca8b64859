/** Checks of what a method of a stream is given, for callers without types. */

import { MillraceError, shown } from '../../core/index.ts';

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
