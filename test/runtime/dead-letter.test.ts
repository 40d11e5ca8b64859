/** Dead letters: what cannot be decoded goes to a topic byte for byte, with where it was and what was wrong, on the log and on Kafka. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readLog, run } from '../../runtime/index.ts';
import { openStage, until } from '../io/kafka-fixture.ts';
import { kafkaBatch, kafkaDecode } from '../io/record-batch-harness.ts';
import { results } from './pipelines/dead-letter.ts';
import { writeBatches } from './topics.ts';

const pipeline = new URL('./pipelines/dead-letter.ts', import.meta.url);

/** Values that are no rows: no UTF-8, control characters, nothing, and more than any sample holds. */
const BAD: readonly Buffer[] = [
  Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28]),
  Buffer.concat([Buffer.from('{"id":1,"name":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
  Buffer.from('{"id":1,"name":"x"'),
  Buffer.from('\0\r\n'),
  Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) & 0xff)),
];
const good = (id: number, name = 'x') => Buffer.from(JSON.stringify({ id, name }));
/** Every third record is bad; the last one is refused by a function. */
const VALUES = [...Array.from({ length: 15 }, (_, i) => (i % 3 === 2 ? (BAD[(i - 2) / 3] as Buffer) : good(i))), good(15, 'thirteen')];
const BAD_OFFSETS = [2, 5, 8, 11, 14];

interface Letter {
  readonly key: string;
  readonly value: Buffer;
}

function check(source: string, partition: number, letters: readonly Letter[], reasons: readonly Record<string, unknown>[]): void {
  assert.deepEqual(
    letters.map(({ key }) => key),
    BAD_OFFSETS.map((offset) => `${source}/${partition}/${offset}`),
  );
  letters.forEach(
    ({ value }, i) => void assert.ok(value.equals(BAD[i] as Buffer), `letter ${i} is ${value.length} bytes: ${value.subarray(0, 40).toString('hex')}`),
  );
  assert.equal(reasons.length, 6);
  reasons.slice(0, 5).forEach((reason, i) => {
    const { bytes, message, ...rest } = reason;
    assert.deepEqual(rest, { source, partition, offset: BAD_OFFSETS[i], operator: 'decode', row: '' });
    assert.ok(Buffer.from(bytes as string, 'base64').equals(BAD[i] as Buffer));
    assert.match(message as string, new RegExp(`^undecodable: The json codec refuses the record at offset ${BAD_OFFSETS[i]}: `));
  });
  const { message, ...refused } = reasons[5] as Record<string, unknown>;
  assert.deepEqual(refused, { source, partition, offset: 15, operator: 'filter #1', row: '{"id":15,"name":"thirteen"}', bytes: null });
  assert.match(message as string, /RangeError: no 15/);
}

/** The records of a topic of the log, by kafkajs's decoder. */
async function records(dir: string, topic: string): Promise<readonly { readonly key: Buffer | null; readonly value: Buffer | null }[]> {
  const found: { readonly key: Buffer | null; readonly value: Buffer | null }[] = [];
  for await (const { bytes } of readLog(dir, topic)) found.push(...(await kafkaDecode(bytes)).records);
  return found;
}

test('on the log', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const batch = await kafkaBatch(
    VALUES.map((value) => ({ key: null, value, timestamp: 1_700_000_000_000 })),
    { compression: 'none' },
  );
  await writeBatches(dir, 'in', 2, [{ partition: 1, bytes: batch }]);
  const job = await run(pipeline, { workers: 2, trigger: 'availableNow', drain: 'emit', params: { dir } });
  await job.done;
  const { ledger, rowsIn } = job.progress();
  assert.deepEqual([rowsIn, ledger.undecodable, ledger.failed, results.rows.length], [16, 5, 1, 10]);
  const letters = (await records(dir, 'dead')).map(({ key, value }) => ({ key: String(key), value: value as Buffer }));
  const reasons = (await records(dir, 'dead.why')).map(({ value }) => JSON.parse(String(value)) as Record<string, unknown>);
  check('log in', 1, letters, reasons);
});

test('on Kafka', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const input = await stage.topic(1);
  const output = await stage.topic(1);
  await stage.admin.createTopics({ topics: [{ topic: `${output}.why`, numPartitions: 1 }], waitForLeaders: true });
  await stage.producer.send({ topic: input, messages: VALUES.map((value) => ({ partition: 0, value })) });
  const job = await run(pipeline, { workers: 2, trigger: 'availableNow', drain: 'emit', params: { brokers: stage.brokers, input, output } });
  await job.done;
  const letters: Letter[] = [];
  const reasons: Record<string, unknown>[] = [];
  const consumer = stage.plain.consumer({ groupId: `read-${output}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [output, `${output}.why`], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      const value = message.value as Buffer;
      if (topic === output) letters.push({ key: String(message.key), value });
      else reasons.push(JSON.parse(String(value)) as Record<string, unknown>);
    },
  });
  await until('all letters', () => letters.length >= 5 && reasons.length >= 6);
  await consumer.disconnect();
  check(`kafka ${input}`, 0, letters, reasons);
});
