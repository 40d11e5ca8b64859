/**
 * The door of io: sources, sinks and codecs that need no client of their own. Kafka has its own door,
 * `millrace/io/kafka`.
 */

export { arrow } from './arrow.ts';
export { arrowStream } from './arrow-stream.ts';
export type { AvroRow, AvroSchema } from './avro/types.ts';
export { type AvroOptions, avro, avroSchemaOf } from './avro.ts';
export { type BatchCallback, type BatchCallbackOptions, forEachBatch } from './batch-callback.ts';
export type * from './checkpoint-topic.ts';
export type * from './codec.ts';
export { type CollectOptions, type CollectSink, collect } from './collect.ts';
export { type StdoutOptions, stdout } from './console/sink.ts';
export { type CsvColumnOptions, type CsvOptions, csv } from './csv.ts';
export { type Change, type ChangedRow, type DebeziumOptions, debezium } from './debezium.ts';
export { type FileCompression, type FilesLocation, type FilesSinkOptions, type FilesSourceOptions, files } from './files/index.ts';
export { FrameCursor } from './frames.ts';
export { type GeneratorOptions, generator } from './generator.ts';
export { iterable } from './iterable.ts';
export { type JsonOptions, json } from './json.ts';
export { lineSinkEncoder } from './line-encoder.ts';
export { lineBytes, splitLines } from './lines.ts';
export { type LogBatch, type LogSinkOptions, type LogSourceOptions, log, logTopics, readLog } from './log/index.ts';
export { type MemoryOptions, memory } from './memory.ts';
export { type ParquetOptions, parquet } from './parquet/index.ts';
export { type Deposed, isProcessGone, isSameProcess, type LeaseSign, ProcessLock } from './process-lock.ts';
export { type ProtobufOptions, protobuf } from './protobuf.ts';
export { type RawRow, type RecordHeader, raw, readHeaders } from './raw.ts';
export { allocRecordIndex, type RecordParts, RecordSpace } from './record-index.ts';
export type * from './report.ts';
export { EXCHANGE_ROWS, type SharedSource, type Sharing, type SharingContext, type Task } from './shared-source.ts';
export type * from './sink.ts';
export * from './source.ts';
export type { StandardSchema } from './standard-schema.ts';
export type { FileBody, FileFormat } from './store/index.ts';
export { text } from './text.ts';
export type { TimeOptions } from './text-columns.ts';
