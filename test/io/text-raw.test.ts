/** text() and raw(): records taken over as they are. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BatchBuilder, binary, f64, MillraceError, nullable, schema, utf8 } from '../../core/index.ts';
import { raw, readHeaders } from '../../io/raw.ts';
import { allocRecordIndex } from '../../io/record-index.ts';
import { text } from '../../io/text.ts';
import { caseCount, fc } from '../seed.ts';
import { decode, encode, memory, plainSlabs, slabs } from './codec-harness.ts';

const isUtf8 = (bytes: Uint8Array): boolean => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
};

/** Bytes that are nearly UTF-8: the corners of its table. */
const nearUtf8 = fc
  .array(fc.constantFrom(0x61, 0x7f, 0x80, 0xa0, 0x8f, 0x90, 0x9f, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff), {
    maxLength: 12,
  })
  .map((bytes) => Uint8Array.from(bytes));
const value = fc.oneof(
  fc.string({ maxLength: 60 }).map((s) => new Uint8Array(Buffer.from(s))),
  fc.string({ maxLength: 30, unit: 'binary' }).map((s) => new Uint8Array(Buffer.from(s))),
  nearUtf8,
);

describe('text()', () => {
  test('reads records that are UTF-8 and refuses the others', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: value }, fc.constant(null)), { maxLength: 60 }), (values) => {
        const good = values.flatMap((bytes, i) => (bytes && isUtf8(bytes) ? [i] : []));
        for (const kernel of [true, false]) {
          const { rows, records, rejections } = decode(text() as never, values, { kernel });
          assert.deepEqual(records, good);
          assert.deepEqual(
            rows.map((row) => row.value),
            good.map((i) => Buffer.from(values[i] as Uint8Array).toString()),
          );
          assert.equal(rejections.length, values.length - good.length);
          for (const { offset, message } of rejections) assert.match(message, values[offset - 1000] === null ? /has no value/ : /no well-formed UTF-8/);
        }
      }),
      { numRuns: caseCount(400) },
    );
  });

  test('reads records longer than the column has room', () => {
    const values = [10, 100_000, 0, 300_000, 5].map((length) => new Uint8Array(length).fill(0x78));
    for (const kernel of [true, false])
      assert.deepEqual(
        decode(text() as never, values, { kernel }).rows.map((row) => (row.value as string).length),
        [10, 100_000, 0, 300_000, 5],
      );
  });

  test('writes the column value, or the only one', () => {
    const builder = new BatchBuilder(slabs, schema({ n: f64, value: nullable(utf8) }), 4);
    for (const one of [
      { n: 1, value: 'a' },
      { n: 2, value: null },
      { n: 3, value: 'ü\n' },
    ])
      builder.appendRow(one);
    assert.deepEqual(
      encode(text(), builder.finish(), { step: 4 }).map((record) => Buffer.from(record).toString()),
      ['a', '', 'ü\n'],
    );
    builder.release();
    assert.doesNotThrow(() => text().encoder({ memory, slabs }, schema({ line: utf8 })));
    for (const fields of [{ n: f64 }, { a: utf8, b: utf8 }, {}, { value: f64 }]) {
      assert.throws(
        () => text().encoder({ memory, slabs }, schema(fields)),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE',
      );
    }
  });
});

describe('raw()', () => {
  /** Header section of record format v2, written independently. */
  const varint = (n: number): number[] => {
    let zigzag = n < 0 ? -2 * n - 1 : 2 * n;
    const bytes: number[] = [];
    for (; zigzag > 127; zigzag = Math.floor(zigzag / 128)) bytes.push((zigzag % 128) + 128);
    return [...bytes, zigzag];
  };
  const section = (headers: readonly (readonly [string, Uint8Array | null])[]): Uint8Array =>
    Uint8Array.from([
      ...varint(headers.length),
      ...headers.flatMap(([key, bytes]) => [...varint(Buffer.byteLength(key)), ...Buffer.from(key), ...varint(bytes ? bytes.length : -1), ...(bytes ?? [])]),
    ]);

  for (const on of [slabs, plainSlabs]) {
    test(`gives the columns of the log (${on === slabs ? 'kernel' : 'reference'})`, () => {
      const index = allocRecordIndex(on, 20);
      const area = on.alloc(1 << 16);
      let at = area;
      const put = (bytes: Uint8Array | null): [number, number] => {
        if (bytes === null) return [0, -1];
        memory.u8.set(bytes, at);
        at += bytes.length;
        return [at - bytes.length, bytes.length];
      };
      const records = Array.from({ length: 20 }, (_, i) => ({
        key: i % 3 === 0 ? null : new Uint8Array(Buffer.from(`key ${i}`)),
        value: i % 4 === 0 ? null : Uint8Array.of(i, 0xff, i),
        offset: 2 ** 40 + i,
        timestamp: i === 7 ? -1 : 1.7e12 + i,
        headers:
          i % 2 === 0
            ? []
            : ([
                ['trace', Uint8Array.of(1, 2, i)],
                ['none', null],
                ['', new Uint8Array(0)],
                ['long', new Uint8Array(200).fill(i)],
              ] as const),
      }));
      records.forEach((record, i) => {
        const [key, keyLength] = put(record.key);
        const [value, valueLength] = put(record.value);
        memory.u32[(index.keys >>> 2) + i] = key;
        memory.i32[(index.keyLengths >>> 2) + i] = keyLength;
        memory.u32[(index.values >>> 2) + i] = value;
        memory.i32[(index.valueLengths >>> 2) + i] = valueLength;
        memory.f64[(index.offsets >>> 3) + i] = record.offset;
        memory.f64[(index.timestamps >>> 3) + i] = record.timestamp;
        memory.u32[(index.headers >>> 2) + i] = put(section(record.headers))[0];
      });
      index.count = records.length;
      index.topic = 'clicks';
      index.partition = 3;
      const decoder = raw().decoder({
        memory: on.memory,
        slabs: on,
        columns: [0, 1, 2, 3, 4, 5, 6],
        batchRows: 8,
        reject: () => assert.fail('no record is refused'),
      });
      decoder.open(index);
      let record = 0;
      for (let batch = decoder.next(); batch; batch = decoder.next()) {
        batch.toRows().forEach((row, i) => {
          const expected = records[record] as (typeof records)[number];
          assert.equal(decoder.recordOf(i), record++);
          assert.deepEqual(
            { ...row, headers: readHeaders(row.headers as Uint8Array | null) },
            {
              key: expected.key,
              value: expected.value,
              topic: 'clicks',
              partition: 3,
              offset: BigInt(expected.offset),
              timestamp: expected.timestamp,
              headers: expected.headers.map(([key, value]) => ({ key, value })),
            },
          );
          assert.equal(row.headers === null, expected.headers.length === 0);
        });
      }
      assert.equal(record, 20);
      index.release();
      on.free(area);
    });
  }

  test('refuses a record whose timestamp cannot be had exactly, where the timestamp is read', () => {
    for (const columns of [
      [1, 4, 5],
      [1, 4],
    ]) {
      const index = allocRecordIndex(slabs, 8);
      const area = slabs.alloc(64);
      const times = [1, 2 ** 63, 3, 4, -(2 ** 60), 6];
      times.forEach((time, i) => {
        memory.u8[area + i] = 0x61 + i;
        memory.u32[(index.values >>> 2) + i] = area + i;
        memory.i32[(index.valueLengths >>> 2) + i] = 1;
        memory.i32[(index.keyLengths >>> 2) + i] = -1;
        memory.f64[(index.offsets >>> 3) + i] = 10 + i;
        memory.f64[(index.timestamps >>> 3) + i] = time;
        memory.u32[(index.headers >>> 2) + i] = 0;
      });
      index.count = times.length;
      const refused: [number, number, string][] = [];
      const decoder = raw().decoder({
        memory,
        slabs,
        columns,
        batchRows: 8,
        reject: ({ offset, rows, message, sample }) =>
          void refused.push([offset, rows, `${Buffer.from(sample as Uint8Array)} ${/timestamp \S+/.exec(message)}`]),
      });
      decoder.open(index);
      const seen: number[] = [];
      for (let batch = decoder.next(); batch; batch = decoder.next()) for (let row = 0; row < batch.rowCount; row++) seen.push(decoder.recordOf(row));
      const isRead = columns.includes(5);
      assert.deepEqual(seen, isRead ? [0, 2, 3, 5] : [0, 1, 2, 3, 4, 5]);
      const expected = [
        [11, 1, 'b timestamp 9223372036854776000'],
        [14, 1, 'e timestamp -1152921504606847000'],
      ];
      assert.deepEqual(refused, isRead ? expected : []);
      index.release();
      slabs.free(area);
    }
  });

  test('reads lines: no keys, no timestamps, no headers', () => {
    const index = allocRecordIndex(slabs, 2, 'lines');
    const area = slabs.alloc(64);
    memory.u8.set(Buffer.from('ab'), area);
    for (let i = 0; i < 2; i++) {
      memory.u32[(index.values >>> 2) + i] = area + i;
      memory.i32[(index.valueLengths >>> 2) + i] = 1;
      memory.f64[(index.offsets >>> 3) + i] = i * 2;
    }
    index.count = 2;
    const decoder = raw().decoder({ memory, slabs, columns: [0, 1, 4, 5, 6], batchRows: 8, reject: () => assert.fail() });
    decoder.open(index);
    const rows = decoder.next()?.toRows();
    assert.deepEqual(
      rows?.map(({ key, value, offset, timestamp, headers }) => ({ key, value, offset, timestamp, headers })),
      [0, 1].map((i) => ({ key: null, value: Uint8Array.of(0x61 + i), offset: BigInt(i * 2), timestamp: null, headers: null })),
    );
    index.release();
    slabs.free(area);
  });

  test('refuses a header section that is cut off', () => {
    const whole = section([
      ['a', Uint8Array.of(1, 2, 3)],
      ['b', null],
    ]);
    assert.equal(readHeaders(whole).length, 2);
    for (let i = 0; i < whole.length; i++)
      assert.throws(
        () => readHeaders(whole.subarray(0, i)),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_CORRUPT',
      );
    assert.deepEqual(readHeaders(null), []);
  });

  test('writes the column value', () => {
    const builder = new BatchBuilder(slabs, schema({ value: binary, n: f64 }), 2);
    builder.appendRow({ value: Uint8Array.of(1, 2), n: 1 });
    builder.appendRow({ value: new Uint8Array(0), n: 1 });
    assert.deepEqual(encode(raw(), builder.finish()), [Uint8Array.of(1, 2), new Uint8Array(0)]);
    builder.release();
    assert.throws(
      () => raw().encoder({ memory, slabs }, schema({ n: f64 })),
      (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE',
    );
  });
});
