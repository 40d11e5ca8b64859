/** Arrow IPC: batches out of bytes and into bytes. */

export { ArrowReader, readBatch, readSchema, readStream } from './read.ts';
export { batchBytes, streamBytes, writeBatch, writeSchema, writeStream } from './write.ts';
