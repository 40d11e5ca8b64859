/**
 * The open end of a Kafka source: where each partition is, what is emitted of it, and when it waits.
 *
 *   Fetcher --Fetched--> FetchedRecords --record batch by record batch--> context.emit
 *
 * It holds the group exclusively (client/member.ts) and reads all partitions. When the runtime has no credit
 * for a partition, the rest of the fetch is kept, and the partition is not fetched until there is credit
 * again. The other partitions and the heartbeats are not held up. `position`, the offset after the last
 * emitted row, is the only record of where a partition is. It never goes back within a run: a recreated topic
 * ends the run, and is judged at the next start.
 */

import { assert, MillraceError } from '../../core/index.ts';
import { FRAME_ABORTED, FRAME_LOST } from '../record-batch/index.ts';
import type { Task } from '../shared-source.ts';
import type { CommittedPosition, SourceContext, SourceReader } from '../source.ts';
import {
  type Cluster,
  type Committed,
  committedOffsets,
  type Fetched,
  FetchedRecords,
  Fetcher,
  type FetchTarget,
  GroupMember,
  Held,
  logOffsets,
  metadataWith,
  type Patience,
  READ_COMMITTED,
  READ_UNCOMMITTED,
} from './client/index.ts';
import { within } from './kafkajs/index.ts';
import { domainOf, isolationOf, type KafkaSourceOptions } from './options.ts';
import type { TopicAnswer } from './protocol/index.ts';
import { roomFor, TopicWatch } from './topic-watch.ts';
import { KafkaPositions } from './transactions.ts';

const LEAVE_TIMEOUT_MS = 1_000;
const NO_BYTES = new Uint8Array(0);

interface Partition {
  readonly id: number;
  /** False: another task reads it. */
  readonly isOurs: boolean;
  /** Offset after what was emitted: the next to fetch. */
  position: number;
  /** Where a drain ends. */
  end: number;
  hasEnded: boolean;
  /** There is no credit. Fetched data that found none is in `rest`. */
  isWaiting: boolean;
  rest: FetchedRecords | undefined;
}

export class KafkaReader implements SourceReader {
  /** Includes room for more than exist: a topic may grow. */
  readonly partitionCount: number;
  readonly #name: string;
  readonly #task: Task | undefined;
  readonly #options: KafkaSourceOptions;
  readonly #context: SourceContext;
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #member: GroupMember;
  readonly #fetcher: Fetcher;
  readonly #watch: TopicWatch;
  readonly #topicId: string | undefined;
  readonly #partitions: Partition[] = [];
  #joined: Promise<void> | undefined;
  /** The result of `positions`, for existing partitions. */
  readonly #starts = new Map<number, number>();
  /** By partition: the group's position, as far as it is ours; and the one that is being committed. */
  readonly #committed = new Map<number, number>();
  #committing = new Map<number, number>();
  #isStarted = false;
  /** No more emits; commits still work. */
  #isStopped = false;
  #isClosed = false;

  /** @param task whose partitions are read; undefined: all */
  constructor(
    name: string,
    options: KafkaSourceOptions,
    context: SourceContext,
    cluster: Cluster,
    patience: Patience,
    found: TopicAnswer,
    task: Task | undefined,
  ) {
    this.#name = name;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    this.#cluster = cluster;
    this.#patience = patience;
    this.#topicId = found.id;
    this.partitionCount = roomFor(found.partitions.length);
    const { topic, group } = options;
    const sessionMs = options.sessionTimeout ?? 30_000;
    this.#member = new GroupMember(
      cluster,
      patience,
      {
        name,
        group,
        topic,
        sessionMs,
        heartbeatMs: options.heartbeatInterval ?? Math.min(3000, Math.max(1, Math.floor(sessionMs / 3))),
        rebalanceMs: options.rebalanceTimeout ?? 60_000,
        ...(context.holdings === undefined ? {} : { held: new Held<string>(context.holdings, `member of ${domainOf(options)} ${group} ${topic}`) }),
      },
      () => this.#ids,
      { rejoined: () => this.#checkCommitted(), lost: (error) => this.#fail(error) },
    );
    this.#fetcher = new Fetcher(
      cluster,
      patience,
      {
        topic,
        isolationLevel: isolationOf(options),
        maxBytes: options.maxBytes ?? 10 << 20,
        maxBytesPerPartition: options.maxBytesPerPartition ?? 1 << 20,
        maxWaitMs: options.maxWaitTimeInMs ?? 100,
        rackId: options.rackId ?? '',
      },
      {
        wanted: () => this.#wanted(),
        fetched: (fetched) => this.#onFetched(fetched),
        outOfRange: (target) => this.#onOutOfRange(target),
        unknownTopic: () => this.#watch.look(),
        failed: (error) => this.#fail(error),
      },
    );
    this.#watch = new TopicWatch(name, topic, cluster, found, {
      seen: (answer) => this.#fetcher.lead(answer.id, leadersOf(answer)),
      grown: (count) => this.#grow(count),
      failed: (error) => this.#fail(error),
    });
    for (let id = 0; id < found.partitions.length; id++) this.#add(id);
    context.signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /** The topic's id, where brokers tell it. */
  get identity(): readonly string[] {
    return this.#topicId === undefined ? [] : [this.#topicId];
  }

  async positions(): Promise<CommittedPosition[]> {
    // From here on no earlier process can commit any more: the committed positions stay as they are.
    this.#joined ??= this.#member.join();
    await this.#joined;
    const committed = await this.#patience.through(`the committed positions of group ${this.#options.group} cannot be read`, () =>
      committedOffsets(this.#cluster, this.#options.group, this.#options.topic, this.#ids),
    );
    if (this.#starts.size === 0) await this.#begin(committed);
    return Array.from({ length: this.partitionCount }, (_, partition) => ({
      partition,
      offset: this.#isStarted ? (committed.get(partition)?.offset ?? this.#starts.get(partition) ?? 0) : (this.#starts.get(partition) ?? 0),
      metadata: committed.get(partition)?.metadata ?? '',
    }));
  }

  start(): void {
    assert(!this.#isStarted, 'a Kafka source is started once');
    this.#isStarted = true;
    this.#run().catch((cause) => this.#fail(this.#cluster.connection.error(`${this.#name}: reading cannot begin`, cause)));
  }

  /** Each call stands for a commit that succeeds, or after which the job ends. */
  get transactional(): NonNullable<SourceReader['transactional']> {
    return { domain: domainOf(this.#options), positions: (positions) => this.#inTransaction(positions) };
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    if (this.#isClosed) throw new MillraceError('ERR_MILLRACE_BROKER', `${this.#name}: positions cannot be committed, the source is closed.`);
    const ours = this.#ours(positions);
    if (ours.length === 0) return;
    this.#committing = new Map(ours.map(({ partition, offset }) => [partition, offset]));
    await this.#member.commit(ours);
    for (const { partition, offset } of ours) this.#committed.set(partition, offset);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#stop();
    this.#isClosed = true;
    await within(LEAVE_TIMEOUT_MS, this.#member.leave()).catch(() => {});
    this.#patience.end();
    this.#cluster.close();
  }

  /** Positions of existing partitions, with the topic's id. */
  #ours(positions: readonly CommittedPosition[]): CommittedPosition[] {
    return positions
      .filter(({ partition }) => this.#partitions[partition]?.isOurs === true)
      .map(({ partition, offset, metadata }) => ({ partition, offset, metadata: metadataWith(this.#topicId, metadata) }));
  }

  #inTransaction(positions: readonly CommittedPosition[]): KafkaPositions {
    const { group, topic } = this.#options;
    const ours = this.#ours(positions);
    // The last one was committed, or this one would not come.
    for (const [partition, offset] of this.#committing) this.#committed.set(partition, offset);
    this.#committing = new Map(ours.map(({ partition, offset }) => [partition, offset]));
    return new KafkaPositions({ group, committer: this.#member.committer, topics: [{ topic, offsets: ours }] });
  }

  /** Of the partitions that are read. */
  get #ids(): number[] {
    return this.#partitions.flatMap(({ id, isOurs }) => (isOurs ? [id] : []));
  }

  #add(id: number, position = 0): void {
    const isOurs = this.#task === undefined || id % this.#task.count === this.#task.index;
    this.#partitions.push({ id, isOurs, position, end: Number.POSITIVE_INFINITY, hasEnded: false, isWaiting: false, rest: undefined });
  }

  /** Settles where each partition begins. */
  async #begin(committed: ReadonlyMap<number, Committed>): Promise<void> {
    const { topic, fromBeginning = true } = this.#options;
    const { from, identity } = this.#context;
    if (identity?.[0] !== undefined && this.#topicId !== undefined && identity[0] !== this.#topicId) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `${this.#name}: the topic was made anew since the checkpoint was made, so the positions in it mean nothing. To read the new topic, begin anew: with another checkpoint, and another group.`,
      );
    }
    const ask = (ids: readonly number[], which: 'earliest' | 'end') =>
      this.#patience.through('where the log begins and ends cannot be read', () => logOffsets(this.#cluster, topic, ids, which));
    const missing = this.#ids.filter((id) => !committed.has(id) && !from?.has(id));
    const known = this.#ids.filter((id) => committed.has(id) && !from?.has(id));
    // A group with commits has seen the topic before, so a partition without a commit was added since.
    const defaults = missing.length === 0 ? new Map() : await ask(missing, fromBeginning || committed.size > 0 ? 'earliest' : 'end');
    const ends = known.length === 0 ? new Map() : await ask(known, 'end');
    for (const partition of this.#partitions) {
      const { id, isOurs } = partition;
      if (!isOurs) continue;
      const position = committed.get(id);
      let start = from?.get(id) ?? position?.offset ?? defaults.get(id) ?? 0;
      if (position !== undefined && !from?.has(id)) {
        const fault = this.#faultOf(id, position, ends.get(id) ?? 0);
        if (fault?.isAnew === true) start = (await ask([id], 'earliest')).get(id) ?? 0;
        else if (fault !== undefined) start = ends.get(id) ?? 0;
      }
      partition.position = start;
      this.#starts.set(id, start);
      if (position !== undefined) this.#committed.set(id, position.offset);
    }
    this.#context.assigned(this.#ids);
    // Otherwise the next start would skip rows that arrive before the first commit.
    if (!fromBeginning && committed.size === 0 && from === undefined)
      await this.commit(this.#ids.map((id) => ({ partition: id, offset: this.#partitions[id]?.position ?? 0, metadata: '' })));
  }

  /**
   * What is wrong with a committed position; undefined: nothing.
   *
   * @throws MillraceError ERR_MILLRACE_SOURCE when the fault must not be ignored
   */
  #faultOf(id: number, { offset, topicId }: Committed, end: number): { readonly isAnew: boolean } | undefined {
    const { group, failOnDataLoss = true } = this.#options;
    const isOther = topicId !== undefined && this.#topicId !== undefined && topicId !== this.#topicId;
    if (!isOther && offset <= end) return undefined;
    // Without ids, only a recreated topic explains a log that is shorter than before.
    const isAnew = isOther || topicId === undefined;
    if (!failOnDataLoss) return { isAnew };
    const what = isAnew ? `the topic was made anew since (its log ends at ${end})` : `the log ends at ${end}: the newest rows are gone from it`;
    const goOn = isAnew ? 'to begin at its oldest row' : `to go on at ${end}`;
    throw new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `${this.#name}, partition ${id}: group ${group} has committed offset ${offset}, but ${what}. Set failOnDataLoss: false ${goOn}, or use another group.`,
    );
  }

  async #run(): Promise<void> {
    if (this.#starts.size === 0) await this.positions();
    if (this.#context.drain) await this.#findEnds();
    if (this.#isStopped) return;
    if (this.#context.drain) for (let id = this.#partitions.length; id < this.partitionCount; id++) this.#context.end(id);
    for (const partition of this.#partitions) {
      if (partition.isOurs) this.#endIfThere(partition);
      else if (this.#context.drain) this.#end(partition);
    }
    this.#watch.start(!this.#context.drain);
  }

  /**
   * Finds where each partition ends now. At read_committed that is where the oldest open transaction begins.
   */
  async #findEnds(): Promise<void> {
    const { topic } = this.#options;
    const level = isolationOf(this.#options) === READ_COMMITTED ? READ_COMMITTED : READ_UNCOMMITTED;
    const ends = await this.#patience.through('where the log ends cannot be read', () => logOffsets(this.#cluster, topic, this.#ids, 'end', level));
    for (const partition of this.#partitions) if (partition.isOurs) partition.end = ends.get(partition.id) ?? 0;
  }

  /**
   * Partitions added since the start are read from their beginning, including what was written before they
   * were noticed.
   */
  async #grow(count: number): Promise<void> {
    const from = this.#partitions.length;
    if (count > this.partitionCount) {
      const message = `${this.#name}: the topic has grown from ${from} partitions to ${count}; this run has room for ${this.partitionCount}. Start the job again to read the new ones; it goes on where it stopped.`;
      throw new MillraceError('ERR_MILLRACE_SOURCE', message);
    }
    const ids = Array.from({ length: count - from }, (_, i) => from + i);
    const starts = await logOffsets(this.#cluster, this.#options.topic, ids, 'earliest');
    if (this.#isStopped) return;
    for (const id of ids) {
      this.#add(id, starts.get(id) ?? 0);
      this.#starts.set(id, starts.get(id) ?? 0);
    }
    this.#context.assigned(this.#ids);
  }

  #wanted(): readonly FetchTarget[] {
    return this.#isStopped ? [] : this.#partitions.filter(({ isOurs, hasEnded, isWaiting }) => isOurs && !hasEnded && !isWaiting);
  }

  #onFetched(fetched: Fetched): void {
    const partition = this.#partitions[fetched.partition];
    if (partition === undefined || partition.hasEnded || partition.isWaiting || this.#isStopped) return;
    if (fetched.fetchedOffset !== partition.position) return;
    this.#context.high(partition.id, fetched.highWatermark);
    if (fetched.records.length > 0) this.#take(partition, new FetchedRecords(fetched));
  }

  /** Emits what it can, and keeps the rest. Never throws. */
  #take(partition: Partition, records: FetchedRecords): void {
    partition.rest = undefined;
    try {
      while (records.step()) {
        // Compaction has removed everything between here and the end.
        if (records.first >= partition.end) {
          this.#end(partition);
          return;
        }
        const hasCredit = this.#context.emit(partition.id, records.bytes(), records.first, records.next, records.isAborted ? FRAME_ABORTED : 0, records.cut);
        partition.position = records.next;
        if (this.#endIfThere(partition)) return;
        if (hasCredit) continue;
        records.compact();
        partition.rest = records;
        this.#hold(partition);
        return;
      }
    } catch (cause) {
      const isUnreadable = cause instanceof RangeError;
      this.#fail(isUnreadable ? new MillraceError('ERR_MILLRACE_SOURCE', `${this.#name}, partition ${partition.id}: ${cause.message}`, { cause }) : cause);
    }
  }

  #hold(partition: Partition): void {
    partition.isWaiting = true;
    void this.#goOn(partition);
  }

  /** Waits for credit, takes the rest, and has more fetched after it. */
  async #goOn(partition: Partition): Promise<void> {
    try {
      await this.#context.credit(partition.id);
    } catch (error) {
      return this.#fail(error);
    }
    partition.isWaiting = false;
    if (this.#isStopped) return;
    if (partition.rest !== undefined) this.#take(partition, partition.rest);
    if (!partition.isWaiting) this.#fetcher.poke();
  }

  #endIfThere(partition: Partition): boolean {
    if (partition.position < partition.end) return false;
    this.#end(partition);
    return true;
  }

  #end(partition: Partition): void {
    if (partition.hasEnded) return;
    partition.hasEnded = true;
    this.#context.end(partition.id);
  }

  /** The wanted offset is not in the log: it was deleted, or the log is another one. */
  async #onOutOfRange({ id, position }: FetchTarget): Promise<void> {
    const partition = this.#partitions[id] as Partition;
    const { topic, failOnDataLoss = true } = this.#options;
    if (this.#isStopped || partition.position !== position) return;
    const low = (await logOffsets(this.#cluster, topic, [id], 'earliest')).get(id) ?? 0;
    const end = (await logOffsets(this.#cluster, topic, [id], 'end')).get(id) ?? 0;
    if (this.#isStopped || partition.position !== position || (position >= low && position <= end)) return;
    const where = `${this.#name}, partition ${id}: offset ${position} is not in the log (it begins at ${low} and ends at ${end})`;
    if (position > end) {
      const message = `${where}: the newest rows are gone from it. Start the job again; with failOnDataLoss: false it goes on at the end, with another group at the beginning.`;
      return this.#fail(new MillraceError('ERR_MILLRACE_SOURCE', message));
    }
    if (failOnDataLoss) {
      const message = `${where}: rows ${position} to ${low - 1} were deleted before they were read. Set failOnDataLoss: false to go on at ${low}, or use another group.`;
      return this.#fail(new MillraceError('ERR_MILLRACE_SOURCE', message));
    }
    const behind = Math.min(low, partition.end);
    const hasCredit = this.#context.emit(id, NO_BYTES, position, behind, FRAME_LOST, behind - position);
    partition.position = behind;
    if (!this.#endIfThere(partition) && !hasCredit) this.#hold(partition);
  }

  /** The session had expired: this job's state is valid only if nobody else has read in the meantime. */
  async #checkCommitted(): Promise<void> {
    const { group, topic } = this.#options;
    const committed = await committedOffsets(this.#cluster, group, topic, this.#ids);
    for (const id of this.#ids) {
      const now = committed.get(id)?.offset;
      if (now === this.#committed.get(id) || now === this.#committing.get(id)) continue;
      throw new MillraceError(
        'ERR_MILLRACE_FENCED',
        `${this.#name}: the membership in group ${group} had run out (nothing was heard of this process for longer than sessionTimeout), and another process has committed offset ${now} of partition ${id} since. This one ends, so that no row counts twice. Start it again; it goes on from there.`,
      );
    }
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#fetcher.stop();
    this.#watch.stop();
    for (const partition of this.#partitions) partition.rest = undefined;
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#stop();
    this.#context.fail(error);
  }
}

function leadersOf(answer: TopicAnswer): Map<number, number> {
  return new Map(answer.partitions.map(({ partition, leader }) => [partition, leader]));
}
