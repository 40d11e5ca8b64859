/** What does not compile: each `@ts-expect-error` is an error of the type check when the line below it compiles. And each says at run time what is wrong. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aggregator,
  bool,
  broadcast,
  collect,
  f64,
  i64,
  memory,
  nullable,
  pipeline,
  session,
  sliding,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';

const p = pipeline('types');
const clicks = p.from(memory([], { schema: { page: utf8, ms: f64, bytes: i64, ok: bool, note: nullable(utf8), at: timestamp } })).withWatermark('at', '5s');
const views = p.from(memory([], { schema: { page: utf8, id: f64, when: timestamp } })).withWatermark('when', 0);
/** It is refused where it is written, with a code of ours. */
const bad = (build: () => unknown) => assert.throws(build, (error: { code?: string }) => /^ERR_MILLRACE_(PIPELINE|SCHEMA|OPTION)$/.test(error.code ?? ''));

test('a wrong column name', () => {
  // @ts-expect-error no such column
  bad(() => clicks.keyBy('pgae'));
  // @ts-expect-error no such column
  bad(() => clicks.select('page', 'mss'));
  // @ts-expect-error no such column
  bad(() => clicks.drop('mss'));
  // @ts-expect-error no such column
  bad(() => clicks.withWatermark('att', 0));
  // @ts-expect-error a text is no time
  bad(() => clicks.withWatermark('page', 0));
  // @ts-expect-error no such column
  bad(() => clicks.keyBy('page').aggregate({ total: sum('mss') }));
  // @ts-expect-error there is no sum of texts
  bad(() => clicks.keyBy('page').aggregate({ total: sum('note') }));
  // @ts-expect-error a column that select() left out
  bad(() => clicks.select('page', 'at').keyBy('ms'));
  // @ts-expect-error no such column in the rows of a function
  clicks.filter((row) => row.mss > 0);
  // @ts-expect-error a map makes the columns that its schema names
  clicks.map({ page: utf8 }, (row) => ({ pages: row.page }));
  const counts = clicks.keyBy('page').window(tumbling('1m')).count();
  // @ts-expect-error a result has its keys, its bounds and its aggregates
  counts.filter((row) => row.ms);
});

test('a wrong type of a value', () => {
  // @ts-expect-error an i64 is a bigint
  clicks.filter((row) => row.bytes > 0 && row.bytes === 1);
  // @ts-expect-error a nullable column may be null
  clicks.map({ note: utf8 }, (row) => ({ note: row.note }));
  // @ts-expect-error a text where a number belongs
  clicks.map({ ms: f64 }, (row) => ({ ms: row.page }));
  // @ts-expect-error no duration
  bad(() => tumbling('5x'));
  // @ts-expect-error no duration
  bad(() => sliding('1m', '10sec'));
  // @ts-expect-error no emission
  bad(() => session('1m').emit('often'));
});

test('a wrong key', () => {
  const keyed = clicks.keyBy('page');
  // @ts-expect-error a key of text, and one of number
  bad(() => keyed.join(views.keyBy('id'), { within: [0, '1m'] }));
  // @ts-expect-error and in windows
  bad(() => keyed.window(tumbling('1m')).join(views.keyBy('id')));
  // @ts-expect-error and with a table
  bad(() => keyed.join(views.keyBy('id')));
  // @ts-expect-error a computed key has the columns of its schema
  clicks.keyBy({ site: utf8 }, (row) => ({ host: row.page }));
  // @ts-expect-error not the same columns
  bad(() => clicks.union(views));
  keyed.join(views.keyBy('page'), { within: [0, '1m'] }).to(collect());
});

test('functions of connected streams', () => {
  const keyed = clicks.keyBy('page');
  const schema = { page: utf8 };
  const made = keyed.connect(views.keyBy('page')).process({
    schema,
    outputs: { slow: { ms: f64 }, seen: { id: f64 } },
    order: 'eventTime',
    state: () => ({ ms: 0 }),
    onLeft(row, ctx) {
      ctx.state.ms += row.ms;
      ctx.emit({ page: ctx.key.page });
      ctx.emit('slow', { ms: row.ms });
      // @ts-expect-error no such column on the left
      row.id;
      // @ts-expect-error no such output
      bad(() => ctx.emit('fast', { ms: 1 }));
      // @ts-expect-error a row of another output
      bad(() => ctx.emit('slow', { id: 1 }));
    },
    onRight: (row, ctx) => ctx.emit('seen', { id: row.id }),
  });
  made.outputs.seen.filter((row) => row.id > 0);
  // @ts-expect-error no such output
  made.outputs.fast;
  // @ts-expect-error a row of another output
  made.outputs.slow.filter((row) => row.id > 0);
  made.late.filter((row) => row.ms > 0 && row.offset > 0);
  made.lateRight.filter((row) => row.id > 0);
  // @ts-expect-error a key of text, and one of number
  bad(() => keyed.connect(views.keyBy('id')).process({ schema, onLeft() {}, onRight() {} }));
  keyed.connect(views.keyBy('page'), clicks.keyBy('page')).process({
    schema,
    on: [
      (row, ctx) => ctx.emit({ page: row.page }),
      (row) => row.id + 1,
      // @ts-expect-error the third stream has no such column
      (row) => row.id,
    ],
  });
  keyed.connect(broadcast(views.keyBy('id'))).process({
    schema,
    onRow(row, ctx) {
      ctx.emit({ page: ctx.table.get(row.ms)?.page ?? '' });
      // @ts-expect-error the table is keyed by a number
      ctx.table.get(row.page);
      // @ts-expect-error and read-only
      bad(() => ctx.table.set(1, { page: '', id: 1, when: 0 }));
    },
  });
});

test('rows that are late where none can be, and a sink of other rows', () => {
  const keyed = clicks.keyBy('page');
  // @ts-expect-error a map has no late rows
  bad(() => clicks.map({ ms: f64 }, (row) => ({ ms: row.ms })).late.to(collect()));
  // @ts-expect-error nor has a running aggregate
  bad(() => keyed.aggregate({ total: sum('ms') }).late.to(collect()));
  // @ts-expect-error nor has process in the order of arrival
  bad(() => keyed.process({ schema: { page: utf8 }, onRow() {} }).late.to(collect()));
  keyed.sorted().late.to(collect<{ page: string; offset: number }>());
  // @ts-expect-error a window has none of a second stream
  bad(() => keyed.window(tumbling('1m')).count().lateRight.to(collect()));
  // @ts-expect-error rows have no such column
  clicks.to(collect<{ nope: string }>());
  // @ts-expect-error and a column of another type
  clicks.to(collect<{ page: number }>());
  clicks.to(collect<{ page: string; ms: number }>());
  clicks.to(collect());
});

test('an aggregator of the wrong rows, or the wrong results', () => {
  const keyed = clicks.keyBy('page');
  const add = { init: () => 0, merge: (a: number, b: number) => a + b, result: (sum: number) => sum };
  // @ts-expect-error no such column
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row: { mss: number }) => sum + row.mss }) });
  // @ts-expect-error a column of another type
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row: { page: number }) => sum + row.page }) });
  // @ts-expect-error a column that may be null
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row: { note: string }) => sum + row.note.length }) });
  // @ts-expect-error in windows, too
  keyed.window(tumbling('1m')).aggregate({ total: aggregator({ ...add, add: (sum, row: { mss: number }) => sum + row.mss }) });
  // @ts-expect-error rows are inferred, where nothing is said
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row) => sum + row.mss }) });
  // @ts-expect-error the state is a number
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row: { ms: number }) => `${sum}${row.ms}` }) });
  // @ts-expect-error the result is a number where no type is given
  keyed.aggregate({ total: aggregator({ ...add, add: (sum, row: { ms: number }) => sum + row.ms, result: (sum) => String(sum) }) });
  // @ts-expect-error and what the type holds where one is
  keyed.aggregate({ total: aggregator({ ...add, type: utf8, add: (sum, row: { ms: number }) => sum + row.ms }) });
  const own = aggregator({ ...add, type: nullable(utf8), add: (sum, row: { ms: number }) => sum + row.ms, result: (sum) => (sum > 0 ? String(sum) : null) });
  const results = keyed.aggregate({ total: aggregator({ ...add, add: (sum, row) => sum + row.ms }), own });
  results.filter((row) => row.total > 0 && (row.own ?? '').length > 0);
  // @ts-expect-error it may be null
  results.filter((row) => row.own.length > 0);
});
