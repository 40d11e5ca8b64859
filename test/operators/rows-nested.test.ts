/** Row functions over structs, lists and JSON text: expressions, closures and the interpreter give the same rows. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnyRow, Batch, f64, i64, jsonText, list, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import { planRows, type RowOperation } from '../../operators/rows/rows.ts';
import { batchOf, MODES, slabs } from './rows-model.ts';

// biome-ignore lint/suspicious/noExplicitAny: rows of any schema
type Any = any;

const input = schema({
  id: utf8,
  user: { id: utf8, age: nullable(f64), home: { city: nullable(utf8) } },
  'geo.lat': f64,
  tags: nullable(list(utf8)),
  big: list(i64),
  raw: jsonText,
});
const rows: AnyRow[] = Array.from({ length: 40 }, (_, i) => ({
  id: `${i}`,
  user: { id: `u${i % 3}`, age: i % 4 === 0 ? null : i, home: { city: i % 5 === 0 ? null : `c${i}` } },
  'geo.lat': i / 4,
  tags: i % 6 === 0 ? null : [`t${i}`, '"é"'],
  big: [BigInt(i) * 2n ** 57n],
  raw: `{"n":${i}}`,
}));

/** Runs the operations in every mode, and expects what the functions give over plain rows. */
function check(operations: readonly RowOperation[], expected: readonly unknown[], described: readonly string[]): void {
  assert.deepEqual(planRows(input, operations, 'all').describe(), described);
  const { batch, release } = batchOf(input, rows);
  for (const [mode, options] of MODES) {
    const plan = planRows(input, operations, 'all', options);
    // Columns that are not read are blanked, so that a plan that forgets one is found out.
    const columns = batch.columns.map((column, c) => (plan.columnsRead.includes(c) ? column : { type: column.type, data: 0, offsets: 0, validity: 0 }));
    const program = plan.instantiate({ memory: batch.memory, slabs, batchRows: 64, onError: () => 'fail' });
    const got: AnyRow[] = [];
    program.run(new Batch(batch.memory, input, batch.rowCount, columns), (out) => got.push(...out.toRows()));
    assert.deepEqual(got, expected, mode);
    program.release();
  }
  release();
}

test('a member of a struct is a column of an expression', () => {
  const keep = (r: Any) => r.user.id === 'u1' && r.user.age > 3 && r.user?.home?.city !== 'c7' && r['geo.lat'] < 9;
  const shape = (r: Any) => ({ who: r.user.id, len: r.user.home.city?.length ?? -1, x: r.user.age * 2 });
  const target = schema({ who: utf8, len: f64, x: f64 });
  check(
    [
      { kind: 'filter', fn: keep },
      { kind: 'map', schema: target, fn: shape },
    ],
    rows.filter(keep).map(shape),
    ['filter: expression over user.id, user.age, user.home.city, geo.lat', 'map: expression over user.id, user.age, user.home.city'],
  );
  assert.deepEqual(
    planRows(input, [{ kind: 'map', schema: target, fn: shape }], 'all').columnsRead.map((c) => input.field(c).name),
    ['user.id', 'user.age', 'user.home.city'],
  );
});

test('a closure gets objects and arrays, of the columns that it reads', () => {
  const shape = (r: Any) => ({ home: JSON.stringify(r.user.home), user: { tags: r.tags ?? [], n: r.big.map((x: bigint) => x + 1n) }, raw: r.raw });
  const target = schema({ home: utf8, user: { tags: list(utf8), n: list(i64) }, raw: jsonText });
  check([{ kind: 'map', schema: target, fn: shape }], rows.map(shape), ['map: closure reading user.home.city, tags, big, raw']);
  const whole = (r: Any) => ({ all: Object.keys(r).concat(Object.keys(r.user), Object.keys(r.user.home)) });
  check([{ kind: 'map', schema: schema({ all: list(utf8) }), fn: whole }], rows.map(whole), ['map: closure reading every column']);
});

test('what passes through passes through; what does not fit is refused with its place', () => {
  const same: RowOperation = {
    kind: 'map',
    schema: schema({ tags: nullable(list(utf8)), raw: utf8, none: f64 }),
    fn: (r: Any) => ({ tags: r.tags, raw: r.raw, none: r.tags === null ? 1 : 0 }),
  };
  check(
    [same],
    rows.map((r: Any) => ({ tags: r.tags, raw: r.raw, none: r.tags === null ? 1 : 0 })),
    ['map: expression over tags, raw'],
  );
  const { batch, release } = batchOf(input, rows.slice(0, 1));
  const failing = (target: ReturnType<typeof schema>, fn: (r: Any) => AnyRow, message: RegExp) => {
    for (const [mode, options] of MODES) {
      const errors: string[] = [];
      const plan = planRows(batch.schema, [{ kind: 'map', schema: target, fn }], 'all', options);
      const program = plan.instantiate({
        memory: batch.memory,
        slabs,
        batchRows: 8,
        onError: (error) => {
          errors.push(error.message);
          return 'skip';
        },
      });
      program.run(batch, () => {});
      assert.match(errors[0] ?? 'no error', message, mode);
      program.release();
    }
  };
  failing(schema({ tags: list(utf8) }), () => ({ tags: ['a', 1] }), /Column "tags" holds list<utf8>, but element 1 is 1, which is no utf8/);
  failing(schema({ tags: list(utf8) }), (r) => ({ tags: r.id }), /Column "tags" holds list<utf8>, but the value is "0", which is no array/);
  failing(schema({ tags: list(timestamp) }), () => ({ tags: [null] }), /element 0 is null, and its type is not nullable/);
  failing(
    schema({ raw: jsonText }),
    () => ({ raw: '{a' }),
    /Column "raw" holds the text of a JSON value, but the value is "\{a"\. Give JSON\.stringify\(value\)/,
  );
  failing(schema({ raw: jsonText }), (r) => ({ raw: `${r.id}{` }), /holds the text of a JSON value/);
  failing(schema({ text: utf8 }), (r) => ({ text: r.big }), /Column "text" holds utf8, but the value is/);
  failing(schema({ user: { id: utf8 } }), () => ({ user: null }), /Column "user\.id" holds utf8, but the value is undefined/);
  release();
});
