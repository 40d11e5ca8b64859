/** Rows of one key of one partition come through operators by key in their order, whatever the keys between them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  broadcast,
  collect,
  countWindow,
  f64,
  type KeyedStream,
  memory,
  pipeline,
  type Stream,
  timestamp,
  utf8,
  collect as values,
} from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';

type Row = { readonly k: string; readonly id: number; readonly other: string; readonly at: number };

function input() {
  const p = pipeline('order');
  const rows = p.from(memory([], { schema: { k: utf8, id: f64, other: utf8, at: timestamp } })).withWatermark('at', '1h');
  const table = p.from(memory([], { schema: { other: utf8, name: utf8 } })).keyBy('other');
  return { rows, table };
}

const schema = { k: utf8, id: f64, other: utf8, at: timestamp };
const through = <K>(keyed: KeyedStream<Row, K>): Stream<Row> => keyed.process({ schema, onRow: (row, ctx) => ctx.emit(row) }) as Stream<Row>;
type Input = ReturnType<typeof input>;

/** What rows go through by keys of their own, before process by `k`. */
const chains: Readonly<Record<string, (of: Input) => Stream<Row>>> = {
  'a broadcast table': ({ rows, table }) => rows.keyBy('other').join(broadcast(table)).select('k', 'id', 'other', 'at') as unknown as Stream<Row>,
  'a table by another key': ({ rows, table }) => rows.keyBy('other').join(table).select('k', 'id', 'other', 'at') as unknown as Stream<Row>,
  'process by another key': ({ rows }) => through(rows.keyBy('other')),
  'process twice, with row functions between': ({ rows }) =>
    through(
      through(rows.keyBy('id'))
        .filter((row) => row.id % 3 > 0)
        .keyBy('other'),
    ),
  dropDuplicates: ({ rows }) => rows.keyBy('other', 'id').dropDuplicates(),
  'process by the same key': ({ rows }) => through(rows.keyBy('k')),
};

function seen(chain: (of: Input) => Stream<Row>, epochs: readonly (readonly Row[])[], options: { shards: number; partitions: number }): Map<string, number[]> {
  const last = chain(input())
    .keyBy('k')
    .process({ schema: { k: utf8, id: f64, n: f64 }, state: () => ({ n: 0 }), onRow: (row, ctx) => ctx.emit({ k: row.k, id: row.id, n: ctx.state.n++ }) })
    .to(collect());
  const driver = testDriver(last, options);
  const hasTable = chain === chains['a broadcast table'] || chain === chains['a table by another key'];
  if (hasTable)
    driver.send(
      1,
      [...Array(9).keys()].map((n) => ({ other: `o${n}`, name: `n${n}` })),
    );
  for (const rows of epochs) {
    for (let partition = 0; partition < options.partitions; partition++) {
      const own = rows.filter(({ id }) => id % options.partitions === partition);
      // In chunks of several sizes.
      for (let from = 0, size = 1; from < own.length; from += size, size = (size * 3) % 7) driver.send(0, own.slice(from, from + size), { partition });
    }
    driver.endEpoch();
  }
  const ids = new Map<string, number[]>();
  for (const { k, id } of [...driver.output()].sort((a, b) => (a.n as number) - (b.n as number)) as unknown as Row[]) ids.set(k, [...(ids.get(k) ?? []), id]);
  return ids;
}

const twenty = Array.from({ length: 20 }, (_, id): Row => ({ k: 'a', id, other: `o${(id * 7) % 9}`, at: id }));

for (const [name, chain] of Object.entries(chains)) {
  test(`ids 0 to 19 of one key of one partition, behind ${name}`, () => {
    const wanted = twenty.map(({ id }) => id).filter((id) => !name.includes('twice') || id % 3 > 0);
    assert.deepEqual(seen(chain, [twenty], { shards: 2, partitions: 1 }).get('a'), wanted);
  });
}

test('any rows, in any epochs and partitions: those of a key and a partition in their order; the same for any number of workers', () => {
  const row = fc.record({ k: fc.constantFrom('a', 'b'), other: fc.constantFrom(...[...Array(9).keys()].map((n) => `o${n}`)) });
  fc.assert(
    fc.property(
      fc.array(fc.array(row, { maxLength: 30 }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...Object.keys(chains)),
      fc.integer({ min: 1, max: 3 }),
      (random, name, partitions) => {
        let id = 0;
        const epochs = random.map((rows) => rows.map((of): Row => ({ ...of, id: id++, at: id })));
        const chain = chains[name] as (of: Input) => Stream<Row>;
        const one = seen(chain, epochs, { shards: 1, partitions });
        for (const ids of one.values()) {
          for (let partition = 0; partition < partitions; partition++) {
            const own = ids.filter((each) => each % partitions === partition);
            assert.deepEqual(
              own,
              [...own].sort((a, b) => a - b),
            );
          }
        }
        assert.deepEqual(seen(chain, epochs, { shards: 3, partitions }), one);
      },
    ),
    { numRuns: caseCount(60) },
  );
});

test('windows of rows and lists take them in that order, too', () => {
  const { rows } = input();
  const moved = through(rows.keyBy('other'));
  const driver = testDriver(
    moved
      .keyBy('k')
      .window(countWindow(5))
      .aggregate({ ids: values('id') })
      .to(collect()),
    { partitions: 1 },
  );
  driver.send(0, twenty);
  driver.endEpoch();
  assert.deepEqual(
    driver.output().map(({ ids }) => ids),
    [0, 5, 10, 15].map((from) => JSON.stringify([0, 1, 2, 3, 4].map((n) => from + n))),
  );
});
