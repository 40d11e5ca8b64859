// biome-ignore-all lint/suspicious/noDoubleEquals: loose equality is one of the things tested
// biome-ignore-all lint/suspicious/noExplicitAny: rows of any schema
// biome-ignore-all lint/complexity: functions as users write them
// biome-ignore-all lint/security/noGlobalEval: a function that calls eval is one of the things tested
// biome-ignore-all lint/suspicious/noPrototypeBuiltins: functions as users write them
// biome-ignore-all lint/style: functions as users write them

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AnyRow, Batch, bool, f32, f64, i32, i64, MillraceError, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import { planRows, type RowOperation, type RowPlanOptions } from '../../operators/rows/rows.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { batchOf, expected, MODES, outcome, slabs } from './rows-model.ts';

const clicks = schema({ page: utf8, ms: f64, qty: nullable(i32), id: i64, at: timestamp, ok: bool });
const rows: AnyRow[] = Array.from({ length: 50 }, (_, i) => ({
  page: `/p${i % 7}`,
  ms: i * 1.5,
  qty: i % 4 === 0 ? null : i,
  id: BigInt(i) * 4_294_967_296n + BigInt(i % 3),
  at: 1.7e12 + i,
  ok: i % 2 === 0,
}));

const limit = 30;

function check(operations: readonly RowOperation[], input = clicks, data: readonly AnyRow[] = rows): void {
  const { batch, release } = batchOf(input, data);
  const want = expected(batch, operations);
  for (const [mode, options] of MODES) {
    const got = outcome(batch, operations, options);
    assert.deepEqual({ ...got, failed: got.failed.sort((a, b) => a - b) }, want, mode);
  }
  release();
}

const plan = (operations: readonly RowOperation[], needed: readonly number[] | 'all' = 'all', options: RowPlanOptions = {}) =>
  planRows(clicks, operations, needed, options);
const names = (columns: readonly number[]) => columns.map((c) => clicks.field(c).name);

test('without operations the batch itself comes out', () => {
  const { batch, release } = batchOf(clicks, rows);
  const program = plan([]).instantiate({ memory: slabs.memory, slabs, batchRows: 64, onError: () => 'fail' });
  const seen: Batch[] = [];
  program.run(batch, (out) => seen.push(out));
  assert.deepEqual(seen, [batch]);
  assert.equal(program.originOf(7), 7);
  release();
});

test('select, and a map that only renames, copy nothing', () => {
  const { batch, release } = batchOf(clicks, rows);
  const operations: RowOperation[] = [
    { kind: 'select', columns: ['ms', 'page'] },
    { kind: 'map', schema: schema({ path: utf8, time: nullable(f64) }), fn: ({ page, ms: time }) => ({ path: page, time }) },
    { kind: 'filter', fn: () => true },
  ];
  const program = plan(operations).instantiate({ memory: slabs.memory, slabs, batchRows: 64, onError: () => 'fail' });
  program.run(batch, (out) => {
    assert.equal(out.column(0).data, batch.column(0).data);
    assert.equal(out.column(1).data, batch.column(1).data);
    assert.deepEqual(out.toRows(), expected(batch, operations).rows);
  });
  release();
});

test('expressions are emitted, and only what is needed is read', () => {
  const operations: RowOperation[] = [
    { kind: 'filter', fn: (r) => r.ms > 4 && r.page.startsWith('/p') },
    { kind: 'map', schema: schema({ page: utf8, v: f64, twice: f64 }), fn: (r) => ({ page: r.page, v: r.ms * r.qty, twice: r.at * 2 }) },
  ];
  assert.deepEqual(plan(operations).describe(), ['filter: expression over page, ms', 'map: expression over page, ms, qty, at']);
  assert.deepEqual(names(plan(operations).columnsRead), ['page', 'ms', 'qty', 'at']);
  assert.deepEqual(names(plan(operations, [0]).columnsRead), ['page', 'ms']);
  assert.deepEqual(names(plan([operations[0] as RowOperation], [3]).columnsRead), ['page', 'ms', 'id']);
  check(operations);
});

test('a captured variable keeps the closure, with the columns that it reads', () => {
  const operations: RowOperation[] = [{ kind: 'filter', fn: (r) => r.ms > limit }];
  assert.deepEqual(plan(operations).describe(), ['filter: closure reading ms']);
  assert.deepEqual(plan(operations, [], { codeGeneration: false }).describe(), ['filter: interpreted closure reading ms']);
  assert.deepEqual(names(plan(operations, []).columnsRead), ['ms']);
  check(operations);
});

test('a row that goes elsewhere is a whole row', () => {
  const all = clicks.fields.map((_, c) => c);
  const key = 'ms';
  const tests: ((r: any) => unknown)[] = [
    (r) => Object.keys(r).length === 6,
    (r) => r[key] > 3,
    (r) => ({ ...r }).ms > 3,
    ({ ms, ...rest }) => ms > 3 && Object.keys(rest).length === 5,
    (r) => 'ok' in r,
    (r) => r.hasOwnProperty('at'),
    (r) => [r].some((row) => row.ok),
    (...all) => all[0].ok,
    function () {
      return arguments[0].ok;
    },
    (r) => {
      const { page, ...more } = r;
      return page === '/p1' && more.ok !== undefined;
    },
    (r) => JSON.stringify({ r }, (_, v) => (typeof v === 'bigint' ? 0 : v)).includes('qty'),
    function (this: unknown, _r) {
      return eval('r.ok');
    },
    ((r: any) => r.ok).bind(null),
    (r, other = r) => other.ok,
  ];
  for (const fn of tests) {
    assert.deepEqual(plan([{ kind: 'filter', fn }], []).columnsRead, all, String(fn));
    check([{ kind: 'filter', fn }]);
  }
});

test('shapes of functions', () => {
  const object = {
    keep(r: any) {
      return r.ms > 9;
    },
    ['odd name'](r: any) {
      return r.ok;
    },
  };
  const fns: [fn: (r: any) => unknown, described: RegExp][] = [
    [({ ms }) => ms > 9, /expression over ms/],
    [({ ms: m = 4, page }) => m > 9 && page !== '/p1', /expression over page, ms/],
    [
      function (r) {
        return r['ms'] > 9;
      },
      /expression over ms/,
    ],
    [object.keep, /expression over ms/],
    [object['odd name'], /expression over ok/],
    [
      (r) => {
        const { ms } = r;
        const half = ms / 2;
        return half > 9;
      },
      /expression over ms/,
    ],
    [
      (r) => {
        if (r.ok) return true;
        return r.ms > 9;
      },
      /closure reading page|closure reading ms, ok/,
    ],
    [
      (r) => {
        let n = 0;
        for (const c of r.page) n += c.charCodeAt(0);
        return n % 2;
      },
      /closure reading page/,
    ],
    [() => true, /expression over no column/],
    [(r) => r.nothing === undefined, /closure reading every column|closure reading page/],
    [(r) => r?.qty ?? 0 > 3, /expression over qty/],
    [(r) => r.page.length > 2 && r.page?.at(-1) === '3', /closure reading page/],
    [Boolean, /closure reading every column|closure/],
    [(r) => r.ok || r.page.match(/3/), /closure reading page, ok/],
    [(r) => (r.ms > 3, r.ok), /closure/],
    [(r) => (r.ok = r.ms > 3), /closure/],
  ];
  for (const [fn, described] of fns) {
    assert.match(plan([{ kind: 'filter', fn }]).describe()[0] as string, described, String(fn));
    check([{ kind: 'filter', fn }]);
  }
});

test('i64 against literals at the edges of its halves', () => {
  const input = schema({ id: i64, other: nullable(i64) });
  const values = [0n, 1n, -1n, 2n ** 32n, 2n ** 32n - 1n, 2n ** 32n + 5n, 2n ** 32n + 6n, -(2n ** 32n), -(2n ** 32n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)];
  const data = values.flatMap((id) => [...values, null].map((other) => ({ id, other })));
  const fns: ((r: any) => unknown)[] = [
    (r) => r.id <= 4294967301n,
    (r) => r.id < 4294967301n,
    (r) => r.id >= 4294967301n,
    (r) => r.id > 4294967301n,
    (r) => r.id === 4294967301n,
    (r) => r.id !== 4294967301n,
    (r) => r.other <= 0n,
    (r) => r.other < 1n,
    (r) => r.other >= -1n,
    (r) => r.other > -4294967296n,
    (r) => r.other == 0,
    (r) => r.other === 0n,
    (r) => r.other != 0n,
    (r) => -1 < r.other,
    (r) => r.other === 0,
    (r) => r.id > 0.5,
    (r) => r.id === r.other,
    (r) => r.id > 9223372036854775807n,
    (r) => r.id < -9223372036854775809n,
    (r) => (r.other ? true : r.id),
  ];
  for (const fn of fns) check([{ kind: 'filter', fn }], input, data);
});

test('text is compared as JavaScript compares it, also where the bytes are no UTF-8', () => {
  const input = schema({ s: utf8, t: nullable(utf8) });
  const texts = [
    '',
    'a',
    'ab',
    'aab',
    'é',
    'xé',
    '\ufeff',
    '\ufeffa',
    '\ufffd',
    'a\ufffd',
    '😀',
    '😀a',
    'sixteen bytes and some more',
    'more sixteen bytes and some more',
  ];
  const data = texts.map((s, at) => ({ s, t: at % 3 === 0 ? null : (texts[texts.length - 1 - at] as string) }));
  const { batch, release } = batchOf(input, [...data, { s: 'a?', t: '?' }, { s: '?b', t: null }]);
  const { offsets, data: bytes } = batch.column(0);
  // The question marks become bytes that no UTF-8 has.
  for (let at = 0; at < (batch.memory.i32[(offsets >>> 2) + batch.rowCount] as number); at++)
    if (batch.memory.u8[bytes + at] === 63) batch.memory.u8[bytes + at] = 0xff;
  const fns: ((r: any) => unknown)[] = [
    (r) => r.s === 'a\ufffd',
    (r) => r.s === '\ufffdb',
    (r) => r.s !== '\ufffd',
    (r) => r.s.endsWith('\ufffd'),
    (r) => r.s.startsWith('\ufffd'),
    (r) => r.s.includes('\ufffd'),
    (r) => r.s === '\ufeffa',
    (r) => r.s,
    (r) => !r.t,
    (r) => r.s === '',
    (r) => r.t === '',
    (r) => r.s.startsWith('\ud83d'),
    (r) => r.s.startsWith('😀'),
    (r) => r.s.endsWith('é'),
    (r) => r.s.includes('ab'),
    (r) => r.s.includes(''),
    (r) => r.s === 'sixteen bytes and some more',
    (r) => r.s.endsWith('sixteen bytes and some more'),
    (r) => r.s.length === 2,
    (r) => r.t.length === 2,
    (r) => r.t?.startsWith('a'),
    (r) => r.t.startsWith('a'),
    (r) => r.t === null,
    (r) => r.t == undefined,
    (r) => r.s < r.t,
    (r) => r.s.startsWith('ab', 1),
    (r) => r.s !== 'a' && r.s != 'ab',
    (r) => 'a' === r.s,
  ];
  for (const fn of fns) {
    const want = expected(batch, [{ kind: 'filter', fn }]);
    for (const [mode, options] of MODES) assert.deepEqual(outcome(batch, [{ kind: 'filter', fn }], options), want, `${mode} ${fn}`);
  }
  release();
});

test('what a map computed reads back as its column would give it', () => {
  const narrow = schema({ f: f32, t: timestamp, n: i32, s: utf8 });
  check([
    { kind: 'map', schema: narrow, fn: (r) => ({ f: r.ms / 10, t: -0.5 * 0, n: r.ms * 0 * -1, s: '\ud800' }) },
    { kind: 'filter', fn: (r) => r.f !== 0.15 && Object.is(r.t, 0) && Object.is(r.n, 0) && r.s === '\ufffd' },
  ]);
  check([
    { kind: 'map', schema: narrow, fn: (r) => ({ f: r.ms / 10, t: -0.5 * 0, n: r.ms * 0 * -1, s: '\ud800' }) },
    { kind: 'map', schema: schema({ x: f64, y: f64, z: f64, l: utf8 }), fn: (r) => ({ x: r.f, y: r.t, z: r.n, l: r.s }) },
  ]);
});

test('a value that does not fit its column fails the row, in every mode', () => {
  for (const [mode, options] of MODES) {
    const { batch, release } = batchOf(clicks, rows);
    const operations: RowOperation[] = [
      { kind: 'filter', fn: (r) => r.ms > 10 },
      { kind: 'map', schema: schema({ half: i32 }), fn: (r) => ({ half: r.ms }) },
    ];
    const errors: [MillraceError, number, string][] = [];
    const program = plan(operations, 'all', options).instantiate({
      memory: slabs.memory,
      slabs,
      batchRows: 64,
      onError: (error, row, operation) => (errors.push([error, row, operation]), 'fail'),
    });
    assert.throws(
      () => program.run(batch, () => assert.fail('a batch came out')),
      (error) => error === errors[0]?.[0],
    );
    const [error, row, operation] = errors[0] as (typeof errors)[number];
    assert.deepEqual([error.code, row, operation], ['ERR_MILLRACE_USER_FUNCTION', 7, 'map #2'], mode);
    assert.match(error.message, /^map #2 failed on row 7 \{"ms": 10\.5\}: Column "half" holds i32, but the value is 10\.5/);
    assert.equal((error.cause as MillraceError).code, 'ERR_MILLRACE_SCHEMA');
    program.release();
    release();
  }
});

test('a function that throws is named with its row, and can be skipped', () => {
  const fn = (r: any) => {
    if (r.qty === 13) throw new RangeError('thirteen');
    return r.ok || r.qty > limit;
  };
  check([
    { kind: 'filter', fn: (r) => r.ms > 3 },
    { kind: 'filter', fn },
  ]);
  check([{ kind: 'filter', fn: (r) => r.qty === null || r.page.length > r.id }]);
  check([{ kind: 'map', schema: schema({ a: i64 }), fn: (r) => ({ a: r.id * r.id * (r.ok ? 1n : r.ms) }) }]);
  const { batch, release } = batchOf(clicks, rows);
  const program = plan([{ kind: 'filter', fn }]).instantiate({ memory: slabs.memory, slabs, batchRows: 64, onError: () => 'fail' });
  assert.throws(
    () => program.run(batch, () => {}),
    (error: MillraceError) =>
      error.code === 'ERR_MILLRACE_USER_FUNCTION' &&
      /filter #1 failed on row 13 .*"qty": 13.*: RangeError: thirteen/.test(error.message) &&
      error.cause instanceof RangeError,
  );
  // It goes on with the next batch.
  assert.throws(() => program.run(batch, () => {}), { code: 'ERR_MILLRACE_USER_FUNCTION' });
  release();
});

test('a flatMap that gives more rows than fit, fails halfway, or emits too late', () => {
  const words = schema({ page: nullable(utf8), n: i32 });
  check([
    {
      kind: 'flatMap',
      schema: words,
      fn: (r, emit) => {
        for (let n = 0; n < 200; n++) emit({ page: n % 3 ? `${r.page}é` : null, n });
      },
    },
  ]);
  check([
    { kind: 'filter', fn: (r) => r.ms > 12 },
    {
      kind: 'flatMap',
      schema: words,
      fn: (r, emit) => {
        for (let n = 0; n < r.ms; n++) {
          if (n === 70) throw new Error('70');
          emit({ page: null, n });
        }
      },
    },
    { kind: 'filter', fn: (r) => r.n % 5 === 1 },
    { kind: 'map', schema: schema({ m: f64 }), fn: (r) => ({ m: r.n / 2 }) },
  ]);
  check([
    {
      kind: 'flatMap',
      schema: words,
      fn: (r, emit) => {
        emit({ page: r.page, n: 1 });
        emit({ page: r.page, n: r.ms });
      },
    },
  ]);
  // Nulls of a row that failed must not stay behind.
  check([
    {
      kind: 'flatMap',
      schema: words,
      fn: (r, emit) => {
        emit({ page: r.ok ? null : r.page, n: 1 });
        emit({ page: r.ok ? null : r.page, n: 1 });
        if (r.ok && r.ms > 5) throw new Error('even');
      },
    },
  ]);
  for (const [, options] of MODES) {
    const { batch, release } = batchOf(clicks, rows);
    let late: ((row: AnyRow) => void) | undefined;
    outcome(
      batch,
      [
        {
          kind: 'flatMap',
          schema: words,
          fn: (_r, emit) => {
            late = emit;
          },
        },
      ],
      options,
    );
    assert.throws(() => late?.({ page: 'x', n: 1 }), /after it had returned/);
    release();
  }
});

test('mapBatches sees the columns, and fails as a batch', () => {
  const { batch, release } = batchOf(clicks, rows);
  const doubled: RowOperation = {
    kind: 'mapBatches',
    schema: schema({ double: f64 }),
    fn: (from, out) => {
      const { f64: doubles } = from.memory;
      for (let i = 0; i < from.rowCount; i++)
        doubles[((out.columns[0] as { data: number }).data >>> 3) + i] = (doubles[(from.column(1).data >>> 3) + i] as number) * 2;
      out.rowCount = from.rowCount;
    },
  };
  const operations: RowOperation[] = [{ kind: 'filter', fn: (r) => r.ok }, doubled, { kind: 'filter', fn: (r) => r.double > 12 }];
  assert.deepEqual(
    plan(operations, []).columnsRead,
    clicks.fields.map((_, c) => c),
  );
  const want = rows.map((row, origin) => ({ row, origin })).filter(({ row }) => row.ok && (row.ms as number) * 2 > 12);
  for (const [, options] of MODES) {
    for (const batchRows of [64, 16]) {
      const got = outcome(batch, operations, options, 'all', batchRows);
      assert.deepEqual(
        got.rows,
        want.map(({ row }) => ({ double: (row.ms as number) * 2 })),
      );
      assert.deepEqual(
        got.origins,
        want.map(({ origin }) => origin),
      );
    }
    const failed = outcome(
      batch,
      [
        {
          kind: 'mapBatches',
          schema: schema({ x: f64 }),
          fn: () => {
            throw new Error('no');
          },
        },
      ],
      options,
    );
    assert.deepEqual(failed, { rows: [], origins: [], failed: rows.map((_, at) => at) });
  }
  release();
});

test("a batch larger than a program's own is taken in pieces", () => {
  const { batch, release } = batchOf(clicks, rows);
  const operations: RowOperation[] = [
    { kind: 'filter', fn: (r) => r.qty !== 6 },
    { kind: 'map', schema: schema({ p: utf8, q: nullable(i32), ok: bool }), fn: (r) => ({ p: `${r.page}!`, q: r.qty, ok: r.ok }) },
  ];
  for (const [mode, options] of MODES) assert.deepEqual(outcome(batch, operations, options, 'all', 8), expected(batch, operations), mode);
  release();
});

test('async and generator functions, and unknown columns, are refused when the plan is made', () => {
  const fns: unknown[] = [
    async (r: any) => r.ok,
    function* (r: any) {
      yield r;
    },
    async function* (r: any) {
      yield r;
    },
    (async (r: any) => r.ok).bind(null),
    {
      async keep(r: any) {
        return r.ok;
      },
    }.keep,
    'r => r.ok',
    undefined,
  ];
  for (const fn of fns)
    assert.throws(
      () => plan([{ kind: 'filter', fn: fn as never }]),
      (error: MillraceError) => error.code === 'ERR_MILLRACE_PIPELINE' && /filter #1/.test(error.message),
    );
  assert.throws(() => plan([{ kind: 'select', columns: ['pge'] }]), { code: 'ERR_MILLRACE_PIPELINE' });
  for (const [, options] of MODES) {
    const { batch, release } = batchOf(clicks, rows);
    const program = plan([{ kind: 'filter', fn: (r) => Promise.resolve(r.ok) }], 'all', options).instantiate({
      memory: slabs.memory,
      slabs,
      batchRows: 64,
      onError: () => 'fail',
    });
    assert.throws(() => program.run(batch, () => {}), /promise/);
    release();
  }
});

test('a nullable column may come without a bitmap', () => {
  const { batch, release } = batchOf(clicks, rows);
  const bare = new Batch(
    batch.memory,
    batch.schema,
    batch.rowCount,
    batch.columns.map((column) => ({ ...column, validity: 0 })),
  );
  const operations: RowOperation[] = [
    { kind: 'filter', fn: (r) => r.qty !== null && r.qty % 3 !== 1 },
    { kind: 'map', schema: schema({ q: nullable(i32), h: f64 }), fn: (r) => ({ q: r.qty, h: r.qty / 2 }) },
  ];
  for (const [mode, options] of MODES) assert.deepEqual(outcome(bare, operations, options), expected(bare, operations), mode);
  release();
});

test('a program gives back every slab', () => {
  const before = slabs.usage().usedBytes;
  const { batch, release } = batchOf(clicks, rows);
  for (const [, options] of MODES)
    outcome(
      batch,
      [
        { kind: 'filter', fn: (r) => r.ok },
        {
          kind: 'flatMap',
          schema: schema({ p: utf8 }),
          fn: (r, emit) => {
            for (let n = 0; n < 99; n++) emit({ p: r.page.repeat(20) });
          },
        },
        { kind: 'map', schema: schema({ l: f64 }), fn: (r) => ({ l: r.p.length }) },
      ],
      options,
    );
  release();
  assert.equal(slabs.usage().usedBytes, before);
});

test('where code from strings is forbidden, the interpreter gives the same rows', () => {
  const script = fileURLToPath(new URL('./rows-forbidden.ts', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disallow-code-generation-from-strings', ...TYPESCRIPT, script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /interpreted closure reading ms/);
  assert.match(stdout, /same rows/);
});

test('the bench verifies itself', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...TYPESCRIPT, fileURLToPath(new URL('../../bench/micro/rows.ts', import.meta.url)), '--tiny'],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /verified: 6 variants/);
});

test('a flatMap that returns rows: arrays and other iterables, beside those that it emits', () => {
  const words = schema({ page: nullable(utf8), n: i32 });
  const flat = (fn: (r: any, emit: (row: AnyRow) => void) => unknown): void => check([{ kind: 'flatMap', schema: words, fn }]);
  flat((r) => [
    { page: r.page, n: 1 },
    { page: null, n: 2 },
  ]);
  flat((r) => Array.from({ length: 200 }, (_, n) => ({ page: r.page, n })));
  flat((r) => new Set([{ page: r.page, n: 3 }]));
  flat(function* (r) {
    for (let n = 0; n < 100; n++) yield { page: r.page, n };
  });
  // What is emitted comes first, also where it is emitted while the rows are made.
  flat((r, emit) => {
    emit({ page: r.page, n: 1 });
    return [{ page: r.page, n: 2 }];
  });
  flat(function* (r, emit) {
    emit({ page: 'emitted', n: 0 });
    yield { page: r.page, n: 1 };
    emit({ page: 'emitted', n: 2 });
  });
  // Nothing, in the forms that it has.
  for (const nothing of [undefined, null, false, true, 0, 7, '', 'text', []]) flat(() => nothing);
  // A row that fails half way leaves nothing.
  flat((r) => [
    { page: r.page, n: 1 },
    { page: r.page, n: r.ok ? 0.5 : 2 },
  ]);
  // What is no list of rows fails.
  flat((r) => ({ page: r.page, n: 1 }));
  flat((r) => (r.ok ? Promise.resolve([]) : []));
  flat(() => ['no row']);
});

test('a Date for a timestamp, a safe integer for an i64', () => {
  const columns = schema({ at: timestamp, maybe: nullable(timestamp), id: i64, other: nullable(i64) });
  const map = (fn: (r: any) => AnyRow): void => check([{ kind: 'map', schema: columns, fn }]);
  map((r) => ({ at: new Date(Math.floor(r.ms)), maybe: r.ok ? new Date(5) : null, id: 5, other: r.ok ? 7 : null }));
  map((r) => ({ at: 1, maybe: 2, id: r.ok ? 2 ** 53 - 1 : 5n, other: -3 }));
  // Not those that mean nothing, or are not exact.
  map((r) => ({ at: r.ok ? new Date(Number.NaN) : new Date(1), maybe: null, id: 1, other: null }));
  map((r) => ({ at: 1, maybe: null, id: r.ok ? 2 ** 53 : 0.5, other: null }));
  map((r) => ({ at: r.ok ? '2026-01-01' : 5n, maybe: null, id: 1, other: null }));
  check([{ kind: 'map', schema: schema({ id: i64 }), fn: () => ({ id: 5 }) as AnyRow }]);
});
