/** `top` as users write it: several columns, ties, the name of the rank, one top behind another. The model is in fold.test.ts. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { binary, collect, count, f64, memory, pipeline, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const SCHEMA = { line: utf8, route: utf8, n: f64, at: timestamp };
const source = () =>
  pipeline('top')
    .from(memory([], { schema: SCHEMA }))
    .withWatermark('at', 0);
const keyed = () => source().keyBy('line');
const rowOf = (line: string, route: string, n: number, at: number) => ({ line, route, n, at });
const rows = [rowOf('u', 'c', 2, 1), rowOf('u', 'a', 3, 2), rowOf('u', 'b', 3, 3), rowOf('u', 'b', 2, 4), rowOf('u', 'a', 1, 5)];

test('several columns, each with its direction; ranks with ties', () => {
  const shown = (ties: 'row' | 'rank' | 'dense', by: readonly ('n desc' | 'route' | 'n asc')[]) => {
    const stream = keyed().window(tumbling(100)).top(3, { by, ties, as: 'place' });
    const driver = testDriver(stream.to(collect()), { partitions: 1 });
    driver.send(rows);
    driver.close();
    return driver.output().map(({ place, route, n }) => `${place} ${route}${n}`);
  };
  assert.deepEqual(shown('row', ['n desc', 'route']), ['1 a3', '2 b3', '3 b2']);
  assert.deepEqual(shown('rank', ['n desc']), ['1 a3', '1 b3', '3 c2', '3 b2']);
  assert.deepEqual(shown('dense', ['n desc']), ['1 a3', '1 b3', '2 c2', '2 b2', '3 a1']);
  assert.deepEqual(shown('row', ['route', 'n asc']), ['1 a1', '2 a3', '3 b2']);
});

test('a top behind a top: its rank takes the place of the earlier one, or has another name', () => {
  const perMinute = keyed().window(tumbling(10)).top(2, { by: 'n' });
  const both = perMinute.keyBy('line').window(tumbling(100)).top(2, { by: 'n', as: 'overall' });
  const one = perMinute
    .filter((row) => row.rank > 0)
    .keyBy('line')
    .window(tumbling(100))
    .top(2, { by: ['n desc', 'route'] });
  both.filter((row) => row.rank > 0 && row.overall > 0).to(collect());
  const driver = testDriver(one.to(collect()), { partitions: 1 });
  driver.send([...rows, rowOf('u', 'd', 9, 15), rowOf('u', 'e', 8, 16), rowOf('u', 'f', 7, 17)]);
  driver.close();
  assert.deepEqual(
    driver.output(1).map(({ rank, route }) => [rank, route]),
    [
      [1, 'd'],
      [2, 'e'],
    ],
  );
  assert.deepEqual(
    driver.output(0).map(({ rank, overall, route }) => [rank, overall, route]),
    [
      [1, 1, 'd'],
      [2, 2, 'e'],
    ],
  );
  // A column of that name that is no rank is nobody's to replace.
  const own = source()
    .map({ ...SCHEMA, rank: f64 }, (row) => ({ ...row, rank: row.n }))
    .keyBy('line');
  assert.throws(() => own.top(2, { by: 'n' }), /Two result columns would be named "rank"/);
  own.top(2, { by: 'n', as: 'place' });
  assert.throws(() => perMinute.keyBy('rank').window(tumbling(100)).top(2, { by: 'n' }), /"rank"/);
});

test('what is wrong is said', () => {
  const option = (message: RegExp) => ({ code: 'ERR_MILLRACE_OPTION', message });
  // @ts-expect-error no such column
  assert.throws(() => keyed().top(3, { by: ['m desc'] }), { code: 'ERR_MILLRACE_PIPELINE', message: /names the column "m"/ });
  // @ts-expect-error no direction
  assert.throws(() => keyed().top(3, { by: ['n down'] }), { code: 'ERR_MILLRACE_PIPELINE', message: /"n down"/ });
  assert.throws(() => keyed().top(3, { by: ['n'], order: 'asc' }), option(/Say it with each/));
  assert.throws(() => keyed().top(3, { by: 'n asc', order: 'desc' }), option(/Say it once/));
  assert.throws(() => keyed().top(3, { by: [] }), option(/or several/));
  assert.throws(() => keyed().top(3, { by: 'n', ties: 'all' as never }), option(/ties: "all"/));
  assert.throws(() => keyed().top(3, { by: 'n', as: '' }), option(/as: ""/));
  const bytes = pipeline('bytes').from(memory([], { schema: { key: utf8, bytes: binary } }));
  assert.throws(() => bytes.keyBy('key').top(1, { by: ['bytes desc'] }), /no order/);
  const placed = keyed().top(3, { by: 'n', as: 'place' });
  // @ts-expect-error the rank has another name
  placed.filter((row) => row.rank > 0);
  keyed().window(tumbling(10)).aggregate({ n: count() }).keyBy('line').window(tumbling(100)).top(1, { by: 'n' });
});
