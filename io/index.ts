/** The door of io: sources, sinks and codecs that need no client of their own. Kafka has its own door, `millrace/io/kafka`. */

export type * from './codec.ts';
export type * from './sink.ts';
export * from './source.ts';
