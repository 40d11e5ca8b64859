/** The door of core/arrow: Arrow IPC bytes to batches and back. */

export { ArrowReader, readBatch, readSchema, readStream } from './read.ts';
export { batchBytes, streamBytes, writeBatch, writeSchema, writeStream } from './write.ts';
