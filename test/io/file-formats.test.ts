/** Parquet and Arrow files of sinks, read back by DuckDB, apache-arrow and pyarrow: all types, row groups, statistics, partitions. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { tableFromIPC } from 'apache-arrow';
import { type AnyRow, binary, bool, f32, f64, i8, i16, i32, i64, nullable, timestamp, schema as toSchema, u32, utf8 } from '../../core/index.ts';
import { arrowStream, files, parquet } from '../../io/index.ts';
import { findPyarrow } from '../../scripts/provision-pyarrow.js';
import { SinkRun } from './harness.ts';

let root = '';
let folders = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-formats-'));
});
after(() => rm(root, { recursive: true }));
const folder = () => join(root, String(folders++));

const all = toSchema({
  flag: nullable(bool),
  tiny: nullable(i8),
  small: nullable(i16),
  int: nullable(i32),
  unsigned: nullable(u32),
  long: nullable(i64),
  single: nullable(f32),
  double: nullable(f64),
  odd: nullable(utf8),
  bytes: nullable(binary),
  at: nullable(timestamp),
  n: i32,
});
const LOW = {
  flag: true,
  tiny: -128,
  small: -32_768,
  int: -2_147_483_648,
  unsigned: 4_294_967_295,
  long: -9_223_372_036_854_775_808n,
  single: -1.5,
  double: 5e-324,
  odd: ' "\n\u0000 🐟',
  bytes: Buffer.from([0, 255, 10]),
  at: -62_135_596_800_000,
  n: 0,
};
const HIGH = {
  ...LOW,
  flag: false,
  tiny: 127,
  small: 32_767,
  int: 2_147_483_647,
  unsigned: 0,
  long: 9_223_372_036_854_775_807n,
  double: 1.7976931348623157e308,
  odd: '',
  bytes: Buffer.alloc(0),
  at: 1,
  n: 1,
};
const NULLS = Object.fromEntries(Object.keys(LOW).map((name) => [name, name === 'n' ? 2 : null])) as AnyRow;
const ROWS: AnyRow[] = [LOW, HIGH, NULLS];

async function query(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRows() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function write(dir: string, value: ReturnType<typeof parquet>, of: typeof all, rows: readonly AnyRow[], options: object = {}): Promise<void> {
  const run = await SinkRun.open(files.sink({ dir, value, ...options }), of);
  for (let at = 0, shard = 0; at < rows.length; at += 1_000, shard++) await run.write(rows.slice(at, at + 1_000), { epoch: 1, shard });
  await run.commit(1);
  await run.close();
}

describe('parquet()', () => {
  for (const compression of ['snappy', 'gzip', 'none', ...(Number(process.versions.node.split('.')[0]) >= 23 ? (['zstd'] as const) : [])] as const) {
    test(`all types, extremes and nulls, ${compression}`, async () => {
      const dir = folder();
      await write(dir, parquet({ compression }), all, ROWS);
      const [file] = (await readdir(dir)).filter((name) => name.endsWith('.parquet'));
      assert.equal(file, 'part-0000000001-00000.parquet');
      const columns = 'flag, tiny, small, "int", unsigned, long::varchar, single, "double", odd, hex(bytes), epoch_ms("at")::varchar, n';
      const found = await query(`select ${columns} from '${join(dir, file)}' order by n`);
      const expected = ROWS.map((row) =>
        all.fields.map(({ name }) => {
          const value = row[name];
          if (value === null) return null;
          return value instanceof Uint8Array ? Buffer.from(value).toString('hex').toUpperCase() : name === 'long' || name === 'at' ? String(value) : value;
        }),
      );
      assert.deepEqual(found, expected);
      const types = await query(`select column_name, column_type from (describe select * from '${join(dir, file)}')`);
      assert.deepEqual(Object.fromEntries(types), {
        flag: 'BOOLEAN',
        tiny: 'TINYINT',
        small: 'SMALLINT',
        int: 'INTEGER',
        unsigned: 'UINTEGER',
        long: 'BIGINT',
        single: 'FLOAT',
        double: 'DOUBLE',
        odd: 'VARCHAR',
        bytes: 'BLOB',
        at: 'TIMESTAMP WITH TIME ZONE',
        n: 'INTEGER',
      });
    });
  }

  test('row groups of the blocks of many shards, with statistics, in the order of the rows', async () => {
    const dir = folder();
    const of = toSchema({ i: i32, page: utf8 });
    const rows = Array.from({ length: 25_000 }, (_, i) => ({ i, page: `/${i % 100}` }));
    await write(dir, parquet({ rowGroupRows: 10_000 }), of as never, rows);
    const file = join(dir, 'part-0000000001-00000.parquet');
    assert.deepEqual(
      (
        await query(
          `select row_group_num_rows, stats_min_value, stats_max_value, compression from parquet_metadata('${file}') where path_in_schema = 'i' order by row_group_id`,
        )
      ).map((row) => row.map(String)),
      [
        ['10000', '0', '9999', 'SNAPPY'],
        ['10000', '10000', '19999', 'SNAPPY'],
        ['5000', '20000', '24999', 'SNAPPY'],
      ],
    );
    assert.deepEqual(
      (await query(`select i, page from '${file}'`)).map(([i, page]) => ({ i, page })),
      rows,
    );
  });

  test('partitioned paths, as DuckDB reads them', async () => {
    const dir = folder();
    const of = toSchema({ at: timestamp, page: utf8, n: i32 });
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ at: Date.UTC(2026, 0, 1 + (i % 3)), page: `/${i % 7}`, n: i }));
    await write(dir, parquet(), of as never, rows, { name: 'dt={at:yyyy-MM-dd}/{epoch}-{part}', columns: ['page', 'n'] });
    const found = await query(
      `select dt::varchar, count(*)::int, sum(n)::int from read_parquet('${dir}/*/*.parquet', hive_partitioning = true) group by dt order by dt`,
    );
    assert.deepEqual(
      found,
      [0, 1, 2].map((day) => [`2026-01-0${1 + day}`, 1_000, rows.filter((row) => row.n % 3 === day).reduce((sum, row) => sum + row.n, 0)]),
    );
  });

  test('pyarrow reads it', async (t) => {
    const { python, missing } = findPyarrow();
    if (python === undefined) {
      if (process.env['CI'] === 'true') throw new Error(missing);
      t.skip(missing);
      return;
    }
    const dir = folder();
    await write(dir, parquet(), all, ROWS);
    const script = `import pyarrow.parquet as pq; t = pq.read_table(${JSON.stringify(join(dir, 'part-0000000001-00000.parquet'))}); print(t.num_rows, t.column('long').to_pylist(), t.schema.field('at').type, t.schema.field('unsigned').type)`;
    const { stdout, stderr } = spawnSync(python, ['-c', script], { encoding: 'utf8' });
    assert.equal(stdout.trim(), '3 [-9223372036854775808, 9223372036854775807, None] timestamp[ms, tz=UTC] uint32', stderr);
  });

  test('refuses options and rows that cannot be', () => {
    for (const options of [{ rowGroupRows: 0 }, { compression: 'lzo' }, { statistics: 1 }, { rowGroups: 1 }])
      assert.throws(() => parquet(options as never), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => files.sink({ dir: root, value: parquet() }).check(toSchema({})), { code: 'ERR_MILLRACE_PIPELINE' });
  });
});

describe('arrowStream()', () => {
  test('all types, as apache-arrow reads them; a batch for each of the workers, and files by name', async () => {
    const dir = folder();
    const rows = [...Array.from({ length: 2_500 }, (_, n) => ({ ...LOW, n })), NULLS, { ...HIGH, n: 9_999 }];
    await write(dir, arrowStream(), all, rows, { name: 'flag={flag}', columns: ['n', 'long', 'odd', 'at'] });
    const names = (await readdir(dir)).filter((name) => name.endsWith('.arrows')).sort();
    assert.deepEqual(names, ['flag=__HIVE_DEFAULT_PARTITION__.arrows', 'flag=false.arrows', 'flag=true.arrows']);
    const table = tableFromIPC(await readFile(join(dir, 'flag=true.arrows')));
    assert.equal(table.numRows, 2_500);
    assert.equal(table.batches.length, 3);
    assert.deepEqual(
      [...(table.getChild('n') ?? [])],
      Array.from({ length: 2_500 }, (_, n) => n),
    );
    assert.equal(table.get(7)?.['odd'], LOW.odd);
    assert.equal(table.get(7)?.['long'], LOW.long);
    assert.equal(tableFromIPC(await readFile(join(dir, names[0] as string))).get(0)?.['at'], null);
  });
});
