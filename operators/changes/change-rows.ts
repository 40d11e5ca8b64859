/** Rows of changes as values, and back: what the operators over tables share. */

import { type Batch, comparable, MillraceError, readValue, type Schema, SIGN, withoutSign } from '../../core/index.ts';
import type { KeyedInput, RowOutput } from '../keyed/index.ts';

/** One input of an operator over changes: all columns, and no event time. */
export function changesInput(schema: Schema, keys: readonly string[]): KeyedInput {
  return {
    schema,
    keys: keys.map((name) => schema.require(name, 'groupBy')),
    columns: schema.fields.map((_, c) => c),
    eventTime: -1,
    timeShiftMs: 0,
  };
}

/** Reads rows of changes: their values in the order of the columns, and whether they are taken back. */
export class ChangeReader {
  /** Without the hidden column. */
  readonly schema: Schema;
  readonly #columns: readonly number[];
  readonly #sign: number;

  constructor(schema: Schema) {
    this.schema = withoutSign(schema);
    this.#sign = schema.require(SIGN, 'a table');
    this.#columns = this.schema.fields.map(({ name }) => schema.indexOf(name));
  }

  isRetraction(batch: Batch, row: number): boolean {
    return readValue(batch.memory, batch.column(this.#sign), row) === true;
  }

  values(batch: Batch, row: number): unknown[] {
    return this.#columns.map((c) => readValue(batch.memory, batch.column(c), row));
  }
}

/**
 * A text that two rows share exactly when their values are the same: null is a value, NaN equals NaN, and 0 is
 * not -0.
 */
export function textOf(values: readonly unknown[]): string {
  let text = '';
  for (const each of values) {
    const value = comparable(each);
    if (value === null) text += 'n';
    else if (typeof value === 'string') text += `${value.length}:${value}`;
    else if (typeof value === 'number') text += `${Object.is(value, -0) ? '-0' : value};`;
    else if (value instanceof Uint8Array) text += `${value.length}:${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`;
    else text += `${String(value)};`;
  }
  return text;
}

/** Whether two rows have the same values. */
export function sameValues(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => sameValue(value, b[i]));
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return Object.is(comparable(a), comparable(b));
}

/**
 * Puts out what became of a row: nothing where it is the same, else the old one, taken back, and the new one.
 * Undefined: there is none.
 */
export function putChange(output: RowOutput, before: readonly unknown[] | undefined, after: readonly unknown[] | undefined): void {
  if (before !== undefined && after !== undefined) {
    if (sameValues(before, after)) return;
    output.keepTogether(2);
  }
  if (before !== undefined) output.append([...before, true]);
  if (after !== undefined) output.append([...after, false]);
}

/** A row is taken back that is not there. */
export function neverThere(what: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_USER_FUNCTION',
    `${what} is to take a row back that it does not have. Functions over a table must give the same for the same row, whenever they are called: no clocks, no chance, no state of their own.`,
  );
}
