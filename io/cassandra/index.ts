/** The door of `millrace/io/cassandra`: `cassandra.sink`. It needs `npm i cassandra-driver`. */

import { sink } from './sink.ts';

export const cassandra = { sink } as const;

export type { CassandraConsistency, CassandraSinkOptions } from './options.ts';
