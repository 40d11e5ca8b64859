/**
 * Membership of the consumer group: joining, the fetch loop, commits, and leaving, all kafkajs's, with bounds in time
 * around what it would do for ever and an error for what it does in silence. What is fetched, and which partitions are
 * ours, goes to the handlers (reader.ts). Handlers never wait: kafkajs sends its heartbeats between two of their calls.
 */

import type { Consumer, ConsumerCrashEvent, ConsumerGroupJoinEvent } from 'kafkajs';
import { assert, MillraceError } from '../../../core/index.ts';
import type { CommittedPosition } from '../../source.ts';
import type { KafkaSourceOptions } from '../options.ts';
import { type Connection, disconnect, within } from './admin.ts';
import { type Cluster, privateClient } from './private-client.ts';
import { onOutOfRange, type RawBatch, wakeFetch } from './raw-fetch.ts';

const COMMIT_TIMEOUT_MS = 30_000;
const COMMIT_PAUSE_MS = 50;
const JOIN_BEFORE_CLOSE_MS = 3_000;
/** No fetch went through for so long: the group, or the broker, is lost, and a restart of the process is the way out. */
const SILENCE_MS_MAX = 120_000;

export interface GroupHandlers {
  /** These partitions are ours from now on. Called within the join, before the first fetch under it. */
  joined(partitions: readonly number[]): void;
  /** What a fetch brought of one partition; `resolve` says where the next fetch begins. Without it the same is fetched again. */
  fetched(batch: RawBatch, resolve: (position: number) => void): void;
  /** The offset asked for is not in the log. */
  outOfRange(partition: number): Promise<void>;
  failed(error: MillraceError): void;
}

export class GroupMember {
  /** The consumer's own cluster, connected once `run` has got through. */
  readonly cluster: Cluster;
  readonly #name: string;
  readonly #options: KafkaSourceOptions;
  readonly #connection: Connection;
  readonly #handlers: GroupHandlers;
  readonly #consumer: Consumer;
  #running: Promise<void> | undefined;
  /** Counts memberships. */
  #generation = 0;
  #hasJoined = false;
  #isClosed = false;
  #lastFetchAt = Date.now();
  #watch: NodeJS.Timeout | undefined;

  constructor(name: string, options: KafkaSourceOptions, connection: Connection, handlers: GroupHandlers) {
    this.#name = name;
    this.#options = options;
    this.#connection = connection;
    this.#handlers = handlers;
    const client = privateClient();
    const sessionTimeout = options.sessionTimeout ?? 30_000;
    let cluster: Cluster | undefined;
    this.#consumer = new client.Kafka(connection.config).consumer({
      groupId: options.group,
      sessionTimeout,
      heartbeatInterval: options.heartbeatInterval ?? Math.min(3000, Math.max(1, Math.floor(sessionTimeout / 3))),
      rebalanceTimeout: options.rebalanceTimeout ?? 60_000,
      maxBytesPerPartition: options.maxBytesPerPartition ?? 1 << 20,
      maxBytes: options.maxBytes ?? 10 << 20,
      maxWaitTimeInMs: options.maxWaitTimeInMs ?? 100,
      readUncommitted: options.isolation === 'read_uncommitted',
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: async () => !this.#isClosed },
      ...(options.rackId !== undefined && { rackId: options.rackId }),
      // The assigner's factory is the one place where kafkajs hands out the consumer's cluster; it is called at once.
      partitionAssigners: [
        (config) => {
          cluster = config.cluster as unknown as Cluster;
          return client.PartitionAssigners.roundRobin(config);
        },
      ],
    });
    assert(cluster !== undefined, 'kafkajs makes the assigners together with the consumer');
    this.cluster = cluster;
    onOutOfRange(cluster, (partition) => handlers.outOfRange(partition));
    this.#consumer.on('consumer.group_join', (event) => this.#onJoin(event));
    this.#consumer.on('consumer.crash', (event) => this.#onCrash(event));
    this.#consumer.on('consumer.fetch', () => {
      this.#lastFetchAt = Date.now();
    });
  }

  /** Joins and starts to fetch. Resolves when the group is joined; fetching goes on behind it. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Where the next fetch of the partition begins. */
  seek(partition: number, position: number): void {
    if (this.#isMember) this.#consumer.seek({ topic: this.#options.topic, partition, offset: String(position) });
  }

  pause(partition: number): void {
    if (this.#isMember) this.#consumer.pause([{ topic: this.#options.topic, partitions: [partition] }]);
  }

  resume(partition: number): void {
    if (!this.#isMember) return;
    this.#consumer.resume([{ topic: this.#options.topic, partitions: [partition] }]);
    wakeFetch();
  }

  /**
   * Commits. Positions of partitions that are not ours any more are left out: they are the new owner's to commit.
   *
   * @throws MillraceError ERR_MILLRACE_BROKER when it cannot be done in time
   */
  async commit(positions: readonly CommittedPosition[], isOurs: (partition: number) => boolean): Promise<void> {
    const { topic, group } = this.#options;
    const deadline = Date.now() + COMMIT_TIMEOUT_MS;
    let cause: unknown = new Error('the group could not be joined in time');
    while (Date.now() < deadline) {
      if (this.#isClosed) throw new MillraceError('ERR_MILLRACE_BROKER', `${this.#name}: positions cannot be committed, the source is closed.`);
      if (this.#hasJoined) {
        const ours = positions.filter(({ partition }) => isOurs(partition));
        const generation = this.#generation;
        try {
          const offsets = ours.map(({ partition, offset, metadata }) => ({ topic, partition, offset: String(offset), metadata }));
          if (ours.length > 0) await within(deadline - Date.now(), this.#consumer.commitOffsets(offsets));
          // Between two memberships kafkajs commits nothing and says nothing: only an unbroken one counts.
          if (this.#hasJoined && generation === this.#generation) return;
        } catch (error) {
          cause = error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, COMMIT_PAUSE_MS));
    }
    throw this.#connection.error(`${this.#name}: positions of group ${group} cannot be committed`, cause);
  }

  /** Leaves the group and ends the connections; by force after some seconds. Never call it from a handler. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#watch);
    if (this.#running !== undefined) {
      // kafkajs overlooks a stop while it joins the group: wait for that first, for a while.
      await within(JOIN_BEFORE_CLOSE_MS, this.#running).catch(() => {});
    }
    await disconnect(this.#connection, this.#consumer);
    this.#connection.destroySockets();
    void this.#running?.catch(() => {}).then(() => this.#consumer.disconnect().catch(() => {}));
  }

  /** Between a crash and the restart kafkajs has no group to seek or pause in; the next join sees to it. */
  get #isMember(): boolean {
    return this.#hasJoined && !this.#isClosed;
  }

  async #run(): Promise<void> {
    const { topic, fromBeginning = true } = this.#options;
    this.#lastFetchAt = Date.now();
    this.#watch = setInterval(() => this.#checkSilence(), SILENCE_MS_MAX / 10).unref();
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic, fromBeginning });
    if (this.#isClosed) return;
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        this.#handlers.fetched(batch as unknown as RawBatch, (position) => resolveOffset(String(position - 1)));
      },
    });
  }

  #onJoin({ payload }: ConsumerGroupJoinEvent): void {
    this.#generation++;
    this.#hasJoined = true;
    this.#lastFetchAt = Date.now();
    this.#handlers.joined([...(payload.memberAssignment[this.#options.topic] ?? [])].sort((a, b) => a - b));
  }

  #onCrash({ payload }: ConsumerCrashEvent): void {
    this.#hasJoined = false;
    if (this.#isClosed || payload.restart) return;
    this.#handlers.failed(this.#connection.error(`${this.#name}: reading in group ${this.#options.group} came to an end`, payload.error));
  }

  #checkSilence(): void {
    const silence = Date.now() - this.#lastFetchAt;
    if (silence < SILENCE_MS_MAX) return;
    const said = this.#connection.lastError || 'no error was reported';
    const message = `${this.#name}: no answer from the Kafka cluster at ${this.#options.brokers.join(', ')} for ${Math.round(silence / 1000)} s (${said}). Start the job again when it is back; it goes on where it stopped.`;
    this.#handlers.failed(new MillraceError('ERR_MILLRACE_BROKER', message));
  }
}
