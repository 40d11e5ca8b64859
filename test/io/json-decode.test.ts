/** json(schema) against JSON.parse: generated and mutated records, by the kernel and by the reference. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BatchBuilder,
  binary,
  bool,
  createMemory,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  kernelExports,
  MillraceError,
  nullable,
  type SchemaFields,
  SlabAllocator,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { JsonKernels } from '../../io/json/decode.ts';
import { jsonColumns, membersOf } from '../../io/json/layout.ts';
import { JsonProgram } from '../../io/json/program.ts';
import { DEPTH_MAX } from '../../io/json/scanner.ts';
import { json } from '../../io/json.ts';
import { allocRecordIndex } from '../../io/record-index.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, memory, slabs } from './codec-harness.ts';
import { modelRow, REFUSED } from './json-model.ts';

const RUNS = caseCount(300);

const SCHEMA = {
  page: utf8,
  ms: f64,
  n: nullable(i32),
  ok: nullable(bool),
  größe: nullable(utf8),
  b: nullable(i8),
  s: nullable(i16),
  u: nullable(u32),
  f: nullable(f32),
  at: nullable(timestamp),
  bin: nullable(binary),
  __proto__x: nullable(f64),
  'a key that is longer than thirty-two bytes': nullable(utf8),
  'tab\t"quote"': nullable(f64),
} satisfies SchemaFields;
const codec = json(SCHEMA);
const model = (bytes: Uint8Array) => modelRow(SCHEMA, bytes);

/** Decodes by kernel and reference; both must do what the model says. */
function check(records: readonly Uint8Array[], batchRows = 16): number {
  const expected = records.map(model);
  const good = expected.flatMap((row, i) => (row === REFUSED ? [] : [i]));
  for (const kernel of [true, false]) {
    const { rows, records: of, rejections } = decode(codec as never, records, { kernel, batchRows });
    const which = kernel ? 'kernel' : 'reference';
    assert.deepEqual(of, good, `${which}: rows of ${JSON.stringify(records.map((record) => Buffer.from(record).toString('latin1')))}`);
    good.forEach((record, row) => assert.deepStrictEqual(rows[row], expected[record], `${which}: ${Buffer.from(records[record] as Uint8Array).toString()}`));
    assert.deepEqual(
      rejections.map((rejection) => rejection.offset - 1000),
      expected.flatMap((row, i) => (row === REFUSED ? [i] : [])),
    );
    for (const rejection of rejections) {
      assert.equal(rejection.reason, 'undecodable');
      assert.deepEqual(rejection.sample, (records[rejection.offset - 1000] as Uint8Array).slice(0, 1024));
    }
  }
  return good.length;
}

// Generated JSON text, with all the freedom that its grammar leaves: white space, escapes, number forms, duplicate keys.
const space = fc.constantFrom('', '', '', ' ', '\n', '\t \r\n', '                    ');
const escape = (char: string, how: number): string => {
  const units = [...Array(char.length)].map((_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join('');
  if (how === 0) return units;
  if (how === 1) return units.toUpperCase().replaceAll('\\U', '\\u');
  return char === '/' ? '\\/' : JSON.stringify(char).slice(1, -1);
};
const char = fc.oneof(
  { weight: 6, arbitrary: fc.string({ minLength: 1, maxLength: 1, unit: 'grapheme-ascii' }) },
  fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  fc.constantFrom('\ud800', '\udc00', '"', '\\', '/', '\u2028', '\u0000', 'é', '😀', '\u007f'),
);
const stringBody = fc
  .array(fc.tuple(char, fc.constantFrom(0, 1, 2, 2, 2, 2, 2, 2)), { maxLength: 24 })
  .map((chars) => chars.map(([c, how]) => escape(c, how)).join(''));
const stringText = fc
  .oneof(
    stringBody,
    fc.string({ maxLength: 70 }).map((s) => JSON.stringify(s).slice(1, -1)),
    fc.constantFrom(
      '2024-02-29T23:59:59.123456789Z',
      '2023-02-29T00:00:00Z',
      '1969-12-31 23:59:59Z',
      '1969-12-31 23:59:59',
      '2024-02-29T12:00:00.25',
      '2024-02-29T12:00:00.',
      '0000-03-01T00:00:00.5Z',
      '2024-12-31',
      '2024-01-01T10:00+05:30',
      '-000001-01-01T00:00:00Z',
      'aGVsbG8=',
      'aGVsbG8',
      '_-8=',
      'a',
      'aGVsbG9=',
    ),
  )
  .map((s) => `"${s}"`);
const digits = (max: number) => fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: max }).map((d) => d.join(''));
const numberText = fc.oneof(
  fc.integer({ min: -140, max: 140 }).map(String),
  fc.integer().map(String),
  fc.maxSafeInteger().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(
        fc.constant('0'),
        digits(24).map((d) => d.replace(/^0+(?=.)/, '')),
      ),
      fc.option(
        digits(24).map((d) => `.${d}`),
        { nil: '' },
      ),
      fc.option(
        fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-', 'e-'), digits(4)).map((e) => e.join('')),
        { nil: '' },
      ),
    )
    .map((parts) => parts.join('')),
);
const literal = fc.constantFrom('true', 'false', 'null');
const valueText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    { weight: 3, arbitrary: stringText },
    { weight: 3, arbitrary: numberText },
    literal,
    fc.tuple(space, fc.array(tie('value'), { maxLength: 4 }), space).map(([a, values, b]) => `[${a}${values.join(`${b},${a}`)}${b}]`),
    fc
      .tuple(space, fc.array(fc.tuple(stringText, tie('value')), { maxLength: 4 }), space)
      .map(([a, members, b]) => `{${a}${members.map(([key, value]) => `${key}${b}:${a}${value}`).join(`${b},${a}`)}${b}}`),
  ),
})).value;
const names = Object.keys(SCHEMA);
const keyText = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...names).map((name) => JSON.stringify(name)) },
  fc.constantFrom('"\\u0070age"', '"m\\u0073"', '"__proto__"', '"pag"', '"pages"', '""', '"a key that is longer than thirty-two byteZ"'),
  stringText,
);
/** A value that the column likes more often than not. */
const memberText = fc.oneof(
  fc.tuple(keyText, valueText),
  fc.tuple(fc.constantFrom('"page"', '"größe"'), stringText),
  fc.tuple(fc.constantFrom('"ms"', '"f"', '"at"', '"n"', '"u"', '"s"', '"b"'), numberText),
  fc.tuple(fc.constant('"ok"'), literal),
);
const recordText = fc
  .tuple(space, space, fc.boolean(), stringText, numberText, fc.array(memberText, { maxLength: 8 }))
  .map(([a, b, isFull, page, ms, members]) => {
    const all: (readonly [string, string])[] = isFull ? [['"page"', page], ...members, ['"ms"', ms]] : members;
    return `${a}{${b}${all.map(([key, value]) => `${key}${a}:${b}${value}`).join(`${a},${b}`)}${a}}${b}`;
  });
const likelyRecord = fc
  .tuple(stringBody, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.option(fc.integer()), fc.option(fc.boolean()))
  .map(([page, ms, n, ok]) => `{"page":"${page}","ms":${JSON.stringify(ms)},"n":${n},"ok":${ok}}`);
const recordBytes = fc.oneof(recordText, likelyRecord).map((text) => new Uint8Array(Buffer.from(text)));
const mutation = fc.tuple(
  fc.nat(400),
  fc.constantFrom('set', 'cut', 'drop', 'twice'),
  fc.oneof(fc.nat(255), fc.constantFrom(...'"\\{}[]:,0-.eE\n \u0000tfnu'.split('').map((c) => c.charCodeAt(0)))),
);
const mutated = fc.tuple(recordBytes, fc.array(mutation, { minLength: 1, maxLength: 3 })).map(([bytes, mutations]) => {
  let now = [...bytes];
  for (const [place, how, byte] of mutations) {
    const at = now.length === 0 ? 0 : place % now.length;
    if (how === 'set') now[at] = byte;
    else if (how === 'cut') now = now.slice(0, at);
    else if (how === 'drop') now.splice(at, 1);
    else now.splice(at, 0, now[at] ?? byte);
  }
  return Uint8Array.from(now);
});

const text = (...records: string[]): Uint8Array[] => records.map((record) => new Uint8Array(Buffer.from(record)));
const one = (fields: SchemaFields, record: string | Uint8Array, kernel = true) =>
  decode(json(fields) as never, [typeof record === 'string' ? new Uint8Array(Buffer.from(record)) : record], { kernel });

describe('json(schema): decoding', () => {
  test('has its kernel', () => {
    if (process.env.MILLRACE_KERNELS !== 'typescript') assert.equal(typeof kernelExports<JsonKernels>(memory)?.jsonDecode, 'function');
  });

  test('reads what JSON.parse reads', () => {
    let good = 0;
    fc.assert(
      fc.property(fc.array(recordBytes, { minLength: 1, maxLength: 40 }), (records) => {
        good += check(records);
      }),
      { numRuns: RUNS },
    );
    assert.ok(good > RUNS, `${good} rows of ${RUNS} lists: the generator makes rows`);
  });

  test('refuses what JSON.parse refuses, beside neighbours that are read', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(recordBytes, { weight: 3, arbitrary: mutated }), { minLength: 1, maxLength: 60 }), (records) => {
        check(records);
      }),
      { numRuns: RUNS },
    );
  });

  test('takes long runs, in which few records are not like the others', () => {
    // Texts that look like the end of a text, of a record, of a key; numbers of 15 to 21 bytes; keys that nobody wants.
    const texts = ['"', '\\', 'a",', '","ms":1,"page":"', '"}', 'x\\",\\"ms\\":2', '{', 'größer', '\u0001', 'sixteen bytes ok', 'more than sixteen bytes', ''];
    const numbers = [
      '0',
      '-0',
      '12.5',
      '-1.25e3',
      '123456789012345',
      '1234567890.12345',
      '0.1234567890123456',
      '12345678901234567',
      '-2222.2083333333335',
      '1234567890123456789',
      '123.4567890123456789',
      '01',
      '1.',
      '.5',
      '1..5',
      '-',
      '1.2.3',
    ];
    const members = fc.oneof(
      fc.tuple(
        fc.constantFrom('page', 'größe', 'not wanted', 'not wanted, and longer than sixteen bytes', 'x', ''),
        fc.constantFrom(...texts).map((t) => JSON.stringify(t)),
      ),
      fc.tuple(
        fc.constantFrom('ms', 'n', 'f', 'at', 'u', 's', 'b', 'y'),
        fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -99, max: 999 }).map(String) }, fc.constantFrom(...numbers)),
      ),
      fc.tuple(fc.constantFrom('ok', 'z'), literal),
      fc.tuple(
        fc.constantFrom('ok', 'z', 'a key that is longer than thirty-two bytes'),
        fc.constantFrom('{"a":[1,"}"]}', '[]', 'tru', 'nul', '"\\x"', '"\\u00e9"', '""'),
      ),
    );
    const ordinary = fc.tuple(fc.nat(5), fc.nat(99_999), fc.constantFrom('', ' ')).map(([order, n, gap]) => {
      const parts = ['"page":"/p"', `"ms":${n / 8}`, `"n":${n}`, '"ref":"https://x.y/z"', `"at":${1.7e12 + n}`, `"ok":${n % 2 === 0}`];
      return `{${[...parts.slice(order), ...parts.slice(0, order)].join(`,${gap}`)}}`;
    });
    const other = fc
      .tuple(fc.uniqueArray(members, { maxLength: 7, selector: ([key]) => key }), fc.option(members, { freq: 6, nil: undefined }), fc.constantFrom('', '', ' '))
      .map(
        ([all, more, gap]) =>
          `{${[['page', '"p"'], ['ms', '1.5'], ...all, ...(more ? [more] : [])].map(([key, value]) => `"${key}":${gap}${value}`).join(',')}}`,
      );
    for (const weight of [2, 30]) {
      let good = 0;
      fc.assert(
        fc.property(fc.array(fc.oneof({ weight, arbitrary: ordinary }, other), { minLength: 100, maxLength: 300, size: 'max' }), (records) => {
          good += check(text(...records), 256);
        }),
        { numRuns: Math.ceil(RUNS / 10) },
      );
      assert.ok(good > RUNS, `${good} rows`);
    }
  });

  test('refuses every truncation and reads every prefix as JSON.parse does', () => {
    const record = Buffer.from(
      '{"page":"a\\u00e9\\n😀 and a longer text behind it","ms":-12.5e-3,"n":null,"ok":true,"at":"2024-02-29T12:00:00.5Z","x":{"a":[1,{"b":"}"}]},"u":7} ',
    );
    check(Array.from({ length: record.length + 1 }, (_, i) => new Uint8Array(record.subarray(0, i))));
  });

  test('gives the double of JSON.parse for every number', () => {
    const fields = { x: f64 };
    const hard = [
      '0',
      '-0',
      '-0.0',
      '0e5',
      '1e400',
      '-1e400',
      '1e-400',
      '5e-324',
      '2.4703282292062327e-324',
      '2.4703282292062328e-324',
      '2.2250738585072011e-308',
      '1.7976931348623157e308',
      '1.7976931348623159e308',
      '9007199254740993',
      '9007199254740992.5',
      '9007199254740993.0000000000000001',
      '123456789012345678901234567890',
      '0.1',
      '0.30000000000000004',
      '8.41e21',
      '1e22',
      '1e23',
      '9.5e-23',
      '18446744073709551615',
      '18446744073709551616',
      '0.000000000000000000000000000001',
      '6.631236846766476e-316',
      '1e00005',
      '1e-00000000000000000001',
      '7450580596923828125e-27',
    ];
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            numberText,
            fc.constantFrom(...hard),
            fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x.toExponential(16)),
            fc.tuple(digits(19), fc.integer({ min: -345, max: 310 })).map(([d, e]) => `${d.replace(/^0+(?=.)/, '')}e${e}`),
          ),
          { minLength: 50, maxLength: 200 },
        ),
        (numbers) => {
          const records = text(...numbers.map((number) => `{"x":${number}}`));
          for (const kernel of [true, false]) {
            const { rows, rejections } = decode(json(fields) as never, records, { kernel });
            assert.deepEqual(rejections, []);
            rows.forEach((row, i) => assert.ok(Object.is(row.x, JSON.parse(numbers[i] as string)), `${numbers[i]}: ${String(row.x)}`));
          }
        },
      ),
      { numRuns: Math.ceil(RUNS / 3) },
    );
  });

  test('tells numbers from what is none, with a point at every place', () => {
    const written: string[] = [];
    for (let length = 1; length <= 24; length++) {
      for (const first of ['1', '0', '-', '-0', '-1']) {
        const digits = `${first}23456789012345678901234`.slice(0, length);
        written.push(digits, `${digits}.`, `${digits}e`, `${digits}:`, `${digits}/`);
        for (let at = 0; at < length; at++) written.push(`${digits.slice(0, at)}.${digits.slice(at)}`, `${digits.slice(0, at)}..${digits.slice(at)}`);
        written.push(`${digits.slice(0, 1)}.${digits.slice(1)}.5`);
      }
    }
    const parsed = written.map((number) => {
      try {
        return JSON.parse(number) as number;
      } catch {
        return REFUSED;
      }
    });
    const expected = parsed.filter((value) => value !== REFUSED);
    assert.ok(expected.length > 300 && written.length - expected.length > 300, `${expected.length} of ${written.length}`);
    const records = text(...written.map((number) => `{"x":${number},"y":1}`));
    for (const kernel of [true, false]) {
      const { rows } = decode(json({ x: f64, y: f64 }) as never, records, { kernel, batchRows: 512 });
      assert.equal(rows.length, expected.length);
      rows.forEach((row, i) => assert.ok(Object.is(row.x, expected[i]), `${String(expected[i])}: ${String(row.x)}`));
      assert.equal(decode(json({ y: f64 }) as never, records, { kernel, batchRows: 512 }).rows.length, expected.length);
      const integers = written.filter((number) => /^[^.]{1,19}$/.test(number));
      assert.deepEqual(
        decode(json({ x: i64 }) as never, text(...integers.map((number) => `{"x":${number}}`)), { kernel, batchRows: 512 }).rows.map((row) => row.x),
        integers.filter((number) => parsed[written.indexOf(number)] !== REFUSED).map(BigInt),
      );
    }
  });

  test('keeps 64-bit integers exact', () => {
    const min = -(2n ** 63n);
    const max = 2n ** 63n - 1n;
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.bigInt({ min: min * 3n, max: max * 3n }),
            fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n }),
            fc.constantFrom(min, max, min - 1n, max + 1n, 0n, 10n ** 18n, -(10n ** 18n)),
          ),
          { minLength: 20, maxLength: 50 },
        ),
        (values) => {
          for (const kernel of [true, false]) {
            const { rows } = decode(json({ x: i64 }) as never, text(...values.map((value) => `{"x":${value}}`)), { kernel });
            assert.deepEqual(
              rows.map((row) => row.x),
              values.filter((value) => value >= min && value <= max),
            );
          }
        },
      ),
      { numRuns: caseCount(50) },
    );
    for (const kernel of [true, false]) {
      assert.deepEqual(one({ x: i64 }, '{"x":1.5e1}', kernel).rows, [{ x: 15n }]);
      assert.match(one({ x: i64 }, '{"x":9007199254740993.0}', kernel).rejections[0]?.message ?? '', /write all its digits/);
      assert.match(one({ x: i64 }, '{"x":1.5}', kernel).rejections[0]?.message ?? '', /is not whole/);
    }
  });

  test('decodes only the columns that are asked for, and checks the rest', () => {
    const records = text('{"a":1,"b":"two","c":3}', '{"a":1,"b":2,"c":3}', '{"a":1,"b":tru,"c":3}', '{"c":4}');
    for (const kernel of [true, false]) {
      const { rows, records: of, rejections } = decode(json({ a: f64, b: utf8, c: f64 }) as never, records, { kernel, columns: [2] });
      assert.deepEqual(of, [0, 1, 3]);
      assert.deepEqual(
        rows.map((row) => row.c),
        [3, 3, 4],
      );
      assert.deepEqual([rows[0]?.a, rows[0]?.b], [0, '']);
      assert.equal(rejections.length, 1);
      assert.deepEqual(decode(json({ a: f64 }) as never, records, { kernel, columns: [] }).records, [0, 1, 3]);
    }
  });

  test('takes the last of duplicate keys, whatever the earlier ones held', () => {
    const records = text('{"s":"first","x":1,"s":"2nd","x":2}', '{"s":1,"x":"a","s":"ok","x":3}', '{"s":"ok","x":3,"x":"a"}');
    for (const kernel of [true, false])
      assert.deepEqual(decode(json({ s: utf8, x: f64 }) as never, records, { kernel }).rows, [
        { s: '2nd', x: 2 },
        { s: 'ok', x: 3 },
      ]);
  });

  test('tells a key from one with zeros behind it, and from one with the same ends', () => {
    const long = 'eight byand more of iteightend';
    const cases: [SchemaFields, string][] = [
      [{ s: f64 }, '{"s\0":1}'],
      [{ s: f64 }, '{"x":1,"s\0":1}'],
      [{ fifteen__bytes_: f64 }, '{"fifteen__bytes_\0":1}'],
      [{ [long]: f64 }, `{"${long.slice(0, 8)}${long.slice(-8)}":1}`],
    ];
    for (const kernel of [true, false])
      for (const [fields, record] of cases) {
        assert.equal(one(fields, record, kernel).rejections.length, 1, record);
        // Where the column may be null, a key that is none of its own leaves it null; a control byte is
        // refused in any case.
        const [name] = Object.keys(fields) as [string];
        const { rows, rejections } = one({ [name]: nullable(f64) }, record, kernel);
        assert.deepEqual(rows, record.includes('\0') ? [] : [{ [name]: null }]);
        assert.equal(rejections.length, record.includes('\0') ? 1 : 0);
      }
  });

  test('opens each record anew: what stood in front of a key before is no brace', () => {
    const records = text('{"s":1,"s":1}', ',"s":2}', '{"s":3,"s":4}', '"s":5}', '{"s":6}');
    for (const kernel of [true, false]) {
      const { rows, records: of } = decode(json({ s: f64 }) as never, records, { kernel });
      assert.deepEqual(rows, [{ s: 1 }, { s: 4 }, { s: 6 }]);
      assert.deepEqual(of, [0, 2, 4]);
    }
  });

  test('skips nesting without recursion, up to its cap', () => {
    const nested = (depth: number) => `{"skip":${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)},"x":1}`;
    for (const kernel of [true, false]) {
      for (const depth of [2, 60, 62, 64, DEPTH_MAX - 2]) assert.deepEqual(one({ x: f64 }, nested(depth), kernel).rows, [{ x: 1 }], `depth ${depth}`);
      assert.match(one({ x: f64 }, nested(DEPTH_MAX), kernel).rejections[0]?.message ?? '', /at most 10000 objects and arrays/);
      assert.equal(one({ x: f64 }, `{"skip":${'['.repeat(1_000_000)}`, kernel).rejections.length, 1);
    }
  });

  test('says what is wrong, where, and with which value', () => {
    const cases: [SchemaFields, string, RegExp][] = [
      [{ ms: f64 }, '{"ms":"fast"}', /offset 1000: column "ms" holds f64, but byte 6 has "\\"fast\\"".*The record: "\{\\"ms\\":/],
      [{ ms: f64 }, '{"x":1}', /column "ms" holds f64, but the key is missing; make the column nullable/],
      [{ ms: f64 }, '{"ms":null}', /column "ms" holds f64, but byte 6 has "null"/],
      [{ n: i8 }, '{"n":128}', /column "n" holds i8, but byte 5 has "128", which is not within -128 to 127/],
      [{ n: i32 }, '{"n":1.5}', /which is not whole/],
      [{ at: timestamp }, '{"at":"yesterday"}', /which is no ISO 8601 time/],
      [{ at: binary }, '{"at":"?"}', /which is no base64/],
      [{ ms: f64 }, '[1]', /expected an object at byte 0, but there is "\[1\]"/],
      [{ ms: f64 }, '', /expected an object at byte 0, but the record ends/],
      [{ ms: f64 }, '{"ms":1,}', /expected a key in double quotes at byte 8/],
      [{ ms: f64 }, '{"ms":1}x', /expected the end of the record at byte 8/],
      [{ ms: f64 }, '{"ms":01}', /expected a comma or the object's end at byte 7/],
      [{ ms: f64 }, '\ufeff{"ms":1}', /expected an object at byte 0/],
    ];
    for (const kernel of [true, false]) {
      for (const [fields, record, message] of cases) assert.match(one(fields, record, kernel).rejections[0]?.message ?? 'accepted', message);
      assert.match(
        one({ s: utf8 }, Uint8Array.from([...Buffer.from('{"s":"'), 0xff, ...Buffer.from('"}')]), kernel).rejections[0]?.message ?? '',
        /expected well-formed UTF-8 at byte 6/,
      );
    }
  });

  test('refuses a record without a value, and reads text columns that outgrow their room', () => {
    const long = 'x'.repeat(50_000);
    const records = [...text(`{"s":"${long}"}`), null, ...text(...Array.from({ length: 50 }, (_, i) => `{"s":"${i}\\n${long}"}`))];
    for (const kernel of [true, false]) {
      const { rows, rejections } = decode(json({ s: utf8 }) as never, records, { kernel, batchRows: 32 });
      assert.deepEqual(rows, [{ s: long }, ...Array.from({ length: 50 }, (_, i) => ({ s: `${i}\n${long}` }))]);
      assert.match(rejections[0]?.message ?? '', /has no value/);
    }
  });

  test('knows many columns, and keys in any order', () => {
    const fields = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`column${i}`, i % 3 === 0 ? nullable(utf8) : nullable(f64)]));
    const rows = Array.from({ length: 40 }, (_, r) =>
      Object.fromEntries(Object.keys(fields).map((name, i) => [name, (r * 7 + i) % 11 === 0 ? null : i % 3 === 0 ? `${name}-${r}` : i + r / 4])),
    );
    let seed = 1;
    const shuffled = (row: Record<string, unknown>) =>
      Object.fromEntries(
        Object.entries(row)
          .map((entry) => [(seed = (seed * 48_271) % 2_147_483_647), entry] as const)
          .sort((a, b) => a[0] - b[0])
          .map(([, entry]) => entry),
      );
    const records = text(...rows.map((row) => JSON.stringify(shuffled(row), (_, value: unknown) => (value === null ? undefined : value))));
    for (const kernel of [true, false]) assert.deepEqual(decode(json(fields) as never, records, { kernel }).rows, rows);
  });

  test('lets the kernel take ordinary records itself', (t) => {
    const kernels = kernelExports<JsonKernels>(memory);
    if (!kernels) return t.skip('no kernels');
    const fields = { s: utf8, x: f64, n: nullable(i32), at: timestamp, big: i64, ok: bool };
    const ordinary = [
      '{"s":"plain","x":1.5,"n":7,"at":1700000000000,"big":123456789012345678,"ok":true}',
      '{"s":"with \\n escapes \\u00e9 \\ud83d\\ude00","x":-0.8444218515250481,"n":null,"at":"2024-02-29T12:00:00.123Z","big":-1,"ok":false}',
      ' { "s" : "größer" , "x" : 1e-7 , "at" : "1969-12-31T23:59:59Z" , "big" : 0 , "ok" : true } ',
      '{"ok":true,"big":5,"at":-5,"n":-5,"x":12345678901234567,"s":"","unknown":{"a":[1,2,{"b":null}]},"more":"text","less":-1.5e3}',
    ];
    const builder = new BatchBuilder(slabs, schema(fields), 8);
    builder.reserve(builder.columns[0] as (typeof builder.columns)[number], 4096);
    const columns = jsonColumns(schema(fields), {}, {});
    const program = new JsonProgram(
      slabs,
      membersOf(
        columns.map((column, position) => ({ column, position })),
        'plain',
      ),
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
    // Once with nothing predicted, once with what the last record left.
    for (let round = 0; round < 2; round++) assert.equal(kernels.jsonDecode(program.address, frame, frame + 256, ordinary.length, 0), ordinary.length);
    slabs.free(frame);
    program.release(slabs);
    builder.release();
  });

  test('reads a record that ends where memory ends', () => {
    const small = new SlabAllocator(createMemory(1 << 20));
    const index = allocRecordIndex(small, 16, 'lines');
    const record = Buffer.from('{"s":"last","x":12}');
    const { byteLength, u8, u32, i32 } = small.memory;
    for (let cut = 0; cut < 3; cut++) {
      const at = byteLength - record.length + cut;
      u8.set(record.subarray(0, record.length - cut), at);
      u32[index.values >>> 2] = at;
      i32[index.valueLengths >>> 2] = record.length - cut;
      index.count = 1;
      let refused = 0;
      const decoder = json({ s: utf8, x: f64 }).decoder({ memory: small.memory, slabs: small, columns: [0, 1], batchRows: 8, reject: () => refused++ });
      decoder.open(index);
      assert.deepEqual(decoder.next()?.toRows() ?? [], cut === 0 ? [{ s: 'last', x: 12 }] : []);
      assert.equal(refused, cut === 0 ? 0 : 1);
    }
  });

  test('finds keys that come and go, each beside the others', () => {
    const names = ['a', 'bb', 'ccc', 'dddd', 'a key of sixteen', 'a key of seventee', 'thirty-two bytes of key and more'];
    const fields = Object.fromEntries(names.map((name) => [name, nullable(f64)]));
    fc.assert(
      fc.property(fc.array(fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }), { minLength: 1, maxLength: 60 }), (masks) => {
        const rows = masks.map((mask, r) => Object.fromEntries(names.map((name, i) => [name, mask[i] ? r + i / 8 : null])));
        const records = text(...rows.map((row) => JSON.stringify(row, (_, value: unknown) => (value === null ? undefined : value))));
        assert.deepEqual(decode(json(fields) as never, records).rows, rows);
      }),
      { numRuns: caseCount(100) },
    );
  });

  test('cannot decode without a schema', () => {
    assert.throws(
      () => json().decoder({} as never),
      (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE' && /json\(\) without a schema/.test(error.message),
    );
  });
});
