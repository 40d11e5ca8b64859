/** DuckDB, in memory. The rows are in a table before the clock starts; the clock covers the query. */

import { highOf, type KeyKind, readRows, TEXTS_OF_PAIR, wordOf } from '../cases/group-by-input.ts';
import type { Contest, Entry, Input } from '../harness.ts';
import { missingPackage } from './installed.ts';

const VECTOR_ROWS = 2_048;

export function duckdbGroupBy(kind: KeyKind, threads: number): Entry {
  return { isHeavy: true, missing: () => missingPackage('@duckdb/node-api'), start: (input) => contestOf(kind, threads, input) };
}

const WEIGHTS: Readonly<Record<KeyKind, string>> = {
  u32: 'k % 997',
  i64: 'k % 997',
  utf8: 'strlen(k) * 16 + ascii(substr(k, 2, 1)) - 48',
  'utf8+i32': 'strlen(k) * 16 + ascii(substr(k, 2, 1)) - 48 + n',
};

async function contestOf(kind: KeyKind, threads: number, input: Input): Promise<Contest> {
  const { BIGINT, DOUBLE, DuckDBDataChunk, DuckDBInstance, UINTEGER } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads), preserve_insertion_order: 'false' });
  const connection = await instance.connect();
  const { ids, values } = readRows(input);
  const isLong = kind === 'i64';
  await connection.run(`CREATE TABLE loaded (k ${isLong ? 'BIGINT' : 'UINTEGER'}, v DOUBLE)`);
  const appender = await connection.createAppender('loaded');
  const chunk = DuckDBDataChunk.create([isLong ? BIGINT : UINTEGER, DOUBLE], VECTOR_ROWS);
  const longs = new BigInt64Array(isLong ? VECTOR_ROWS : 0);
  const halves = new Uint32Array(longs.buffer);
  for (let from = 0; from < ids.length; from += VECTOR_ROWS) {
    const part = ids.subarray(from, from + VECTOR_ROWS);
    chunk.reset();
    chunk.rowCount = part.length;
    // The vectors' buffers, which have no public type.
    const keys = chunk.getColumnVector(0) as unknown as { items: Uint32Array | BigInt64Array; flush(): void };
    const doubles = chunk.getColumnVector(1) as unknown as { items: Float64Array; flush(): void };
    if (isLong) {
      part.forEach((id, i) => {
        halves[i * 2] = wordOf(id);
        halves[i * 2 + 1] = highOf(id);
      });
      (keys.items as BigInt64Array).set(longs.subarray(0, part.length));
    } else (keys.items as Uint32Array).set(kind === 'u32' ? part.map(wordOf) : part);
    doubles.items.set(values.subarray(from, from + VECTOR_ROWS));
    keys.flush();
    doubles.flush();
    appender.appendDataChunk(chunk);
  }
  appender.flushSync();
  appender.closeSync();
  let table = 'loaded';
  if (kind === 'utf8' || kind === 'utf8+i32') {
    table = 'named';
    const id = kind === 'utf8' ? 'k' : `(k % ${TEXTS_OF_PAIR})`;
    const number = kind === 'utf8' ? '' : `, (k // ${TEXTS_OF_PAIR})::INTEGER n`;
    await connection.run(`CREATE TABLE named AS SELECT 'u' || ${id} || repeat('x', (${id} % 20)::INTEGER) k${number}, v FROM loaded`);
    await connection.run('DROP TABLE loaded');
  }
  const by = kind === 'utf8+i32' ? 'k, n' : 'k';
  const grouped = `(SELECT ${by}, sum(v) s, count(*) c, min(v) lo, max(v) hi FROM ${table} GROUP BY ${by})`;
  return {
    units: ids.length,
    async run() {
      await connection.runAndReadAll(`SELECT count(*), sum(c), sum(s), sum(lo), sum(hi) FROM ${grouped}`);
    },
    async digest() {
      const w = `(${WEIGHTS[kind]})`;
      const reader = await connection.runAndReadAll(
        `SELECT count(*), sum(c), sum(s), sum(lo), sum(hi), sum(${w} * c), sum(${w} * s), sum(${w} * lo), sum(${w} * hi) FROM ${grouped}`,
      );
      return (reader.getRows()[0] ?? []).map(Number);
    },
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}
