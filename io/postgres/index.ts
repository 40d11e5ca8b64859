/** The door of `millrace/io/postgres`: `postgres.sink`. Its client, `pg`, is loaded when a job opens it. */

import { sink } from './sink.ts';

export const postgres = { sink } as const;

export type { PostgresConnection, PostgresSinkOptions } from './options.ts';
