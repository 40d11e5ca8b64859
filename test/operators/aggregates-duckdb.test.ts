// The same answers as DuckDB for every aggregate that SQL can say, over 2^18 rows that both make by the same formulas of whole numbers: without a window, in tumbling
// and in sliding windows, through combiners and shards. Skipped where @duckdb/node-api cannot be loaded; with CI=true that is a failure.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  type AnyRow,
  type Batch,
  BatchBuilder,
  createMemory,
  f64,
  i32,
  i64,
  nullable,
  SHARD_COUNT,
  SlabAllocator,
  schema,
  timestamp,
  utf8,
} from '../../core/index.ts';
import {
  type Aggregate,
  approxCountDistinct,
  Combiner,
  collect,
  count,
  countDistinct,
  ewma,
  first,
  last,
  linearCount,
  max,
  mean,
  median,
  min,
  orderExchangeBlocks,
  planAggregate,
  quantile,
  ResultWriter,
  rate,
  shardAggregate,
  sliding,
  stddev,
  sum,
  topK,
  tumbling,
  variance,
  type WindowSpec,
} from '../../operators/index.ts';

const ROWS = 1 << 18;
const CHUNK_ROWS = 1 << 13;
const BATCH_ROWS = 4_096;
const HALF_LIFE_MS = 50_000;

const input = schema({
  at: timestamp,
  page: utf8,
  shop: i32,
  ms: f64,
  big: f64,
  maybe: nullable(f64),
  amount: i64,
  user: utf8,
  note: nullable(utf8),
  seq: f64,
});

/** `at` and `seq` are permutations: no two rows have the same. All products are below 2^53. `at` is a word of DuckDB's: there it is ts. */
const TABLE = `create table t as select
  (i * 37) % 1048583 as ts,
  '/page-' || ((i * i) % 23) as page,
  ((i * 7) % 3 - 1)::int as shop,
  ((i * 7919) % 100003) / 8.0 as ms,
  1e9 + ((i * 7919) % 4096) / 4096.0 as big,
  case when i % 11 = 0 then null else ((i * 104729) % 1009 - 500) / 4.0 end as maybe,
  ((i * 15485863) % 1000003 - 500000) as amount,
  'user-' || ((i * 104729) % 5003) as "user",
  case when i % 3 = 0 then null else 'a note that is longer than what lies in a slot ' || ((i * i) % 41) end as note,
  ((i * 101) % 1048583)::double as seq
  from (select i::bigint as i from range(${ROWS}) r(i))`;

function fillRow(out: BatchBuilder, row: number, i: number): void {
  const values = [
    (i * 37) % 1_048_583,
    `/page-${(i * i) % 23}`,
    ((i * 7) % 3) - 1,
    ((i * 7_919) % 100_003) / 8,
    1e9 + ((i * 7_919) % 4_096) / 4_096,
    i % 11 === 0 ? null : (((i * 104_729) % 1_009) - 500) / 4,
    BigInt(((i * 15_485_863) % 1_000_003) - 500_000),
    `user-${(i * 104_729) % 5_003}`,
    i % 3 === 0 ? null : `a note that is longer than what lies in a slot ${(i * i) % 41}`,
    (i * 101) % 1_048_583,
  ];
  for (let c = 0; c < values.length; c++) out.setValue(c, row, values[c]);
}

type Check = (got: unknown, expected: unknown) => boolean;
const number = (value: unknown) => (typeof value === 'bigint' ? Number(value) : (value as number));
const same: Check = (got, expected) => (expected === null ? got === null : typeof expected === 'string' ? got === expected : number(got) === number(expected));
const near =
  (relative: number): Check =>
  (got, expected) =>
    expected === null ? got === null : Math.abs(number(got) - number(expected)) <= relative * Math.abs(number(expected));
type Case = readonly [Aggregate, string, Check];

const lowerQuantile = (column: string, q: number) => `list_sort(list(${column}))[(floor(${q} * (count(${column}) - 1)) + 1)::int]`;
/** Weights that count from 1970 in place of the newest value: the same mean. */
const smoothedOf = (column: string) => `sum(${column} * pow(2, ts / ${HALF_LIFE_MS}.0)) / sum(pow(2, ts / ${HALF_LIFE_MS}.0))`;
/** Value and count of each note, most frequent first, equals by value. */
const TOP_NOTES = `list_sort(list_transform(map_entries(histogram(note)), lambda e: {'c': -(e.value::bigint), 'n': e.key}))[1:3]`;

const CASES: Readonly<Record<string, Case>> = {
  rows: [count(), 'count(*)', same],
  notes: [count('note'), 'count(note)', same],
  total: [sum('ms'), 'fsum(ms)', near(1e-12)],
  amount: [sum('amount'), 'sum(amount)', same],
  meanMs: [mean('ms'), 'favg(ms)', near(1e-12)],
  meanMaybe: [mean('maybe'), 'avg(maybe)', near(1e-9)],
  least: [min('ms'), 'min(ms)', same],
  most: [max('amount'), 'max(amount)', same],
  leastUser: [min('user'), 'min("user")', same],
  mostNote: [max('note'), 'max(note)', same],
  varMs: [variance('ms'), 'var_samp(ms)', near(1e-9)],
  varMaybe: [variance('maybe', { population: true }), 'var_pop(maybe)', near(1e-9)],
  varAmount: [variance('amount'), 'var_samp(amount)', near(1e-9)],
  // A mean of 10^9 deviations and more: Welford, in DuckDB, keeps fewer digits than ours.
  varBig: [variance('big'), 'var_samp(big)', near(1e-4)],
  devMs: [stddev('ms'), 'stddev_samp(ms)', near(1e-9)],
  devAmount: [stddev('amount', { population: true }), 'stddev_pop(amount)', near(1e-9)],
  firstUser: [first('user'), 'arg_min("user", ts)', same],
  lastMs: [last('ms'), 'arg_max(ms, ts)', same],
  firstNote: [first('note'), 'arg_min(note, ts)', same],
  lastBySeq: [last('amount', { by: 'seq' }), 'arg_max(amount, seq)', same],
  fiveUsers: [collect('user', { max: 5 }), `to_json(list("user" order by ts)[1:5])::varchar`, same],
  fourAmounts: [collect('amount', { max: 4, by: 'seq' }), 'to_json(list(amount order by seq)[1:4])::varchar', same],
  users: [countDistinct('user'), 'count(distinct "user")', same],
  times: [countDistinct('ms'), 'count(distinct ms)', same],
  noteCount: [countDistinct('note'), 'count(distinct note)', same],
  // Six standard errors.
  usersAbout: [approxCountDistinct('user'), 'count(distinct "user")', near(0.0975)],
  timesAbout: [approxCountDistinct('ms', { error: 0.0041 }), 'count(distinct ms)', near(0.0244)],
  usersLinear: [linearCount('user'), 'count(distinct "user")', near(0.03)],
  median: [quantile('ms', 0.5), lowerQuantile('ms', 0.5), near(0.010_000_001)],
  middleMs: [median('ms'), 'median(ms)', near(1e-15)],
  middleMaybe: [median('maybe'), 'median(maybe)', near(1e-15)],
  p99: [quantile('ms', 0.99, { error: 0.001 }), lowerQuantile('ms', 0.99), near(0.001_000_001)],
  tenthMaybe: [quantile('maybe', 0.1), lowerQuantile('maybe', 0.1), near(0.010_000_001)],
  // DuckDB's own sketches: a t-digest, and a HyperLogLog whose standard error is near 0.1 (ours, above, is held to 0.0163).
  usersSketched: [approxCountDistinct('user'), 'approx_count_distinct("user")', near(0.6)],
  medianSketched: [quantile('ms', 0.5), 'approx_quantile(ms, 0.5)', near(0.03)],
  p90Sketched: [quantile('ms', 0.9), 'approx_quantile(ms, 0.9)', near(0.03)],
  topNotes: [topK('note', 3), `coalesce(to_json(list_transform(${TOP_NOTES}, lambda e: {'value': e.n, 'count': -e.c, 'error': 0}))::varchar, '[]')`, same],
  smooth: [ewma('ms', { halfLife: HALF_LIFE_MS }), smoothedOf('ms'), near(1e-9)],
};
const WINDOWED: Readonly<Record<string, Case>> = {
  rate: [rate(), 'count(*) / (any_value(size) / 1000.0)', near(1e-12)],
  msRate: [rate('ms'), 'fsum(ms) / (any_value(size) / 1000.0)', near(1e-12)],
};

/** All rows, as batches. */
function batchesOf(slabs: SlabAllocator): Batch[] {
  return Array.from({ length: ROWS / BATCH_ROWS }, (_, b) => {
    const builder = new BatchBuilder(slabs, input, BATCH_ROWS);
    for (let row = 0; row < BATCH_ROWS; row++) fillRow(builder, row, b * BATCH_ROWS + row);
    return builder.finish(BATCH_ROWS);
  });
}
const slabs = new SlabAllocator(createMemory(1 << 30));
let batches: Batch[] | undefined;

/** Our results: chunks dealt to two combiners, epochs of eight chunks. */
function ours(keys: readonly string[], cases: Readonly<Record<string, Case>>, window: WindowSpec | undefined): AnyRow[] {
  batches ??= batchesOf(slabs);
  const aggregates = Object.fromEntries(Object.entries(cases).map(([name, [aggregate]]) => [name, aggregate]));
  const plan = planAggregate({ input, keys, aggregates, eventTime: 'at', ...(window === undefined ? {} : { window }) });
  const combiners = [new Combiner(slabs, plan), new Combiner(slabs, plan)];
  const writer = new ResultWriter(slabs, plan);
  const shards = Array.from({ length: SHARD_COUNT }, (_, shard) => shardAggregate(slabs, plan, shard, writer));
  const latest = new Map<string, AnyRow>();
  const emit = (batch: { toRows(): AnyRow[] }) => {
    for (const row of batch.toRows()) latest.set(JSON.stringify([...keys, 'windowStart'].map((key) => row[key] ?? null)), row);
  };
  for (let at = 0, epochEnd = 0; at < ROWS; at = epochEnd) {
    epochEnd = Math.min(ROWS, at + CHUNK_ROWS * 8);
    const blocks: number[] = [];
    for (const combiner of combiners) combiner.beginEpoch({ watermark: Number.NEGATIVE_INFINITY, timeBound: Number.POSITIVE_INFINITY });
    for (let chunk = at; chunk < epochEnd; chunk += CHUNK_ROWS) {
      const combiner = combiners[(chunk / CHUNK_ROWS) % 2] as Combiner;
      combiner.beginChunk({ source: 0, partition: (chunk / CHUNK_ROWS) % 3, first: chunk });
      for (let from = chunk; from < Math.min(chunk + CHUNK_ROWS, epochEnd); from += BATCH_ROWS) {
        combiner.add(batches[from / BATCH_ROWS] as Batch);
      }
      combiner.endChunk();
    }
    for (const combiner of combiners) blocks.push(...combiner.takeBlocks());
    orderExchangeBlocks(slabs.memory, blocks);
    for (const shard of shards) {
      for (const block of blocks) shard.merge(block);
      shard.advance(Number.NEGATIVE_INFINITY, emit);
    }
    for (const block of blocks) slabs.free(block);
  }
  for (const shard of shards) {
    shard.close(emit);
    shard.release();
  }
  for (const combiner of combiners) combiner.release();
  writer.release();
  return [...latest.values()];
}

interface Database {
  query(sql: string): Promise<AnyRow[]>;
}

async function openDatabase(): Promise<Database | string> {
  try {
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const connection = await (await DuckDBInstance.create(':memory:')).connect();
    return { query: async (sql) => (await connection.runAndReadAll(sql)).getRowObjects() as AnyRow[] };
  } catch (error) {
    return `@duckdb/node-api cannot be loaded: ${(error as Error).message}`;
  }
}

const database = await openDatabase();
const missing = typeof database === 'string' && process.env['CI'] !== 'true' ? database : false;

describe('the same answers as DuckDB', { skip: missing }, () => {
  const query = (sql: string) => (typeof database === 'string' ? assert.fail(database) : database.query(sql));
  before(async () => {
    await query(TABLE);
  });

  async function compare(keys: readonly string[], cases: Readonly<Record<string, Case>>, window: WindowSpec | undefined, from: string): Promise<void> {
    const places = [...keys, ...(window === undefined ? [] : ['windowStart'])];
    const columns = Object.entries(cases).map(([name, [, sql]]) => `${sql} as "${name}"`);
    const expected = await query(
      `select ${[...places.map((name) => `"${name}"`), ...columns].join(', ')} from ${from} group by ${places.map((name) => `"${name}"`).join(', ') || 'all'}`,
    );
    const placeOf = (row: AnyRow) => JSON.stringify(places.map((name) => (typeof row[name] === 'bigint' ? Number(row[name]) : row[name])));
    const got = new Map(ours(keys, cases, window).map((row) => [placeOf(row), row]));
    assert.equal(got.size, expected.length);
    for (const row of expected) {
      const of = got.get(placeOf(row));
      assert.ok(of, `no result for ${placeOf(row)}`);
      for (const [name, [, , check]] of Object.entries(cases)) {
        assert.ok(check(of[name], row[name]), `${name} of ${placeOf(row)}: ${String(of[name])}, DuckDB has ${String(row[name])}`);
      }
    }
  }
  const pick = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, CASES[name] as Case]));

  test('of all rows so far, by key', () => compare(['page', 'shop'], CASES, undefined, 't'));

  test('in tumbling windows', () =>
    compare(['page'], { ...CASES, ...WINDOWED }, tumbling(100_000), '(select *, ts - ts % 100000 as "windowStart", 100000 as size from t)'));

  test('in sliding windows, two stacks and running', async () => {
    const windows =
      '(select t.*, s.s * 50000 as "windowStart", 300000 as size from t, range(-5, 21) s(s) where ts >= s.s * 50000 and ts < s.s * 50000 + 300000)';
    await compare(
      ['shop'],
      { ...pick(['rows', 'varMs', 'varBig', 'mostNote', 'firstUser', 'lastBySeq', 'fourAmounts', 'noteCount', 'usersAbout', 'median']), ...WINDOWED },
      sliding(300_000, 50_000),
      windows,
    );
    await compare(
      ['shop'],
      { ...pick(['rows', 'total', 'amount', 'meanMaybe', 'median', 'p99', 'tenthMaybe']), ...WINDOWED },
      sliding(300_000, 50_000),
      windows,
    );
  });
});
