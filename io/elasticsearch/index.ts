/** The door of `millrace/io/elasticsearch`: `elasticsearch.sink`. It needs no client. */

import { sink } from './sink.ts';

export const elasticsearch = { sink } as const;

export type { ElasticsearchSinkOptions } from './options.ts';
