/** Whole jobs on a real broker (kafka-broker.ts): the results of the log, and nothing lost when something stops, dies or is slow. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checksum, expectedResult, type PageMinute } from '../../runtime/demo/result.ts';
import { type AnyRow, type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { openStage, type Stage, until } from '../io/kafka-fixture.ts';
import { effortCount, seedOf } from '../seed.ts';
import { runCli, startCli } from './cli-process.ts';
import { clickLines, expectedClicks } from './clicks-model.ts';
import { results as joinedResults } from './pipelines/compacted.ts';
import { results as mainResults } from './pipelines/main-job.ts';
import { results } from './pipelines/on-kafka.ts';

const ROWS = 100_000;
const SEED = 3;
const PAGES = 5;
const SIZE_MS = 10_000;
const onKafka = new URL('./pipelines/on-kafka.ts', import.meta.url);
const mainJob = new URL('./pipelines/main-job.ts', import.meta.url);
const drain: RunOptions = { workers: 2, trigger: 'availableNow', drain: 'emit' };

interface Click {
  readonly page: string;
  readonly ms: number;
  readonly at: number;
}

/** Click `i`: fifty a second of event time, up to 0.9 s out of order. */
function clickAt(i: number): Click {
  const rng = seededRng(17);
  rng.seek(i);
  return { page: `/p${rng.int(PAGES)}`, ms: rng.int(800) / 8, at: i * 20 - rng.int(900) };
}

/** Windows of clicks 0 to `rows`, by a loop. */
function model(rows: number): Map<string, string> {
  const sums = new Map<string, { clicks: number; sumMs: number }>();
  for (let i = 0; i < rows; i++) {
    const { page, ms, at } = clickAt(i);
    const key = `${page} ${Math.floor(at / SIZE_MS) * SIZE_MS}`;
    const of = sums.get(key) ?? { clicks: 0, sumMs: 0 };
    sums.set(key, of);
    of.clicks++;
    of.sumMs += ms;
  }
  return new Map([...sums].map(([key, { clicks, sumMs }]) => [key, `${clicks} ${sumMs / clicks}`]));
}

const keyOf = (row: AnyRow) => `${row['page']} ${row['windowStart']}`;
const valueOf = (row: AnyRow) => `${row['clicks']} ${row['meanMs']}`;
const sorted = (map: ReadonlyMap<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** Writes clicks `from` to `to`, in runs of 100 for each partition in turn. */
async function produce(stage: Stage, topic: string, from: number, to: number, partitions: number, padding = ''): Promise<void> {
  for (let first = from; first < to; first += 500) {
    const messages = Array.from({ length: Math.min(500, to - first) }, (_, n) => ({
      partition: Math.floor((first + n) / 100) % partitions,
      value: JSON.stringify(padding === '' ? clickAt(first + n) : { ...clickAt(first + n), padding }),
    }));
    await stage.producer.send({ topic, messages });
  }
}

/** All records of a topic, as JSON. */
async function readAll(stage: Stage, topic: string): Promise<AnyRow[]> {
  const offsets = await stage.admin.fetchTopicOffsets(topic);
  const count = offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const rows: AnyRow[] = [];
  if (count === 0) return rows;
  const consumer = stage.plain.consumer({ groupId: `read-${topic}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void rows.push(JSON.parse(String(message.value)) as AnyRow) });
  await until(`${count} records of ${topic}`, () => rows.length >= count);
  await consumer.disconnect();
  return rows;
}

/** Makes the demo's clicks in a new topic. */
async function makeClicks(stage: Stage, format: 'json' | 'arrow'): Promise<string> {
  const input = await stage.topic(4);
  const job = await run(new URL('../../examples/clicks-data-kafka.ts', import.meta.url), {
    ...drain,
    params: { brokers: stage.brokers.join(','), rows: ROWS, seed: SEED, format, input },
  });
  await job.done;
  return input;
}

for (const format of ['json', 'arrow'] as const) {
  test(`the demo's job on Kafka, ${format}: as the loop has it, with 1, 2 and 4 workers`, async (t) => {
    const stage = await openStage(t);
    if (stage === undefined) return;
    const topic = await makeClicks(stage, format);
    const expected = expectedClicks(ROWS, SEED);
    // Arrow comes in through another decoder, and is the same from there on.
    for (const workers of format === 'json' ? [1, 2, 4] : [1, 4]) {
      const options: RunOptions = workers === 2 ? { trigger: '20ms', bounded: true, drain: 'emit' } : { trigger: 'availableNow' };
      const job = await run(mainJob, { ...options, workers, params: { format, brokers: stage.brokers, topic, group: `${topic}-${workers}` } });
      assert.equal((await job.done).rowsIn, ROWS);
      assert.deepEqual(clickLines(mainResults.rows), expected, `${workers} workers`);
      assert.deepEqual(
        Object.values(job.progress().ledger).filter((count) => count > 0),
        [],
      );
    }
  });
}

test('the demo on Kafka: the checksum of the log, and its topics are gone behind it', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const expected = checksum(await expectedResult(20_000, SEED));
  for (const format of ['json', 'arrow']) {
    const { code, stdout, stderr } = await runCli([
      'demo',
      '--rows',
      '20000',
      '--seed',
      String(SEED),
      '--format',
      format,
      '--brokers',
      stage.brokers.join(','),
      '--json',
    ]);
    assert.equal(code, 0, stderr);
    const last = JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, unknown>;
    assert.deepEqual({ rows: last['rows'], verified: last['verified'], checksum: last['checksum'] }, { rows: 20_000, verified: true, checksum: expected });
  }
  assert.deepEqual(
    (await stage.admin.listTopics()).filter((topic) => topic.startsWith('millrace-demo')),
    [],
  );
});

test('the demo does not take a wrong result for a right one', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const cli = startCli(['demo', '--rows', '20000', '--seed', String(SEED), '--brokers', stage.brokers.join(','), '--json']);
  // A click that the plain loop knows nothing of, as soon as there is a topic for it.
  let topic: string | undefined;
  await until(
    'the topic of the demo',
    async () => {
      topic = (await stage.admin.listTopics()).find((name) => /^millrace-demo-.*-clicks$/.test(name));
      return topic !== undefined;
    },
    60,
  );
  await stage.producer.send({
    topic: topic as string,
    messages: [{ value: JSON.stringify({ page: '/page/0', user: 'nobody', ms: 1, at: Date.UTC(2026, 0, 1) + 1_000 }) }],
  });
  const { code, stdout, stderr } = await cli.ended;
  assert.equal(code, 1, stderr);
  const last = JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, unknown>;
  assert.equal(last['verified'], false);
  assert.match(stderr, /but the plain loop has/);
  assert.notEqual(last['checksum'], checksum((await expectedResult(20_000, SEED)) as PageMinute[]));
});

test('20,000 rows of one key, in 4 partitions at once, count to 20,000', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const input = await stage.topic(4);
  for (let partition = 0; partition < 4; partition++) {
    for (let from = 0; from < 5_000; from += 500) {
      await stage.producer.send({
        topic: input,
        messages: Array.from({ length: 500 }, (_, n) => ({ partition, value: JSON.stringify({ page: 'only', ms: from + n, at: 0 }) })),
      });
    }
  }
  for (const workers of [1, 2, 4]) {
    const job = await run(onKafka, { ...drain, workers, params: { brokers: stage.brokers.join(','), input, group: `${input}-${workers}`, what: 'count' } });
    await job.done;
    assert.deepEqual({ ...results.rows.at(-1) }, { page: 'only', count: 20_000 }, `${workers} workers`);
  }
});

test('word count on Kafka', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, output] = [await stage.topic(3), await stage.topic(2)];
  const words = ['the', 'mill', 'wheel', 'turns', 'race', 'RUNS', 'to', 'stone'];
  const lines = Array.from({ length: 3_000 }, (_, i) => `${words[i % 8]} ${words[(i * 7) % 8]}, ${words[(i >> 3) % 8]}!`);
  const expected = new Map<string, number>();
  for (const line of lines) for (const word of line.toLowerCase().match(/\w+/g) ?? []) expected.set(word, (expected.get(word) ?? 0) + 1);
  for (let from = 0; from < lines.length; from += 500)
    await stage.producer.send({ topic: input, messages: lines.slice(from, from + 500).map((value, n) => ({ value, partition: n % 3 })) });
  const params = { brokers: stage.brokers.join(','), input, output, group: input, what: 'words' };
  await (await run(onKafka, { workers: 2, trigger: '20ms', bounded: true, drain: 'emit', params })).done;
  // A key stays in its partition, so that its last count is the newest.
  const counts = new Map<string, number>();
  for (const { word, count } of await readAll(stage, output)) counts.set(word as string, count as number);
  assert.deepEqual(sorted(counts), sorted(expected));
});

test('a job that is stopped at any time and started again has every window whole', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const rows = 40_000;
  const input = await stage.topic(3);
  await produce(stage, input, 0, rows, 3);
  const expected = model(rows);
  const seen = new Map<string, string>();
  const params = { brokers: stage.brokers.join(','), input, group: input };
  const rng = seededRng(5);
  const check = (emitted: readonly AnyRow[]) => {
    for (const row of emitted) {
      assert.equal(valueOf(row), expected.get(keyOf(row)), `${keyOf(row)} was emitted in part`);
      seen.set(keyOf(row), valueOf(row));
    }
  };
  let resumed = 0;
  for (let attempt = 0; attempt < 4; attempt++) {
    const job = await run(onKafka, { workers: 2, trigger: 5, memory: '32MiB', epochBytes: '64KiB', sinkDelay: 10, params });
    await until('rows', () => job.progress().rowsIn > 0);
    rng.seek(attempt);
    await sleep(rng.int(400));
    await job.stop({ drain: false });
    check(results.rows);
    if (job.progress().partitions.some(({ position, rowsIn }) => position !== undefined && position > rowsIn)) resumed++;
  }
  await (await run(onKafka, { ...drain, params })).done;
  check(results.rows);
  assert.deepEqual(sorted(seen), sorted(expected));
  assert.ok(resumed > 0, 'no attempt went on from a committed position: the test tests nothing');
});

test('a process that is killed at any time, while rows come in, loses nothing and writes no window in part', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const kills = effortCount(3);
  const [input, output] = [await stage.topic(3), await stage.topic(2)];
  let produced = 0;
  let isProducing = true;
  const producing = (async () => {
    while (isProducing) {
      await produce(stage, input, produced, produced + 100, 3);
      produced += 100;
      await sleep(10);
    }
  })();
  const rng = seededRng(seedOf(29));
  const params = Object.entries({ brokers: stage.brokers.join(','), input, output, group: input, sessionTimeout: '3000' }).flatMap(([name, value]) => [
    '--param',
    `${name}=${value}`,
  ]);
  const args = ['run', 'test/runtime/pipelines/on-kafka.ts', '--workers', '2', ...params, '--json'];
  for (let kill = 0; kill < kills; kill++) {
    const cli = startCli([...args, '--trigger', '10ms']);
    const hasRead = () => cli.stderr().includes('"rowsIn"') && /"rowsIn":[1-9]/.test(cli.stderr());
    await until('rows', hasRead, 60);
    rng.seek(kill);
    await sleep(rng.int(1_500));
    cli.child.kill('SIGKILL');
    assert.equal((await cli.ended).signal, 'SIGKILL');
  }
  isProducing = false;
  await producing;
  const last = await runCli([...args, '--trigger', 'availableNow']);
  assert.equal(last.code, 0, last.stderr);
  const { rowsIn } = JSON.parse(last.stderr.trim().split('\n').at(-1) as string) as { rowsIn: number };
  assert.ok(rowsIn > 0 && rowsIn < produced, `${rowsIn} of ${produced} rows read at last: it went on from what was committed`);

  const expected = model(produced);
  const seen = new Map<string, string>();
  for (const row of await readAll(stage, output)) {
    assert.equal(valueOf(row), expected.get(keyOf(row)), `${keyOf(row)} was written in part`);
    seen.set(keyOf(row), valueOf(row));
  }
  assert.deepEqual(sorted(seen), sorted(expected));
});

test('an unknown topic, at either end, is named', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const input = await stage.topic(1);
  const params = { brokers: stage.brokers.join(','), input, group: input };
  await assert.rejects(run(onKafka, { ...drain, params: { ...params, input: 'not-there' } }), { code: 'ERR_MILLRACE_TOPIC', message: /not-there/ });
  await assert.rejects(run(onKafka, { ...drain, params: { ...params, output: 'not-there-either' } }), {
    code: 'ERR_MILLRACE_TOPIC',
    message: /not-there-either/,
  });
});

test('a broker that is not there is an error, and the process ends', async () => {
  const params = { brokers: '127.0.0.1:1', input: 'clicks', group: 'g', brokerTimeout: 500 };
  await assert.rejects(run(onKafka, { ...drain, params }), { code: 'ERR_MILLRACE_BROKER', message: /127\.0\.0\.1:1/ });
  await assert.rejects(run(onKafka, { ...drain, params: { ...params, output: 'out' } }), { code: 'ERR_MILLRACE_BROKER', message: /127\.0\.0\.1:1/ });
  for (const args of [
    ['demo', '--rows', '100', '--brokers', '127.0.0.1:1', '--json'],
    [
      'run',
      'test/runtime/pipelines/on-kafka.ts',
      ...['brokers=127.0.0.1:1', 'input=clicks', 'group=g', 'brokerTimeout=500'].flatMap((one) => ['--param', one]),
    ],
  ]) {
    const { code, signal, stderr, stdout } = await runCli(args);
    assert.equal(signal, null, `it hung: ${args.join(' ')}`);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /ERR_MILLRACE_BROKER: .*127\.0\.0\.1:1/);
    assert.equal(stdout, '');
  }
});

test('a job that is started before its broker says what it waits for, and ends by a signal', async () => {
  const cli = startCli(['run', 'examples/clicks-kafka.ts', '--param', 'brokers=127.0.0.1:1']);
  await until('the line', () => /waiting for a Kafka broker at 127\.0\.0\.1:1, for at most \d+ s more \(.*ECONNREFUSED/.test(cli.stderr()), 60);
  cli.child.kill('SIGTERM');
  const { signal, stderr } = await cli.ended;
  assert.equal(signal, 'SIGTERM');
  assert.equal(stderr.split('waiting for a Kafka broker').length, 2, 'it is said once');
});

test('a slow sink pauses the partitions: nothing lost, memory within its bounds, the member stays in its group', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const rows = 60_000;
  const input = await stage.topic(4);
  await produce(stage, input, 0, rows, 4, 'x'.repeat(400));
  const job = await run(onKafka, {
    workers: 2,
    trigger: 5,
    bounded: true,
    drain: 'emit',
    memory: '32MiB',
    sinkDelay: 1_000,
    params: { brokers: stage.brokers.join(','), input, group: input, sessionTimeout: 5_000 },
  });
  const members = new Set<string>();
  let usedBytes = 0;
  let isDone = false;
  const done = job.done.finally(() => {
    isDone = true;
  });
  job.on('progress', ({ memory }) => {
    usedBytes = Math.max(usedBytes, memory.usedBytes);
  });
  while (!isDone) {
    const { groups } = await stage.admin.describeGroups([input]);
    for (const { memberId } of groups[0]?.members ?? []) members.add(memberId);
    await Promise.race([done, sleep(200)]);
  }
  const { seconds } = await done;
  assert.equal(job.progress().rowsIn, rows);
  assert.ok(seconds > 5, `${seconds} s are not longer than the session of 5 s: the test tests nothing`);
  assert.equal(members.size, 1, 'one membership from start to end');
  assert.ok(usedBytes < 32 << 20);
  assert.deepEqual(sorted(new Map(results.rows.map((row) => [keyOf(row), valueOf(row)]))), sorted(model(rows)));
});

test('a compacted topic is a table: the latest record of a key, until its tombstone', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const users = await stage.topic(2, { 'cleanup.policy': 'compact' });
  const orders = await stage.topic(1);
  const user = (key: string, name: string | null) => ({ key, value: name === null ? null : JSON.stringify({ name }) });
  const order = (name: string, n: number) => ({ value: JSON.stringify({ user: name, n }) });
  const job = await run(new URL('./pipelines/compacted.ts', import.meta.url), {
    workers: 2,
    trigger: '20ms',
    params: { brokers: stage.brokers.join(','), users, orders, group: `compacted-${users}` },
  });
  await stage.producer.send({
    topic: users,
    messages: [user('a', 'Ann'), user('b', 'Ben'), user('__proto__', 'Pat'), user('a', 'Anna'), user('b', null), user('é', 'Eve')],
  });
  await until('six users', () => job.progress().rowsIn >= 6);
  await stage.producer.send({ topic: orders, messages: [order('a', 1), order('b', 2), order('__proto__', 3), order('nobody', 4), order('é', 5)] });
  await until('five results', () => joinedResults.rows.length >= 5);
  await stage.producer.send({ topic: users, messages: [user('b', 'Bob'), user('é', null)] });
  await until('eight users', () => job.progress().rowsIn >= 13);
  await stage.producer.send({ topic: orders, messages: [order('b', 6), order('é', 7)] });
  await until('seven results', () => joinedResults.rows.length >= 7);
  await job.stop({ drain: true });
  assert.deepEqual(
    [...joinedResults.rows].sort((x, y) => (x['n'] as number) - (y['n'] as number)).map(({ n, name }) => [n, name]),
    [
      [1, 'Anna'],
      [2, null],
      [3, 'Pat'],
      [4, null],
      [5, 'Eve'],
      [6, 'Bob'],
      [7, null],
    ],
  );
});
