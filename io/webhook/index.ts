/** The door of `millrace/io/http`: `http.source` listens for rows, `http.sink` sends them. */

import { sink } from './sink.ts';
import { source } from './source.ts';

export const http = { source, sink } as const;

export type { HttpSinkOptions } from './sink.ts';
export type { HttpSourceOptions } from './source-options.ts';
