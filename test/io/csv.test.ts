/** csv(schema) both ways: a plain splitter as the model, refusals by message. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BatchBuilder, binary, bool, f32, f64, i32, i64, MillraceError, nullable, type SchemaFields, schema, timestamp, utf8 } from '../../core/index.ts';
import { csv } from '../../io/csv.ts';
import { collect, files, log } from '../../io/index.ts';
import { pipeline } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, encode, slabs } from './codec-harness.ts';
import { decodeFrames, readSource } from './harness.ts';

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
        [{ reason: 'control', offset: 0, count: 1 }],
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

  test('nulls: texts that stand for null, in nullable columns, unquoted, for all and by column', () => {
    const fields = { a: nullable(f64), b: nullable(utf8), c: utf8, d: nullable(utf8) };
    const { rows, rejections } = read(fields, ['NA,NA,NA,NA', ',,,-', '"NA",1,2,3', '1,"NA",x,"-"', '2,-,,'], {
      nulls: ['NA', ''],
      columns: { d: { nulls: ['-'] } },
    });
    assert.deepEqual(rows, [
      { a: null, b: null, c: 'NA', d: 'NA' },
      { a: null, b: null, c: '', d: null },
      { a: 1, b: 'NA', c: 'x', d: '-' },
      { a: 2, b: '-', c: '', d: '' },
    ]);
    assert.match(rejections[0]?.message ?? '', /column "a" holds f64, but byte 0 has "NA", which is no number/);
    assert.match(read({ a: nullable(f64) }, ['NA', ''], { nulls: ['NA'] }).rejections[0]?.message ?? '', /which is empty; name '' among the nulls/);
  });

  test('time and zone: by pattern, for all and by column; without a pattern ISO 8601 by the clocks of the zone', () => {
    const fields = { at: timestamp, day: nullable(timestamp), ms: timestamp };
    const options = {
      time: 'yyyy/MM/dd HH:mm',
      zone: 'Europe/Berlin',
      columns: { day: { time: 'd.M.yy', zone: '+01:00' }, ms: { time: "yyyyMMdd'T'HHmmssSSS" } },
    };
    assert.deepEqual(read(fields, ['2026/07/01 12:30,1.7.26,20260102T030405678', '2026/01/01 00:00,,20260102T030405678'], options).rows, [
      { at: Date.UTC(2026, 6, 1, 10, 30), day: Date.UTC(2026, 5, 30, 23), ms: Date.UTC(2026, 0, 2, 2, 4, 5, 678) },
      { at: Date.UTC(2025, 11, 31, 23), day: null, ms: Date.UTC(2026, 0, 2, 2, 4, 5, 678) },
    ]);
    assert.match(
      read({ at: timestamp }, ['2026-01-01'], { time: 'yyyy/MM/dd' }).rejections[0]?.message ?? '',
      /column "at" holds timestamp, but byte 0 has "2026-01-01", which is no time like "yyyy\/MM\/dd"/,
    );
    // A pattern takes digits for what it says, and no milliseconds; a zone alone leaves both.
    assert.deepEqual(read({ at: timestamp }, ['20260101', '5'], { time: 'yyyyMMdd' }).rows, [{ at: Date.UTC(2026, 0, 1) }]);
    const zoned = ['2026-07-01T12:00', '2026-07-01', '2026-07-01T12:00Z', '2026-07-01 12:00:00.5+04:00', '7'];
    assert.deepEqual(
      read({ at: timestamp }, zoned, { zone: 'America/New_York' }).rows.map(({ at }) => at),
      [Date.UTC(2026, 6, 1, 16), Date.UTC(2026, 6, 1, 4), Date.UTC(2026, 6, 1, 12), Date.UTC(2026, 6, 1, 8, 0, 0, 500), 7],
    );
  });

  test('byName in a file with its own header, whichever frames a decoder sees, is as the rows of a model', async () => {
    const codec = csv({ a: i32, b: nullable(utf8), at: nullable(timestamp) }, { header: 'byName', nulls: ['', 'NA'], time: 'dd.MM.yyyy' });
    const dir = await mkdtemp(join(tmpdir(), 'millrace-csv-'));
    try {
      const orders = [
        ['a', 'b', 'at'],
        ['x', 'at', 'b "q"', 'a', 'b'],
        ['b', 'a'],
      ];
      const expected: unknown[] = [];
      const paths = await Promise.all(
        orders.map(async (names, partition) => {
          const lines = Array.from({ length: 40_000 }, (_, i) => {
            const values: Readonly<Record<string, string>> = {
              a: String(i),
              b: i % 3 === 0 ? 'NA' : `"b, ${i}"`,
              at: i % 5 === 0 ? '' : `0${1 + (i % 9)}.02.2026`,
              x: 'none, of "ours"',
            };
            const at = names.includes('at') && i % 5 !== 0 ? Date.UTC(2026, 1, 1 + (i % 9)) : null;
            expected.push({ partition, row: { a: i, b: i % 3 === 0 ? null : `b, ${i}`, at } });
            return names.map((name) => (name === 'x' ? quote(values['x'] as string) : (values[name] ?? ''))).join(',');
          });
          const path = join(dir, `${partition}.csv`);
          await writeFile(path, `\ufeff# skipped\n${names.map((name) => (name.includes('"') ? quote(name) : name)).join(',')}\r\n${lines.join('\n')}`);
          return path;
        }),
      );
      const source = files.source({ paths, value: codec, skipLines: 1 });
      const { frames } = await readSource(source);
      assert.ok(frames.length > orders.length + 1, 'some frames begin within a file');
      const { rows, rejections } = decodeFrames(source, frames);
      assert.deepEqual(
        rejections.map(({ reason }) => reason),
        ['control', 'control', 'control'],
      );
      const byPartition = (all: readonly { readonly partition: number }[]) =>
        [0, 1, 2].flatMap((partition) => all.filter((one) => one.partition === partition));
      assert.deepEqual(
        byPartition(rows).map((one) => ({ partition: one.partition, row: (one as (typeof rows)[0]).row })),
        byPartition(expected as { partition: number }[]),
      );
      // Any frame alone, as another worker has it, and a start in the middle of a file.
      const later = frames.filter(({ partition }) => partition === 1)[1] as (typeof frames)[0];
      const rest = await readSource(source, { from: new Map([[1, later.first]]) });
      const first = decodeFrames(
        source,
        rest.frames.filter(({ partition }) => partition === 1),
      ).rows[0];
      assert.deepEqual(
        first,
        rows.find(({ partition, offset }) => partition === 1 && offset >= later.first),
      );
      assert.deepEqual(decodeFrames(source, [later]).rows[0], first);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('byName: a column that is missing, or is there twice, ends the job with its name; records of the wrong width are refused', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-csv-'));
    const read = async (text: string, fields: SchemaFields = { a: f64, b: f64 }) => {
      const path = join(dir, 'in.csv');
      await writeFile(path, text);
      const source = files.source({ path, value: csv(fields as { a: typeof f64 }, { header: 'byName' }) });
      return decodeFrames(source, (await readSource(source)).frames);
    };
    try {
      await assert.rejects(read('a,c\n1,2\n'), {
        code: 'ERR_MILLRACE_FILE',
        message: /in\.csv" cannot be read: its header has no column "b": it names \["a","c"\]\. Make the column nullable/,
      });
      await assert.rejects(read('a,b,a\n1,2,3\n'), { code: 'ERR_MILLRACE_FILE', message: /two columns "a"/ });
      await assert.rejects(read('a,"b\n1,2\n'), { code: 'ERR_MILLRACE_FILE', message: /the quoted field at byte 2 does not end/ });
      assert.deepEqual(
        (await read('a,c\n1,2\n', { a: f64, b: nullable(f64) })).rows.map(({ row }) => row),
        [{ a: 1, b: null }],
      );
      assert.deepEqual((await read('')).rows, []);
      assert.deepEqual((await read('b,a')).rows, []);
      const { rows, rejections } = await read('b,x,a\n1,2,3\n1,2\n1,2,3,4\n4,,5\n');
      assert.deepEqual(
        rows.map(({ row }) => row),
        [
          { a: 3, b: 1 },
          { a: 5, b: 4 },
        ],
      );
      assert.match(rejections[1]?.message ?? '', /it has 2 fields, and the header 3 columns/);
      assert.match(rejections[2]?.message ?? '', /more fields than the header's 3 columns/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('byName in a test driver: the first record of a call is the header; a log is refused', () => {
    const driver = testDriver(
      pipeline('p')
        .from(files.source({ path: 'x.csv', value: csv({ a: f64 }, { header: 'byName' }) }))
        .to(collect()),
    );
    driver.sendRaw(0, [bytes('b,a'), bytes('1,2')]);
    driver.sendRaw(0, [bytes('a'), bytes('3'), bytes('4')]);
    driver.sendRaw(0, [bytes('b'), bytes('5')]);
    driver.endEpoch();
    assert.deepEqual(driver.output(), [{ a: 2 }, { a: 3 }, { a: 4 }]);
    assert.deepEqual([driver.counts.get('control'), driver.counts.get('undecodable')], [2, 2]);
    assert.throws(() => log.source({ dir: 'x', topic: 't', value: csv({ a: f64 }, { header: 'byName' }) }), {
      code: 'ERR_MILLRACE_OPTION',
      message: /^log\.source: value finds its columns in the header of a file/,
    });
  });

  test('refuses options that cannot be', () => {
    const wrong: readonly (readonly [SchemaFields, object, RegExp])[] = [
      [{ a: f64 }, { header: 'byname' }, /header of csv\(\) is "byname"\. Give true, false or 'byName'/],
      [{ a: f64 }, { nulls: 'NA' }, /nulls of csv\(\) are "NA"\. Give a list/],
      [{ a: f64 }, { time: 'yyyy' }, /time is given, and no column is a timestamp/],
      [{ a: f64, at: timestamp }, { columns: { a: { zone: 'UTC' } } }, /zone is given for the column "a", which holds f64/],
      [{ at: timestamp }, { columns: { att: { time: 'yyyy' } } }, /csv\(\), columns: there is no option "att"\. Did you mean at\?/],
      [{ at: timestamp }, { columns: { at: { tim: 'yyyy' } } }, /csv\(\), column "at": there is no option "tim"\. Did you mean time\?/],
      [{ at: timestamp }, { zone: 'Europe/Berln' }, /column "at": zone is "Europe\/Berln", which is no time zone/],
      [{ at: timestamp }, { time: 'YYYY-MM-dd' }, /column "at": time is "YYYY-MM-dd"; "YYYY" in it stands for nothing/],
    ];
    for (const [fields, options, message] of wrong) assert.throws(() => csv(fields, options as object), { code: 'ERR_MILLRACE_OPTION', message });
  });

  test('options name columns of the schema, which the compiler sees', () => {
    csv({ at: timestamp }, { columns: { at: { time: 'yyyy' } } });
    csv(schema({ at: timestamp }), { columns: { at: { time: 'yyyy' } } });
    // @ts-expect-error there is no such column
    assert.throws(() => csv({ at: timestamp }, { columns: { att: { time: 'yyyy' } } }));
    // @ts-expect-error nor such a header
    assert.throws(() => csv({ at: timestamp }, { header: 'byname' }));
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
