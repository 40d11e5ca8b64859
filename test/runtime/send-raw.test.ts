/** Records as they come from outside, and rows that are bad, in the test driver: each goes the way that it goes in a job. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrow, collect, csv, f64, files, json, log, memory, nullable, pipeline, raw, type Source, text, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const COLUMNS = { page: utf8, ms: f64 };
const bytes = (of: string): Buffer => Buffer.from(of);
const fromLog = <R>(value: Parameters<typeof log.source<R>>[0]['value']): Source<R> => log.source<R>({ dir: 'nowhere', topic: 'clicks', value });

/** Rows, and what could not be decoded. */
function driverOf(source: Source<{ page: string; ms: number }>, options: Parameters<typeof testDriver>[1] = {}) {
  const stream = pipeline('raw').from(source);
  const [rows, dead] = [collect(), collect()];
  stream.to(rows);
  stream.errors.to(dead);
  const driver = testDriver(stream, { partitions: 2, ...options });
  return { driver, rows: () => driver.output(rows), dead: () => driver.output(dead) };
}

test('json: what fits comes out, what does not is a dead letter with its bytes, its place and the reason', () => {
  const { driver, rows, dead } = driverOf(fromLog(json(COLUMNS)));
  driver.sendRaw('clicks', [bytes('{"page":"/a","ms":1}'), bytes('{"page":"/b","ms":'), bytes('{"page":"/c","ms":3}')], { partition: 1 });
  driver.sendRaw('log clicks', bytes('{"page":7,"ms":1}'));
  driver.endEpoch();
  assert.deepEqual(rows(), [
    { page: '/a', ms: 1 },
    { page: '/c', ms: 3 },
  ]);
  assert.deepEqual(
    dead().map(({ source, partition, offset, operator, bytes: sample }) => [source, partition, offset, operator, Buffer.from(sample as Uint8Array).toString()]),
    [
      ['log clicks', 0, 0, 'decode', '{"page":7,"ms":1}'],
      ['log clicks', 1, 1, 'decode', '{"page":"/b","ms":'],
    ],
  );
  assert.deepEqual([driver.counts.get('rowsIn'), driver.counts.get('undecodable')], [4, 2]);
  assert.deepEqual(
    driver.samples.map(({ reason, source, partition, offset }) => [reason, source, partition, offset]),
    [
      ['undecodable', 'log clicks', 1, 1],
      ['undecodable', 'log clicks', 0, 0],
    ],
  );
});

test('csv, from files; and rows and records may follow each other', () => {
  const { driver, rows, dead } = driverOf(files.source({ path: 'nowhere.csv', value: csv(COLUMNS) }));
  driver.sendRaw(0, [bytes('/a,1'), bytes('/b,x'), bytes('"/c, d",3')]);
  driver.send([{ page: '/e', ms: 4 }]);
  driver.sendRaw(0, bytes('/f,5'));
  driver.endEpoch();
  assert.deepEqual(rows(), [
    { page: '/a', ms: 1 },
    { page: '/c, d', ms: 3 },
    { page: '/e', ms: 4 },
    { page: '/f', ms: 5 },
  ]);
  assert.deepEqual(
    dead().map(({ offset }) => offset),
    [1],
  );
});

test('raw and text: keys, null values, the clock as the time of a record', () => {
  const stream = pipeline('raw').from(fromLog(raw()));
  const driver = testDriver(stream.to(collect()), { partitions: 2, now: 1_234 });
  driver.sendRaw('clicks', [bytes('v'), null], { key: 'kéy', partition: 1 });
  driver.sendRaw('clicks', bytes('w'), { key: bytes('b') });
  driver.endEpoch();
  const shown = driver.output().map(({ key, value, topic, partition, offset, timestamp }) => ({
    key: key === null ? null : Buffer.from(key as Uint8Array).toString(),
    value: value === null ? null : Buffer.from(value as Uint8Array).toString(),
    at: [topic, partition, Number(offset), Number(timestamp)],
  }));
  assert.deepEqual(shown, [
    { key: 'b', value: 'w', at: ['clicks', 0, 0, 1_234] },
    { key: 'kéy', value: 'v', at: ['clicks', 1, 0, 1_234] },
    { key: 'kéy', value: null, at: ['clicks', 1, 1, 1_234] },
  ]);
  const lines = testDriver(pipeline('text').from(fromLog(text())).to(collect()));
  lines.sendRaw(0, [bytes('one'), Buffer.from([0xff, 0xfe]), bytes('three')]);
  lines.endEpoch();
  assert.equal(lines.output().length, 2);
  assert.equal(lines.counts.get('undecodable'), 1);
});

test('arrow: bytes that are none', () => {
  const { driver, rows, dead } = driverOf(fromLog(arrow(COLUMNS)));
  driver.sendRaw('clicks', bytes('no arrow at all'));
  driver.endEpoch();
  assert.deepEqual(rows(), []);
  assert.equal(dead().length, 1);
});

test('a row that does not fit goes to the ledger where the source has a codec, as its record would; and ends the job where it has none', () => {
  const { driver, rows, dead } = driverOf(fromLog(json(COLUMNS)));
  driver.send([
    { page: '/a', ms: 1 },
    { page: 5, ms: 2 },
    { page: '/c', ms: 3 },
  ]);
  driver.endEpoch();
  assert.deepEqual(rows(), [
    { page: '/a', ms: 1 },
    { page: '/c', ms: 3 },
  ]);
  assert.equal(dead()[0]?.['offset'], 1);
  assert.match(dead()[0]?.['message'] as string, /^undecodable: .*"page"/);
  const objects = driverOf(memory([], { schema: COLUMNS }));
  assert.throws(() => objects.driver.send([{ page: 5, ms: 2 }]), { code: 'ERR_MILLRACE_SCHEMA' });
});

test('a row function that throws, with the errors taken, ends nothing', () => {
  const stream = pipeline('raw')
    .from(fromLog(json({ page: utf8, ms: nullable(f64) })))
    .filter((row) => {
      if (row.ms === null) throw new Error('no ms');
      return true;
    });
  const [rows, dead] = [collect(), collect()];
  stream.to(rows);
  stream.errors.to(dead);
  const driver = testDriver(stream);
  driver.sendRaw('clicks', [bytes('{"page":"/a","ms":1}'), bytes('{"page":"/b","ms":null}')]);
  driver.endEpoch();
  assert.equal(driver.output(rows).length, 1);
  assert.deepEqual([driver.output(dead)[0]?.['offset'], driver.counts.get('failed')], [1, 1]);
});

test('records are spread by the seed as rows are', () => {
  const { driver } = driverOf(fromLog(json(COLUMNS)), { seed: 3 });
  driver.sendRaw(
    'clicks',
    Array.from({ length: 40 }, (_, i) => bytes(`{"page":"/","ms":${i}}`)),
  );
  driver.endEpoch();
  const positions = driver.snapshot().inputs.map(({ position }) => position);
  assert.equal(
    positions.reduce((sum, position) => sum + position, 0),
    40,
  );
  assert.ok(positions.every((position) => position > 0));
});

test('what cannot be sent so is refused', () => {
  const option = (message: RegExp) => ({ code: 'ERR_MILLRACE_OPTION', message });
  const { driver } = driverOf(memory([], { schema: COLUMNS }));
  assert.throws(() => driver.sendRaw('memory', bytes('{}')), option(/memory, which has rows and no codec.*send\(\)/));
  const coded = driverOf(fromLog(json(COLUMNS))).driver;
  assert.throws(() => coded.sendRaw('clicks', '{}' as unknown as Uint8Array), option(/got "\{\}"; give bytes/));
  assert.throws(() => coded.sendRaw('views', bytes('{}')), option(/"views"; there are/));
  assert.throws(() => coded.sendRaw('clicks', bytes('{}'), { partition: 2 }), option(/sendRaw\(\) names partition 2; there are 2/));
  coded.sendRaw('clicks', bytes('{}'));
});
