/**
 * The open end of a Kafka source: where each partition is, what is emitted of it, and when it waits.
 *
 *   GroupMember --RawBatch--> FetchedRecords --record batch by record batch--> context.emit
 *
 * When the runtime has no credit for a partition, what is left of the fetch is kept, the partition is paused, and both go
 * on when there is credit again; the other partitions and the heartbeats are not held up. A partition has one truth about
 * where it is: `position`, the offset behind what was emitted. Whatever the group's fetch loop brings that does not begin
 * there is from before a seek or a rebalance, and is dropped.
 */

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
} from './kafkajs/admin.ts';
import { FetchedRecords } from './kafkajs/fetched.ts';
import { GroupMember } from './kafkajs/group.ts';
import type { Cluster } from './kafkajs/private-client.ts';
import type { RawBatch } from './kafkajs/raw-fetch.ts';
import type { KafkaSourceOptions } from './options.ts';

const ANSWER_TIMEOUT_MS = 20_000;
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
  readonly #ids: readonly number[];
  /** For the questions before the start. */
  #cluster: Cluster | undefined;
  #member: GroupMember | undefined;
  /** What `positions` said. */
  readonly #starts = new Map<number, number>();
  /** The caller's positions, of partitions that never were another member's. */
  readonly #from: Map<number, number>;
  /** Counts assignments: an answer that was asked for under an older one is void. */
  #epoch = 0;
  #isStarted = false;
  /** No more emits; commits still go. */
  #isStopped = false;
  #isClosed = false;

  constructor(name: string, options: KafkaSourceOptions, context: SourceContext, connection: Connection, cluster: Cluster, partitionCount: number) {
    this.partitionCount = partitionCount;
    this.#name = name;
    this.#options = options;
    this.#context = context;
    this.#connection = connection;
    this.#cluster = cluster;
    this.#from = new Map(context.from);
    this.#ids = Array.from({ length: partitionCount }, (_, id) => id);
    this.#partitions = this.#ids.map((id) => ({
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
    const cluster = this.#member?.cluster ?? this.#cluster;
    assert(cluster !== undefined, 'positions are asked for while the source is open');
    try {
      const committed = await this.#committed(cluster);
      const from = this.#context.from;
      const missing = this.#ids.filter((id) => !committed.has(id) && !from?.has(id));
      const which = (this.#options.fromBeginning ?? true) ? 'earliest' : 'end';
      const defaults = missing.length === 0 ? undefined : await within(ANSWER_TIMEOUT_MS, logOffsets(cluster, this.#options.topic, missing, which));
      return this.#ids.map((partition) => {
        const offset = from?.get(partition) ?? committed.get(partition)?.offset ?? defaults?.get(partition) ?? 0;
        this.#starts.set(partition, offset);
        return { partition, offset, metadata: committed.get(partition)?.metadata ?? '' };
      });
    } catch (cause) {
      throw this.#lookupError(cause);
    }
  }

  start(): void {
    assert(!this.#isStarted, 'a Kafka source is started once');
    this.#isStarted = true;
    this.#run().catch((cause) => this.#fail(this.#connection.error(`${this.#name}: group ${this.#options.group} cannot be joined`, cause)));
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    if (this.#isClosed) throw new MillraceError('ERR_MILLRACE_BROKER', `${this.#name}: positions cannot be committed, the source is closed.`);
    assert(this.#member !== undefined, 'positions are committed after the start');
    await this.#member.commit(positions, (partition) => this.#partitions[partition]?.isAssigned ?? false);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#stop();
    this.#isClosed = true;
    await Promise.all([this.#member?.close(), this.#closeCluster()]);
  }

  async #closeCluster(): Promise<void> {
    const cluster = this.#cluster;
    this.#cluster = undefined;
    if (cluster !== undefined) await disconnect(this.#connection, cluster);
  }

  #committed(cluster: Cluster): Promise<Map<number, Committed>> {
    return within(ANSWER_TIMEOUT_MS, committedOffsets(cluster, this.#options.group, this.#options.topic, this.#ids));
  }

  #lookupError(cause: unknown): MillraceError {
    return this.#connection.error(`${this.#name}: the committed positions of group ${this.#options.group} cannot be read`, cause);
  }

  async #run(): Promise<void> {
    this.#member = new GroupMember(this.#name, this.#options, this.#connection, {
      joined: (partitions) => this.#onJoined(partitions),
      fetched: (batch, resolve) => this.#onFetched(batch, resolve),
      outOfRange: (id) => this.#onOutOfRange(this.#partitions[id] as Partition),
      failed: (error) => this.#fail(error),
    });
    if (this.#starts.size === 0) await this.positions();
    if (this.#context.drain) await this.#findEnds();
    await this.#closeCluster();
    if (!this.#isClosed) await this.#member.run();
  }

  /** Where each partition ends now. At read_committed that is where the oldest open transaction begins. */
  async #findEnds(): Promise<void> {
    const { topic, isolation } = this.#options;
    const cluster = await connect(this.#connection, this.#name, isolation === 'read_uncommitted' ? READ_UNCOMMITTED : READ_COMMITTED);
    try {
      await within(ANSWER_TIMEOUT_MS, cluster.addTargetTopic(topic));
      const ends = await persistently(ANSWER_TIMEOUT_MS, () => within(ANSWER_TIMEOUT_MS, logOffsets(cluster, topic, this.#ids, 'end')));
      for (const partition of this.#partitions) partition.end = ends.get(partition.id) ?? 0;
    } finally {
      await disconnect(this.#connection, cluster);
    }
  }

  #onJoined(ours: readonly number[]): void {
    const epoch = ++this.#epoch;
    const grown = ours.find((id) => id >= this.partitionCount);
    if (grown !== undefined) {
      const message = `${this.#name}: the topic has grown from ${this.partitionCount} partitions to at least ${grown + 1}. Start the job again to read the new ones; it goes on where it stopped.`;
      this.#fail(new MillraceError('ERR_MILLRACE_SOURCE', message));
      return;
    }
    const gained: Partition[] = [];
    for (const partition of this.#partitions) {
      partition.isAssigned = ours.includes(partition.id);
      if (!partition.isAssigned) {
        partition.position = UNKNOWN;
        partition.rest = undefined;
        this.#from.delete(partition.id);
        continue;
      }
      if (partition.position === UNKNOWN) gained.push(partition);
      else this.#seek(partition);
      if (partition.position === UNKNOWN || partition.rest !== undefined || partition.hasEnded || this.#isStopped) this.#member?.pause(partition.id);
    }
    if (this.#isStopped) return;
    this.#context.assigned(ours);
    if (gained.length > 0) this.#locate(gained, epoch).catch((cause) => this.#fail(this.#lookupError(cause)));
  }

  /** Finds out where partitions that are new to us start: another member may have committed since `positions`. */
  async #locate(gained: readonly Partition[], epoch: number): Promise<void> {
    const committed = await this.#committed((this.#member as GroupMember).cluster);
    if (epoch !== this.#epoch || this.#isStopped) return;
    for (const partition of gained) {
      const { id } = partition;
      partition.position = this.#from.get(id) ?? committed.get(id)?.offset ?? this.#starts.get(id) ?? 0;
      if (this.#endIfThere(partition)) continue;
      this.#seek(partition);
      this.#member?.resume(id);
    }
  }

  #onFetched(fetched: RawBatch, resolve: (position: number) => void): void {
    const partition = this.#partitions[fetched.partition];
    if (partition === undefined || !partition.isAssigned || partition.hasEnded || partition.rest !== undefined || this.#isStopped) return;
    if (fetched.fetchedOffset !== partition.position) {
      if (partition.position !== UNKNOWN) this.#seek(partition);
      return;
    }
    this.#context.high(partition.id, fetched.highWatermark);
    if (fetched.records.length === 0) return;
    if (this.#take(partition, new FetchedRecords(fetched))) resolve(partition.position);
  }

  /** Emits what it can. True when all of it is emitted and more can be fetched behind it. Never throws. */
  #take(partition: Partition, records: FetchedRecords): boolean {
    partition.rest = undefined;
    try {
      while (records.step()) {
        if (records.first >= partition.end) {
          // What stood between here and the end is gone from the log (compaction).
          this.#end(partition);
          return false;
        }
        const hasCredit = this.#context.emit(partition.id, records.bytes(), records.first, records.next, records.isAborted ? FRAME_ABORTED : 0, records.cut);
        partition.position = records.next;
        if (this.#endIfThere(partition)) return false;
        if (hasCredit) continue;
        records.compact();
        partition.rest = records;
        this.#member?.pause(partition.id);
        void this.#goOn(partition);
        return false;
      }
      return true;
    } catch (cause) {
      const isUnreadable = cause instanceof RangeError;
      this.#fail(isUnreadable ? new MillraceError('ERR_MILLRACE_SOURCE', `${this.#name}, partition ${partition.id}: ${cause.message}`, { cause }) : cause);
      return false;
    }
  }

  /** Waits for credit, then takes the rest, and has more fetched behind it. */
  async #goOn(partition: Partition): Promise<void> {
    try {
      await this.#context.credit(partition.id);
    } catch (error) {
      return this.#fail(error);
    }
    // A rebalance that took the partition away took the rest with it.
    if (this.#isStopped || partition.rest === undefined) return;
    if (!this.#take(partition, partition.rest)) return;
    this.#seek(partition);
    this.#member?.resume(partition.id);
  }

  #endIfThere(partition: Partition): boolean {
    if (partition.position < partition.end) return false;
    this.#end(partition);
    return true;
  }

  #end(partition: Partition): void {
    partition.hasEnded = true;
    this.#member?.pause(partition.id);
    this.#context.end(partition.id);
  }

  /** The offset that we want is not in the log: it was deleted, or the topic was made anew. */
  async #onOutOfRange(partition: Partition): Promise<void> {
    const { cluster } = this.#member as GroupMember;
    const { topic, failOnDataLoss = true } = this.#options;
    const { id, position } = partition;
    if (this.#isStopped || !partition.isAssigned || position === UNKNOWN) return;
    const low = (await logOffsets(cluster, topic, [id], 'earliest')).get(id) ?? 0;
    const end = (await logOffsets(cluster, topic, [id], 'end')).get(id) ?? 0;
    if (partition.position !== position || (position >= low && position <= end)) return;
    if (failOnDataLoss) {
      this.#member?.pause(id);
      const what = position < low ? `rows ${position} to ${low - 1} were deleted before they were read` : `the log ends at ${end}, so the topic was made anew`;
      const message = `${this.#name}, partition ${id}: offset ${position} is not in the log (it begins at ${low}): ${what}. Set failOnDataLoss: false to go on at ${low}, or use another group.`;
      return this.#fail(new MillraceError('ERR_MILLRACE_SOURCE', message));
    }
    partition.position = low;
    if (!this.#endIfThere(partition)) this.#seek(partition);
  }

  #seek({ id, position }: Partition): void {
    this.#member?.seek(id, position);
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const partition of this.#partitions) {
      partition.rest = undefined;
      if (partition.isAssigned) this.#member?.pause(partition.id);
    }
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#stop();
    this.#context.fail(error);
  }
}
