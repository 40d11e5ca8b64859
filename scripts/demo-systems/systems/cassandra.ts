// The demo's results in Cassandra: a partition for each page, a row for each minute.

import cassandraDriver from 'cassandra-driver';
import { cassandra } from '../../../io/cassandra/index.ts';
import type { ServerConnections } from '../../servers/index.js';
import type { Average } from '../averages.ts';
import type { System } from './system.ts';

type Connect = ServerConnections['cassandra'];
const KEYSPACE = 'demo';
const TABLE = 'averaged_clicks';

async function withClient<T>(connect: unknown, use: (client: cassandraDriver.Client) => Promise<T>): Promise<T> {
  const client = new cassandraDriver.Client(connect as Connect);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.shutdown();
  }
}

export const system: System = {
  server: 'cassandra',
  async prepare(connect) {
    await withClient(connect, async (client) => {
      await client.execute(`CREATE KEYSPACE ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`);
      await client.execute(`CREATE TABLE ${KEYSPACE}.${TABLE} (page text, "windowStart" timestamp, "averageMs" double, PRIMARY KEY (page, "windowStart"))`);
    });
  },
  sink: (connect) => cassandra.sink({ ...(connect as Connect), keyspace: KEYSPACE, table: TABLE, key: ['page', 'windowStart'], version: 'windowStart' }),
  async read(connect) {
    return withClient(connect, async (client) => {
      const rows: Average[] = [];
      // All pages, one after the other.
      for await (const row of await client.execute(`SELECT page, "windowStart", "averageMs" FROM ${KEYSPACE}.${TABLE}`, [], { prepare: true })) {
        rows.push({ page: row['page'], windowStart: row['windowStart'].getTime(), averageMs: row['averageMs'] });
      }
      return rows;
    });
  },
};
