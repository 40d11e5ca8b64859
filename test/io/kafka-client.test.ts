/** What our own copy of kafkajs promises, and the taking apart of fetches: no broker needed. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { FetchedRecords } from '../../io/kafka/client/fetched.ts';
import { checkPackage, privateClient } from '../../io/kafka/kafkajs/private-client.ts';
import { recordBatchOf } from './kafka-fixture.ts';

const require = createRequire(import.meta.url);
const root = path.dirname(require.resolve('kafkajs/package.json'));

test("the copy is loaded beside the application's own kafkajs, which stays as it is", () => {
  const theirs = require('kafkajs') as typeof import('kafkajs');
  const keys = Object.keys(require.cache);
  const exports = new Map(keys.map((key) => [key, require.cache[key]?.exports]));
  const ours = privateClient();
  assert.notEqual(ours.Kafka, theirs.Kafka);
  assert.equal(privateClient(), ours);
  assert.deepEqual(Object.keys(require.cache), keys);
  for (const key of keys) assert.equal(require.cache[key]?.exports, exports.get(key));
});

test('a kafkajs of another version, or with changed files, is refused by name', (t) => {
  checkPackage(root);
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'kafkajs-'));
  t.after(() => fs.rmSync(copy, { recursive: true }));
  fs.cpSync(root, copy, { recursive: true });
  checkPackage(copy);
  fs.appendFileSync(path.join(copy, 'src/network/connection.js'), '// patched\n');
  assert.throws(() => checkPackage(copy), /kafkajs 2\.2\.4 .* is not the published one/);
  fs.writeFileSync(path.join(copy, 'package.json'), JSON.stringify({ version: '2.3.0' }));
  assert.throws(() => checkPackage(copy), /kafkajs is version 2\.3\.0/);
});

function batchAt(baseOffset: number, values: string[], change: { producer?: number; attributes?: number } = {}): Buffer {
  const bytes = recordBatchOf(values);
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  bytes.writeInt16BE(change.attributes ?? 0, 21);
  bytes.writeBigInt64BE(BigInt(change.producer ?? -1), 43);
  return bytes;
}

function fetched(records: Buffer, offset: number, aborted: [producer: number, first: number][] = []): FetchedRecords {
  const abortedTransactions = aborted.map(([producerId, firstOffset]) => ({ producerId: BigInt(producerId), firstOffset }));
  return new FetchedRecords({ partition: 0, fetchedOffset: offset, highWatermark: 99, abortedTransactions, records });
}

function steps(records: FetchedRecords): [number, number, boolean][] {
  const seen: [number, number, boolean][] = [];
  while (records.step()) seen.push([records.first, records.next, records.isAborted]);
  return seen;
}

test('a fetch is taken apart: below the offset skipped, a cut tail left', () => {
  const middle = batchAt(2, ['c', 'd', 'e']);
  const whole = Buffer.concat([batchAt(0, ['a', 'b']), middle, batchAt(9, ['f'])]);
  assert.deepEqual(steps(fetched(whole, 0)), [
    [0, 2, false],
    [2, 5, false],
    [9, 10, false],
  ]);
  assert.deepEqual(steps(fetched(whole, 3)), [
    [2, 5, false],
    [9, 10, false],
  ]);
  for (let cut = 1; cut <= batchAt(9, ['f']).length; cut++) {
    assert.deepEqual(steps(fetched(whole.subarray(0, whole.length - cut), 0)), [
      [0, 2, false],
      [2, 5, false],
    ]);
  }
  const kept = fetched(whole, 0);
  kept.step();
  kept.compact();
  assert.equal(kept.step(), true);
  assert.deepEqual(Buffer.from(kept.bytes()), middle);
});

test("aborted is what lies between a transaction's first record and its abort marker", () => {
  const TRANSACTIONAL = 0x10;
  const data = (offset: number, producer: number): Buffer => batchAt(offset, ['x'], { producer, attributes: TRANSACTIONAL });
  const marker = (offset: number, producer: number, type: 0 | 1): Buffer => {
    // One record whose key is (version i16 0, type i16): written over a value of the right length.
    const bytes = batchAt(offset, ['....'], { producer, attributes: TRANSACTIONAL | 0x20 });
    bytes.set([8, 0, 0, 0, type, 0], 65); // key length 4, key, value length 0
    return bytes;
  };
  const log = [
    data(0, 7),
    data(1, 8),
    batchAt(2, ['x'], { producer: 7 }),
    data(3, 7),
    marker(4, 7, 0),
    data(5, 8),
    data(6, 7),
    marker(7, 8, 0),
    marker(8, 7, 1),
    data(9, 8),
  ];
  const aborted = steps(
    fetched(Buffer.concat(log), 0, [
      [8, 1],
      [7, 0],
    ]),
  )
    .filter(([, , isAborted]) => isAborted)
    .map(([first]) => first);
  assert.deepEqual(aborted, [0, 1, 3, 5]);
});

test('old message formats and broken lengths are errors that say where', () => {
  const old = batchAt(5, ['x']);
  old.writeInt8(1, 16);
  assert.throws(() => steps(fetched(old, 0)), /offset 5 are in message format v1/);
  const broken = batchAt(6, ['x']);
  broken.writeInt32BE(3, 8);
  assert.throws(() => steps(fetched(broken, 0)), /offset 6 says that it is 15 bytes long/);
});
