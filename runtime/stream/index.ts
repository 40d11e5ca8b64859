/** The door of runtime/stream: what a user writes. */

export { collect } from './collect.ts';
export { enterWorker, loadGraph, type Params, refuseInWorker, supportTypeScript } from './load.ts';
export { main } from './main.ts';
export { type Pipeline, pipeline } from './pipeline.ts';
export { type BroadcastTable, broadcast, type KeyedStream, type KeyedTable, type Stream, type Table, type WindowedStream } from './stream.ts';
