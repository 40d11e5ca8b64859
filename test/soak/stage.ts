/**
 * What stands around the job: its topics, a feeder that writes rows all the time, and a reader that hands everything
 * that a read_committed consumer sees to the oracle, as it comes. Both are kafkajs, and so independent of the package.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import { seededRng } from '../../core/index.ts';
import { Cluster, logOffsets, READ_COMMITTED } from '../../io/kafka/client/index.ts';
import { Connection } from '../../io/kafka/kafkajs/index.ts';
import type { Oracle } from './oracle.ts';
import { OUTPUTS, type Output, type Row } from './pipeline.ts';

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';

const IN_PARTITIONS = 3;
const OUT_PARTITIONS = 2;
/** Enough that a base of a shard costs more than the blocks of an epoch: restarts merge blocks again. */
const KEYS = 150;
const FEED_ROWS = 30;
const FEED_PAUSE_MS = 30;
const WATCH_MS = 500;
const READ_ALL_MS = 180_000;
const END = 'end of the run';

export class Stage {
  readonly name: string;
  readonly brokers: readonly string[];
  readonly #oracle: Oracle;
  readonly #seed: number;
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #consumer: Consumer;
  #feeding: Promise<void> | undefined;
  #isFed = false;
  /** By topic and partition: the next offset. After a rebalance kafkajs may hand records over again. */
  readonly #next = new Map<string, number>();
  readonly #ended = new Set<string>();
  readonly #cluster: Cluster;
  #watching: Promise<void> | undefined;
  #isClosed = false;

  private constructor(brokers: readonly string[], name: string, seed: number, oracle: Oracle) {
    this.name = name;
    this.brokers = brokers;
    this.#seed = seed;
    this.#oracle = oracle;
    const client = new Kafka({
      brokers: [...brokers],
      logLevel: logLevel.NOTHING,
      requestTimeout: 5_000,
      retry: { retries: 200, initialRetryTime: 50, maxRetryTime: 1_000 },
    });
    this.#cluster = new Cluster(new Connection({ brokers: [...brokers], clientId: 'soak', requestTimeout: 5_000 }));
    this.#admin = client.admin();
    // Rows come once, and in order: what is late would not be in the windows.
    this.#producer = client.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 });
    this.#consumer = client.consumer({
      groupId: `${name}-reader`,
      maxWaitTimeInMs: 100,
      sessionTimeout: 60_000,
      retry: { retries: 200, initialRetryTime: 50, maxRetryTime: 1_000 },
    });
  }

  static async open(brokers: readonly string[], name: string, seed: number, oracle: Oracle): Promise<Stage> {
    const stage = new Stage(brokers, name, seed, oracle);
    await Promise.all([stage.#admin.connect(), stage.#producer.connect(), stage.#consumer.connect()]);
    const topics = [{ topic: `${name}-in`, numPartitions: IN_PARTITIONS }, ...OUTPUTS.map((of) => ({ topic: `${name}-${of}`, numPartitions: OUT_PARTITIONS }))];
    const replicationFactor = Math.min(3, brokers.length);
    await stage.#admin.createTopics({ topics: topics.map((topic) => ({ ...topic, replicationFactor })), waitForLeaders: false });
    const isThere = async ({ topic, numPartitions }: (typeof topics)[number]) =>
      (await stage.#admin.fetchTopicOffsets(topic).catch(() => [])).length === numPartitions;
    for (const topic of topics) while (!(await isThere(topic))) await sleep(50);
    await stage.#read(topics.map(({ topic }) => topic));
    return stage;
  }

  /** Writes rows until `stopFeeding`. Event time goes on with them, and none is late. */
  feed(): void {
    const rng = seededRng(this.#seed);
    let id = 0;
    this.#feeding = (async () => {
      while (!this.#isFed) {
        const partition = Math.floor(id / FEED_ROWS) % IN_PARTITIONS;
        const messages = Array.from({ length: FEED_ROWS }, () => {
          rng.seek(id);
          const row: Row = { id, key: `k${rng.int(KEYS)}`, n: rng.int(100), at: 1_000 + id * 2 + rng.int(20) };
          id++;
          return { partition, value: JSON.stringify(row) };
        });
        await this.#producer.send({ topic: `${this.name}-in`, messages });
        await sleep(FEED_PAUSE_MS);
      }
    })();
  }

  async stopFeeding(): Promise<void> {
    this.#isFed = true;
    await this.#feeding;
  }

  /** The number of the last checkpoint that a transaction has committed; -1: none, or the brokers do not answer. */
  async committed(): Promise<number> {
    const asked = this.#admin.fetchOffsets({ groupId: `millrace.${this.name}` }).catch(() => []);
    const offsets = (await asked).flatMap(({ partitions }) => partitions.map(({ offset }) => Number(offset)));
    return Math.max(-1, ...offsets);
  }

  /** Reads on until everything that is there now has been read. */
  async readAll(): Promise<void> {
    const topics = [...OUTPUTS.map((of) => [`${this.name}-${of}`, OUT_PARTITIONS] as const), [`${this.name}-in`, IN_PARTITIONS] as const];
    for (const [topic, partitions] of topics) {
      await this.#producer.send({ topic, messages: Array.from({ length: partitions }, (_, partition) => ({ partition, key: END, value: '' })) });
    }
    const wanted = topics.reduce((sum, [, partitions]) => sum + partitions, 0);
    for (const deadline = Date.now() + READ_ALL_MS; this.#ended.size < wanted; await sleep(20)) {
      if (Date.now() > deadline)
        throw new Error(`the reader has not come to the end of ${wanted - this.#ended.size} of ${wanted} partitions within ${READ_ALL_MS / 1_000} s`);
    }
  }

  async close(): Promise<void> {
    this.#isFed = true;
    this.#isClosed = true;
    await this.#watching;
    this.#cluster.close();
    await Promise.allSettled([this.#consumer.disconnect(), this.#producer.disconnect(), this.#admin.disconnect()]);
  }

  async #read(topics: string[]): Promise<void> {
    await this.#consumer.subscribe({ topics, fromBeginning: true });
    await this.#consumer.run({
      eachBatch: async ({ batch: { topic, partition, messages } }) => {
        const place = `${topic} ${partition}`;
        const of = topic.slice(this.name.length + 1);
        for (const { offset, key, value } of messages) {
          if (Number(offset) < (this.#next.get(place) ?? 0)) continue;
          this.#next.set(place, Number(offset) + 1);
          if (key?.toString() === END) this.#ended.add(place);
          else if (of === 'in') this.#oracle.input(JSON.parse(String(value)) as Row);
          else this.#oracle.output(of as Output, JSON.parse(String(value)) as Record<string, number | string>, partition, Number(offset));
        }
      },
    });
    this.#watching = this.#watch();
  }

  /** Asks again and again how far a read_committed reader may read. While brokers are away there is no answer. */
  async #watch(): Promise<void> {
    const partitions = Array.from({ length: OUT_PARTITIONS }, (_, partition) => partition);
    while (!this.#isClosed) {
      const fromMs = Date.now();
      try {
        const ends = new Map<string, number>();
        await Promise.all(
          (['copy', 'numbers'] as const).map(async (of) => {
            for (const [partition, end] of await logOffsets(this.#cluster, `${this.name}-${of}`, partitions, 'end', READ_COMMITTED))
              ends.set(`${of} ${partition}`, end);
          }),
        );
        this.#oracle.snapshot({ fromMs, toMs: Date.now(), ends });
      } catch {
        await sleep(WATCH_MS);
      }
      await sleep(WATCH_MS);
    }
  }
}
