/** The door of `millrace/io/hbase`: `hbase.sink`, over HBase's REST server. It needs no client. */

import { sink } from './sink.ts';

export const hbase = { sink } as const;

export type { HBaseSinkOptions } from './options.ts';
