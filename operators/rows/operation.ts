/** The row operations of a pipeline, as data: what a user wrote, with the columns that come of it. */

import { type AnyRow, type Batch, type BatchBuilder, Schema } from '../../core/index.ts';

// The pipeline infers a row's type from the schema; here a row is whatever the schema says.
// biome-ignore-start lint/suspicious/noExplicitAny: see above
export type RowOperation =
  | { readonly kind: 'filter'; readonly fn: (row: any) => unknown }
  | { readonly kind: 'map'; readonly schema: Schema; readonly fn: (row: any) => AnyRow }
  /** The columns of `schema`, added to the others or replacing those of the same names. */
  | { readonly kind: 'keyBy'; readonly schema: Schema; readonly fn: (row: any) => AnyRow }
  /** The same with a value for each column of `schema`. All see the row as it came. */
  | { readonly kind: 'withColumns'; readonly schema: Schema; readonly values: readonly ColumnValue[]; readonly isHidden?: boolean }
  /** `seesSign`: the function is ours, and sees the hidden column of changes. */
  | { readonly kind: 'flatMap'; readonly schema: Schema; readonly fn: (row: any, emit: (row: AnyRow) => void) => unknown; readonly seesSign?: boolean }
  | { readonly kind: 'select'; readonly columns: readonly string[] }
  /** New names, by the old ones. */
  | { readonly kind: 'rename'; readonly names: ReadonlyMap<string, string> }
  /** The same with what an asynchronous function gives. It ends a chain: what is behind waits for it (runtime/engine/lookups). */
  | ({ readonly kind: 'enrich'; readonly schema: Schema } & Lookup)
  | { readonly kind: 'mapBatches'; readonly schema: Schema; readonly fn: (batch: Batch, out: BatchBuilder) => void };

/** What a new column has: what a function gives, or what another column has; null where the condition does not hold. */
export type ColumnValue =
  | { readonly fn: (row: any) => unknown; readonly where?: ((row: any) => unknown) | undefined }
  | { readonly column: string; readonly where: (row: any) => unknown };

/** A look-up outside, row by row. */
export interface Lookup {
  readonly fn: (row: any, context: { readonly signal: AbortSignal }) => unknown;
  /** Calls under way in one thread. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  /** How often a call that failed is made again. */
  readonly retries: number;
  readonly cache: LookupCache | undefined;
}

// biome-ignore-end lint/suspicious/noExplicitAny: see above

/** Answers that are kept in a thread: one for all rows with these values. */
export interface LookupCache {
  readonly by: readonly string[];
  readonly size: number;
  readonly ttlMs: number;
}

export type LoopOperation = Exclude<RowOperation, { kind: 'mapBatches' | 'enrich' }>;

/** The schema behind an operation. */
export function schemaAfter(schema: Schema, operation: RowOperation): Schema {
  switch (operation.kind) {
    case 'filter':
      return schema;
    case 'select':
      return schema.select(operation.columns, 'select');
    case 'rename':
      for (const name of operation.names.keys()) schema.require(name, 'rename');
      return new Schema(schema.fields.map(({ name, type }) => ({ name: operation.names.get(name) ?? name, type })));
    case 'keyBy':
    case 'withColumns':
    case 'enrich':
      return new Schema([
        ...schema.fields.map((field) => operation.schema.fields[operation.schema.indexOf(field.name)] ?? field),
        ...operation.schema.fields.filter(({ name }) => schema.indexOf(name) < 0),
      ]);
    default:
      return operation.schema;
  }
}
