/** csv(schema) both ways: a plain splitter as the model, refusals by message. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BatchBuilder, binary, bool, f32, f64, i32, i64, MillraceError, nullable, type SchemaFields, schema, timestamp, utf8 } from '../../core/index.ts';
import { csv } from '../../io/csv.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, encode, slabs } from './codec-harness.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const read = (fields: SchemaFields, records: readonly (string | null)[], options = {}) =>
  decode(
    csv(fields, options) as never,
    records.map((record) => (record === null ? null : bytes(record))),
  );
const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;

const SCHEMA = {
  s: utf8,
  t: nullable(utf8),
  x: f64,
  f: nullable(f32),
  n: nullable(i32),
  big: i64,
  ok: nullable(bool),
  at: nullable(timestamp),
  bin: nullable(binary),
} satisfies SchemaFields;
const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.array(fc.constantFrom('"', ',', ';', '\n', '\r', 'a', ' ', 'é', '😀'), { maxLength: 12 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 10 }).map((s) => Buffer.from(s).toString()),
);
const row = fc.record({
  s: text,
  t: fc.option(text),
  x: fc.double(),
  f: fc.option(fc.float()),
  n: fc.option(fc.integer()),
  big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  ok: fc.option(fc.boolean()),
  at: fc.option(fc.integer({ min: -1e13, max: 1e13 })),
  bin: fc.option(fc.uint8Array({ maxLength: 12 })),
});
type Row = typeof row extends fc.Arbitrary<infer R> ? R : never;
const plus0 = (value: unknown): unknown => (typeof value === 'number' ? value + 0 : value);

describe('csv(schema)', () => {
  test('reads fields as a model writes them, quoted or not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(row, fc.boolean()), { minLength: 1, maxLength: 30 }),
        fc.constantFrom(',', ';', '\t', '|'),
        fc.constantFrom('', '\n', '\r\n'),
        (rows, delimiter, lineEnd) => {
          const field = (value: unknown, quoteAll: boolean): string => {
            if (value === null) return '';
            const shown = value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value);
            return quoteAll || shown === '' || /["\n\r,;\t|]/.test(shown) ? quote(shown) : shown;
          };
          const records = rows.map(
            ([value, quoteAll]) =>
              Object.keys(SCHEMA)
                .map((name) => field(value[name as keyof Row], quoteAll))
                .join(delimiter) + lineEnd,
          );
          const { rows: actual, rejections } = read(SCHEMA, records, { delimiter });
          assert.deepEqual(rejections, []);
          actual.forEach((one, i) => {
            for (const name of Object.keys(SCHEMA))
              assert.deepEqual(plus0(one[name]), plus0((rows[i] as [Row, boolean])[0][name as keyof Row]), `${name} of ${records[i]}`);
          });
          assert.equal(actual.length, rows.length);
        },
      ),
      { numRuns: caseCount(200) },
    );
  });

  test('writes records that a plain RFC 4180 splitter takes apart, and that it reads back', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 30 }), fc.constantFrom(',', ';'), fc.constantFrom(2_000, 1 << 16), (rows, delimiter, step) => {
        const builder = new BatchBuilder(slabs, schema(SCHEMA), rows.length);
        for (const one of rows) builder.appendRow(one);
        const records = encode(csv(undefined, { delimiter }), builder.finish(), { step });
        records.forEach((record, i) => {
          const fields = split(Buffer.from(record).toString(), delimiter);
          const one = rows[i] as Row;
          assert.equal(fields.length, 9);
          assert.equal(fields[0], one.s);
          assert.equal(fields[1], one.t ?? '');
          assert.equal(fields[2], String(one.x));
          assert.equal(fields[5], String(one.big));
          assert.equal(fields[8], one.bin === null ? '' : Buffer.from(one.bin).toString('base64'));
        });
        const back = decode(csv(SCHEMA, { delimiter }) as never, records);
        assert.deepEqual(back.rejections, []);
        assert.deepEqual(
          back.rows.map((one) => Object.values(one).map(plus0)),
          builder
            .finish()
            .toRows()
            .map((one) => Object.values(one).map(plus0)),
        );
        builder.release();
      }),
      { numRuns: caseCount(200) },
    );
  });

  test('tells null from the empty text', () => {
    assert.deepEqual(read({ a: utf8, b: nullable(utf8), c: nullable(f64) }, [',,', '"","",1']).rows, [
      { a: '', b: null, c: null },
      { a: '', b: '', c: 1 },
    ]);
  });

  test('decodes only the columns that are asked for', () => {
    const { rows } = decode(csv({ a: f64, b: utf8, c: f64 }) as never, [bytes('x,y,3')], { columns: [2] });
    assert.equal(rows[0]?.c, 3);
  });

  test('checks the header line, and leaves it out', () => {
    const headed = (first: string, firstOffset = 0) =>
      decode(csv({ a: f64, 'b "x"': f64 }, { header: true }) as never, [bytes(first), bytes('1,2')], { firstOffset });
    for (const line of ['a,"b ""x"""', '\ufeffa,"b ""x"""\r\n']) {
      const { rows, records, rejections } = headed(line);
      assert.deepEqual(rows, [{ a: 1, 'b "x"': 2 }]);
      assert.deepEqual(records, [1]);
      assert.deepEqual(
        rejections.map(({ reason, offset, rows: count }) => ({ reason, offset, count })),
        [{ reason: 'filtered', offset: 0, count: 1 }],
      );
    }
    const wrong = headed('a,c');
    assert.equal(wrong.rows.length, 1);
    assert.match(wrong.rejections[0]?.message ?? '', /its header names \["a","c"\], and the schema/);
    // Only offset 0 is the head of a file.
    assert.equal(headed('3,4', 10).rows.length, 2);
  });

  test('says what is wrong, beside neighbours that are read', () => {
    const cases: [string | null, RegExp][] = [
      ['1', /it has 1 fields, and the schema 2 columns/],
      ['1,2,3', /more fields than the schema's 2 columns, from byte 4 on/],
      ['a,2', /column "a" holds f64, but byte 0 has "a", which is no number/],
      [',2', /which is empty; make the column nullable/],
      ['1,2.5', /column "b" holds i32, but byte 2 has "2.5", which is not whole/],
      ['1,"2', /the quoted field at byte 2 does not end/],
      ['1,"2"x', /expected a delimiter behind the closing quote at byte 4/],
      ['1,2"', /a quote at byte 3 in a field that is not quoted/],
      [' 1,2', /which is no number/],
      [null, /has no value/],
      ['', /column "a" holds f64/],
    ];
    for (const [record, message] of cases) {
      const { rows, records, rejections } = read({ a: f64, b: i32 }, ['1,2', record, '"3",4']);
      assert.deepEqual(rows, [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ]);
      assert.deepEqual(records, [0, 2]);
      assert.equal(rejections.length, 1);
      assert.equal(rejections[0]?.offset, 1001);
      assert.match(rejections[0]?.message ?? '', message);
    }
    assert.match(decode(csv({ a: utf8 }) as never, [Uint8Array.of(0x61, 0xff)]).rejections[0]?.message ?? '', /well-formed UTF-8 at byte 1/);
  });

  test('refuses a delimiter that cannot be one', () => {
    for (const delimiter of ['', ',,', '"', '\n', 'é', 'a', '-']) {
      assert.throws(
        () => csv({ a: f64 }, { delimiter }),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION',
      );
    }
  });
});

/** RFC 4180, character by character. */
function split(record: string, delimiter: string): string[] {
  const fields: string[] = [];
  for (let at = 0; at <= record.length; at++) {
    let field = '';
    if (record[at] === '"') {
      for (at++; !(record[at] === '"' && record[at + 1] !== '"'); at++) {
        assert.ok(at < record.length, 'the quoted field ends');
        if (record[at] === '"') at++;
        field += record[at];
      }
      at++;
      assert.ok(at === record.length || record[at] === delimiter);
    } else for (; at < record.length && record[at] !== delimiter; at++) field += record[at];
    fields.push(field);
  }
  return fields;
}
