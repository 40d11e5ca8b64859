/** The door of core/arrow: Arrow IPC bytes to batches and back. */

export { isNestedSchema } from './nested.ts';
export { NestedArrowReader } from './nested-read.ts';
export { nestedBatchBytes, nestedStreamBytes } from './nested-write.ts';
export { ArrowReader, readBatch, readSchema, readStream } from './read.ts';
export { batchBytes, streamBytes, writeBatch, writeSchema, writeStream } from './write.ts';
