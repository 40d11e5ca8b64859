/** The same rows by each vendor's own client, in the fast way that its documentation shows. */

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type BenchRow, ROWS_MADE, rows } from './rows.ts';

type Theirs = (url: string, rowCount: number) => Promise<number>;

async function measured(work: (all: readonly BenchRow[]) => Promise<void>): Promise<number> {
  const all = rows();
  const before = process.cpuUsage();
  await work(all);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

interface PgClient {
  connect(): Promise<unknown>;
  query(what: unknown): NodeJS.WritableStream;
  end(): Promise<void>;
}

/** COPY through pg-copy-streams, of texts of 500 rows. */
const postgres: Theirs = async (url, rowCount) => {
  const pg = ((await import('pg' as string)) as { default: { Client: new (url: string) => PgClient } }).default;
  const { from } = (await import('pg-copy-streams' as string)) as { from: (sql: string) => unknown };
  const client = new pg.Client(url);
  await client.connect();
  const escaped = (text: string): string =>
    /[\\\t\n\r]/.test(text) ? text.replace(/[\\\t\n\r]/g, (one) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n' })[one] ?? '\\r') : text;
  const seconds = await measured(async (all) => {
    function* texts(): Generator<string> {
      for (let done = 0; done < rowCount; done += ROWS_MADE) {
        for (let from = 0; from < all.length; from += 500) {
          let text = '';
          for (const { id, page, n, ms, at } of all.slice(from, from + 500)) text += `${id}\t${escaped(page)}\t${n}\t${ms}\t${new Date(at).toISOString()}\n`;
          yield text;
        }
      }
    }
    await pipeline(Readable.from(texts(), { objectMode: false }), client.query(from('COPY bench_theirs (id, page, n, ms, at) FROM STDIN')));
  });
  await client.end();
  return seconds;
};

/** ioredis, a pipeline of 1,000 HSET at a time, four under way. */
const redis: Theirs = async (url, rowCount) => {
  const { Redis } = await import('ioredis');
  const client = new Redis(url);
  const seconds = await measured(async (all) => {
    const under = new Set<Promise<unknown>>();
    for (let done = 0; done < rowCount; done += ROWS_MADE) {
      for (let from = 0; from < all.length; from += 1_000) {
        const batch = client.pipeline();
        for (const { id, page, n, ms, at } of all.slice(from, from + 1_000))
          batch.hset(`theirs:${id}`, 'id', id, 'page', page, 'n', String(n), 'ms', ms, 'at', at);
        const sent = batch.exec().finally(() => under.delete(sent));
        under.add(sent);
        while (under.size >= 4) await Promise.race(under);
      }
    }
    await Promise.all(under);
  });
  client.disconnect();
  return seconds;
};

/** The official client, an INSERT of 65,536 objects at a time, as JSONEachRow. */
const clickhouse: Theirs = async (url, rowCount) => {
  const { createClient } = await import('@clickhouse/client');
  const client = createClient({ url });
  const seconds = await measured(async (all) => {
    for (let done = 0; done < rowCount; done += ROWS_MADE * 4) {
      const values: object[] = [];
      for (let i = 0; i < 4 && done + i * ROWS_MADE < rowCount; i++)
        for (const { id, page, n, ms, at } of all) values.push({ id, page, n: String(n), ms, at: Math.floor(at / 1_000) });
      await client.insert({ table: 'bench_theirs', values, format: 'JSONEachRow' });
    }
  });
  await client.close();
  return seconds;
};

export const theirs: Readonly<Record<string, Theirs>> = { postgres, redis, clickhouse };
