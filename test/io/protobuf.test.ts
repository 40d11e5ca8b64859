/** protobuf(description): bytes to columns and back, against protobufjs, over random files and values; what the wire allows, and hostile bytes. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import protobufjs from 'protobufjs';
import 'protobufjs/ext/descriptor/index.js';
import { type AnyRow, BatchBuilder, f64, i32, i64, jsonText, MillraceError, nullable, type Schema, schema, u32, utf8 } from '../../core/index.ts';
import type { Codec } from '../../io/codec.ts';
import { protobuf } from '../../io/protobuf.ts';
import { caseCount, fc } from '../seed.ts';
import { Dice } from './avro-model.ts';
import { decode, encode, ofHex, refusal, rowsOf, slabs } from './codec-harness.ts';
import { modelRow, protoText, randomMessage, randomSpec } from './protobuf-model.ts';

const RUNS = caseCount(300);

function rootOf(text: string): protobufjs.Root {
  const root = new protobufjs.Root();
  for (const name of ['timestamp', 'wrappers'] as const) root.addJSON(protobufjs.common.get(`google/protobuf/${name}.proto`)?.nested as never);
  return protobufjs.parse(text, root, { keepCase: true }).root.resolveAll() as protobufjs.Root;
}

function written(codec: Codec, rows: readonly AnyRow[], of: Schema = codec.schema as Schema): Uint8Array[] {
  const builder = new BatchBuilder(slabs, of, Math.max(rows.length, 1));
  for (const row of rows) builder.appendRow(row);
  try {
    return encode(codec, builder.finish());
  } finally {
    builder.release();
  }
}

const proto3 = (body: string): string => `syntax = "proto3"; ${body}`;

describe('protobuf against protobufjs', () => {
  test('random files and values: rows as the model has them, and written again as protobufjs reads them', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const spec = randomSpec(dice);
        const text = protoText(spec);
        const type = rootOf(text).lookupType(`t.p.${spec.name}`);
        const values = Array.from({ length: 1 + dice.int(10) }, () => randomMessage(spec, dice));
        const records = values.map((value) => new Uint8Array(type.encode(type.fromObject(value)).finish()));
        const codec = protobuf(text);
        const { rows, rejections } = decode(codec, records);
        assert.deepEqual(rejections, []);
        assert.deepEqual(
          rows,
          values.map((value) => modelRow(spec, value)),
          text,
        );
        const back = written(codec, rows);
        assert.deepEqual(decode(codec, back).rows, rows, text);
        const plain = (record: Uint8Array): unknown => cut(type.toObject(type.decode(record), { longs: String, bytes: String, enums: String, defaults: true }));
        assert.deepEqual(back.map(plain), records.map(plain), text);
      }),
      { numRuns: RUNS },
    );
  });

  /** Nanoseconds below a millisecond are cut; a message without any field that is set may not be there. */
  function cut(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(cut);
    if (typeof value !== 'object' || value === null) return value;
    const of = value as Record<string, unknown>;
    if (typeof of['nanos'] === 'number') return { seconds: of['seconds'], nanos: Math.floor(of['nanos'] / 1e6) * 1e6 };
    const members = Object.entries(of)
      .map(([name, inner]) => [name, cut(inner)] as const)
      .filter(([, inner]) => inner !== null);
    return members.length === 0 ? null : Object.fromEntries(members);
  }

  test('a FileDescriptorSet gives the same as the text', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const spec = randomSpec(dice);
        const text = protoText(spec);
        // protobufjs describes maps in a way of its own.
        if (text.includes('map<')) return;
        const root = rootOf(text);
        const set = (root as unknown as { toDescriptor(syntax: string): protobufjs.Message }).toDescriptor('proto3');
        const type = root.lookupType(`t.p.${spec.name}`);
        const records = Array.from({ length: 3 }, () => new Uint8Array(type.encode(type.fromObject(randomMessage(spec, dice))).finish()));
        const described = (set.constructor as unknown as typeof protobufjs.Message).encode(set).finish();
        const codec = protobuf(new Uint8Array(described), { message: `t.p.${spec.name}` });
        const names = (of: Codec): string[] => (of.schema as Schema).toString().split(', ').sort();
        assert.deepEqual(names(codec), names(protobuf(text)));
        const sorted = (rows: readonly AnyRow[]): unknown =>
          rows.map((row) => JSON.stringify(row, (_n, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)).length);
        assert.deepEqual(sorted(decode(codec, records).rows), sorted(decode(protobuf(text), records).rows));
      }),
      { numRuns: caseCount(100) },
    );
  });

  test('bytes that are cut, changed or random are refused or read, without effect on their neighbours', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const spec = randomSpec(dice);
        const text = protoText(spec);
        const type = rootOf(text).lookupType(`t.p.${spec.name}`);
        const whole = new Uint8Array(type.encode(type.fromObject(randomMessage(spec, dice))).finish());
        const changed = whole.slice();
        if (changed.length > 0) changed[dice.int(changed.length)] = dice.int(256);
        const random = Uint8Array.from({ length: dice.int(40) }, () => dice.int(256));
        const { rows, rejections, records } = decode(protobuf(text), [whole.slice(0, dice.int(whole.length + 1)), whole, changed, random, whole]);
        assert.equal(rows.length + rejections.length, 5);
        assert.deepEqual(rows[records.indexOf(4)], rows[records.indexOf(1)]);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('what the wire allows', () => {
  const TEXT = proto3(
    'message M { int32 a = 1; optional string s = 2; repeated int32 r = 3; repeated int32 u = 4 [packed = false]; I i = 5; oneof c { I x = 6; string y = 7; int64 z = 8; } message I { int32 p = 1; optional int32 q = 2; repeated string t = 3; } }',
  );
  const codec = protobuf(TEXT);
  const empty = { a: 0, s: null, r: [], u: [], i: { p: null, q: null, t: null }, x: { p: null, q: null, t: null }, y: null, z: null };

  test('nothing: defaults, nulls and empty lists', () => {
    assert.deepEqual(rowsOf(codec, new Uint8Array(0)), [empty]);
  });

  test('the last value counts; fields in any order, with others between; numbers packed and one by one', () => {
    assert.deepEqual(rowsOf(codec, ofHex('08 01 12 01 61 08 05 12 01 62')), [{ ...empty, a: 5, s: 'b' }]);
    // Field 3 packed, alone, packed again; field 4 packed; unknown fields of all wire types, a group among them.
    assert.deepEqual(
      rowsOf(codec, ofHex('1a 02 01 02 f8 01 7f 18 03 f9 01 0000000000000000 22 02 07 08 fa 01 01 00 1a 01 04 fb 01 08 01 fc 01 fd 01 00000000 20 09')),
      [{ ...empty, r: [1, 2, 3, 4], u: [7, 8, 9] }],
    );
  });

  test('a message that comes twice is merged', () => {
    assert.deepEqual(rowsOf(codec, ofHex('2a 05 08 01 1a 01 61 2a 07 10 02 08 03 1a 01 62')), [{ ...empty, i: { p: 3, q: 2, t: ['a', 'b'] } }]);
    assert.deepEqual(rowsOf(codec, ofHex('2a 00')), [{ ...empty, i: { p: 0, q: null, t: [] } }]);
  });

  test('of a oneof the last field counts, and what was in another one is gone', () => {
    assert.deepEqual(rowsOf(codec, ofHex('32 05 08 01 1a 01 61 3a 01 79')), [{ ...empty, y: 'y' }]);
    assert.deepEqual(rowsOf(codec, ofHex('3a 01 79 32 02 10 01')), [{ ...empty, x: { p: 0, q: 1, t: [] } }]);
    assert.deepEqual(rowsOf(codec, ofHex('32 02 08 01 40 05 32 02 10 01')), [{ ...empty, x: { p: 0, q: 1, t: [] } }]);
  });

  test('negative numbers, numbers with more bits than their type, bools of any number', () => {
    const of = protobuf(proto3('message M { int32 a = 1; bool b = 2; uint32 c = 3; sint32 d = 4; enum E { Z = 0; O = 1; } E e = 5; }'));
    assert.deepEqual(rowsOf(of, ofHex('08 ffffffffffffffffff01 10 8002 18 ffffffffff7f 20 01 28 02')), [{ a: -1, b: true, c: 4_294_967_295, d: -1, e: '2' }]);
  });

  test('proto2: required fields, groups, fields that are not there; names that are none to JavaScript', () => {
    const of = protobuf(
      'syntax = "proto2"; message M { required int32 a = 1; optional string s = 2 [default = "x"]; optional group G = 3 { optional int32 n = 1; } repeated group R = 4 { optional int32 n = 1; } }',
      {
        message: 'M',
      },
    );
    const names = (of.schema as Schema).fields.map(({ name }) => name);
    const row = rowsOf(of, ofHex('08 01 1b 08 07 1c 23 08 01 24 23 24'))[0] as Record<string, unknown>;
    assert.equal(row['a'], 1);
    assert.equal(row['s'], null);
    const [group, list] = [names.find((name) => /^g\.n$/i.test(name)), names.find((name) => /^r$/i.test(name))] as [string, string];
    assert.deepEqual(row[group.slice(0, 1)], { n: 7 });
    assert.deepEqual(row[list], [{ n: 1 }, { n: null }]);
    assert.match(refusal(of, ofHex('12 01 61')), /in "a", at byte 0: the required field is missing/);
    assert.deepEqual(written(of, [row as AnyRow]), [ofHex('08 01 1b 08 07 1c 23 08 01 24 23 24')]);
    const odd = protobuf(proto3('message M { map<string, int32> constructor = 2; }'));
    assert.equal((rowsOf(odd, ofHex('12 0d 0a 09 5f5f70726f746f5f5f 10 02'))[0] as AnyRow)['constructor'], '{"__proto__":2}');
    assert.throws(() => protobuf(proto3('message M { int32 __proto__ = 1; }')), /which protobufjs leaves out. Give a FileDescriptorSet/);
    // A FileDescriptorSet of hand: file { message M { required int32 __proto__ = 1; } } of proto2.
    const part = (number: number, value: string | number[]): number[] => {
      const inner = typeof value === 'string' ? [...Buffer.from(value)] : value;
      return [(number << 3) | 2, inner.length, ...inner];
    };
    const field = [...part(1, '__proto__'), 0x18, 1, 0x20, 2, 0x28, 5];
    const described = protobuf(new Uint8Array(part(1, [...part(1, 'm.proto'), ...part(2, 'p'), ...part(4, [...part(1, 'M'), ...part(2, field)])])));
    const [made] = rowsOf(described, ofHex('08 01'));
    assert.equal(Object.getOwnPropertyDescriptor(made, '__proto__')?.value, 1);
    assert.match(refusal(described, ofHex('')), /in "__proto__", at byte 0: the required field is missing/);
  });

  test('a message within itself is text; maps with keys of all kinds; a uint64 as text', () => {
    const tree = protobuf(proto3('message T { int32 n = 1; T left = 2; repeated T more = 3; }'));
    assert.equal(tree.schema?.toString(), '"n":i32, "left":json?, "more":list<json>');
    const value = ofHex('08 01 12 04 08 02 12 00 1a 02 08 03');
    const [row] = rowsOf(tree, value) as [AnyRow];
    assert.deepEqual(row, {
      n: 1,
      left: '{"n":2,"left":{"n":0,"left":null,"more":[]},"more":[]}',
      more: ['{"n":3,"left":null,"more":[]}'],
    });
    assert.deepEqual(written(tree, [row]), [value]);
    const maps = protobuf(proto3('message M { map<int64, string> a = 1; map<bool, double> b = 2; map<uint64, M> c = 3; }'));
    assert.deepEqual(rowsOf(maps, ofHex('0a 05 08 05 12 01 78 12 02 08 01 1a 0b 08 ffffffffffffffffff01')), [
      { a: '{"5":"x"}', b: '{"true":0}', c: '{"18446744073709551615":{"a":{},"b":{},"c":{}}}' },
    ]);
    const text = 'message M { uint64 a = 1; repeated fixed64 b = 2; }';
    const large = ofHex('08 ffffffffffffffffff01 12 08 ffffffffffffffff');
    assert.deepEqual(rowsOf(protobuf(proto3(text), { uint64: 'text' }), large), [{ a: '18446744073709551615', b: ['18446744073709551615'] }]);
    assert.deepEqual(written(protobuf(proto3(text), { uint64: 'text' }), [{ a: '18446744073709551615', b: ['18446744073709551615'] }]), [large]);
    assert.match(
      refusal(protobuf(proto3(text)), large),
      /in "a", at byte 1: a number is 2\^63 or more, which an i64 does not hold; read it as text: uint64: 'text'/,
    );
  });
});

describe('hostile bytes', () => {
  test('each is refused, with the byte and the field', () => {
    const codec = protobuf(
      proto3('message M { int32 a = 1; string s = 2; M m = 3; fixed64 f = 4; N n = 5; repeated int32 r = 6; message N { string t = 1; } }'),
      { message: 'M' },
    );
    const refused = (hex: string, pattern: RegExp): void => assert.match(refusal(codec, ofHex(hex)), pattern);
    refused('00 01', /at byte 0: a field has the number 0/);
    refused('0e', /the field 1 has the wire type 6, which there is not/);
    refused('0f', /the field 1 has the wire type 7/);
    refused('08', /in "a", at byte 1: the record ends where a value begins/);
    refused('08 80', /a varint is not finished/);
    refused('08 ffffffffffffffffffff01', /a varint has more than 64 bits/);
    refused('8880808010 01', /a tag has more than 32 bits/);
    refused('12 05 61', /in "s", at byte 1: a value of 5 bytes begins, but 1 are left/);
    refused('12 ffffffffffffffffff01', /a value of 18446744073709551615 bytes begins/);
    refused('12 01 ff', /in "s", at byte 2: a text is no well-formed UTF-8/);
    refused('0a 01 61', /the field "a" \(1\) is a length and bytes, and it has to be a varint/);
    refused('10 01', /the field "s" \(2\) is a varint, and it has to be a length and bytes/);
    refused('35 00000000', /the field "r" \(6\) is 4 bytes, and it has to be a varint/);
    refused('21 00', /in "f", at byte 1: a value of 8 bytes begins, but 1 are left/);
    refused('fc 01', /a group ends, 31, that has not begun/);
    refused('fb 01 08 01', /the group 31 does not end/);
    refused('fb 01 f4 01', /a group ends, 30, within the group 31/);
    refused('2a 03 0a 05 61', /in "n.t", at byte 3: a value of 5 bytes begins, but 1 are left/);
    refused('32 02 01 80', /in "r", at byte 3: a varint is not finished/);
    refused('fb01'.repeat(10_000), /more than 100 messages are inside one another/);
    let deep = new Uint8Array(0);
    for (let i = 0; i < 120; i++) deep = new Uint8Array([0x1a, ...varint(deep.length), ...deep]);
    assert.match(refusal(codec, deep), /more than 100 messages are inside one another/);
  });

  function varint(value: number): number[] {
    return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
  }

  test('fields that nobody wants are moved over, and checked as far as that goes', () => {
    const codec = protobuf(proto3('message M { int32 a = 1; string s = 2; }'));
    assert.deepEqual(
      decode(codec, [ofHex('08 01 12 01 ff')], { columns: [0] }).rows.map(({ a }) => a),
      [1],
    );
    assert.equal(decode(codec, [ofHex('08 01 12 05 61')], { columns: [0] }).rejections.length, 1);
  });
});

describe('writing and options', () => {
  test('columns and fields that do not go together are refused when the job starts, values when they come', () => {
    const fails = (body: string, of: Schema, rows: AnyRow[], code: string, pattern: RegExp): void =>
      assert.throws(
        () => written(protobuf(proto3(`message M { ${body} }`)), rows, of),
        (error) => {
          assert.ok(error instanceof MillraceError && error.code === code, String(error));
          assert.match(error.message, pattern);
          return true;
        },
      );
    fails('int32 a = 1;', schema({ a: utf8 }), [], 'ERR_MILLRACE_PIPELINE', /cannot write column "a" of utf8 as int32/);
    fails('int32 a = 1;', schema({ a: i64 }), [], 'ERR_MILLRACE_PIPELINE', /column "a" of i64 as int32/);
    fails('float a = 1;', schema({ a: f64 }), [], 'ERR_MILLRACE_PIPELINE', /column "a" of f64 as float/);
    fails('repeated int32 a = 1;', schema({ a: i32 }), [], 'ERR_MILLRACE_PIPELINE', /as repeated int32/);
    fails('int32 a = 1;', schema({ a: i32, b: i32 }), [], 'ERR_MILLRACE_PIPELINE', /cannot write the column "b": the message M has no such field/);
    fails(
      'int32 a = 1;',
      schema({ a: nullable(i32) }),
      [{ a: null }],
      'ERR_MILLRACE_CODEC',
      /column "a" is null, and the field cannot tell that it is not there/,
    );
    fails('uint32 a = 1;', schema({ a: i32 }), [{ a: -1 }], 'ERR_MILLRACE_CODEC', /column "a" is below 0/);
    fails('enum E { Z = 0; } E a = 1;', schema({ a: utf8 }), [{ a: 'nope' }], 'ERR_MILLRACE_CODEC', /is "nope", which is no name of the enum M.E/);
    fails('map<string, int32> a = 1;', schema({ a: jsonText }), [{ a: '[1]' }], 'ERR_MILLRACE_CODEC', /is "\[1\]", which is no object/);
    fails('I a = 1; message I { int32 b = 1; }', schema({ a: jsonText }), [{ a: '{"c":1}' }], 'ERR_MILLRACE_CODEC', /has "c", and the message M.I does not/);
  });

  test('narrow columns fit wide fields', () => {
    const codec = protobuf(proto3('message M { int64 a = 1; double b = 2; bytes c = 3; uint64 d = 4; I e = 5; message I { int32 x = 1; } }'), { message: 'M' });
    const of = schema({ a: i32, b: u32, c: utf8, d: u32, e: jsonText });
    const records = written(codec, [{ a: -1, b: 5, c: 'x', d: 4_294_967_295, e: '{"x":7}' }], of);
    assert.deepEqual(rowsOf(codec, ...records), [{ a: -1n, b: 5, c: new Uint8Array([0x78]), d: 4_294_967_295n, e: { x: 7 } }]);
  });

  test('descriptions and options that are none', () => {
    const fails = (make: () => unknown, code: string, pattern: RegExp): void =>
      assert.throws(make, (error) => {
        assert.ok(error instanceof MillraceError && error.code === code, String(error));
        assert.match(error.message, pattern);
        return true;
      });
    fails(() => protobuf('message {'), 'ERR_MILLRACE_SCHEMA', /the text cannot be parsed/);
    fails(() => protobuf(proto3('message A { B b = 1; }')), 'ERR_MILLRACE_SCHEMA', /a type cannot be found/);
    fails(() => protobuf(proto3('import "x.proto"; message A { int32 b = 1; }')), 'ERR_MILLRACE_SCHEMA', /imports "x.proto", which is not given/);
    fails(
      () => protobuf(proto3('message A { int32 b = 1; } message B { int32 b = 1; }')),
      'ERR_MILLRACE_SCHEMA',
      /the file has several messages: A, B. Name one/,
    );
    fails(
      () => protobuf(proto3('message A { int32 b = 1; }'), { message: 'C' }),
      'ERR_MILLRACE_SCHEMA',
      /there is no message "C". At the top of the file there are: A/,
    );
    fails(() => protobuf(proto3('message A { }')), 'ERR_MILLRACE_SCHEMA', /the message A has no fields/);
    fails(() => protobuf(new Uint8Array([1, 2, 3])), 'ERR_MILLRACE_SCHEMA', /the bytes are no FileDescriptorSet/);
    fails(() => protobuf(new Uint8Array(0)), 'ERR_MILLRACE_SCHEMA', /there is no file in them/);
    fails(() => protobuf(3 as never), 'ERR_MILLRACE_SCHEMA', /the description is 3/);
    fails(() => protobuf(proto3('message A { int32 b = 1; }'), { uint64: 'f64' as never }), 'ERR_MILLRACE_OPTION', /uint64 is "f64"/);
    const imported = protobuf(proto3('import "x.proto"; message A { x.B b = 1; }'), {
      imports: { 'x.proto': proto3('package x; message B { int32 c = 1; }') },
    });
    assert.equal(imported.schema?.toString(), '"b.c":i32?');
  });

  test("the place of a message in its file, as Confluent's wire format has it", () => {
    const text = proto3('message A { int32 a = 1; message C { int32 c = 1; } } message B { int32 b = 1; message D { int32 d = 1; } }');
    const registry = {
      name: 'none',
      find: () => undefined,
      fetch: () => Promise.reject(new Error('nobody asks')),
      idOf: () => Promise.reject(new Error('nobody asks')),
    };
    const read = (message: string, hex: string): unknown => {
      const { rows, rejections } = decode(protobuf(text, { message, registry }), [ofHex(hex)]);
      return rows[0] ?? rejections[0]?.message;
    };
    assert.deepEqual(read('A', '00 00000001 00 08 05'), { a: 5 });
    assert.deepEqual(read('A', '00 00000001 02 00 08 05'), { a: 5 });
    assert.deepEqual(read('B', '00 00000001 02 02 08 05'), { b: 5 });
    assert.deepEqual(read('A.C', '00 00000001 04 00 00 08 05'), { c: 5 });
    assert.deepEqual(read('B.D', '00 00000001 04 02 00 08 05'), { d: 5 });
    assert.match(String(read('B', '00 00000001 00 08 05')), /expected a zero byte, the id of a schema, 4 bytes, and the place of B in its file at byte 0/);
    assert.match(String(read('A', '01 00000001 00 08 05')), /expected a zero byte/);
  });
});
