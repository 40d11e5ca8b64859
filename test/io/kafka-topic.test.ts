/** Topics that change while they are read, or between two runs: grown, deleted, made anew, shortened. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { MillraceError } from '../../core/index.ts';
import { openStage, type Stage, until } from './kafka-fixture.ts';

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : `not a MillraceError: ${error}`;
}

const send = (stage: Stage, topic: string, partition: number, ...values: string[]) =>
  stage.producer.send({ topic, messages: values.map((value) => ({ partition, value })) });

/** Under the same name, once the old one is gone. */
async function makeAnew(stage: Stage, topic: string, partitions = 1): Promise<void> {
  await stage.admin.deleteTopics({ topics: [topic] });
  await until('the topic to be gone', async () => !(await stage.admin.listTopics()).includes(topic));
  await until('the topic to be made anew', () =>
    stage.admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false }).then(
      () => true,
      () => false,
    ),
  );
  await until('its leaders', () =>
    stage.admin.fetchTopicMetadata({ topics: [topic] }).then(
      ({ topics }) => topics[0]?.partitions.length === partitions && topics[0].partitions.every(({ leader }) => leader >= 0),
      () => false,
    ),
  );
}

async function grow(stage: Stage, topic: string, count: number): Promise<void> {
  await stage.admin.createPartitions({ topicPartitions: [{ topic, count }] });
  await until('the new partitions', async () => {
    const { topics } = await stage.admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions.length === count && topics[0].partitions.every(({ leader }) => leader >= 0);
  });
  // A leader that does not know of its partition yet refuses rows, and kafkajs sends them again.
  await until('their leaders', async () => (await stage.admin.fetchTopicOffsets(topic).catch(() => [])).length === count);
  await stage.producer.disconnect();
  await stage.producer.connect();
}

for (const fromBeginning of [true, false]) {
  test(`a partition that is added is read from its beginning, without a restart (fromBeginning: ${fromBeginning})`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const topic = await stage.topic(1);
    await send(stage, topic, 0, 'old');
    const reading = await stage.open({ topic, fromBeginning });
    await grow(stage, topic, 3);
    await send(stage, topic, 2, 'early', 'rows');
    await send(stage, topic, 1, 'more');
    const expected = [...(fromBeginning ? ['old'] : []), 'more', 'early', 'rows'];
    await until('the rows', () => reading.frames.length >= (fromBeginning ? 3 : 2));
    const places = reading.frames.map(({ partition, first, next }) => [partition, first, next]);
    assert.deepEqual(reading.values(), expected, `frames: ${JSON.stringify(places)}`);
    assert.deepEqual(reading.assignments, [[0], [0, 1, 2]]);
    await reading.reader.commit([{ partition: 2, offset: 1, metadata: 'grown' }]);
    await reading.reader.close();
    const again = await stage.open({ topic, fromBeginning }, { drain: true });
    await until('the end', () => again.ended.size === again.reader.partitionCount);
    assert.deepEqual(again.values(), [...(fromBeginning ? ['old'] : []), 'more', 'rows']);
    assert.deepEqual(reading.failures, []);
  });
}

test('a partition that is added between two runs is read from its beginning, by a group that began at the end', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await send(stage, topic, 0, 'old');
  const first = await stage.open({ topic, fromBeginning: false });
  await first.reader.close();
  // Nothing was read, and nothing committed by the runtime: the group knows all the same where it began.
  await send(stage, topic, 0, 'meanwhile');
  await grow(stage, topic, 2);
  await send(stage, topic, 1, 'grown');
  const again = await stage.open({ topic, fromBeginning: false }, { drain: true });
  await until('the end', () => again.ended.size === again.reader.partitionCount);
  // A plain producer may write twice what it writes to a partition that is only just there.
  assert.deepEqual([...new Set(again.values())], ['meanwhile', 'grown']);
  assert.equal(again.frames.find(({ partition }) => partition === 1)?.first, 0);
});

test('a topic that is deleted while it is read is said to be', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await send(stage, topic, 0, 'row');
  const reading = await stage.open({ topic });
  await until('the row', () => reading.frames.length === 1);
  await stage.admin.deleteTopics({ topics: [topic] });
  await until('the failure', () => reading.failures.length > 0);
  assert.equal(codeOf(reading.failures[0]), 'ERR_MILLRACE_SOURCE');
  assert.match(String(reading.failures[0]), /was deleted while it was read/);
});

test('a topic that is made anew while it is read ends the job, and gives none of its rows as those of the old one', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await send(stage, topic, 0, 'a0', 'a1');
  const reading = await stage.open({ topic, failOnDataLoss: false });
  await until('the rows', () => reading.frames.length === 1);
  await makeAnew(stage, topic);
  await send(stage, topic, 0, 'b0', 'b1', 'b2', 'b3');
  await until('the failure', () => reading.failures.length > 0);
  assert.match(String(reading.failures[0]), /was deleted/);
  assert.deepEqual(reading.values(), ['a0', 'a1']);
});

test('a position of a topic that was made anew since is not taken for one of the new topic', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await send(stage, topic, 0, 'a0', 'a1');
  const before = await stage.open({ topic });
  await until('the rows', () => before.frames.length === 1);
  await before.reader.commit([{ partition: 0, offset: 2, metadata: 'of the old one' }]);
  await makeAnew(stage, topic);
  await send(stage, topic, 0, 'b0', 'b1', 'b2', 'b3');
  // The broker forgets positions with the topic; a commit that was under way comes all the same.
  await before.reader.commit([{ partition: 0, offset: 2, metadata: 'of the old one' }]);
  await before.reader.close();
  const [committed] = await stage.admin.fetchOffsets({ groupId: `group-${topic}`, topics: [topic] });
  assert.match(committed?.partitions[0]?.metadata as string, /^topic=[0-9a-f]{32};of the old one$/);
  await assert.rejects(
    stage.open({ topic }),
    (error: Error) => codeOf(error) === 'ERR_MILLRACE_SOURCE' && /committed offset 2, but the topic was made anew since/.test(error.message),
  );
  const lenient = await stage.open({ topic, failOnDataLoss: false }, { drain: true });
  await until('the end', () => lenient.ended.size === lenient.reader.partitionCount);
  assert.deepEqual(lenient.values(), ['b0', 'b1', 'b2', 'b3']);
});

test('rows that go while it is read are counted, when that may be', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  for (let i = 0; i < 6; i++) await send(stage, topic, 0, `row ${i}`);
  const reading = await stage.open({ topic, failOnDataLoss: false }, { credit: 1 });
  await until('the first row', () => reading.frames.length === 1);
  await stage.admin.fetchTopicOffsets(topic); // loads the metadata that the next call needs
  await stage.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] });
  for (let i = 6; i < 8; i++) await send(stage, topic, 0, `row ${i}`);
  reading.give(0, 1000);
  await until('the last row', () => reading.values().includes('row 7'));
  // Some of those that went had been fetched before.
  const seen = reading.values();
  assert.equal(seen.length + reading.rejected('lost'), 8);
  assert.deepEqual(seen.slice(-2), ['row 6', 'row 7']);
  assert.deepEqual(reading.failures, []);
});

test('offsets beyond 2^53 are refused, not rounded', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const topic = await stage.topic(1);
  await stage.admin.setOffsets({ groupId: `group-${topic}`, topic, partitions: [{ partition: 0, offset: '9007199254740993' }] });
  await assert.rejects(stage.open({ topic }), (error: Error) => codeOf(error) === 'ERR_MILLRACE_SOURCE' && /9007199254740993.*2\^53/.test(error.message));
});
