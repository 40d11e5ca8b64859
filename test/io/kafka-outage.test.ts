/** Brokers that go away and come back, and processes that were killed, on a broker of the test's own. Nothing here measures time. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MillraceError, type Schema } from '../../core/index.ts';
import { type KafkaSinkOptions, kafka } from '../../io/kafka/index.ts';
import type { SinkWriter } from '../../io/sink.ts';
import { ownBroker } from '../kafka-broker.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { openStage, recordBatchOf, type Stage, textValue, until } from './kafka-fixture.ts';

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : `not a MillraceError: ${error}`;
}

function openWriter(options: KafkaSinkOptions, waits: (string | undefined)[] = []): Promise<SinkWriter> {
  const context = {
    schema: textValue.schema as Schema,
    pipeline: 'test',
    signal: new AbortController().signal,
    waiting: (what: string | undefined) => void waits.push(what),
  };
  return kafka.sink(options).open(context);
}

/** One for all tests of the file, each of which leaves it running. */
let own: ReturnType<typeof ownBroker> | undefined;
const brokerOf = (t: TestContext) => (own ??= ownBroker(t));

const block = (value: string) => ({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes: recordBatchOf([value]) });

test('a broker that is killed and comes back is waited for: by a source, a commit, a sink, and a start', { timeout: 180_000 }, async (t) => {
  const broker = await brokerOf(t);
  if (broker === undefined) return;
  const stage = (await openStage(t, [broker.brokers])) as Stage;
  const [input, output] = [await stage.topic(2), await stage.topic(1)];
  for (const partition of [0, 1]) await stage.producer.send({ topic: input, messages: [{ partition, value: `before ${partition}` }] });
  const reading = await stage.open({ topic: input, sessionTimeout: 6_000 });
  const sinkWaits: (string | undefined)[] = [];
  const writer = await openWriter({ brokers: stage.brokers, topic: output, value: textValue }, sinkWaits);
  t.after(() => writer.close());
  await writer.write(block('before'));
  await until('the rows before', () => reading.frames.length === 2);

  await broker.kill();
  let settled = 0;
  const meanwhile = [
    reading.reader.commit([{ partition: 0, offset: 1, metadata: 'while away' }]),
    writer.write(block('while away')),
    writer.commit(1),
    stage.open({ topic: input, group: `other-${input}`, clientId: 'late' }).then((late) => void t.after(() => late.reader.close())),
  ].map((each) => each.finally(() => settled++));
  await until('both to say what they wait for', () => reading.waits.length > 0 && sinkWaits.length > 0);
  for (const said of [reading.waits[0], sinkWaits[0]])
    assert.match(String(said), /waiting for a Kafka broker at 127\.0\.0\.1:\d+, for at most 1?\d\d s more \(/);
  assert.equal(settled, 0);

  await broker.restart();
  await Promise.all(meanwhile);
  const after = (await openStage(t, [broker.brokers])) as Stage;
  for (const partition of [0, 1]) await after.producer.send({ topic: input, messages: [{ partition, value: `after ${partition}` }] });
  await until('the rows after', () => reading.frames.length >= 4);
  await reading.reader.commit([{ partition: 1, offset: 2, metadata: '' }]);
  await until('the waiting to be over', () => reading.waits.at(-1) === undefined && sinkWaits.at(-1) === undefined);
  assert.deepEqual(reading.failures, []);
  assert.deepEqual(reading.values(), ['before 0', 'after 0', 'before 1', 'after 1']);
  reading.waits.forEach((said, i) => assert.equal(said === undefined, i % 2 === 1, 'it is said once, until it is over'));

  const written = await after.open({ topic: output }, { drain: true });
  await until('what was written', () => written.ended.size === written.reader.partitionCount);
  assert.deepEqual([...new Set(written.values())], ['before', 'while away']);
  const again = await after.open({ topic: input }, { drain: true });
  assert.deepEqual(again.positions.slice(0, 2), [
    { partition: 0, offset: 1, metadata: 'while away' },
    { partition: 1, offset: 2, metadata: '' },
  ]);
});

test('a broker that stays away is an error when the time is up; ending meanwhile takes no time', { timeout: 120_000 }, async (t) => {
  const broker = await brokerOf(t);
  if (broker === undefined) return;
  const stage = (await openStage(t, [broker.brokers])) as Stage;
  const [input, output] = [await stage.topic(1), await stage.topic(1)];
  const short = await stage.open({ topic: input, brokerTimeout: 1_500 });
  const patient = await stage.open({ topic: input, group: `patient-${input}` });
  const writer = await openWriter({ brokers: stage.brokers, topic: output, value: textValue, deliveryTimeout: 1_500 });
  const pending = await openWriter({ brokers: stage.brokers, topic: output, value: textValue });
  await writer.write(block('before'));
  await broker.kill();
  const given = pending.write(block('given up'));
  const committing = patient.reader.commit([{ partition: 0, offset: 0, metadata: '' }]);
  const refused = [
    assert.rejects(given, (error) => codeOf(error) === 'ERR_MILLRACE_SINK'),
    assert.rejects(committing, (error) => codeOf(error) === 'ERR_MILLRACE_BROKER'),
  ];
  await assert.rejects(
    writer.write(block('too late')),
    (error: Error) => codeOf(error) === 'ERR_MILLRACE_SINK' && /within 1\.5 s: .*(ECONNREFUSED|closed).*deliveryTimeout/i.test(error.message),
  );
  await until('the source to give up', () => short.failures.length > 0);
  assert.equal(codeOf(short.failures[0]), 'ERR_MILLRACE_BROKER');
  assert.match(String(short.failures[0]), /no Kafka broker answers at 127\.0\.0\.1:\d+/);
  // Neither waits out the two minutes that it would give the broker.
  await Promise.all([patient.reader.close(), pending.close(), writer.close()]);
  await Promise.all(refused);
});

test('the place of a process that was killed is taken at once, whatever its session', { timeout: 60_000 }, async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await stage.producer.send({ topic, messages: [{ value: 'row' }] });
  const options = { brokers: stage.brokers, topic, group: `group-${topic}`, sessionTimeout: 300_000 };
  const program = `
    import { kafka } from './io/kafka/index.ts';
    import { text } from './io/text.ts';
    const nothing = () => {};
    const source = kafka.source({ ...${JSON.stringify(options)}, value: text() });
    const reader = await source.open({ drain: false, signal: new AbortController().signal, emit: () => true, credit: async () => {}, end: nothing, high: nothing, assigned: nothing, fail: nothing });
    await reader.positions();
    reader.start();
    console.log('joined');
  `;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const child = spawn(process.execPath, [...TYPESCRIPT, '--input-type=module', '-e', program], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  await ended;
  const [group] = (await stage.admin.describeGroups([options.group])).groups;
  assert.equal(group?.members.length, 1, 'the dead member is still in the group');
  const reading = await stage.open(options);
  await until('the row', () => reading.frames.length === 1);
  assert.deepEqual(reading.failures, []);
});
