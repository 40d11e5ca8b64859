/** Kafka's record batch v2, shared by the embedded log and Kafka: layout, decoder, encoder. */

export { type RecordBatchDecoderOptions, recordBatchDecoder } from './chunk-decoder.ts';
export { checkCompression, type SinkCompression } from './compress.ts';
export { setBaseOffset, setProducer } from './encode.ts';
export { recordFrameRows } from './frame-rows.ts';
export { type KeyedRecord, keyedBatch, keyedRecords } from './keyed-records.ts';
export { KeyColumns } from './keys.ts';
export * from './layout.ts';
export { partitionOf } from './partitioner.ts';
export { type RecordSinkOptions, recordSinkEncoder } from './sink-encoder.ts';
