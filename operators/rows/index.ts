/** The door of operators/rows: user-defined row functions, compiled into one loop over columns. */

export { carriedColumns } from './carried.ts';
export type { Lookup, LookupCache } from './operation.ts';
export { type ColumnValue, schemaAfter } from './operation.ts';
export { planRows, type RowContext, type RowOperation, type RowPlan, type RowPlanOptions, type RowProgram } from './rows.ts';
export { fitted, refusePromise, requireRow } from './values.ts';
