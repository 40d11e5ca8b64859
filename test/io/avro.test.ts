/** avro(schema): bytes to columns and back, against avsc, over random schemas and values; vectors of the specification; hostile bytes. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import avsc from 'avsc';
import {
  type AnyRow,
  BatchBuilder,
  binary,
  bool,
  f64,
  i64,
  jsonText,
  list,
  MillraceError,
  nullable,
  type Schema,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import { canonicalForm, fingerprint, parseAvroSchema } from '../../io/avro/schema.ts';
import { avro, avroSchemaOf } from '../../io/avro.ts';
import { caseCount, fc } from '../seed.ts';
import { Dice, flatRecord, type Json, modelRow, modelType, randomRecord, randomValue } from './avro-model.ts';
import { type Decoded, decode, encode, ofHex, refusal, rowsOf, slabs } from './codec-harness.ts';

const RUNS = caseCount(300);

function record(...fields: object[]): { readonly type: 'record'; readonly name: string; readonly fields: readonly object[] } {
  return { type: 'record', name: 'R', fields };
}

function batchOf(rows: readonly AnyRow[], of: Schema): { readonly builder: BatchBuilder; readonly batch: ReturnType<BatchBuilder['finish']> } {
  const builder = new BatchBuilder(slabs, of, Math.max(rows.length, 1));
  for (const row of rows) builder.appendRow(row);
  return { builder, batch: builder.finish() };
}

describe('avro against avsc', () => {
  test('random schemas and values: rows as the model has them, and written again as avsc reads them', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const of = randomRecord(dice);
        const type = modelType(of);
        const values = Array.from({ length: 1 + dice.int(20) }, () => randomValue(of, dice) as Json);
        const records = values.map((value) => new Uint8Array(type.toBuffer(value)));
        const codec = avro(of);
        const { rows, rejections } = decode(codec, records);
        assert.deepEqual(rejections, []);
        assert.deepEqual(
          rows,
          values.map((value) => modelRow(of, value)),
          JSON.stringify(of),
        );
        const { builder, batch } = batchOf(rows, codec.schema as Schema);
        const written = encode(codec, batch);
        // A record that is null, and one whose members are all null, are one: rows are compared, not values.
        assert.deepEqual(
          written.map((one) => modelRow(of, type.fromBuffer(Buffer.from(one)) as Json)),
          rows,
          JSON.stringify(of),
        );
        builder.release();
      }),
      { numRuns: RUNS },
    );
  });

  test('the kernel and its reference agree: whole records, broken ones, some columns, other numbers than were written', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const of = flatRecord(dice) as Json & { fields: { name: string; type: unknown }[] };
        const type = modelType(of);
        const values = Array.from({ length: 40 }, () => randomValue(of, dice) as Json);
        const whole = values.map((value) => new Uint8Array(type.toBuffer(value)));
        const codec = avro(of);
        assert.deepEqual(
          decode(codec, whole).rows,
          values.map((value) => modelRow(of, value)),
        );
        const broken = whole.map((record) => {
          if (dice.int(3) > 0 || record.length === 0) return record;
          const changed = record.slice(0, dice.int(2) === 0 ? record.length : dice.int(record.length));
          if (changed.length > 0) changed[dice.int(changed.length)] = dice.of([0x80, 0xff, 0, dice.int(256)]);
          return changed;
        });
        const wider = {
          ...of,
          fields: of.fields.map((field) => ({
            ...field,
            type: field.type === 'int' || field.type === 'float' ? 'double' : field.type === 'string' ? 'bytes' : field.type,
          })),
        };
        for (const made of [codec, avro(wider, { writer: of })]) {
          const columns = (made.schema as Schema).fields.map((_, c) => c).filter(() => dice.int(3) > 0);
          const [kernel, reference] = [true, false].map((on) => decode(made, broken, { kernel: on, columns, batchRows: dice.of([8, 16]) })) as [
            Decoded,
            Decoded,
          ];
          assert.deepEqual(kernel.records, reference.records);
          assert.deepEqual(kernel.rejections, reference.rejections);
          const at = (row: AnyRow, c: number): unknown =>
            (made.schema as Schema)
              .field(c)
              .name.split('.')
              .reduce<unknown>((value, name) => (value as Json)[name], row);
          for (const [i, row] of kernel.rows.entries()) for (const c of columns) assert.deepEqual(at(row, c), at(reference.rows[i] as AnyRow, c));
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('instants of all units, in the kernel as in its reference; a schema that changes from record to record', () => {
    const units = ['timestamp-millis', 'timestamp-micros', 'timestamp-nanos', 'date'] as const;
    const of = record(...units.map((logicalType, i) => ({ name: `t${i}`, type: { type: logicalType === 'date' ? 'int' : 'long', logicalType } })));
    const plain = modelType(record(...units.map((logical, i) => ({ name: `t${i}`, type: logical === 'date' ? 'int' : 'long' }))));
    const longs = [0n, -1n, -999n, -1_000n, -1_000_001n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 1_767_225_600_123_999_999n];
    const records = longs.flatMap((t1) => [0n, t1].map((t0) => new Uint8Array(plain.toBuffer({ t0, t1, t2: t1, t3: Number(t1 % 1_000_000n) }))));
    const [kernel, reference] = [true, false].map((on) => decode(avro(of), records, { kernel: on })) as [Decoded, Decoded];
    assert.deepEqual(kernel, reference);
    assert.ok(kernel.rows.length > 10 && kernel.rejections.length > 0);
    const one = record({ name: 'a', type: 'int' });
    const two = record({ name: 'b', type: 'string' }, { name: 'a', type: 'int' });
    const mark = (schema: object, value: Uint8Array): Uint8Array => {
      const head = new Uint8Array(10);
      new DataView(head.buffer).setUint16(0, 0x01c3, true);
      new DataView(head.buffer).setBigUint64(2, fingerprint(parseAvroSchema('test', schema)), true);
      return new Uint8Array([...head, ...value]);
    };
    const dice = new Dice(1);
    const mixed = Array.from({ length: 60 }, (_, a) => {
      const schema = dice.of([one, two]);
      const value = new Uint8Array(modelType(schema).toBuffer({ a, b: 'x' }));
      return mark(schema, dice.int(5) === 0 ? value.slice(0, -1) : value);
    });
    const made = avro(one, { encoding: 'single-object', writer: [two] });
    assert.deepEqual(decode(made, mixed), decode(made, mixed, { kernel: false }));
  });

  test('some columns only: the others are moved over', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const of = randomRecord(dice);
        const type = modelType(of);
        const records = Array.from({ length: 5 }, () => new Uint8Array(type.toBuffer(randomValue(of, dice))));
        const codec = avro(of);
        // Lists that are not read have no text, so no rows are made of them here.
        const wanted = (codec.schema as Schema).fields.flatMap(({ type: { element } }, c) => (element !== undefined || dice.int(2) === 0 ? [c] : []));
        const all = decode(codec, records);
        const some = decode(codec, records, { columns: wanted });
        assert.equal(some.rows.length, all.rows.length);
        const at = (row: AnyRow, c: number): unknown =>
          (codec.schema as Schema)
            .field(c)
            .name.split('.')
            .reduce<unknown>((value, name) => (value as Json)[name], row);
        for (const [i, row] of some.rows.entries()) for (const c of wanted) assert.deepEqual(at(row, c), at(all.rows[i] as AnyRow, c));
      }),
      { numRuns: RUNS },
    );
  });

  test('bytes that are cut, changed or random are refused or read, without effect on their neighbours', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const of = randomRecord(dice);
        const type = modelType(of);
        const whole = new Uint8Array(type.toBuffer(randomValue(of, dice)));
        const cut = whole.slice(0, dice.int(whole.length + 1));
        const changed = whole.slice();
        if (changed.length > 0) changed[dice.int(changed.length)] = dice.int(256);
        const random = Uint8Array.from({ length: dice.int(40) }, () => dice.int(256));
        const codec = avro(of);
        const { rows, rejections, records } = decode(codec, [cut, whole, changed, random, whole]);
        assert.equal(rows.length + rejections.length, 5);
        const good = rows[records.indexOf(1)];
        assert.deepEqual(rows[records.indexOf(4)], good, 'neighbours are unaffected');
        if (cut.length < whole.length) assert.ok(!records.includes(0), 'what is cut has no value');
      }),
      { numRuns: RUNS },
    );
  });
});

describe('what columns hold', () => {
  test('logical types, and the types beneath them', () => {
    const of = record(
      { name: 'ms', type: { type: 'long', logicalType: 'timestamp-millis' } },
      { name: 'us', type: { type: 'long', logicalType: 'timestamp-micros' } },
      { name: 'ns', type: { type: 'long', logicalType: 'timestamp-nanos' } },
      { name: 'local', type: { type: 'long', logicalType: 'local-timestamp-micros' } },
      { name: 'day', type: { type: 'int', logicalType: 'date' } },
      { name: 'time', type: { type: 'int', logicalType: 'time-millis' } },
      { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 } },
      { name: 'fee', type: { type: 'fixed', name: 'Fee', size: 4, logicalType: 'decimal', precision: 9, scale: 4 } },
      { name: 'id', type: { type: 'fixed', name: 'Id', size: 16, logicalType: 'uuid' } },
      { name: 'odd', type: { type: 'string', logicalType: 'timestamp-millis' } },
    );
    const plain = avsc.Type.forSchema(structuredClone(of) as avsc.Schema, { logicalTypes: {} });
    const value = {
      ms: 1_767_225_600_123,
      us: -1,
      ns: 1_767_225_600_123,
      local: 1_767_225_600_123_999,
      day: -1,
      time: 86_399_999,
      price: Buffer.from([0xff, 0x85]),
      fee: Buffer.from([0, 0, 0, 7]),
      id: Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
      odd: 'x',
    };
    const row = {
      ms: 1_767_225_600_123,
      us: -1,
      ns: 1_767_225,
      local: 1_767_225_600_123,
      day: -86_400_000,
      time: 86_399_999,
      price: '-1.23',
      fee: '0.0007',
      id: '00112233-4455-6677-8899-aabbccddeeff',
      odd: 'x',
    };
    const record_ = new Uint8Array(plain.toBuffer(value));
    assert.deepEqual(rowsOf(avro(of), record_), [row]);
    const raw = avro(of, { raw: ['us', 'price', 'day'] });
    assert.deepEqual(rowsOf(raw, record_), [{ ...row, us: -1n, price: new Uint8Array([0xff, 0x85]), day: -1 }]);
    // What was cut to milliseconds is written with zeros below them.
    const { batch, builder } = batchOf([row], avro(of).schema as Schema);
    const written = plain.fromBuffer(Buffer.from(encode(avro(of), batch)[0] as Uint8Array)) as typeof value;
    assert.deepEqual({ ...written }, { ...value, price: Buffer.from([0x85]), us: -1_000, ns: 1_767_225_000_000, local: 1_767_225_600_123_000 });
    builder.release();
  });

  test('nanoseconds around now, exact to the millisecond', () => {
    const codec = avro(record({ name: 'at', type: { type: 'long', logicalType: 'timestamp-nanos' } }));
    const bare = modelType(record({ name: 'at', type: 'long' }));
    for (const ns of [1_767_225_600_123_999_999n, 1_767_225_600_124_000_000n, -1n, -1_000_000n, -1_000_001n, 2n ** 63n - 1n, -(2n ** 63n), 999_999n]) {
      const ms = ns >= 0n ? ns / 1_000_000n : -((-ns + 999_999n) / 1_000_000n);
      assert.deepEqual(rowsOf(codec, new Uint8Array(bare.toBuffer({ at: ns }))), [{ at: Number(ms) }]);
    }
  });

  test('a record that may be null is a struct of nulls, one within itself is text', () => {
    const of = record(
      { name: 'geo', type: ['null', { type: 'record', name: 'Geo', fields: [{ name: 'lat', type: 'double' }] }] },
      {
        name: 'tree',
        type: {
          type: 'record',
          name: 'Tree',
          fields: [
            { name: 'n', type: 'int' },
            { name: 'left', type: ['null', 'Tree'] },
          ],
        },
      },
    );
    const type = avsc.Type.forSchema(structuredClone(of) as avsc.Schema);
    const codec = avro(of);
    assert.equal(codec.schema?.toString(), '"geo.lat":f64?, "tree.n":i32, "tree.left":json?');
    const values = [
      { geo: null, tree: { n: 1, left: null } },
      { geo: { lat: 1.5 }, tree: { n: 1, left: { n: 2, left: { n: 3, left: null } } } },
    ];
    const rows = rowsOf(codec, ...values.map((value) => new Uint8Array(type.toBuffer(value))));
    assert.deepEqual(rows, [
      { geo: { lat: null }, tree: { n: 1, left: null } },
      { geo: { lat: 1.5 }, tree: { n: 1, left: '{"n":2,"left":{"n":3,"left":null}}' } },
    ]);
    const { batch, builder } = batchOf(rows, codec.schema as Schema);
    const back = encode(codec, batch).map((one) => JSON.parse(JSON.stringify(type.fromBuffer(Buffer.from(one)))));
    assert.deepEqual(back, values);
    builder.release();
  });
});

describe('schema resolution', () => {
  const written = (of: object, value: unknown): Uint8Array => new Uint8Array(modelType(of).toBuffer(value));

  test('fields in another order, fields of one side only, aliases, promotion', () => {
    const writer = record(
      { name: 'a', type: 'int' },
      { name: 'gone', type: { type: 'array', items: 'string' } },
      { name: 'old', type: 'string' },
      { name: 'f', type: 'float' },
    );
    const reader = record(
      { name: 'f', type: 'double' },
      { name: 'new', aliases: ['old'], type: 'bytes' },
      { name: 'a', type: 'long' },
      { name: 'added', type: { type: 'array', items: 'long' }, default: [1, 2] },
      { name: 'inner', type: { type: 'record', name: 'I', fields: [{ name: 'x', type: 'int', default: 7 }] }, default: {} },
      { name: 'none', type: ['null', 'string'], default: null },
    );
    const value = written(writer, { a: 5, gone: ['x', 'y'], old: 'é', f: 0.5 });
    assert.deepEqual(rowsOf(avro(reader, { writer }), value), [
      { f: 0.5, new: new Uint8Array(Buffer.from('é')), a: 5n, added: [1n, 2n], inner: { x: 7 }, none: null },
    ]);
  });

  test('enums by symbol, with a default; a symbol without one is refused', () => {
    const writer = record({ name: 'e', type: { type: 'enum', name: 'E', symbols: ['A', 'B', 'C'] } });
    const reader = record({ name: 'e', type: { type: 'enum', name: 'E', symbols: ['C', 'A', 'OTHER'], default: 'OTHER' } });
    const values = ['A', 'B', 'C'].map((e) => written(writer, { e }));
    assert.deepEqual(rowsOf(avro(reader, { writer }), ...values), [{ e: 'A' }, { e: 'OTHER' }, { e: 'C' }]);
    const strict = record({ name: 'e', type: { type: 'enum', name: 'E', symbols: ['C', 'A'] } });
    const { rows, rejections } = decode(avro(strict, { writer }), values);
    assert.deepEqual(rows, [{ e: 'A' }, { e: 'C' }]);
    assert.match((rejections[0] as { message: string }).message, /in "e", at byte 0: the writer's symbol 1 is not in the reader's enum/);
  });

  test('unions: a branch that the reader does not have is refused where a record has it', () => {
    const writer = record({ name: 'v', type: ['null', 'int', 'string'] });
    const reader = record({ name: 'v', type: 'long' });
    const values = [{ int: 3 }, { string: 'x' }, null].map((v) => written(writer, { v }));
    const { rows, rejections } = decode(avro(reader, { writer }), values);
    assert.deepEqual(rows, [{ v: 3n }]);
    assert.equal(rejections.length, 2);
    const wide = record({ name: 'v', type: ['null', 'double', 'string'] });
    assert.deepEqual(rowsOf(avro(wide, { writer }), ...values), [{ v: '{"double":3}' }, { v: '{"string":"x"}' }, { v: null }]);
    const plain = record({ name: 'v', type: 'int' });
    assert.deepEqual(rowsOf(avro(record({ name: 'v', type: ['null', 'long'] }), { writer: plain }), written(plain, { v: 3 })), [{ v: 3n }]);
  });

  test('records in lists whose fields are in another order', () => {
    const item = (...fields: object[]): object => record({ name: 'items', type: { type: 'array', items: { type: 'record', name: 'I', fields } } });
    const writer = item({ name: 'gone', type: 'string' }, { name: 'b', type: 'int' }, { name: 'a', type: 'string' });
    const reader = item({ name: 'a', type: 'string' }, { name: 'c', type: 'double', default: 1.5 }, { name: 'b', type: 'long' });
    const value = written(writer, {
      items: [
        { gone: 'x', b: 1, a: 'p' },
        { gone: '', b: 2, a: 'q' },
      ],
    });
    assert.deepEqual(rowsOf(avro(reader, { writer }), value), [
      {
        items: [
          { a: 'p', c: 1.5, b: 1n },
          { a: 'q', c: 1.5, b: 2n },
        ],
      },
    ]);
  });

  test('random writers whose fields are shuffled, dropped, promoted: as avsc resolves them', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const writer = randomRecord(dice) as Json & { fields: { name: string; type: unknown }[] };
        // avsc takes the first type of a union that would do; we take one of the same name before, as Java does.
        if (hasLikes(writer)) return;
        const fields = writer.fields.filter(() => dice.int(4) > 0);
        if (fields.length === 0) return;
        fields.sort(() => dice.int(3) - 1);
        const reader = { ...writer, fields: fields.map((field) => ({ ...field, type: promoted(field.type, dice) })) };
        const [from, to] = [modelType(writer), modelType(reader)];
        const resolver = to.createResolver(from);
        const values = Array.from({ length: 4 }, () => new Uint8Array(from.toBuffer(randomValue(writer, dice))));
        const expected = values.map((value) => modelRow(reader, to.fromBuffer(Buffer.from(value), resolver) as Json));
        assert.deepEqual(decode(avro(reader, { writer }), values).rows, expected);
      }),
      { numRuns: RUNS },
    );
  });

  /** Whether a union has types that are promoted to each other. */
  function hasLikes(type: unknown): boolean {
    if (!Array.isArray(type)) return typeof type === 'object' && type !== null && Object.values(type).some(hasLikes);
    const count = (names: readonly string[]): number => type.filter((branch) => names.includes(branch as string)).length;
    return count(['int', 'long', 'float', 'double']) > 1 || count(['bytes', 'string']) > 1 || type.some(hasLikes);
  }

  function promoted(type: unknown, dice: Dice): unknown {
    const to: Readonly<Record<string, string[]>> = { int: ['int', 'double'], float: ['double'], string: ['bytes'], bytes: ['bytes'] };
    return typeof type === 'string' && to[type] !== undefined ? dice.of(to[type]) : type;
  }

  test('schemas that do not go together are refused where the codec is made', () => {
    const fails = (reader: object, writer: object, pattern: RegExp): void =>
      assert.throws(
        () => avro(reader, { writer }),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_SCHEMA' && pattern.test(error.message),
      );
    fails(record({ name: 'a', type: 'int' }), record({ name: 'a', type: 'long' }), /"a" is long of the writer, and int of the reader/);
    fails(
      record({ name: 'a', type: 'int' }, { name: 'b', type: 'int' }),
      record({ name: 'a', type: 'int' }),
      /no field "b", and the reader's gives it no default/,
    );
    fails(
      { ...record({ name: 'a', type: 'int' }), name: 'Other' },
      record({ name: 'a', type: 'int' }),
      /the writer's record is named R, the reader's Other; give the reader's an alias/,
    );
    const money = (scale: number): object => record({ name: 'a', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale } });
    fails(money(2), money(3), /decimal\(9, 3\) of the writer, and a decimal\(9, 2\) of the reader/);
  });
});

describe('single objects', () => {
  // Parsing Canonical Forms and fingerprints as other implementations have them.
  test('canonical form and fingerprint', () => {
    const int = parseAvroSchema('test', 'int');
    assert.equal(canonicalForm(int), '"int"');
    assert.equal(fingerprint(int).toString(16), '7275d51a3f395c8f');
    assert.equal(fingerprint(parseAvroSchema('test', 'string')).toString(16), '8f014872634503c7');
    const of = {
      type: 'record',
      name: 'Foo',
      namespace: 'x.y',
      doc: 'x',
      fields: [{ name: 'a', doc: 'y', default: 1, type: { type: 'int', logicalType: 'date' } }],
    };
    assert.equal(canonicalForm(parseAvroSchema('test', of)), '{"name":"x.y.Foo","type":"record","fields":[{"name":"a","type":"int"}]}');
  });

  test('the fingerprint names the schema of each record', () => {
    const one = record({ name: 'a', type: 'int' });
    const two = record({ name: 'a', type: 'long' }, { name: 'b', type: 'string' });
    const reader = record({ name: 'a', type: 'double' });
    const rows = (of: object, list_: AnyRow[]): Uint8Array[] => {
      const codec = avro(of, { encoding: 'single-object' });
      const { batch, builder } = batchOf(list_, codec.schema as Schema);
      const out = encode(codec, batch);
      builder.release();
      return out;
    };
    const records = [...rows(one, [{ a: 1 }]), ...rows(two, [{ a: 2n, b: 'x' }]), ...rows(reader, [{ a: 0.5 }])];
    assert.deepEqual([...(records[0] as Uint8Array).subarray(0, 2)], [0xc3, 0x01]);
    const codec = avro(reader, { encoding: 'single-object', writer: [one, two] });
    assert.deepEqual(rowsOf(codec, ...records), [{ a: 1 }, { a: 2 }, { a: 0.5 }]);
    assert.match(
      refusal(codec, rows(record({ name: 'z', type: 'int' }), [{ z: 1 }])[0] as Uint8Array),
      /its fingerprint is that of no schema in the option writer/,
    );
    assert.match(refusal(codec, ofHex('c301 00')), /expected the mark C3 01/);
  });
});

describe('hostile bytes', () => {
  test('each is refused, with the byte and the field', () => {
    const refused = (of: object, hex: string, pattern: RegExp): void => assert.match(refusal(avro(of), ofHex(hex)), pattern);
    const text = record({ name: 's', type: 'string' });
    refused(text, '', /in "s", at byte 0: the record ends where a value begins/);
    refused(text, '06 61', /in "s", at byte 1: a value|a text of 3 bytes begins, but 1 are left/);
    refused(text, '01', /at byte 0: a length is -1/);
    refused(text, 'ffffffffffffffffff01', /a length is -9223372036854775808/);
    refused(text, 'ffffffffffffffffffff01', /a varint has more than 64 bits/);
    refused(text, 'ffffffffffffffffff02', /a varint has more than 64 bits/);
    refused(text, '80', /a varint is not finished/);
    refused(text, '02 ff', /at byte 1: a text is no well-formed UTF-8/);
    refused(text, '02 61 00', /1 bytes are behind the record/);
    refused(record({ name: 'i', type: 'int' }), 'ffffffff1f', /in "i", at byte 0: a number is not within 32 bits/);
    refused(record({ name: 'b', type: 'boolean' }), '02', /a boolean is 2/);
    refused(record({ name: 'u', type: ['null', 'int'] }), '04', /a union has 2 types, and none at 2/);
    refused(record({ name: 'e', type: { type: 'enum', name: 'E', symbols: ['A'] } }), '02', /an enum has 1 symbols, and none at 1/);
    refused(
      record({ name: 'd', type: { type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 } }),
      '06 7fffff',
      /a decimal takes 3 bytes, and its precision at most 2/,
    );
  });

  test('blocks: counts and sizes beyond what is there, and items of no bytes', () => {
    const of = (items: unknown): object => record({ name: 'l', type: { type: 'array', items } });
    const unread = (items: unknown): object => record({ name: 'x', type: 'int' }, { name: 'l', type: ['null', { type: 'map', values: items }] });
    for (const [items, hex, pattern] of [
      ['int', 'fcffffffffffffffff01 02', /a block has 9223372036854775806 items/],
      ['int', 'feffffff0f 02', /a block of 2147483647 items begins, but 1 bytes are left/],
      ['int', '03 7e 02', /a block of 63 bytes begins, but 1 are left/],
      ['int', '01 04 02 02 02 00', /a block of 1 items is not as long as it says/],
      ['double', '04 00', /a block of 2 items begins/],
      ['null', 'feffffff0f 00', /an array has 2147483647 items that take no bytes/],
    ] as const) {
      assert.match(refusal(avro(of(items)), ofHex(hex)), pattern);
    }
    // Blocks with their sizes, as Java's blocking encoder writes them.
    assert.deepEqual(rowsOf(avro(of('int')), ofHex('03 04 02 04 01 02 06 00')), [{ l: [1, 2, 3] }]);
    // What nobody reads is moved over, by its size where it tells it.
    const some = (hex: string): unknown => decode(avro(unread('int')), [ofHex(hex)], { columns: [0] }).rows.map(({ x }) => x);
    assert.deepEqual(some('02 02 03 04 ffff 02 00 02 00'), [1]);
    assert.deepEqual(some('02 02 03 7e 02'), []);
    assert.deepEqual(decode(avro(unread('null')), [ofHex('02 02 feffffff0700')], { columns: [0] }).rejections.length, 1);
  });

  test('a type within itself goes 256 deep at most', () => {
    const of = record({ name: 'tree', type: { type: 'record', name: 'T', fields: [{ name: 'next', type: ['null', 'T'] }] } });
    const chain = (deep: number): Uint8Array => new Uint8Array([...new Array<number>(deep).fill(2), 0]);
    assert.equal(rowsOf(avro(of), chain(100)).length, 1);
    assert.match(refusal(avro(of), chain(100_000)), /more than 256 values are inside one another/);
  });

  test('names of the prototype are names', () => {
    const of = record({ name: '__proto__', type: 'int' }, { name: 'constructor', type: { type: 'map', values: 'int' } });
    const [row] = rowsOf(avro(of), ofHex('02 02 12 5f5f70726f746f5f5f 04 00'));
    assert.equal(Object.getOwnPropertyDescriptor(row, '__proto__')?.value, 1);
    assert.equal((row as AnyRow)['constructor'], '{"__proto__":2}');
  });
});

describe('writing', () => {
  test('without a schema: one that fits the columns, which avsc reads', () => {
    const fields = schema({
      page: utf8,
      user: { id: u32, tags: list(utf8) },
      ms: nullable(f64),
      n: i64,
      ok: bool,
      raw: binary,
      at: timestamp,
      items: list({ sku: utf8, n: nullable(i64) }),
      any: jsonText,
    });
    const rows = [
      {
        page: 'ä',
        user: { id: 4_294_967_295, tags: ['x'] },
        ms: null,
        n: -(2n ** 63n),
        ok: true,
        raw: new Uint8Array([1, 0]),
        at: -5,
        items: [
          { sku: 'a', n: 2n ** 62n },
          { sku: '', n: null },
        ],
        any: '{"a":[1]}',
      },
    ];
    const { batch, builder } = batchOf(rows, fields);
    const [value] = encode(avro(), batch) as [Uint8Array];
    const plain = modelType(avroSchemaOf(fields));
    const row = plain.fromBuffer(Buffer.from(value)) as Json;
    assert.deepEqual(JSON.parse(JSON.stringify(row, (_name, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner))), {
      page: 'ä',
      user: { id: '4294967295', tags: ['x'] },
      ms: null,
      n: '-9223372036854775808',
      ok: true,
      raw: { type: 'Buffer', data: [1, 0] },
      at: -5,
      items: [
        { sku: 'a', n: { long: '4611686018427387904' } },
        { sku: '', n: null },
      ],
      any: '{"a":[1]}',
    });
    builder.release();
  });

  test('columns and fields that do not go together are refused when the job starts', () => {
    const fails = (of: object, columns: Schema, pattern: RegExp): void => {
      const { batch, builder } = batchOf([], columns);
      assert.throws(
        () => encode(avro(of), { ...batch, rowCount: 0, schema: columns } as never),
        (error) => {
          assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_PIPELINE', String(error));
          assert.match(error.message, pattern);
          return true;
        },
      );
      builder.release();
    };
    fails(record({ name: 'a', type: 'int' }), schema({ a: utf8 }), /cannot write column "a" of utf8 as int/);
    fails(record({ name: 'a', type: 'int' }), schema({ a: i64 }), /column "a" of i64 as int/);
    fails(record({ name: 'a', type: 'string' }), schema({ a: utf8, b: utf8 }), /cannot write the column "b": the record R has no such field/);
    fails(record({ name: 'a', type: 'string' }, { name: 'b', type: 'int' }), schema({ a: utf8 }), /no column for the field "b", which has no default/);
    const { batch, builder } = batchOf([], schema({ 'a-b': utf8 }));
    assert.throws(() => encode(avro(), batch), /names of Avro have letters, digits and underscores/);
    builder.release();
  });

  test('values that the schema does not have end the job, with the column', () => {
    const fails = (of: object, columns: Schema, row: AnyRow, pattern: RegExp): void => {
      const { batch, builder } = batchOf([row], columns);
      assert.throws(
        () => encode(avro(of), batch),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_CODEC' && pattern.test(error.message),
      );
      builder.release();
    };
    fails(record({ name: 'a', type: 'string' }), schema({ a: nullable(utf8) }), { a: null }, /column "a" of utf8 is null, and the field is string/);
    fails(
      record({ name: 'a', type: { type: 'enum', name: 'E', symbols: ['A'] } }),
      schema({ a: utf8 }),
      { a: 'B' },
      /is "B", which is no symbol of the enum E: A/,
    );
    fails(
      record({ name: 'a', type: { type: 'fixed', name: 'F', size: 2 } }),
      schema({ a: binary }),
      { a: new Uint8Array(3) },
      /has 3 bytes, and the fixed has 2/,
    );
    fails(
      record({ name: 'a', type: { type: 'bytes', logicalType: 'decimal', precision: 3, scale: 1 } }),
      schema({ a: utf8 }),
      { a: '1.25' },
      /is 1.25, which is no decimal\(3, 1\)/,
    );
  });
});

describe('options', () => {
  test('what is no schema, and options that do not exist', () => {
    const fails = (make: () => unknown, code: string, pattern: RegExp): void =>
      assert.throws(make, (error) => error instanceof MillraceError && error.code === code && pattern.test(error.message));
    fails(() => avro('int'), 'ERR_MILLRACE_SCHEMA', /which is no record/);
    fails(() => avro(record({ name: 'a', type: 'nope' })), 'ERR_MILLRACE_SCHEMA', /the type "nope" is defined nowhere/);
    fails(() => avro(record({ name: 'a', type: [['null']] })), 'ERR_MILLRACE_SCHEMA', /a union is in a union/);
    fails(() => avro(record({ name: 'a', type: ['int', 'int'] })), 'ERR_MILLRACE_SCHEMA', /a union has "int" twice/);
    fails(() => avro(record({ name: 'a-b', type: 'int' })), 'ERR_MILLRACE_SCHEMA', /a field with the name "a-b"/);
    fails(() => avro(record({ name: 'a', type: 'int' }), { writter: {} } as never), 'ERR_MILLRACE_OPTION', /writter/);
    fails(() => avro(record({ name: 'a', type: 'int' }), { raw: ['b'] }), 'ERR_MILLRACE_OPTION', /raw names the column "b"/);
    fails(() => avro(record({ name: 'a', type: 'int' }), { encoding: 'json' as never }), 'ERR_MILLRACE_OPTION', /encoding is "json"/);
    let deep: unknown = 'int';
    for (let i = 0; i < 10_000; i++) deep = { type: 'array', items: deep };
    fails(() => avro(record({ name: 'a', type: deep })), 'ERR_MILLRACE_SCHEMA', /more than 64 types inside one another/);
  });

  test('row types are those of the schema that is written in the call', () => {
    const codec = avro({
      type: 'record',
      name: 'Click',
      fields: [
        { name: 'page', type: 'string' },
        { name: 'ms', type: ['null', 'double'] },
        { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
        { name: 'user', type: { type: 'record', name: 'User', fields: [{ name: 'id', type: 'long' }] } },
        { name: 'tags', type: { type: 'array', items: 'string' } },
      ],
    });
    type Row = NonNullable<(typeof codec)['_row']>;
    const row: Row = { page: 'x', ms: null, at: 1, user: { id: 1n }, tags: ['a'] };
    // @ts-expect-error a page is a text
    const wrong: Row['page'] = 1;
    assert.ok(row.tags.length + Number(wrong) > 0);
  });
});
