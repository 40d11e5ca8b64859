/**
 * A job that several processes share, through a real Kafka: every kind of state that tasks can share has an output, and
 * each output has exactly the rows that a plain model of the input gives, while processes come, go and are killed.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { seededRng } from '../../runtime/index.ts';
import { openStage, type Stage, until } from '../io/kafka-fixture.ts';
import { effortCount, seedOf } from '../seed.ts';
import { type CliProcess, startCli } from './cli-process.ts';
import { EXACT, exactModel, Feed, type Out, type Row } from './exact-model.ts';
import { OUTPUTS, type Params } from './pipelines/exact.ts';

const PARTITIONS = 6;
const TASKS = 4;
const CHANGES = effortCount(6);
const PATIENCE_MS = 90_000;

/** A topic that rows go into, and processes that share the job over it. */
class Scene {
  readonly params: Params;
  readonly #stage: Stage;
  readonly #state: string;
  readonly #isInTopics: boolean;
  readonly processes: CliProcess[] = [];

  private constructor(stage: Stage, state: string, name: string, isInTopics: boolean) {
    this.#stage = stage;
    this.#state = state;
    this.#isInTopics = isInTopics;
    this.params = { dir: state, brokers: stage.brokers[0] as string, name };
  }

  /** @param isInTopics each process has a disk of its own, and state is in topics */
  static async open(t: TestContext, isInTopics = false): Promise<Scene | undefined> {
    const stage = await openStage(t);
    if (stage === undefined) return undefined;
    const state = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    const name = `shared-${randomBytes(4).toString('hex')}`;
    const scene = new Scene(stage, state, name, isInTopics);
    t.after(async () => {
      for (const { child } of scene.processes) child.kill('SIGKILL');
      await Promise.all(scene.processes.map(({ ended }) => ended));
      await rm(state, { recursive: true, force: true });
    });
    await stage.admin.createTopics({ topics: [{ topic: `${name}-in`, numPartitions: PARTITIONS }], waitForLeaders: false });
    await until('the topic', async () => (await stage.admin.fetchTopicOffsets(`${name}-in`).catch(() => [])).length === PARTITIONS);
    return scene;
  }

  start(): CliProcess {
    const flags = Object.entries(this.params).flatMap(([key, value]) => ['--param', `${key}=${value}`]);
    const args = ['run', fileURLToPath(EXACT), '--tasks', String(TASKS), '--trigger', '20ms', '--memory', '64MiB', '--session-timeout', '6s'];
    const own = this.#isInTopics ? join(this.#state, String(this.processes.length)) : this.#state;
    const state = ['--checkpoint', own, '--checkpoint-interval', '100ms'];
    if (this.#isInTopics) state.push('--checkpoint-topic', `${this.params.name}-state`, '--checkpoint-brokers', this.params.brokers as string);
    const started = startCli([...args, ...state, '--log-level', 'warn', ...flags]);
    this.processes.push(started);
    return started;
  }

  async write(rows: readonly Row[]): Promise<void> {
    await this.#stage.producer.send({
      topic: `${this.params.name}-in`,
      messages: rows.map((row) => ({ partition: row.id % PARTITIONS, value: JSON.stringify(row) })),
    });
  }

  /** Rows that close all windows, in every partition, of a key that does not count. */
  close(rows: readonly Row[]): Promise<void> {
    const last = rows.reduce((latest, { at }) => Math.max(latest, at), 0);
    return this.write(Array.from({ length: PARTITIONS }, (_, i): Row => ({ id: rows.length + i, key: '-', n: 0, at: last + 100_000 })));
  }

  /** All rows of an output that are committed. */
  async #output(name: string): Promise<Out[]> {
    const topic = `${this.params.name}-${name}`;
    const { reader, ended, values } = await this.#stage.open({ topic, group: `read-${randomBytes(4).toString('hex')}` }, { drain: true });
    await until(`the end of ${topic}`, () => ended.size === reader.partitionCount);
    await reader.close();
    return values().map((value) => JSON.parse(value) as Out);
  }

  /** Waits until all outputs are what the rows give. */
  async isExact(rows: readonly Row[]): Promise<void> {
    const check = exactModel(rows);
    const endMs = performance.now() + PATIENCE_MS;
    for (const name of OUTPUTS) {
      for (;;) {
        const found = (await this.#output(name)).filter(({ key, id }) => key !== '-' && (typeof id !== 'number' || id < rows.length));
        try {
          check[name](found);
          break;
        } catch (error) {
          const dead = this.processes.find(({ child }) => child.exitCode !== null && child.exitCode !== 0);
          if (dead !== undefined) throw new Error(dead.stderr(), { cause: error });
          if (performance.now() > endMs) throw new Error(this.processes.map((one) => one.stderr().slice(-2_000)).join('\n---\n'), { cause: error });
          await sleep(250);
        }
      }
    }
  }
}

/** Longer than a session: it wakes up when others have its tasks. */
function stall({ child }: CliProcess): void {
  child.kill('SIGSTOP');
  setTimeout(() => child.kill('SIGCONT'), 9_000).unref();
}

const WITH_TABLES = new URL('./pipelines/shared.ts', import.meta.url);

test('tables are loaded, whoever reads them; one key counts to the last row; idle partitions hold nothing back', { timeout: 300_000 }, async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const name = `shared-${randomBytes(4).toString('hex')}`;
  const state = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  const rng = seededRng(seedOf(33));
  const [customers, products, orders] = [
    Array.from({ length: 3_000 }, (_, i) => ({ customer: `c${i}`, region: `r${rng.int(7)}` })),
    Array.from({ length: 500 }, (_, i) => ({ product: `p${i}`, price: i / 4 })),
    Array.from({ length: 20_000 }, (_, i) => ({ id: i, customer: `c${rng.int(3_000)}`, product: `p${rng.int(500)}`, n: rng.int(100), at: 1_000 + i })),
  ] as const;
  // The last partitions have no orders at all, and those of the tables have other numbers.
  for (const [of, rows, partitions, used] of [
    ['orders', orders, 4, 2],
    ['customers', customers, 3, 3],
    ['products', products, 2, 2],
  ] as const) {
    const topic = `${name}-${of}`;
    await stage.admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false });
    await until(topic, async () => (await stage.admin.fetchTopicOffsets(topic).catch(() => [])).length === partitions);
    for (let at = 0; at < rows.length; at += 2_000) {
      const messages = rows.slice(at, at + 2_000).map((row, i) => ({ partition: Math.floor((at + i) / 100) % used, value: JSON.stringify(row) }));
      await stage.producer.send({ topic, messages });
    }
  }
  const flags = ['--param', `brokers=${stage.brokers[0]}`, '--param', `name=${name}`, '--trigger', '20ms', '--memory', '64MiB', '--session-timeout', '6s'];
  const start = () => startCli(['run', fileURLToPath(WITH_TABLES), '--tasks', '4', '--checkpoint', state, '--checkpoint-interval', '100ms', ...flags]);
  const processes = [start(), start(), start(), start()];
  t.after(async () => {
    for (const { child } of processes) child.kill('SIGKILL');
    await Promise.all(processes.map(({ ended }) => ended));
    await rm(state, { recursive: true, force: true });
  });
  const outputOf = async (of: string): Promise<Out[]> => {
    const { reader, ended, values } = await stage.open({ topic: `${name}-${of}`, group: `read-${randomBytes(4).toString('hex')}` }, { drain: true });
    await until(`the end of ${of}`, () => ended.size === reader.partitionCount);
    await reader.close();
    return values().map((value) => JSON.parse(value) as Out);
  };
  const eventually = async (of: string, check: (rows: readonly Out[]) => void): Promise<void> => {
    for (const endMs = performance.now() + PATIENCE_MS; ; await sleep(250)) {
      try {
        return check(await outputOf(of));
      } catch (error) {
        if (performance.now() > endMs) throw new Error(processes.map((one) => one.stderr().slice(-2_000)).join('\n---\n'), { cause: error });
      }
    }
  };
  const regionOf = new Map(customers.map(({ customer, region }) => [customer, region]));
  await eventually('joined', (rows) => {
    assert.equal(rows.length, orders.length);
    const byId = new Map(rows.map((row) => [row['id'], row]));
    for (const { id, customer, product } of orders) {
      assert.deepEqual(byId.get(id), { id, region: regionOf.get(customer), price: Number(product.slice(1)) / 4 });
    }
  });
  await eventually('all', (rows) => assert.equal(Math.max(...rows.map((row) => row['count'] as number)), orders.length));
  // Both partitions that have orders end within the last window, and become idle: the windows before it are closed.
  await eventually('regions', (rows) => {
    const last = Math.floor((1_000 + orders.length - 1) / 1_000) * 1_000;
    const expected = new Map<string, [number, number]>();
    for (const { customer, n, at } of orders) {
      const start = Math.floor(at / 1_000) * 1_000;
      if (start === last) continue;
      const key = `${regionOf.get(customer)} ${start}`;
      const [count, sum] = expected.get(key) ?? [0, 0];
      expected.set(key, [count + 1, sum + n]);
    }
    const found = rows
      .filter((row) => (row['windowStart'] as number) < last)
      .map((row) => [`${row['region']} ${row['windowStart']}`, [row['orders'], row['n']]] as const);
    assert.equal(found.length, expected.size);
    assert.deepEqual(new Map(found), expected);
  });
});

test('one process, then another, share the tasks: the rows are those of a job that is not shared', { timeout: 300_000 }, async (t) => {
  const scene = await Scene.open(t);
  if (scene === undefined) return;
  const feed = new Feed(seedOf(31), (rows) => scene.write(rows));
  scene.start();
  await sleep(4_000);
  const second = scene.start();
  await sleep(6_000);
  await feed.stop();
  await scene.close(feed.rows);
  await scene.isExact(feed.rows);
  second.child.kill('SIGTERM');
  assert.equal((await second.ended).code, 0);
});

for (const where of ['in folders', 'in topics'])
  test(`processes come, go and are killed, with the state ${where}, and nothing is lost or twice`, { timeout: 600_000 }, async (t) => {
    const scene = await Scene.open(t, where === 'in topics');
    if (scene === undefined) return;
    const seed = seedOf(32);
    const rng = seededRng(seed);
    const feed = new Feed(seed, (rows) => scene.write(rows));
    const alive = [scene.start(), scene.start()];
    await sleep(4_000);
    const did: string[] = [];
    for (let change = 0; change < CHANGES; change++) {
      rng.seek(change);
      const what = alive.length < 2 ? 'start' : alive.length > 3 ? 'kill' : (['start', 'kill', 'stop', 'stall'] as const)[rng.int(4)];
      did.push(what as string);
      if (what === 'start') alive.push(scene.start());
      else if (what === 'stall') stall(alive[rng.int(alive.length)] as CliProcess);
      else (alive.splice(rng.int(alive.length), 1)[0] as CliProcess).child.kill(what === 'kill' ? 'SIGKILL' : 'SIGTERM');
      await sleep(500 + rng.int(2_500));
    }
    await feed.stop();
    t.diagnostic(`seed ${seed}: ${feed.rows.length} rows, ${did.join(' ')}`);
    await scene.close(feed.rows);
    await scene.isExact(feed.rows);
  });
