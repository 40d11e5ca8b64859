/**
 * The open end of a Kafka source: group membership, fetching, back-pressure and commits, on the coordinator's thread.
 *
 *   kafkajs group consumer --RawBatch--> FetchedRecords --record batch by record batch--> context.emit
 *
 * kafkajs's handler is never made to wait: it would hold up the heartbeats, and every other partition of that broker.
 * When the runtime has no credit for a partition, what is left of the fetch is kept, the partition is paused, and both go
 * on when there is credit again. A partition has one truth about where it is: `position`, the offset behind what was
 * emitted. Whatever kafkajs brings that does not begin there is from before a seek or a rebalance, and is dropped.
 */

import type { Consumer, ConsumerCrashEvent, ConsumerGroupJoinEvent, EachBatchPayload } from 'kafkajs';
import { assert, MillraceError } from '../../core/index.ts';
import { FRAME_ABORTED } from '../record-batch/index.ts';
import type { CommittedPosition, SourceContext, SourceReader } from '../source.ts';
import {
  type Committed,
  type Connection,
  committedOffsets,
  connect,
  disconnect,
  logOffsets,
  persistently,
  READ_COMMITTED,
  READ_UNCOMMITTED,
  within,
} from './admin.ts';
import { FetchedRecords } from './fetched.ts';
import type { KafkaSourceOptions } from './options.ts';
import { type Cluster, privateClient } from './private-client.ts';
import { onOutOfRange, type RawBatch, wakeFetch } from './raw-fetch.ts';

const COMMIT_TIMEOUT_MS = 30_000;
const COMMIT_PAUSE_MS = 50;
const ANSWER_TIMEOUT_MS = 20_000;
/** No fetch went through for so long: the group, or the broker, is lost, and a restart of the process is the way out. */
const SILENCE_MS_MAX = 120_000;
const UNKNOWN = -1;

interface Partition {
  readonly id: number;
  /** Offset behind what was emitted: what is fetched next. UNKNOWN until the group's commit was looked up. */
  position: number;
  /** Where a drain ends. */
  end: number;
  isAssigned: boolean;
  hasEnded: boolean;
  /** What was fetched and found no credit. The partition is paused as long. */
  rest: FetchedRecords | undefined;
}

export class KafkaReader implements SourceReader {
  readonly partitionCount: number;
  readonly #name: string;
  readonly #options: KafkaSourceOptions;
  readonly #context: SourceContext;
  readonly #connection: Connection;
  readonly #partitions: readonly Partition[];
  /** For questions before the group is joined; then that of the consumer does. */
  #cluster: Cluster;
  #consumer: Consumer | undefined;
  #running: Promise<void> | undefined;
  #starts = new Map<number, number>();
  /** The caller's positions, of partitions that never were another member's. */
  readonly #from: Map<number, number>;
  /** Counts assignments: an answer that was asked for under an older one is void. */
  #epoch = 0;
  #hasJoined = false;
  /** No more emits; commits still go. Then closed: nothing goes. */
  #isStopped = false;
  #isClosed = false;
  #lastFetchAt = 0;
  #watch: NodeJS.Timeout | undefined;

  constructor(name: string, options: KafkaSourceOptions, context: SourceContext, connection: Connection, cluster: Cluster, partitionCount: number) {
    this.partitionCount = partitionCount;
    this.#name = name;
    this.#options = options;
    this.#context = context;
    this.#connection = connection;
    this.#cluster = cluster;
    this.#from = new Map(context.from);
    this.#partitions = Array.from({ length: partitionCount }, (_, id) => ({
      id,
      position: UNKNOWN,
      end: Number.POSITIVE_INFINITY,
      isAssigned: false,
      hasEnded: false,
      rest: undefined,
    }));
    context.signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  async positions(): Promise<CommittedPosition[]> {
    try {
      const committed = await within(ANSWER_TIMEOUT_MS, this.#committed(this.#cluster));
      const missing = this.#ids().filter((id) => !committed.has(id) && !this.#context.from?.has(id));
      const which = (this.#options.fromBeginning ?? true) ? 'earliest' : 'end';
      const defaults =
        missing.length === 0 ? new Map<number, number>() : await within(ANSWER_TIMEOUT_MS, logOffsets(this.#cluster, this.#options.topic, missing, which));
      return this.#ids().map((partition) => {
        const offset = this.#context.from?.get(partition) ?? committed.get(partition)?.offset ?? defaults.get(partition) ?? 0;
        this.#starts.set(partition, offset);
        return { partition, offset, metadata: committed.get(partition)?.metadata ?? '' };
      });
    } catch (cause) {
      throw this.#connection.error(`${this.#name}: the committed positions of group ${this.#options.group} cannot be read`, cause);
    }
  }

  start(): void {
    assert(this.#running === undefined, 'a Kafka source is started once');
    this.#running = this.#run().catch((cause) => this.#fail(this.#connection.error(`${this.#name}: group ${this.#options.group} cannot be joined`, cause)));
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    const { topic, group } = this.#options;
    const deadline = Date.now() + COMMIT_TIMEOUT_MS;
    for (let cause: unknown; ; await new Promise((resolve) => setTimeout(resolve, COMMIT_PAUSE_MS))) {
      if (this.#isClosed) throw new MillraceError('ERR_MILLRACE_BROKER', `${this.#name}: positions cannot be committed, the source is closed.`);
      if (this.#hasJoined && this.#consumer !== undefined) {
        // A partition that went to another member is that member's to commit; its rows are read again there.
        const mine = positions.filter(({ partition }) => this.#partitions[partition]?.isAssigned);
        const epoch = this.#epoch;
        try {
          const offsets = mine.map(({ partition, offset, metadata }) => ({ topic, partition, offset: String(offset), metadata }));
          if (mine.length > 0) await within(Math.max(1, deadline - Date.now()), this.#consumer.commitOffsets(offsets));
          // kafkajs commits nothing, and says nothing, while it is between two memberships.
          if (this.#hasJoined && epoch === this.#epoch) return;
        } catch (error) {
          cause = error;
        }
      }
      if (Date.now() >= deadline)
        throw this.#connection.error(
          `${this.#name}: positions of group ${group} cannot be committed`,
          cause ?? new Error('the group could not be joined in time'),
        );
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#stop();
    this.#isClosed = true;
    clearInterval(this.#watch);
    const consumer = this.#consumer;
    await disconnect(this.#connection, this.#cluster);
    if (consumer === undefined) return;
    // kafkajs overlooks a stop while it joins the group: wait for that first, for a while.
    await within(3000, this.#running ?? Promise.resolve()).catch(() => {});
    await disconnect(this.#connection, consumer);
    this.#connection.destroySockets();
    void this.#running?.finally(() => consumer.disconnect().catch(() => {}));
  }

  #ids(): number[] {
    return this.#partitions.map((partition) => partition.id);
  }

  #committed(cluster: Cluster): Promise<Map<number, Committed>> {
    return committedOffsets(cluster, this.#options.group, this.#options.topic, this.#ids());
  }

  async #run(): Promise<void> {
    const { topic, group } = this.#options;
    if (this.#starts.size === 0) await this.positions();
    if (this.#context.drain) await this.#findEnds();
    const client = privateClient();
    const sessionTimeout = this.#options.sessionTimeout ?? 30_000;
    const kafka = new client.Kafka(this.#connection.config);
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout,
      heartbeatInterval: this.#options.heartbeatInterval ?? Math.min(3000, Math.max(1, Math.floor(sessionTimeout / 3))),
      rebalanceTimeout: this.#options.rebalanceTimeout ?? 60_000,
      maxBytesPerPartition: this.#options.maxBytesPerPartition ?? 1 << 20,
      maxBytes: this.#options.maxBytes ?? 10 << 20,
      maxWaitTimeInMs: this.#options.maxWaitTimeInMs ?? 100,
      readUncommitted: this.#options.isolation === 'read_uncommitted',
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: async () => !this.#isClosed },
      ...(this.#options.rackId !== undefined && { rackId: this.#options.rackId }),
      // The assigner is the one place where kafkajs hands out the consumer's cluster.
      partitionAssigners: [(config) => this.#adopt(config.cluster as unknown as Cluster, client.PartitionAssigners.roundRobin(config))],
    });
    this.#consumer = consumer;
    consumer.on('consumer.group_join', (event) => this.#onJoin(event));
    consumer.on('consumer.crash', (event) => this.#onCrash(event));
    consumer.on('consumer.fetch', () => {
      this.#lastFetchAt = Date.now();
    });
    this.#lastFetchAt = Date.now();
    this.#watch = setInterval(() => this.#checkSilence(), SILENCE_MS_MAX / 10).unref();
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: this.#options.fromBeginning ?? true });
    if (!this.#isClosed) await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (payload) => this.#onBatch(payload) });
  }

  #adopt<T>(cluster: Cluster, assigner: T): T {
    const earlier = this.#cluster;
    this.#cluster = cluster;
    void disconnect(this.#connection, earlier, 60_000);
    onOutOfRange(cluster, (id) => this.#onOutOfRange(this.#partitions[id] as Partition));
    return assigner;
  }

  /** Where each partition ends now. At read_committed that is where the oldest open transaction begins. */
  async #findEnds(): Promise<void> {
    const isolation = this.#options.isolation === 'read_uncommitted' ? READ_UNCOMMITTED : READ_COMMITTED;
    const cluster = await connect(this.#connection, this.#name, isolation);
    try {
      await within(ANSWER_TIMEOUT_MS, cluster.addTargetTopic(this.#options.topic));
      const ends = await within(
        ANSWER_TIMEOUT_MS,
        persistently(ANSWER_TIMEOUT_MS, () => logOffsets(cluster, this.#options.topic, this.#ids(), 'end')),
      );
      for (const partition of this.#partitions) partition.end = ends.get(partition.id) ?? 0;
    } finally {
      await disconnect(this.#connection, cluster);
    }
  }

  /** Called within kafkajs's join, before its first fetch under the new assignment. */
  #onJoin({ payload }: ConsumerGroupJoinEvent): void {
    const { topic } = this.#options;
    const mine = [...(payload.memberAssignment[topic] ?? [])].sort((a, b) => a - b);
    const epoch = ++this.#epoch;
    this.#hasJoined = true;
    this.#lastFetchAt = Date.now();
    const grown = mine.find((id) => id >= this.partitionCount);
    if (grown !== undefined) {
      this.#fail(
        new MillraceError(
          'ERR_MILLRACE_SOURCE',
          `${this.#name}: the topic has grown from ${this.partitionCount} partitions to at least ${grown + 1}. Start the job again to read the new ones; it goes on where it stopped.`,
        ),
      );
      return;
    }
    const gained: Partition[] = [];
    for (const partition of this.#partitions) {
      partition.isAssigned = mine.includes(partition.id);
      if (!partition.isAssigned) {
        partition.position = UNKNOWN;
        partition.rest = undefined;
        this.#from.delete(partition.id);
        continue;
      }
      if (partition.position === UNKNOWN) gained.push(partition);
      else this.#seek(partition);
      if (partition.position === UNKNOWN || partition.rest !== undefined || partition.hasEnded || this.#isStopped) this.#pause(partition);
    }
    this.#context.assigned(mine);
    if (gained.length > 0) {
      this.#locate(gained, epoch).catch((cause) =>
        this.#fail(this.#connection.error(`${this.#name}: the committed positions of group ${this.#options.group} cannot be read`, cause)),
      );
    }
  }

  /** Finds out where partitions that are new to us start: another member may have committed since `positions`. */
  async #locate(gained: readonly Partition[], epoch: number): Promise<void> {
    const committed = await within(ANSWER_TIMEOUT_MS, this.#committed(this.#cluster));
    if (epoch !== this.#epoch || this.#isStopped) return;
    for (const partition of gained) {
      const { id } = partition;
      partition.position = this.#from.get(id) ?? committed.get(id)?.offset ?? this.#starts.get(id) ?? 0;
      if (this.#endIfThere(partition)) continue;
      this.#seek(partition);
      this.#resume(partition);
    }
    wakeFetch();
  }

  async #onBatch({ batch, resolveOffset }: EachBatchPayload): Promise<void> {
    const fetched = batch as unknown as RawBatch;
    const partition = this.#partitions[fetched.partition];
    if (partition === undefined || !partition.isAssigned || partition.hasEnded || partition.rest !== undefined || this.#isStopped) return;
    if (fetched.fetchedOffset !== partition.position) {
      if (partition.position !== UNKNOWN) this.#seek(partition);
      return;
    }
    this.#context.high(partition.id, fetched.highWatermark);
    if (fetched.records.length === 0) return;
    if (this.#take(partition, new FetchedRecords(fetched)) && !partition.hasEnded) resolveOffset(String(partition.position - 1));
  }

  /** Emits what it can. False when credit ran out: then the rest waits for it. Never throws. */
  #take(partition: Partition, records: FetchedRecords): boolean {
    partition.rest = undefined;
    try {
      while (records.step()) {
        if (records.first >= partition.end) {
          // What stood between here and the end is gone from the log (compaction).
          this.#end(partition);
          return true;
        }
        const hasCredit = this.#context.emit(partition.id, records.bytes(), records.first, records.next, records.isAborted ? FRAME_ABORTED : 0, records.cut);
        partition.position = records.next;
        if (this.#endIfThere(partition)) return true;
        if (hasCredit) continue;
        records.compact();
        partition.rest = records;
        this.#pause(partition);
        void this.#goOn(partition);
        return false;
      }
      return true;
    } catch (cause) {
      this.#fail(
        cause instanceof RangeError ? new MillraceError('ERR_MILLRACE_SOURCE', `${this.#name}, partition ${partition.id}: ${cause.message}`, { cause }) : cause,
      );
      return true;
    }
  }

  /** Waits for credit, then takes the rest, and lets kafkajs fetch behind it. */
  async #goOn(partition: Partition): Promise<void> {
    try {
      await this.#context.credit(partition.id);
    } catch (error) {
      return this.#fail(error);
    }
    const { rest } = partition;
    if (this.#isStopped || rest === undefined) return;
    if (!this.#take(partition, rest) || partition.hasEnded || this.#isStopped) return;
    this.#seek(partition);
    this.#resume(partition);
    wakeFetch();
  }

  #endIfThere(partition: Partition): boolean {
    if (partition.position < partition.end) return false;
    this.#end(partition);
    return true;
  }

  #end(partition: Partition): void {
    if (partition.hasEnded) return;
    partition.hasEnded = true;
    this.#pause(partition);
    this.#context.end(partition.id);
  }

  /** The offset that we want is not in the log: it was deleted, or the topic was made anew. */
  async #onOutOfRange(partition: Partition): Promise<void> {
    if (this.#isStopped || !partition.isAssigned) return;
    const { topic, failOnDataLoss } = this.#options;
    const position = partition.position;
    const [earliest, end] = await Promise.all([
      logOffsets(this.#cluster, topic, [partition.id], 'earliest'),
      logOffsets(this.#cluster, topic, [partition.id], 'end'),
    ]);
    const low = earliest.get(partition.id) ?? 0;
    if (failOnDataLoss ?? true) {
      this.#pause(partition);
      const what =
        position < low
          ? `rows ${position} to ${low - 1} were deleted before they were read`
          : `the log ends at ${end.get(partition.id)}, so the topic was made anew`;
      this.#fail(
        new MillraceError(
          'ERR_MILLRACE_SOURCE',
          `${this.#name}, partition ${partition.id}: offset ${position} is not in the log (it begins at ${low}): ${what}. Set failOnDataLoss: false to go on at ${low}, or use another group.`,
        ),
      );
      return;
    }
    partition.position = low;
    if (!this.#endIfThere(partition)) this.#seek(partition);
  }

  #onCrash({ payload }: ConsumerCrashEvent): void {
    this.#hasJoined = false;
    if (this.#isClosed || payload.restart) return;
    this.#fail(this.#connection.error(`${this.#name}: reading in group ${this.#options.group} came to an end`, payload.error));
  }

  #checkSilence(): void {
    const silence = Date.now() - this.#lastFetchAt;
    if (silence < SILENCE_MS_MAX) return;
    this.#fail(
      new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${this.#name}: no answer from the Kafka cluster at ${this.#options.brokers.join(', ')} for ${Math.round(silence / 1000)} s (${this.#connection.lastError || 'no error was reported'}). Start the job again when it is back; it goes on where it stopped.`,
      ),
    );
  }

  #seek({ id, position }: Partition): void {
    this.#ifRunning(() => this.#consumer?.seek({ topic: this.#options.topic, partition: id, offset: String(position) }));
  }

  #pause({ id }: Partition): void {
    this.#ifRunning(() => this.#consumer?.pause([{ topic: this.#options.topic, partitions: [id] }]));
  }

  #resume({ id }: Partition): void {
    this.#ifRunning(() => this.#consumer?.resume([{ topic: this.#options.topic, partitions: [id] }]));
  }

  /** Between a crash and the restart kafkajs has no group to seek or pause in; the next join sees to it. */
  #ifRunning(act: () => void): void {
    if (this.#hasJoined && !this.#isClosed) act();
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const partition of this.#partitions) {
      partition.rest = undefined;
      if (partition.isAssigned) this.#pause(partition);
    }
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#stop();
    this.#context.fail(error);
  }
}
