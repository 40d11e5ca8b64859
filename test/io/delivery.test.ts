/**
 * Delivery: each record of a block is stored once or refused, in the order of its unit, whatever the server does. Against a transport
 * that a seed makes busy, absent, picky or slow, and a model of what it has stored.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { BatchBuilder, createMemory, i32, SlabAllocator, schema, utf8 } from '../../core/index.ts';
import {
  Delivery,
  type DeliverySettings,
  deliverySettings,
  RecordBlock,
  type RecordFault,
  type Records,
  Refused,
  recordBlockEncoder,
  TooLarge,
  type Transport,
  Unavailable,
} from '../../io/delivery/index.ts';
import { json } from '../../io/json.ts';
import type { RefusedRow, SinkBlock } from '../../io/sink.ts';
import { caseCount, fc } from '../seed.ts';

const QUICK = { requestRows: 5, requestBytes: 200 };

/** A block of these records, as an encoder lays it out. */
function blockOf(records: readonly string[], { epoch = 0, unit = 0 } = {}): SinkBlock {
  const bytes = records.map((record) => Buffer.from(record));
  const body = Buffer.concat(bytes);
  const trailer = Math.ceil(body.length / 4) * 4;
  const block = new Uint8Array(trailer + (records.length + 1) * 4);
  block.set(body);
  const words = new Uint32Array(block.buffer);
  let end = 0;
  bytes.forEach((record, i) => {
    words[trailer / 4 + i] = end += record.length;
  });
  words[words.length - 1] = records.length;
  return { epoch, unit, partition: 0, rowCount: records.length, bytes: block };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function deliver(transport: Transport, options: Partial<DeliverySettings> = {}) {
  const abort = new AbortController();
  const refused: RefusedRow[] = [];
  const waits: (string | undefined)[] = [];
  const settings = { ...deliverySettings('a sink', {}, QUICK), ...options };
  const context = { name: 'a sink at its server', pipeline: 'p', signal: abort.signal, waiting: (what: string | undefined) => void waits.push(what) };
  return { delivery: new Delivery(transport, settings, { ...context, refused: (row) => void refused.push(row) }), abort, refused, waits };
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

describe('record blocks', () => {
  test('what the worker writes is what the other end reads, in blocks that are bounded', () => {
    const slabs = new SlabAllocator(createMemory(64 << 20));
    const columns = schema({ n: i32, text: utf8 });
    const rows = Array.from({ length: 3_000 }, (_, n) => ({ n, text: 'x'.repeat(n % 977) }));
    const builder = new BatchBuilder(slabs, columns, rows.length);
    for (const row of rows) builder.appendRow(row);
    const seen: unknown[] = [];
    let largest = 0;
    const context = {
      memory: slabs.memory,
      slabs,
      schema: columns,
      info: { partitionCount: 1 },
      position: () => ({ epoch: 0, shard: 0 }),
      block: (_partition: number, rowCount: number, slab: number, byteLength: number) => {
        const block = new RecordBlock(slabs.memory.u8.subarray(slab, slab + byteLength));
        assert.equal(block.count, rowCount);
        largest = Math.max(largest, byteLength);
        for (let i = 0; i < block.count; i++) seen.push(JSON.parse(textOf(block.bytes(i, i + 1))));
        slabs.free(slab);
      },
    };
    const encoder = recordBlockEncoder(context, json().encoder(context, columns));
    encoder.write(builder.finish());
    encoder.flush();
    assert.deepEqual(seen, rows);
    assert.ok(largest < 600_000, `${largest} bytes`);
  });

  test('a row larger than a block has one of its own', () => {
    const slabs = new SlabAllocator(createMemory(64 << 20));
    const columns = schema({ text: utf8 });
    const builder = new BatchBuilder(slabs, columns, 8);
    for (const length of [10, 3_000_000, 10]) builder.appendRow({ text: 'y'.repeat(length) });
    const lengths: number[] = [];
    const context = {
      memory: slabs.memory,
      slabs,
      schema: columns,
      info: { partitionCount: 1 },
      position: () => ({ epoch: 0, shard: 0 }),
      block: (_partition: number, _rows: number, slab: number, byteLength: number) => {
        const block = new RecordBlock(slabs.memory.u8.subarray(slab, slab + byteLength));
        for (let i = 0; i < block.count; i++) lengths.push(block.bytes(i, i + 1).length);
      },
    };
    const encoder = recordBlockEncoder(context, json().encoder(context, columns));
    encoder.write(builder.finish());
    encoder.flush();
    assert.deepEqual(lengths, [21, 3_000_011, 21]);
  });
});

describe('delivery', () => {
  test('any schedule: stored once or refused, units in order, at most so many requests at a time', async () => {
    const action = fc.constantFrom('takes', 'takes', 'takes', 'busy', 'absent', 'large', 'refuses', 'spoilt');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 20 }),
        fc.array(action, { maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        async (blocks, actions, concurrency) => {
          const stored: string[] = [];
          const turnedAway = new Set<string>();
          let inFlight = 0;
          let most = 0;
          const transport: Transport = {
            async send(records: Records): Promise<readonly RecordFault[]> {
              most = Math.max(most, ++inFlight);
              const taken = Array.from({ length: records.count }, (_, i) => textOf(records.record(i)));
              assert.equal(records.chunks.map(textOf).join(''), taken.join(''), 'the pieces are the records');
              await new Promise((resolve) => setImmediate(resolve));
              inFlight--;
              const what = actions.shift() ?? 'takes';
              if (what === 'absent') throw new Unavailable('nobody is there');
              if (what === 'spoilt') {
                if (records.count === 1) turnedAway.add(taken[0] as string);
                throw new Refused('one of them is no good');
              }
              if (what === 'large' && records.count > 1) throw new TooLarge('too large');
              const faults: RecordFault[] = [];
              taken.forEach((record, i) => {
                if (what === 'busy' && i % 2 === 0) faults.push({ record: i, isRetriable: true, message: 'busy' });
                else if (what === 'refuses' && i % 3 === 1) {
                  turnedAway.add(record);
                  faults.push({ record: i, isRetriable: false, message: 'no' });
                } else stored.push(record);
              });
              return faults;
            },
          };
          const { delivery, refused } = deliver(transport, { concurrency });
          const all: string[] = [];
          await Promise.all(
            blocks.map(([unit, count], b) => {
              const records = Array.from({ length: count }, (_, i) => `u${unit} b${String(b).padStart(2, '0')} r${String(i).padStart(2, '0')};`);
              all.push(...records);
              return delivery.write(blockOf(records, { unit, epoch: b }));
            }),
          );
          await delivery.settle();
          assert.deepEqual([...stored, ...turnedAway].sort(), all.sort(), 'each once');
          assert.equal(refused.length, turnedAway.size);
          assert.ok(most <= concurrency);
          const { rows, refused: count, inFlight: left } = delivery.counts;
          assert.deepEqual([rows, count, left], [stored.length, turnedAway.size, 0]);
          await delivery.close();
        },
      ),
      { numRuns: caseCount(60) },
    );
  });

  test('what was busy goes again before anything later of its unit', async () => {
    const seen: string[][] = [];
    const transport: Transport = {
      async send(records) {
        seen.push(Array.from({ length: records.count }, (_, i) => textOf(records.record(i))));
        return seen.length === 1 ? [2, 0].map((record) => ({ record, isRetriable: true, message: 'busy' })) : [];
      },
    };
    const { delivery } = deliver(transport, { concurrency: 1, requestRows: 3 });
    await Promise.all([delivery.write(blockOf(['a', 'b', 'c', 'd'])), delivery.write(blockOf(['e']))]);
    assert.deepEqual(seen, [
      ['a', 'b', 'c'],
      ['a', 'c'],
      ['d', 'e'],
    ]);
    await delivery.close();
  });

  test('an outage: one lane tries, all go on when the server is back; it is said, and unsaid', async () => {
    let isAway = true;
    let tries = 0;
    const transport: Transport = {
      async send() {
        tries++;
        if (isAway) throw new Unavailable('connect ECONNREFUSED');
        return [];
      },
    };
    const { delivery, waits } = deliver(transport, { concurrency: 4 });
    const writes = Promise.all([0, 1, 2, 3].map((unit) => delivery.write(blockOf(['x'], { unit }))));
    while (waits.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.match(waits[0] as string, /a sink at its server: waiting for the server, for at most \d+ s more \(connect ECONNREFUSED\)/);
    assert.equal(delivery.counts.isWaiting, true);
    assert.ok(tries < 15, `${tries} tries: the lanes do not all try`);
    isAway = false;
    await writes;
    assert.deepEqual([waits.length, waits[1], delivery.counts.isWaiting], [2, undefined, false]);
    await delivery.close();
  });

  test('a server that stays away ends the job, with its own words; all that waits is told', async () => {
    const transport: Transport = {
      async send() {
        throw new Unavailable('connect ECONNREFUSED');
      },
    };
    const { delivery } = deliver(transport, { deliveryTimeoutMs: 200, concurrency: 2 });
    const failure = { code: 'ERR_MILLRACE_SINK', message: /a sink at its server: connect ECONNREFUSED. It was tried for 200 ms \(deliveryTimeout\)/ };
    const ended = await Promise.allSettled([0, 1, 2].map((unit) => delivery.write(blockOf(['x'], { unit }))));
    for (const result of ended)
      assert.throws(() => {
        throw (result as PromiseRejectedResult).reason;
      }, failure);
    await assert.rejects(delivery.write(blockOf(['y'])), failure);
    await assert.rejects(delivery.settle(), failure);
    await delivery.close();
  });

  test('a server that does not answer is given up after requestTimeout, and asked again', async () => {
    let tries = 0;
    const transport: Transport = {
      send: (_records, signal) =>
        tries++ === 0 ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) : Promise.resolve([]),
    };
    const { delivery } = deliver(transport, { requestTimeoutMs: 30 });
    await delivery.write(blockOf(['x']));
    assert.equal(tries, 2);
    await delivery.close();
  });

  test('what is no passing failure ends it at once', async () => {
    const transport: Transport = {
      async send() {
        throw new Error('the table is not there');
      },
    };
    const { delivery } = deliver(transport);
    await assert.rejects(delivery.write(blockOf(['x'])), /the table is not there/);
    await delivery.close();
  });

  test('the end of the job ends what waits', async () => {
    const transport: Transport = { send: (_records, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) };
    const { delivery, abort } = deliver(transport);
    const write = delivery.write(blockOf(['x']));
    await new Promise((resolve) => setImmediate(resolve));
    abort.abort(new Error('the job is over'));
    await assert.rejects(write, /the job is over/);
    await delivery.close();
  });

  test('a record that is too large alone is refused; smaller requests are kept to', async () => {
    const sizes: number[] = [];
    const transport: Transport = {
      async send(records) {
        sizes.push(records.byteLength);
        if (records.byteLength > 20) throw new TooLarge('at most 20 bytes');
        return [];
      },
    };
    const { delivery, refused } = deliver(transport, { requestRows: 100, requestBytes: 1_000 });
    await delivery.write(blockOf([...Array.from({ length: 8 }, () => '12345'), 'x'.repeat(30), '12345']));
    assert.equal(refused.length, 1);
    assert.match(refused[0]?.message ?? '', /refuses a row: at most 20 bytes. The row: x{30}/);
    assert.ok(sizes.filter((size) => size > 20).length <= 4, `${sizes}`);
    await delivery.close();
  });

  test('one record spoils its request: it alone is refused, and the others are stored in few requests', async () => {
    const stored: string[] = [];
    let requests = 0;
    const transport: Transport = {
      async send(records) {
        requests++;
        const texts = Array.from({ length: records.count }, (_, i) => textOf(records.record(i)));
        if (texts.includes('bad.')) throw new Refused('no good');
        stored.push(...texts);
        return [];
      },
    };
    const { delivery, refused } = deliver(transport, { requestRows: 1_000, requestBytes: 1 << 20 });
    const good = Array.from({ length: 500 }, (_, i) => `${i}.`);
    await delivery.write(blockOf([...good.slice(0, 333), 'bad.', ...good.slice(333)]));
    assert.deepEqual(stored, good);
    assert.equal(refused.length, 1);
    assert.ok(requests < 30, `${requests} requests`);
    await delivery.close();
  });

  test('refused rows: dead letters with the words of the server, durable when the epoch is committed; or the end of the job', async (t) => {
    const dir = await folder(t);
    const transport: Transport = {
      async send(records) {
        return Array.from({ length: records.count }, (_, record) => ({ record, isRetriable: false, message: `no. ${record}` }));
      },
    };
    const { delivery, refused } = deliver(transport, { deadLetters: dir });
    await delivery.write(blockOf(['{"a":1}\n', '{"a":2}\n'], { epoch: 7, unit: 3 }));
    await delivery.settle();
    await delivery.close();
    const lines = (await readFile(join(dir, 'p.jsonl'), 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => ({ ...JSON.parse(line), at: undefined })),
      [0, 1].map((i) => ({ at: undefined, sink: 'a sink at its server', epoch: 7, message: `no. ${i}`, record: `{"a":${i + 1}}` })),
    );
    assert.deepEqual([refused[0]?.epoch, refused[0]?.unit], [7, 3]);
    const { delivery: strict } = deliver(transport, { refused: 'fail' });
    await assert.rejects(strict.write(blockOf(['x'])), { code: 'ERR_MILLRACE_SINK', message: /refuses a row: no. 0. The row: x. Mend the row, or/ });
    await strict.close();
  });

  test('options that cannot be', () => {
    const bad = (options: object, message: RegExp) => assert.throws(() => deliverySettings('a sink', options, QUICK), { code: 'ERR_MILLRACE_OPTION', message });
    bad({ concurrency: 0 }, /concurrency is 0; it must be a whole number from 1 to 64/);
    bad({ requestRows: 1.5 }, /requestRows is 1.5/);
    bad({ requestTimeout: 'soon' }, /requestTimeout/);
    bad({ refused: 'drop' }, /refused is "drop"; it must be 'ledger'/);
    bad({ deadLetters: 7 }, /deadLetters is 7/);
  });
});
