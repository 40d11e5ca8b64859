/** The door of `millrace/io/hdfs`: `hdfs.sink`. It needs no client. */

import { sink } from './sink.ts';

export const hdfs = { sink } as const;

export type { HdfsSinkOptions } from './sink.ts';
