/** The door of io: sources, sinks and codecs that need no client of their own. Kafka has its own door, `millrace/io/kafka`. */

export type * from './codec.ts';
export type * from './sink.ts';
export * from './source.ts';
export { type BatchCallback, forEachBatch } from './batch-callback.ts';
export { type CollectSink, collect } from './collect.ts';
export { type StdoutOptions, stdout } from './console/sink.ts';
export { type FilesLocation, type FilesSinkOptions, type FilesSourceOptions, files } from './files/index.ts';
export { type GeneratorOptions, generator } from './generator.ts';
export { iterable } from './iterable.ts';
export { lineSinkEncoder } from './line-encoder.ts';
export { type MemoryOptions, memory } from './memory.ts';
export { arrow } from './arrow.ts';
export { json } from './json.ts';
export { type LogBatch, type LogSinkOptions, type LogSourceOptions, log, logTopics, readLog } from './log/index.ts';
export { csv, type CsvOptions } from './csv.ts';
export { text } from './text.ts';
export { raw, type RawRow, readHeaders, type RecordHeader } from './raw.ts';
export { allocRecordIndex, type RecordParts, RecordSpace } from './record-index.ts';
export { lineBytes, splitLines } from './lines.ts';
