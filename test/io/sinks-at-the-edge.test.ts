/** collect, stdout and forEachBatch: sinks that hand rows to people and to the user's own code. */

import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { binary, bool, f64, i64, nullable, timestamp, schema as toSchema, utf8 } from '../../core/index.ts';
import { collect, forEachBatch, type StdoutOptions, stdout } from '../../io/index.ts';
import { SinkRun } from './harness.ts';

const schema = toSchema({ page: utf8, n: nullable(f64) });

describe('collect', () => {
  test('keeps the rows of committed epochs in order, once', async () => {
    const sink = collect<{ page: string; n: number | null }>();
    const run = await SinkRun.open(sink, schema);
    assert.equal(sink.rows.length, 0);
    await run.write(
      [
        { page: 'a', n: 1 },
        { page: 'b', n: null },
      ],
      { epoch: 1, shard: 0 },
    );
    await run.write([{ page: 'é'.repeat(100_000), n: 2 }], { epoch: 1, shard: 1 });
    assert.equal(sink.rows.length, 0, 'nothing before the commit');
    await run.commit(1);
    await run.commit(2);
    await run.write([{ page: 'd', n: 4 }], { epoch: 3, shard: 0 });
    await run.commit(3);
    const expected = [
      { page: 'a', n: 1 },
      { page: 'b', n: null },
      { page: 'é'.repeat(100_000), n: 2 },
      { page: 'd', n: 4 },
    ];
    assert.deepEqual(sink.rows, expected);
    await run.write([{ page: 'd', n: 5 }], { epoch: 3, shard: 0 });
    await run.commit(3);
    assert.deepEqual(sink.rows, [...expected.slice(0, 3), { page: 'd', n: 5 }], 'the same epoch again replaces');
    assert.equal(typeof sink.rows[0]?.page, 'string');
    await SinkRun.open(sink, schema);
    assert.equal(sink.rows.length, 0, 'a new run begins anew');
  });

  test('keeps all types', async () => {
    const wide = toSchema({ b: bool, i: i64, t: timestamp, x: binary, ['__proto__']: utf8 });
    const row = JSON.parse('{"__proto__":"own"}');
    Object.assign(row, { b: true, i: -(2n ** 63n), t: -1, x: Uint8Array.of(0, 255) });
    const sink = collect();
    const run = await SinkRun.open(sink, wide);
    await run.write(Array.from({ length: 3_000 }, () => row));
    await run.commit(1);
    assert.equal(sink.rows.length, 3_000);
    const got = sink.rows[2_999] as Record<string, unknown>;
    assert.deepEqual(
      [got.b, got.i, got.t, got.x, Object.getOwnPropertyDescriptor(got, '__proto__')?.value],
      [true, -(2n ** 63n), -1, Uint8Array.of(0, 255), 'own'],
    );
  });
});

describe('stdout', () => {
  async function printed(options: StdoutOptions, use: (run: SinkRun) => Promise<void>, of = schema): Promise<string> {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    const run = await SinkRun.open(stdout({ ...options, stream }), of);
    await use(run);
    await run.close();
    return text;
  }

  test('prints a table per epoch, and says how many rows it left out', async () => {
    const text = await printed({ rows: 2 }, async (run) => {
      await run.write([{ page: '/home', n: 1.25 }], { epoch: 4, shard: 0 });
      await run.write(
        [
          { page: '/', n: null },
          { page: '/x', n: 3 },
          { page: '/y', n: 4 },
        ],
        { epoch: 4, shard: 9 },
      );
      await run.commit(4);
      await run.commit(5);
      await run.write([{ page: '/z', n: 10 / 3 }], { epoch: 6, shard: 0 });
      await run.commit(6);
    });
    assert.equal(
      text,
      [
        'epoch 4: 4 rows',
        'page      n',
        '-----  ----',
        '/home  1.25',
        '/      null',
        '... 2 more',
        '',
        'epoch 6: 1 row',
        'page         n',
        '----  --------',
        '/z    3.333333',
        '',
        '',
      ].join('\n'),
    );
  });

  test('cells are cut, on one line, without control characters; wide characters keep the columns straight', async () => {
    const text = await printed({}, async (run) => {
      await run.write([
        { page: `a\n\u001b[31m${'x'.repeat(100)}`, n: 1 },
        { page: '日本', n: 2 },
      ]);
      await run.commit(1);
    });
    const lines = text.split('\n');
    assert.equal(lines[3], `a··[31m${'x'.repeat(32)}…  1`);
    assert.equal(lines[4], `日本${' '.repeat(36)}  2`);
  });

  test('prints times as people read them', async () => {
    const text = await printed(
      {},
      async (run) => {
        await run.write([
          { at: 0, id: 2n ** 60n, raw: Uint8Array.of(1, 171) },
          { at: 1_700_000_000_123, id: -1n, raw: new Uint8Array(0) },
        ]);
        await run.commit(1);
      },
      toSchema({ at: timestamp, id: i64, raw: binary }),
    );
    assert.deepEqual(text.split('\n').slice(3, 5), [
      '1970-01-01 00:00:00      1152921504606846976  0x01ab',
      '2023-11-14 22:13:20.123                   -1  0x',
    ]);
  });

  test('json: a line a row, all of them unless told otherwise', async () => {
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ page: `/ü${i}`, n: i }));
    const lines = rows.map((row) => `${JSON.stringify(row)}\n`);
    const write = async (run: SinkRun) => {
      await run.write(rows);
      await run.commit(1);
    };
    assert.equal(await printed({ format: 'json' }, write), lines.join(''));
    assert.equal(await printed({ format: 'json', rows: 7 }, write), lines.slice(0, 7).join(''));
  });

  test('a stream that is broken is an error; so are wrong options', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('gone')) });
    stream.on('error', () => {});
    const run = await SinkRun.open(stdout({ stream }), schema);
    await run.write([{ page: '', n: 1 }]);
    await assert.rejects(run.commit(1), { code: 'ERR_MILLRACE_SINK', message: /gone/ });
    assert.throws(() => stdout({ format: 'xml' as never }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => stdout({ rows: -1 }), { code: 'ERR_MILLRACE_OPTION' });
  });
});

describe('forEachBatch', () => {
  test('calls the function with the batch and its place, and hands over nothing', async () => {
    const seen: unknown[] = [];
    const run = await SinkRun.open(
      forEachBatch((batch, place) => seen.push([batch.toRows(), place])),
      schema,
    );
    await run.write([{ page: 'a', n: 1 }], { epoch: 5, shard: 63 });
    await run.write([], { epoch: 5, shard: 1 });
    await run.commit(5);
    assert.deepEqual(seen, [[[{ page: 'a', n: 1 }], { epoch: 5, shard: 63 }]]);
    assert.deepEqual(run.blocks, []);
  });

  test('says what becomes of rows that come again', () => {
    assert.equal(forEachBatch(() => {}).delivery, 'at-least-once');
    assert.equal(forEachBatch(() => {}, { delivery: 'idempotent' }).delivery, 'idempotent');
    assert.equal(stdout().delivery, 'at-least-once');
    assert.throws(() => forEachBatch(() => {}, { delivery: 'transactional' as never }), {
      code: 'ERR_MILLRACE_OPTION',
      message: /'at-least-once' or 'idempotent'/,
    });
    assert.throws(() => forEachBatch(() => {}, { idempotent: true } as never), { code: 'ERR_MILLRACE_OPTION' });
  });

  test('a function that throws, or is asynchronous, ends the job', async () => {
    const failing = await SinkRun.open(
      forEachBatch(() => {
        throw new Error('boom');
      }),
      schema,
    );
    await assert.rejects(failing.write([{ page: '', n: 1 }], { epoch: 2, shard: 3 }), {
      code: 'ERR_MILLRACE_USER_FUNCTION',
      message: /epoch 2, shard 3: boom/,
    });
    const slow = await SinkRun.open(
      forEachBatch((async () => {
        throw new Error('later');
      }) as never),
      schema,
    );
    await assert.rejects(slow.write([{ page: '', n: 1 }]), { code: 'ERR_MILLRACE_USER_FUNCTION', message: /promise/ });
    assert.throws(() => forEachBatch(5 as never), { code: 'ERR_MILLRACE_PIPELINE' });
  });
});
