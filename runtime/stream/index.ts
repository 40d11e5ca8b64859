/** The door of runtime/stream: what a user writes. */

export { collect } from './collect.ts';
export type { EnrichOptions } from './enrich.ts';
export { enterWorker, loadGraph, type Params, refuseInWorker, supportTypeScript } from './load.ts';
export { main } from './main.ts';
export { type Pipeline, pipeline } from './pipeline.ts';
export type { SampleOptions } from './sample.ts';
export {
  type BroadcastTable,
  broadcast,
  type ConnectedStreams,
  type KeyedStream,
  type KeyedTable,
  type ManyStreams,
  type ProcessedStream,
  type Stream,
  type StreamWithTable,
  type Table,
  type WindowedStream,
} from './stream.ts';
