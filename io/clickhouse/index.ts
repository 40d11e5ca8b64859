/** The door of `millrace/io/clickhouse`: `clickhouse.sink`. It needs no client. */

import { sink } from './sink.ts';

export const clickhouse = { sink } as const;

export type { ClickhouseSinkOptions } from './sink.ts';
