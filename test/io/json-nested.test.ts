/** json(schema) of structs, lists, JSON text, renaming and defaults: kernel and reference against JSON.parse. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BatchBuilder,
  binary,
  bool,
  compactJson,
  f64,
  i32,
  i64,
  jsonText,
  kernelExports,
  list,
  listOf,
  MillraceError,
  nullable,
  type SchemaFields,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { JsonKernels } from '../../io/json/decode.ts';
import { jsonColumns, membersOf } from '../../io/json/layout.ts';
import { JsonProgram } from '../../io/json/program.ts';
import { json } from '../../io/json.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, encode, memory, slabs } from './codec-harness.ts';
import { modelRow, REFUSED } from './json-model.ts';

const RUNS = caseCount(300);

const FIELDS = {
  id: utf8,
  user: { id: utf8, age: nullable(i32), home: nullable({ lat: f64, tags: list(utf8), deep: { at: timestamp } }) },
  'geo.lat': nullable(f64),
  'geo.far.off': nullable(utf8),
  payload: nullable(jsonText),
  body: jsonText,
  n: nullable(list(i32)),
  u: nullable(list(nullable(u32))),
  xs: nullable(list(nullable(f64))),
  flags: nullable(list(bool)),
  big: nullable(list(i64)),
  items: nullable(list({ sku: utf8, n: nullable(i32), more: { at: nullable(timestamp) } })),
  lists: nullable(list(list(utf8))),
  at: timestamp,
  kind: utf8,
  level: i32,
};
const OPTIONS = {
  from: { at: '@timestamp', kind: 'meta.kind', level: ['log.level'] },
  unit: 's',
  defaults: { kind: 'none', level: 7, user: { age: 18 } },
} as const;
const codec = json(FIELDS, OPTIONS);

/** The row that JSON.parse gives, or REFUSED. */
function model(text: string): Record<string, unknown> | typeof REFUSED {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(text);
  } catch {
    return REFUSED;
  }
  const row = modelRow(FIELDS, record, OPTIONS);
  return row === REFUSED ? row : asValues(row as Record<string, unknown>);
}

/** Text of JSON as its value: what is kept of its form is tested apart. */
function asValues(row: Record<string, unknown>): Record<string, unknown> {
  const text = (value: unknown) => (value === null ? null : JSON.stringify(JSON.parse(value as string)));
  return { ...row, payload: text(row.payload), body: text(row.body) };
}

function check(records: readonly string[]): number {
  const expected = records.map(model);
  const good = expected.flatMap((row, i) => (row === REFUSED ? [] : [i]));
  for (const kernel of [true, false]) {
    const { rows, records: of } = decode(
      codec as never,
      records.map((record) => Buffer.from(record)),
      { kernel },
    );
    const which = kernel ? 'kernel' : 'reference';
    assert.deepEqual(of, good, `${which}: rows of ${JSON.stringify(records)}`);
    good.forEach((record, row) => {
      const found = rows[row] as Record<string, unknown>;
      for (const name of ['payload', 'body']) if (found[name] !== null) assert.equal(compactJson(found[name] as string), found[name], which);
      assert.deepStrictEqual(asValues(found), expected[record], `${which}: ${records[record]}`);
    });
  }
  return good.length;
}

const space = fc.constantFrom('', '', '', '', ' ', '\n', '\t \r\n');
const joined = (open: string, parts: readonly string[], gaps: readonly string[], close: string): string =>
  `${open}${gaps[0] ?? ''}${parts.map((part, i) => `${part}${gaps[(i + 1) % gaps.length] ?? ''}`).join(`,${gaps.at(-1) ?? ''}`)}${close}`;
const gaps = fc.array(space, { minLength: 1, maxLength: 4 });
const array = (element: fc.Arbitrary<string>, maxLength = 6) =>
  fc.tuple(fc.array(element, { maxLength }), gaps).map(([parts, g]) => joined('[', parts, g, ']'));
const object = (members: readonly (readonly [key: string, value: fc.Arbitrary<string>, weight?: number])[], maxLength = members.length + 3) =>
  fc
    .tuple(
      fc.array(
        fc.oneof(
          ...members.map(([key, value, weight = 4]) => ({
            weight,
            arbitrary: fc.tuple(value, space, space).map(([v, a, b]) => `${JSON.stringify(key)}${a}:${b}${v}`),
          })),
        ),
        { maxLength },
      ),
      gaps,
      fc.boolean(),
    )
    .map(([parts, g, isOnce]) => joined('{', isOnce ? [...new Map(parts.map((part) => [part.slice(0, part.indexOf(':')), part])).values()] : parts, g, '}'));
/** Each of them once, in any order. */
const whole = (members: readonly (readonly [key: string, value: fc.Arbitrary<string>])[]) =>
  fc
    .tuple(
      fc.oneof(
        { weight: 12, arbitrary: fc.shuffledSubarray([...members.keys()], { minLength: members.length }) },
        fc.shuffledSubarray([...members.keys()], { minLength: Math.max(0, members.length - 1) }),
      ),
      fc.tuple(...members.map(([, value]) => value)),
      gaps,
    )
    .map(([order, values, g]) =>
      joined(
        '{',
        order.map((i) => `${JSON.stringify(members[i]?.[0])}:${g[0]}${values[i]}`),
        g,
        '}',
      ),
    );

const text = fc.oneof(
  fc.string({ maxLength: 40 }).map((s) => JSON.stringify(s)),
  fc.constantFrom('""', '"\\u0041\\/\\n"', '"\\ud83d\\ude00é"', '"\\ud800"', '"a b  c"', '"{[,:]}"', '"\\\\\\""', '"1234567890123456"', '"\\u001f"'),
);
const number = fc.oneof(
  fc.integer({ min: -5, max: 5 }).map(String),
  fc.integer().map(String),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((x) => JSON.stringify(x)),
  fc.constantFrom('1.0', '1.50', '-0', '0.0000001', '0.000001', '1e3', '1E-2', '4294967295', '4294967296', '123456789012345678', '0.1', '-0.5', '100', '1e400'),
);
const any = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    text,
    number,
    fc.constantFrom('true', 'false', 'null', '{}', '[]', '{ }', '[ ]'),
    array(tie('value'), 4),
    object(
      [
        ['a', tie('value')],
        ['b c', tie('value')],
        ['', tie('value')],
      ],
      3,
    ),
  ),
})).value;
const seconds = fc.oneof(
  { weight: 12, arbitrary: fc.nat().map(String) },
  fc.integer({ min: 0, max: 2_000_000_000 }).map(String),
  fc.tuple(fc.integer({ min: -5, max: 2_000_000_000 }), fc.integer({ min: 0, max: 999_999 })).map(([s, us]) => `${s}.${String(us).padStart(6, '0')}`),
  fc.constantFrom('"2024-02-29T12:00:00.5+05:30"', '"2024-02-29T12:00:00-0130"', '"2024-02-29"', '1e3', '1.001', '-0.0001', '1.7e9'),
  { weight: 1, arbitrary: fc.constantFrom('"x"', '"2024-02-29T12:00:00+24:00"') },
);
const mostly = (good: fc.Arbitrary<string>, weight = 80) => fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: any });
const home = [
  ['lat', mostly(number)],
  ['tags', mostly(array(text))],
  ['deep', mostly(fc.oneof(whole([['at', seconds]]), fc.constantFrom('null', '{}')))],
] as const;
const user = [
  ['id', mostly(text)],
  ['age', mostly(fc.integer({ min: -9, max: 99 }).map(String))],
  ['home', mostly(fc.oneof(whole(home), object(home), fc.constantFrom('null', '{}', '{ }')))],
] as const;
const nullish = (good: fc.Arbitrary<string>) => mostly(fc.oneof({ weight: 6, arbitrary: good }, fc.constant('null')));
const members = [
  ['id', mostly(text)],
  ['user', mostly(fc.oneof({ weight: 12, arbitrary: whole(user) }, object(user)))],
  ['geo.lat', nullish(number)],
  [
    'geo',
    mostly(
      fc.oneof(
        whole([['lat', number]]),
        object([
          ['lat', number],
          ['far', object([['off', text]])],
          ['x', any],
        ]),
      ),
    ),
  ],
  ['payload', any],
  ['body', any],
  ['n', nullish(array(fc.integer({ min: -2147483648, max: 2147483647 }).map(String)))],
  ['u', nullish(array(fc.oneof(fc.nat().map(String), fc.constantFrom('null', '4294967295', '7.0'))))],
  ['xs', nullish(array(fc.oneof(number, fc.constant('null'))))],
  ['flags', nullish(array(fc.constantFrom('true', 'false')))],
  ['big', nullish(array(fc.bigInt({ min: -(2n ** 52n), max: 2n ** 52n }).map(String)))],
  [
    'items',
    nullish(
      array(
        whole([
          ['sku', text],
          ['n', fc.constantFrom('1', 'null', '2.0')],
          ['more', object([['at', fc.constantFrom('5', 'null', '"2024-01-01"')]])],
          ['x', any],
        ]),
      ),
    ),
  ],
  ['lists', nullish(array(array(text, 3), 3))],
  ['@timestamp', mostly(seconds)],
  [
    'meta',
    mostly(
      object([
        ['kind', text],
        ['x', any],
      ]),
    ),
  ],
  ['meta.kind', text],
  ['log.level', mostly(fc.constantFrom('1', '2', 'null'))],
  ['other', any],
] as const;
const good = members.filter(([key]) => !['geo.lat', 'meta.kind', 'other'].includes(key));

describe('json(schema): objects in objects, lists, text of JSON', () => {
  test('reads what JSON.parse reads: kernel and reference, records alike and not', () => {
    let read = 0;
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 8, arbitrary: whole(good) }, object(members, 24)), { minLength: 1, maxLength: 24 }), (records) => {
        read += check(records);
      }),
      { numRuns: RUNS },
    );
    assert.ok(read > RUNS * 2, `${read} records were read`);
  });

  test('hostile bytes: kernel and reference refuse and read the same', () => {
    let refused = 0;
    const change = fc.tuple(fc.nat(1_000), fc.oneof(fc.constantFrom(...Buffer.from('{}[]",:\\u0 tn'), 0, 0xff, 0xc3, 0x80), fc.integer({ min: 0, max: 255 })));
    fc.assert(
      fc.property(fc.array(fc.tuple(whole(good), fc.array(change, { maxLength: 2 })), { minLength: 1, maxLength: 12 }), (given) => {
        const records = given.map(([text, changes]) => {
          const bytes = Buffer.from(text);
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          return bytes;
        });
        const [kernel, reference] = [true, false].map((which) => decode(codec as never, records, { kernel: which }));
        assert.deepEqual(kernel?.records, reference?.records);
        assert.deepStrictEqual(kernel?.rows, reference?.rows);
        refused += kernel?.rejections.length ?? 0;
      }),
      { numRuns: RUNS },
    );
    assert.ok(refused > RUNS, `${refused} records were refused`);
  });

  test('lets the kernel take nested records itself', (t) => {
    const kernels = kernelExports<JsonKernels>(memory);
    if (!kernels) return t.skip('no kernels');
    const fields = {
      id: utf8,
      user: { id: utf8, age: nullable(i32), home: { lat: nullable(f64) } },
      tags: list(utf8),
      n: nullable(list(nullable(i32))),
      xs: list(f64),
      raw: jsonText,
      at: timestamp,
    };
    const rest = '"tags":["a","b c"],"n":[1, -2,null],"xs":[0.5,1,-3.25],"raw":{"a": [1, "x y"]},"at":"2024-02-29T12:00:00+05:30"';
    const ordinary = [
      `{"id":"1","user":{"id":"u","age":3,"home":{"lat":1.5}},${rest}}`,
      `{"id":"2","user":{"id":"v","home":{}},${rest}}`,
      `{ "id" : "3" , "user" : { "home" : null , "other" : [ { } ] , "id" : "w" } , ${rest}}`,
      `{"id":"4","user":{"id":"x","age":null,"home":{"lat":null}},"more":{"a":{"b":[]}},${rest}}`,
    ];
    const builder = new BatchBuilder(slabs, schema(fields), 8);
    for (const column of builder.columns) if (column.offsets !== 0) builder.reserve(column, 4096);
    const columns = jsonColumns(schema(fields), {}, {});
    const tree = membersOf(
      columns.map((column, position) => ({ column, position })),
      'plain',
    );
    const program = new JsonProgram(
      slabs,
      tree,
      builder.columns,
      columns.map(() => ({ default: undefined, unit: 'ms' as const })),
    );
    program.prepare(kernels);
    const frame = slabs.alloc(4096);
    ordinary.forEach((record, i) => {
      const at = frame + 1024 + i * 512;
      memory.u8.set(Buffer.from(record), at);
      memory.u32[(frame >>> 2) + i] = at;
      memory.i32[(frame >>> 2) + 64 + i] = Buffer.byteLength(record);
    });
    for (let round = 0; round < 2; round++) assert.equal(kernels.jsonDecode(program.address, frame, frame + 256, ordinary.length, 0), ordinary.length);
    const rows = builder.finish(4).toRows();
    assert.deepEqual(rows[1], {
      id: '2',
      user: { id: 'v', age: null, home: { lat: null } },
      tags: ['a', 'b c'],
      n: [1, -2, null],
      xs: [0.5, 1, -3.25],
      raw: '{"a":[1,"x y"]}',
      at: Date.UTC(2024, 1, 29, 6, 30),
    });
    slabs.free(frame);
    program.release(slabs);
    builder.release();
  });

  test('a column with dots in its name: from an object, or from a member of that name, whichever the topic has', () => {
    const fields = { 'geo.lat': f64, 'geo.lon': nullable(f64), level: utf8 };
    const flat = json(fields, { from: { level: 'log.level' } });
    const records = [
      ...Array.from({ length: 20 }, (_, i) => `{"geo":{"lat":${i},"lon":null},"log":{"level":"info"}}`),
      ...Array.from({ length: 20 }, (_, i) => `{"geo.lat":${i},"geo.lon":1,"log.level":"warn","geo":{"lat":-1}}`),
      '{"geo":{"lat":5},"log.level":"mixed"}',
    ].map((record) => Buffer.from(record));
    for (const kernel of [true, false]) {
      const { rows } = decode(flat as never, records, { kernel });
      assert.equal(rows.length, 41);
      assert.deepEqual(rows[19], { 'geo.lat': 19, 'geo.lon': null, level: 'info' });
      assert.deepEqual(rows[39], { 'geo.lat': 19, 'geo.lon': 1, level: 'warn' });
      assert.deepEqual(rows[40], { 'geo.lat': 5, 'geo.lon': null, level: 'mixed' });
    }
  });

  test('units: seconds, microseconds and nanoseconds, exactly; fractions are cut', () => {
    const cases: [unit: 's' | 'ms' | 'us' | 'ns', text: string, ms: number | undefined][] = [
      ['s', '1700000000', 1_700_000_000_000],
      ['s', '1700000000.123', 1_700_000_000_123],
      ['s', '1.001', 1001],
      ['s', '1.0019', 1001],
      ['s', '-1.0001', -1001],
      ['s', '-0', 0],
      ['s', '1.7e9', 1_700_000_000_000],
      ['s', '1e-400', 0],
      ['s', '-1e-400', -1],
      ['s', '0e999999999', 0],
      ['s', '1e999', undefined],
      ['s', '9007199254740992', undefined],
      ['ms', '1.5', 1],
      ['us', '1700000000123456', 1_700_000_000_123],
      ['us', '-1', -1],
      ['ns', '1700000000123456789', 1_700_000_000_123],
      ['ns', '9999999999999999999', 9_999_999_999_999],
      ['ns', '12345678901234567890123', undefined],
      ['ns', '-1', -1],
      ['ns', '1.000000000000000001', 0],
    ];
    for (const [unit, written, ms] of cases) {
      for (const kernel of [true, false]) {
        const { rows, rejections } = decode(json({ at: timestamp }, { unit }) as never, [Buffer.from(`{"at":${written}}`)], { kernel });
        assert.deepEqual(rows, ms === undefined ? [] : [{ at: ms }], `${written} ${unit}, ${kernel ? 'kernel' : 'reference'}`);
        if (ms === undefined) assert.match(rejections[0]?.message ?? '', /is no time in (seconds|nanoseconds)/);
      }
    }
    fc.assert(
      fc.property(
        fc.constantFrom('s', 'us', 'ns'),
        fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }),
        fc.integer({ min: 0, max: 12 }),
        (unit, digits, point) => {
          const sign = digits < 0n ? '-' : '';
          const padded = String(digits < 0n ? -digits : digits).padStart(point + 1, '0');
          const written = point === 0 ? `${sign}${padded}` : `${sign}${padded.slice(0, -point)}.${padded.slice(-point)}`;
          const scale = { s: 3, us: -3, ns: -6 }[unit] as number;
          const by = 10n ** BigInt(Math.abs(scale - point));
          const ms = scale >= point ? digits * by : digits / by - (digits < 0n && digits % by !== 0n ? 1n : 0n);
          const fits = ms <= BigInt(Number.MAX_SAFE_INTEGER) && ms >= -BigInt(Number.MAX_SAFE_INTEGER);
          for (const kernel of [true, false]) {
            const { rows } = decode(json({ at: timestamp }, { unit: unit as 's' }) as never, [Buffer.from(`{"at":${written}}`)], { kernel });
            assert.deepEqual(rows, fits ? [{ at: Number(ms) }] : [], `${written} ${unit}, ${kernel ? 'kernel' : 'reference'}`);
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('keeps the text of a value, without the white space between its tokens', () => {
    const cases: [string, string][] = [
      [' { "a" : [ 1.0 , "x  y\\u0041 \\" " ] } ', '{"a":[1.0,"x  y\\u0041 \\" "]}'],
      ['1e5', '1e5'],
      ['"\\/é"', '"\\/é"'],
      ['null', 'null'],
      ['{ }', '{}'],
      [`"${'x'.repeat(100)} ${'\\n'.repeat(20)}"`, `"${'x'.repeat(100)} ${'\\n'.repeat(20)}"`],
    ];
    for (const kernel of [true, false]) {
      const { rows } = decode(
        json({ p: jsonText }) as never,
        cases.map(([given]) => Buffer.from(`{"p":${given}}`)),
        { kernel },
      );
      assert.deepEqual(
        rows.map((row) => row.p),
        cases.map(([, kept]) => kept),
      );
    }
  });

  test('says what is wrong, where, and with which value', () => {
    const fault = (fields: SchemaFields, record: string, options = {}) =>
      decode(json(fields as never, options) as never, [Buffer.from(record)]).rejections[0]?.message ?? 'read';
    assert.match(fault({ user: { id: utf8 } }, '{"user":"x"}'), /column "user\.id" holds utf8 in the object "user", but byte 8 has "\\"x\\""/);
    assert.match(fault({ user: { id: utf8 } }, '{"user":{}}'), /column "user\.id" holds utf8, but the key is missing/);
    assert.match(fault({ user: { id: utf8 } }, '{"user":null}'), /column "user\.id" holds utf8, but the key is missing/);
    assert.match(fault({ tags: list(utf8) }, '{"tags":["a",1]}'), /column "tags" holds list<utf8>, but byte 8 has .*: element 1 is 1, which is no utf8/);
    assert.match(fault({ tags: list(utf8) }, '{"tags":{}}'), /column "tags" holds list<utf8>, but byte 8 has "\{\}"/);
    assert.match(fault({ items: list({ n: i32 }) }, '{"items":[{"n":1},{}]}'), /element 1\.n is undefined, and its type is not nullable/);
    assert.match(fault({ at: list(timestamp) }, '{"at":["then"]}'), /"then" is no ISO 8601 time/);
    assert.match(fault({ b: list(binary) }, '{"b":["*"]}'), /"\*" is no base64/);
  });

  test('refuses options that cannot be, by name', () => {
    const refused = (make: () => unknown, message: RegExp, code = 'ERR_MILLRACE_OPTION') =>
      assert.throws(make, (error: MillraceError) => error instanceof MillraceError && error.code === code && message.test(error.message));
    refused(() => json({ a: utf8 }, { from: { b: 'x' } as never }), /from names the column "b"/);
    refused(() => json({ page: utf8 }, { from: { pgae: 'x' } as never }), /Did you mean page/);
    refused(() => json({ a: utf8 }, { from: { a: [] } }), /Give the name of a member, or a list of names/);
    refused(() => json({ a: utf8, b: utf8 }, { from: { b: 'a' } }), /two columns read the member "a"/);
    refused(() => json({ a: jsonText, 'a.b': utf8 }), /reads "a" as json, and another column reads a member of it/);
    refused(() => json({ a: i32 }, { defaults: { a: 'x' as never } }), /the default of the column "a" is "x", but the column holds i32/);
    refused(() => json({ a: i32 }, { defaults: { a: null as never } }), /the default of the column "a" is null/);
    refused(() => json({ a: i32 }, { defaults: { b: 1 } as never }), /defaults names the column "b"/);
    refused(() => json({ u: { a: i32 } }, { defaults: { u: { b: 1 } } as never }), /defaults names the column "u\.b"/);
    refused(() => json({ at: timestamp }, { unit: 'h' as never }), /unit is "h"\. Give 's', 'ms', 'us' or 'ns'/);
    refused(() => json({ a: utf8 }, { unit: 's' }), /unit is given, and no column is a timestamp/);
    refused(() => json({ a: utf8 }, { columns: { a: { unit: 's' } } }), /unit is given for the column "a", which holds utf8/);
    refused(() => schema({ user: {} }), /Column "user" has the type/, 'ERR_MILLRACE_SCHEMA');
    refused(() => schema({ user: { 'a.b': utf8 } }), /named "a\.b"/, 'ERR_MILLRACE_SCHEMA');
    refused(() => schema({ user: { id: utf8 }, 'user.id': utf8 }), /Two columns are named "user\.id"/, 'ERR_MILLRACE_SCHEMA');
    refused(() => list('utf8' as never), /A list has the type "utf8"/, 'ERR_MILLRACE_SCHEMA');
  });

  test('lists at rest have one form: equal lists are equal bytes', () => {
    const codecOf = json({ a: list(f64), b: list(utf8) });
    const same = ['{"a":[1.0,2e0,0.5],"b":["\\u0041/"]}', '{ "a" : [ 1 , 2 , 0.50 ] , "b" : [ "A\\/" ] }', '{"a":[1,2,0.5],"b":["A/"]}'];
    for (const kernel of [true, false]) {
      const { rows } = decode(
        codecOf as never,
        same.map((record) => Buffer.from(record)),
        { kernel },
      );
      assert.deepEqual(
        rows,
        same.map(() => ({ a: [1, 2, 0.5], b: ['A/'] })),
      );
    }
    assert.deepEqual(listOf(i64, '[9007199254740993,-1]'), [9007199254740993n, -1n]);
    assert.deepEqual(listOf({ x: jsonText, y: nullable(i64) }, '[{"x":{"a":[1,"]"]},"y":null}]'), [{ x: '{"a":[1,"]"]}', y: null }]);
  });

  test('writes what it reads: objects, lists and values again, by kernel and reference', () => {
    const fields = {
      id: utf8,
      'a.b': nullable(f64),
      user: { id: utf8, age: nullable(i32), home: { lat: nullable(f64), deep: { tags: list(utf8) } }, last: bool },
      payload: nullable(jsonText),
      xs: list(nullable(f64)),
      end: { x: { y: i64 } },
    };
    const written = json(fields, { from: { 'a.b': ['a.b'] } });
    const records = [
      '{"id":"1","a.b":1.5,"user":{"id":"u","age":null,"home":{"lat":-2,"deep":{"tags":["a\\n","é"]}},"last":true},"payload":{"a":[1.0]},"xs":[1,null,0.25],"end":{"x":{"y":9007199254740993}}}',
      '{"id":"","a.b":null,"user":{"id":"","age":7,"home":{"lat":null,"deep":{"tags":[]}},"last":false},"payload":null,"xs":[],"end":{"x":{"y":-1}}}',
    ];
    for (const kernel of [true, false]) {
      const { rows } = decode(
        written as never,
        records.map((record) => Buffer.from(record)),
        { kernel },
      );
      const builder = new BatchBuilder(slabs, schema(fields), 8);
      for (const row of rows) builder.appendRow(row);
      const texts = encode(json() as never, builder.finish(), { kernel }).map((bytes) => Buffer.from(bytes).toString());
      assert.deepEqual(texts, records, kernel ? 'kernel' : 'reference');
      // Columns of one object come together, wherever they stand.
      const apart = new BatchBuilder(slabs, schema(fields).select(['user.last', 'id', 'end.x.y', 'user.home.lat', 'user.id'], 'test'), 8);
      for (const row of rows) apart.appendRow(row);
      const [first] = encode(json() as never, apart.finish(), { kernel }).map((bytes) => Buffer.from(bytes).toString());
      assert.equal(first, '{"user":{"last":true,"home":{"lat":-2},"id":"u"},"id":"1","end":{"x":{"y":9007199254740993}}}');
      apart.release();
      builder.release();
    }
  });
});
