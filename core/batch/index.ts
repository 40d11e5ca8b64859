/** The door of core/batch: columns in Arrow layout. */

export { Batch, type Column, isValid, readNumber, readText, readTimestamp, readValue } from './batch.ts';
export { BatchBuilder, type ColumnSpace } from './batch-builder.ts';
export { gather } from './gather.ts';
