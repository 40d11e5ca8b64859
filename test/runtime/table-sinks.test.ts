/** How tables go into sinks: what is written, what is refused, what does not compile; and a whole job with a restart. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bool, type ChangelogSink, collect, f64, files, json, log, memory, pipeline, readLog, run, type Sink, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { kafkaDecode } from '../io/record-batch-harness.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const USERS = { user: utf8, region: utf8, gone: bool };
const users = () =>
  pipeline('sinks')
    .from(memory([], { schema: USERS }))
    .keyBy('user')
    .table({ delete: (r) => r.gone });
const rowOf = (user: string, region: string, gone = false) => ({ user, region, gone });
const topic = (options: object = {}) => log.sink({ dir: 'none', topic: 't', value: json(), ...options });
const refused = (build: () => unknown, message: RegExp, code = 'PIPELINE') => assert.throws(build, { code: `ERR_MILLRACE_${code}`, message });

describe('what goes into a sink', () => {
  const outputOf = (changelog?: 'retract' | 'append') => {
    const driver = testDriver(
      users()
        .groupBy('region')
        .count()
        .to(collect(changelog === undefined ? {} : { changelog })),
      { partitions: 1 },
    );
    for (const row of [rowOf('a', 'x'), rowOf('b', 'x'), rowOf('a', 'y'), rowOf('b', 'x', true)]) {
      driver.send([row]);
      driver.endEpoch();
    }
    return driver.output().map(({ region, count, retracted }) => `${retracted === undefined ? '' : retracted ? '-' : '+'}${region}${count}`);
  };

  test('retract, also without the option where the sink cannot delete: old rows, and new ones', () => {
    const changes = outputOf('retract');
    assert.deepEqual(
      changes.filter((change) => change.includes('x')),
      ['+x1', '-x1', '+x2', '-x2', '+x1', '-x1'],
    );
    assert.deepEqual(
      changes.filter((change) => change.includes('y')),
      ['+y1'],
    );
    assert.deepEqual(outputOf(), changes);
  });

  test('append: new rows only', () => {
    assert.deepEqual(
      outputOf('append').filter((row) => row.startsWith('x')),
      ['x1', 'x2', 'x1'],
    );
  });

  test('a running aggregate: new rows, as they come, without the option and as upserts', () => {
    for (const options of [{}, { changelog: 'upsert' } as const]) {
      const counts = pipeline('counts')
        .from(memory([], { schema: { k: utf8 } }))
        .keyBy('k')
        .count();
      const driver = testDriver(counts.to(collect(options)), { partitions: 1 });
      for (let i = 0; i < 2; i++) {
        driver.send([{ k: 'a' }]);
        driver.endEpoch();
      }
      assert.deepEqual(driver.output(), [
        { k: 'a', count: 1 },
        { k: 'a', count: 2 },
      ]);
    }
  });
});

describe('what is refused', () => {
  test('upserts without a key, by another key, or where nothing can be deleted', () => {
    const regions = users().groupBy('region').count();
    refused(() => topic({ changelog: 'upsert' }), /changelog is 'upsert', which replaces by key.*Give the key of the table/, 'OPTION');
    refused(
      () => users().to(topic({ changelog: 'upsert', key: 'region' })),
      /changelog: 'upsert' and the key region, but rows of the table replace each other by user/,
    );
    refused(() => regions.to(collect({ changelog: 'upsert' })), /changelog: 'upsert', but cannot delete.*'retract'.*'append'/);
    refused(
      () => regions.map({ n: f64 }, (r) => ({ n: r.count })).to(topic({ changelog: 'upsert', key: 'n' })),
      /columns that they no longer have.*keep the columns/,
    );
    refused(() => collect({ changelog: 'both' as never }), /changelog is "both"; it must be 'upsert'/, 'OPTION');
  });

  test('retractions of facts, and a column of that name', () => {
    const facts = pipeline('facts').from(memory([], { schema: USERS }));
    refused(() => facts.to(collect({ changelog: 'retract' })), /the rows are facts/);
    refused(
      () =>
        users()
          .rename({ gone: 'retracted' })
          .to(collect({ changelog: 'retract' })),
      /"retracted", which the rows have already/,
    );
  });

  test('by the compiler: a table before a sink that takes facts', () => {
    const own: Sink = { name: 'own', check() {}, open: () => Promise.reject(new Error('none')), encoder: () => assert.fail() };
    // @ts-expect-error files take no table without the option
    users().to(files.sink({ dir: 'none', value: json() }));
    users().to(files.sink({ dir: 'none', value: json(), changelog: 'append' }));
    users()
      .changes()
      .to(files.sink({ dir: 'none', value: json() }));
    // @ts-expect-error a sink of somebody's own, which does not say how it takes a table
    users().to(own);
    users().changes().to(own);
    const says: ChangelogSink = { ...own, changelog: 'append' };
    users().to(says);
  });
});

test('a whole job on two workers, stopped and started in the middle: deletes are records without a value', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-tables-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rows = Array.from({ length: 3_000 }, (_, i) => rowOf(`u${(i * 7) % 40}`, `r${(i * i) % 11}`, i % 5 === 0));
  // At last two users are left, in a region each.
  for (let u = 0; u < 40; u++) rows.push(rowOf(`u${u}`, u === 7 ? 'r3' : 'r0', u > 0 && u !== 7));
  const texts = rows.map((row) => JSON.stringify(row));
  const module = new URL('./pipelines/table-sinks.ts', import.meta.url);
  const start = (trigger: 10 | 'availableNow') => run(module, { workers: 2, trigger, checkpoint: { dir: join(dir, 'state'), interval: 20 }, params: { dir } });

  await writeTopic(dir, 'in', 1, texts.slice(0, 1_700));
  const first = await start(10);
  await until(() => first.progress().rowsIn >= 1_700, 'the first half');
  await first.stop();
  await writeTopic(dir, 'in', 1, texts.slice(1_700));
  await (await start('availableNow')).done;

  const read = async (name: string) => {
    const records: { key: string; value: { region: string; count: number; retracted?: boolean } | undefined }[] = [];
    for await (const { bytes } of readLog(dir, name)) {
      for (const { key, value } of (await kafkaDecode(bytes)).records)
        records.push({ key: String(key), value: value === null ? undefined : JSON.parse(String(value)) });
    }
    return records;
  };
  const expected = { r0: 1, r3: 1 };
  const upserts = await read('upsert');
  const latest = new Map(upserts.map(({ key, value }) => [key, value?.count]));
  assert.deepEqual(Object.fromEntries([...latest].filter(([, count]) => count !== undefined)), expected);
  assert.ok(upserts.some(({ value }) => value === undefined) && latest.size > 2);

  const sums = new Map<string, number>();
  for (const { key, value } of await read('retract')) {
    const text = `${key} ${value?.count}`;
    const now = (sums.get(text) ?? 0) + (value?.retracted ? -1 : 1);
    assert.ok(now === 0 || now === 1, `${text} is there ${now} times`);
    sums.set(text, now);
  }
  assert.deepEqual(
    [...sums]
      .filter(([, n]) => n === 1)
      .map(([text]) => text)
      .sort(),
    ['r0 1', 'r3 1'],
  );
  assert.ok((await read('append')).every(({ value }) => value !== undefined && value.retracted === undefined && value.count > 0));
});
