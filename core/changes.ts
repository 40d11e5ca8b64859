/**
 * Rows of a table as changes: each with a hidden column that is true where the row is taken back. An old value
 * comes directly before the new one of its key; a row that goes is taken back alone.
 */

import { bool, Schema } from './schema.ts';

/** The hidden column. */
export const SIGN = '[retracted]';

/** The columns of changes: those of the rows, then the hidden one. */
export function withSign(schema: Schema): Schema {
  return new Schema([...schema.fields, { name: SIGN, type: bool }]);
}

/** The columns of the rows. */
export function withoutSign(schema: Schema): Schema {
  return schema.indexOf(SIGN) < 0 ? schema : new Schema(schema.fields.filter(({ name }) => name !== SIGN));
}
