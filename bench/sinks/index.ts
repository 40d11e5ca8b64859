/**
 * Sinks beside the vendors' own clients: rows per second of CPU of the Node process, by turns, each in a process of its
 * own, against a real server. The server has to have all rows at the end.
 *
 *   npx tsx bench/sinks/index.ts postgres [rows] [rounds]       or redis, clickhouse
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { clickhouse } from '../../io/clickhouse/index.ts';
import { postgres } from '../../io/postgres/index.ts';
import { redis } from '../../io/redis/index.ts';
import type { Sink } from '../../io/sink.ts';
import { missing, type ServerName, startServer } from '../../scripts/servers/index.js';
import { ours } from './ours.ts';
import { ROWS_MADE } from './rows.ts';
import { theirs } from './theirs.ts';

/** Fewer rows per second of CPU than this, times the vendor's, are a fault. */
const FLOOR = 1.5;

interface System {
  readonly client: string;
  sink(url: string): Sink;
  /** Makes the place of the client. */
  prepare(url: string): Promise<void>;
  count(url: string, who: 'ours' | 'theirs'): Promise<number>;
}

type Query = (url: string, sql: string) => Promise<string>;

const byPg: Query = async (url, sql) => {
  const pg = (
    (await import('pg' as string)) as {
      default: { Client: new (url: string) => { connect(): Promise<void>; query(sql: string): Promise<{ rows: object[] }>; end(): Promise<void> } };
    }
  ).default;
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return String(Object.values(rows?.[0] ?? {})[0]);
};
const byHttp: Query = async (url, sql) => {
  const answer = await fetch(url, { method: 'POST', body: sql });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
};

const SYSTEMS: Readonly<Record<string, System>> = {
  postgres: {
    client: 'pg and pg-copy-streams',
    sink: (url) => postgres.sink({ connection: url, table: 'bench_ours', createTable: true }),
    prepare: async (url) => void (await byPg(url, 'CREATE TABLE bench_theirs (id integer, page text, n bigint, ms double precision, at timestamptz)')),
    count: async (url, who) => Number(await byPg(url, `SELECT count(*) FROM bench_${who}`)),
  },
  redis: {
    client: 'ioredis',
    sink: (url) => redis.sink({ url, type: 'hash', prefix: 'ours:', key: 'id' }),
    prepare: async () => {},
    async count(url, who) {
      const { Redis } = await import('ioredis');
      const client = new Redis(url);
      const keys = await client.keys(`${who}:*`);
      client.disconnect();
      return keys.length;
    },
  },
  clickhouse: {
    client: '@clickhouse/client',
    sink: (url) => clickhouse.sink({ url, table: 'bench_ours', createTable: { orderBy: 'id' } }),
    prepare: async (url) =>
      void (await byHttp(url, 'CREATE TABLE bench_theirs (id Int32, page String, n Int64, ms Float64, at DateTime) ENGINE = MergeTree ORDER BY id')),
    count: async (url, who) => Number(await byHttp(url, `SELECT count() FROM bench_${who}`)),
  },
};

const [name = 'postgres', rowsText = '1000000', roundsText = '3', who, url] = process.argv.slice(2);
const system = SYSTEMS[name];
if (system === undefined) throw new Error(`There is no sink ${name} here; there are ${Object.keys(SYSTEMS).join(', ')}.`);
const rows = Math.ceil(Number(rowsText) / ROWS_MADE) * ROWS_MADE;

if (who !== undefined && url !== undefined) {
  const seconds = who === 'ours' ? await ours(system.sink(url), rows) : await theirs[name]?.(url, rows);
  console.log(JSON.stringify(seconds));
} else await compare(system);

async function compare({ client, prepare, count }: System): Promise<void> {
  const lacking = missing(name as ServerName);
  if (lacking !== undefined) throw new Error(lacking);
  const rounds = Number(roundsText);
  const server = await startServer(name as ServerName);
  try {
    await prepare(server.url);
    const rates: Record<'ours' | 'theirs', number[]> = { ours: [], theirs: [] };
    for (let round = 0; round < rounds; round++) {
      for (const one of ['ours', 'theirs'] as const) {
        const child = spawnSync(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), name, String(rows), '1', one, server.url], {
          encoding: 'utf8',
        });
        assert.equal(child.status, 0, child.stderr);
        rates[one].push(rows / (JSON.parse(child.stdout) as number));
      }
    }
    for (const one of ['ours', 'theirs'] as const)
      assert.equal(await count(server.url, one), name === 'redis' ? ROWS_MADE : rows * rounds, `the rows of ${one}`);
    const shownRates = (all: number[]): string => {
      const sorted = [...all].sort((a, b) => a - b).map((rate) => Math.round(rate).toLocaleString('en'));
      return `${sorted[sorted.length >> 1]} (${sorted[0]} to ${sorted.at(-1)})`;
    };
    const median = (all: number[]): number => [...all].sort((a, b) => a - b)[all.length >> 1] as number;
    const ratio = median(rates.ours) / median(rates.theirs);
    console.log(`${name} ${server.version}, ${rows.toLocaleString('en')} rows, ${rounds} rounds by turns; rows per second of CPU, median (range)`);
    console.log(`  millrace   ${shownRates(rates.ours)}`);
    console.log(`  ${client}   ${shownRates(rates.theirs)}`);
    console.log(`  ${ratio.toFixed(2)} times as many${ratio < FLOOR ? `, below the floor of ${FLOOR}` : ''}`);
    if (ratio < FLOOR) process.exitCode = 1;
  } finally {
    await server.stop();
  }
}
