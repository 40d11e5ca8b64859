/** json(schema) with schemas of zod, valibot and arktype: which columns they make, what is refused, and the types of rows. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { f64, list, MillraceError, nullable, timestamp, utf8 } from '../../core/index.ts';
import { json } from '../../io/json.ts';
import { decode } from './codec-harness.ts';

const records = (...values: unknown[]): Uint8Array[] =>
  values.map((value) => new Uint8Array(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))));

describe('zod', () => {
  const codec = json(
    z.object({
      page: z.string().min(1),
      ms: z.number().optional(),
      n: z.int32(),
      user: z.object({ id: z.string(), tags: z.array(z.string()).default([]) }),
      geo: z.nullable(z.object({ lat: z.number() })),
      items: z.array(z.object({ sku: z.string(), note: z.string().optional() })),
      kind: z.enum(['a', 'b']),
      extra: z.record(z.string(), z.number()),
      either: z.union([z.string(), z.number()]),
    }),
  );

  test('columns are those of its JSON Schema', () => {
    assert.equal(
      codec.schema?.toString(),
      '"page":utf8, "ms":f64?, "n":i32, "user.id":utf8, "user.tags":list<utf8>, "geo.lat":f64?, "items":list<{"sku":utf8, "note":utf8?}>, "kind":utf8, "extra":json, "either":json',
    );
  });

  test('rows are what comes out of it; what it refuses is refused in its words', () => {
    const good = { page: '/a', n: 1, user: { id: 'u' }, geo: null, items: [{ sku: 's' }], kind: 'a', extra: { x: 1 }, either: 5, other: true };
    const {
      rows,
      rejections,
      records: at,
    } = decode(codec, [
      ...records(good, { ...good, page: '' }, { ...good, ms: 'x', n: 1.5 }, '{', [1]),
      new Uint8Array([0x22, 0xff, 0x22]),
      null,
      ...records({ ...good, ms: 2, geo: { lat: 1 } }),
    ]);
    const row = {
      page: '/a',
      ms: null,
      n: 1,
      user: { id: 'u', tags: [] },
      geo: { lat: null },
      items: [{ sku: 's', note: null }],
      kind: 'a',
      extra: '{"x":1}',
      either: '5',
    };
    assert.deepEqual(rows, [row, { ...row, ms: 2, geo: { lat: 1 } }]);
    assert.deepEqual(at, [0, 7]);
    const why = rejections.map(({ message }) => message);
    assert.match(why[0] as string, /page: .*(small|>=1)/i);
    assert.match(why[1] as string, /ms: .*number.*; n: /);
    assert.match(why[2] as string, /it is no JSON/);
    assert.match(why[3] as string, /expected object/i);
    assert.match(why[4] as string, /expected well-formed UTF-8 at byte 1/);
    assert.match(why[5] as string, /it has no value/);
  });

  test('the types of rows are those of its output', () => {
    type Row = NonNullable<(typeof codec)['_row']>;
    const row: Row = {
      page: 'x',
      ms: null,
      n: 1,
      user: { id: 'a', tags: ['b'] },
      geo: { lat: null },
      items: [{ sku: 's', note: null }],
      kind: 'a',
      extra: '{}',
      either: '"x"',
    };
    // @ts-expect-error it is a text
    const wrong: Row['page'] = 1;
    // @ts-expect-error there is no such column
    row.nope;
    assert.ok(row.user.tags.length + Number(wrong) > 0);
  });

  test('transforms; what has no JSON Schema takes its columns beside it', () => {
    const schema = z.object({ at: z.string().transform((text) => new Date(text)), name: z.string().transform((text) => text.toUpperCase()) });
    assert.throws(
      () => json(schema),
      (error) =>
        error instanceof MillraceError &&
        error.code === 'ERR_MILLRACE_SCHEMA' &&
        /the schema of zod has no JSON Schema: .+Give the columns beside it/.test(error.message),
    );
    const made = json({ at: timestamp, name: utf8 }, { validate: schema });
    assert.deepEqual(decode(made, records({ at: '2026-01-01T00:00:00Z', name: 'ann' })).rows, [{ at: Date.UTC(2026, 0, 1), name: 'ANN' }]);
    assert.match(decode(made, records({ at: 'never', name: 'ann' })).rejections[0]?.message ?? '', /Column "at" holds timestamp, but the value is/);
  });

  test('one that waits, and options beside it, are refused', () => {
    const waits = z.object({ page: z.string().refine(async () => true) });
    assert.throws(() => decode(json({ page: utf8 }, { validate: waits }), records({ page: 'x' })), /(validates asynchronously|the schema of zod failed)/);
    for (const options of [{ validate: waits, from: { page: 'p' } }, { validate: waits, unit: 's' }, { validate: {} }]) {
      assert.throws(
        () => json({ page: utf8 }, options as never),
        (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION',
      );
    }
    assert.throws(() => json(undefined, { validate: waits } as never), /validate is given, and no columns/);
  });
});

test('arktype', () => {
  const codec = json(type({ page: 'string > 0', 'ms?': 'number', tags: 'string[]', who: 'string | null', either: 'string | number' }));
  assert.match(codec.schema?.toString() ?? '', /"either":json/);
  const { rows, rejections } = decode(codec, records({ page: 'x', tags: ['a'], who: null, either: 'y' }, { page: '', tags: ['a'], who: null, either: 1 }));
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [{ either: '"y"', ms: null, page: 'x', tags: ['a'], who: null }],
  );
  assert.match(rejections[0]?.message ?? '', /page: .*non-empty/);
  type Row = NonNullable<(typeof codec)['_row']>;
  const page: Row['page'] = 'x';
  assert.equal(page, 'x');
});

test('valibot tells no JSON Schema: its columns are given', () => {
  const schema = v.object({ page: v.string(), ms: v.optional(v.number()), tags: v.array(v.string()) });
  assert.throws(() => json(schema), /the schema of valibot does not tell its JSON Schema, so its columns are not known. Give the columns beside it/);
  const codec = json({ page: utf8, ms: nullable(f64), tags: list(utf8) }, { validate: schema });
  const { rows, rejections } = decode(codec, records({ page: 'x', tags: [] }, { page: 1, tags: [2] }));
  assert.deepEqual(rows, [{ page: 'x', ms: null, tags: [] }]);
  assert.match(rejections[0]?.message ?? '', /page: .+; tags.0: /);
});
