/**
 * Transactions of one producer, one after the other: batches of any topics of the cluster, and offsets of any
 * groups, become visible together or not at all.
 *
 *   begin | send ... send ... commit | send ... commit | abort
 *
 *   begin    InitProducerId: fences whoever had the id, and aborts what he left open. A job that was started
 *            again in its process shows the identity that it had, and is refused if another process has the id
 *   send     AddPartitionsToTxn, where a partition is new to the transaction; Produce
 *   commit   AddOffsetsToTxn, TxnOffsetCommit, and EndTxn if every code of every answer was 0
 *
 * The broker's EndTxn does not know what failed before it. So does a batch that is sent between EndTxn and
 * the markers, which would be taken into the transaction that ends: batches that come during a commit are
 * held, and each partition is added anew, which the broker refuses until the markers are written.
 *
 * An answer that gets lost ends the object: whether the request was carried out, only the next `begin` and
 * what is committed by then can tell.
 */

import { assert, MillraceError } from '../../../core/index.ts';
import { answered, describe, isConnectionError, isPassing, within } from '../kafkajs/index.ts';
import {
  addOffsetsRequest,
  addPartitionsRequest,
  CODE,
  type CommittedOffset,
  codeOf,
  commitOffsetsRequest,
  endTransactionRequest,
  INIT_PRODUCER_ID,
  INIT_PRODUCER_ID_VERSION,
  OFFSET_FETCH,
  type OffsetCommitter,
  offsetFetchRequest,
  type ProducerIdentity,
  producerIdRequest,
  type Request,
  type TopicOffsets,
  type TransactionalProducer,
} from '../protocol/index.ts';
import { type Cluster, offered } from './cluster.ts';
import type { Held } from './held.ts';
import type { Patience } from './patience.ts';
import { type BatchNumbering, BatchProducer } from './producer.ts';
import { brokenTransaction, fenced, lostAnswer, oldBrokers, refusal, timedOut, timeoutRefused } from './transaction-errors.ts';

const PAUSE_MS_MIN = 1;
const PAUSE_MS_MAX = 100;
/** How long a topic may be unknown to the coordinator, because it was just created. */
const UNKNOWN_TOPIC_MS = 10_000;
const ABORT_TIMEOUT_MS = 2_000;
const OVER_MS = 2_000;

/** Answers after which the same request is sent again, to the same transaction. */
const REPEATED: ReadonlySet<number> = new Set([
  CODE.concurrentTransactions,
  CODE.coordinatorLoading,
  CODE.coordinatorNotAvailable,
  CODE.notCoordinator,
  CODE.unknownTopic,
]);
const FENCED: ReadonlySet<number | undefined> = new Set([CODE.invalidProducerEpoch, CODE.producerFenced]);
/** A batch does not fit to what the broker knows of this producer. */
const BROKEN: ReadonlySet<number | undefined> = new Set([
  CODE.outOfOrderSequence,
  CODE.duplicateSequence,
  CODE.invalidTransactionState,
  CODE.invalidProducerMapping,
  CODE.unknownProducer,
]);

export interface TransactionOptions {
  /** For messages: `kafka transaction millrace.clicks`. */
  readonly name: string;
  readonly transactionalId: string;
  /** Milliseconds after which the broker aborts a transaction that is still open. */
  readonly timeoutMs: number;
  /** See TransactionContext. */
  readonly isTaken?: () => Promise<boolean>;
  /** The identity that this process had before, and gets now. */
  readonly held?: Held<ProducerIdentity>;
  /** Milliseconds for which a passing refusal is asked again. */
  readonly brokerTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly deliveryTimeoutMs: number;
}

/** Offsets that one committer of a group commits. */
export interface GroupOffsets {
  readonly group: string;
  readonly committer: OffsetCommitter;
  readonly topics: readonly TopicOffsets[];
}

interface HeldBatches {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Uint8Array;
  resolve(written: Promise<void>): void;
}

export class ProducerTransaction implements BatchNumbering {
  readonly transactionalId: string;
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #options: TransactionOptions;
  readonly #producers = new Map<string, BatchProducer>();
  readonly #unsettled = new Set<Promise<void>>();
  #identity: ProducerIdentity | undefined;
  /** Partitions of the open transaction, by topic; and those that are to be added. */
  readonly #added = new Map<string, Set<number>>();
  readonly #wanted = new Map<string, Set<number>>();
  readonly #waiting = new Set<() => void>();
  #isAdding = false;
  /** Something was added to the transaction, or may have been. */
  #isOpen = false;
  /** EndTxn was sent to commit; its outcome is not known. */
  #isEnding = false;
  /** Batches that came during a commit. Undefined: no commit is under way. */
  #held: HeldBatches[] | undefined;
  #verdict: Promise<MillraceError> | undefined;
  #failure: MillraceError | undefined;

  constructor(cluster: Cluster, patience: Patience, options: TransactionOptions) {
    this.transactionalId = options.transactionalId;
    this.#cluster = cluster;
    this.#patience = patience;
    this.#options = options;
  }

  get identity(): ProducerIdentity | undefined {
    return this.#identity;
  }

  /**
   * Takes the id. From then on nobody who had it before can write or commit, and what he left open is
   * aborted.
   *
   * @throws MillraceError ERR_MILLRACE_BROKER, ERR_MILLRACE_OPTION when the brokers do not take the timeout,
   *   ERR_MILLRACE_FENCED when this process had the id, and another one has it now
   */
  async begin(): Promise<void> {
    assert(this.#identity === undefined, 'a transactional producer begins once');
    const { name, timeoutMs, held, isTaken } = this.#options;
    const own = held?.value;
    if (own !== undefined && (await isTaken?.().catch(() => false)) === true) throw fenced(name, this.transactionalId);
    this.#identity = await this.#patience.through(`the transactional id ${this.transactionalId} cannot be taken`, async () => {
      const { code, producerId, epoch } = await this.#cluster.askCoordinator(
        this.transactionalId,
        (broker) => {
          if (offered(broker, INIT_PRODUCER_ID) < INIT_PRODUCER_ID_VERSION) throw oldBrokers(name);
          return producerIdRequest(this.transactionalId, timeoutMs, own);
        },
        'transaction',
      );
      if (own !== undefined && FENCED.has(code)) throw fenced(name, this.transactionalId);
      if (code === CODE.invalidTransactionTimeout) throw timeoutRefused(name, timeoutMs);
      if (code !== 0) throw answered(code);
      return { producerId, epoch };
    });
    if (held !== undefined) held.value = this.#identity;
  }

  /** What a group has committed, of all topics. Waits for transactions that are still pending. */
  async committed(group: string): Promise<CommittedOffset[]> {
    return this.#patience.through(`what group ${group} has committed cannot be read`, async () => {
      const { code, offsets } = await this.#cluster.askCoordinator(group, (broker) => offsetFetchRequest(group, null, offered(broker, OFFSET_FETCH)));
      for (const each of [code, ...offsets.map((offset) => offset.code)]) if (each !== 0) throw answered(each);
      return offsets.filter(({ offset }) => offset >= 0);
    });
  }

  /**
   * Sends the record batches that lie back to back in `bytes`, as part of the open transaction; of the next
   * one while a commit is under way. Resolves when the broker has acknowledged the last of them; `bytes` must
   * not change until then.
   *
   * @throws MillraceError
   */
  send(topic: string, partition: number, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const held = this.#held;
    if (held === undefined) return this.#send(topic, partition, bytes);
    return new Promise((resolve) => held.push({ topic, partition, bytes, resolve }));
  }

  /**
   * Commits what was sent before the call, with these offsets. There has to be at least one.
   *
   * @throws MillraceError ERR_MILLRACE_FENCED, ERR_MILLRACE_TRANSACTION, or what else has ended it. Then
   * nothing was committed, unless the answer to EndTxn got lost.
   */
  async commit(groups: readonly GroupOffsets[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    assert(this.#held === undefined && groups.length > 0, 'commits come one after the other, each with offsets');
    this.#held = [];
    try {
      await Promise.all(this.#unsettled);
      for (const group of new Set(groups.map(({ group }) => group))) {
        await this.#ask(`the offsets of group ${group} are announced`, (who) => addOffsetsRequest(who, group));
      }
      for (const { group, committer, topics } of groups) {
        await this.#ask(`the offsets of group ${group} are written`, (who) => commitOffsetsRequest(who, group, committer, topics), group);
      }
      this.#isEnding = true;
      await this.#ask('the transaction is committed', (who) => endTransactionRequest(who, true));
      this.#isEnding = false;
      this.#isOpen = false;
      this.#added.clear();
    } catch (error) {
      this.fail(error as MillraceError);
      throw this.#failure;
    } finally {
      const held = this.#held;
      this.#held = undefined;
      for (const { topic, partition, bytes, resolve } of held) resolve(this.send(topic, partition, bytes));
    }
  }

  /** Ends it. What is open is aborted, if the broker answers soon; otherwise its timeout does that. */
  async abort(): Promise<void> {
    const isOver = this.#verdict !== undefined || this.#isEnding || !this.#isOpen;
    this.fail(new MillraceError('ERR_MILLRACE_TRANSACTION', `${this.#options.name}: it was closed before everything was committed.`));
    if (isOver) return;
    this.#isOpen = false;
    const asked = this.#cluster.askCoordinator(this.transactionalId, endTransactionRequest(this.#who(), false), 'transaction');
    await within(ABORT_TIMEOUT_MS, asked).catch(() => {});
  }

  /** The first error ends everything; later ones change nothing. */
  fail(error: MillraceError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const producer of this.#producers.values()) producer.fail(error);
  }

  admitted(topic: string, partitions: readonly number[], again: () => void): readonly number[] {
    const added = this.#added.get(topic);
    const missing = partitions.filter((partition) => added?.has(partition) !== true);
    if (missing.length === 0) return partitions;
    const wanted = this.#wanted.get(topic) ?? new Set();
    this.#wanted.set(topic, wanted);
    for (const partition of missing) wanted.add(partition);
    this.#waiting.add(again);
    if (!this.#isAdding) void this.#add();
    return partitions.filter((partition) => added?.has(partition) === true);
  }

  async judge(cause: unknown): Promise<'again' | MillraceError | undefined> {
    if (this.#failure !== undefined) return this.#failure;
    const code = codeOf(cause);
    if (FENCED.has(code)) return this.#whoHasIt();
    if (BROKEN.has(code)) return brokenTransaction(this.#options.name, describe(cause).message);
    return isConnectionError(cause) ? lostAnswer(this.#options.name, 'rows are written', describe(cause).message) : undefined;
  }

  #send(topic: string, partition: number, bytes: Uint8Array): Promise<void> {
    const written = this.#producer(topic).send(partition, bytes);
    this.#unsettled.add(written);
    const settle = (): void => void this.#unsettled.delete(written);
    written.then(settle, settle);
    return written;
  }

  #producer(topic: string): BatchProducer {
    const known = this.#producers.get(topic);
    if (known !== undefined) return known;
    const { requestTimeoutMs, deliveryTimeoutMs } = this.#options;
    const options = { topic, acks: -1, requestTimeoutMs, deliveryTimeoutMs, numbering: this, failed: (error: MillraceError) => this.fail(error) } as const;
    const producer = new BatchProducer(this.#cluster, this.#patience, options);
    this.#producers.set(topic, producer);
    return producer;
  }

  /** Adds the wanted partitions, and those that are wanted meanwhile. Never rejects. */
  async #add(): Promise<void> {
    this.#isAdding = true;
    try {
      while (this.#wanted.size > 0) {
        const topics = [...this.#wanted].map(([topic, partitions]) => ({ topic, partitions: [...partitions] }));
        this.#wanted.clear();
        await this.#ask('partitions are added', (who) => addPartitionsRequest(who, topics));
        for (const { topic, partitions } of topics) this.#added.set(topic, new Set([...(this.#added.get(topic) ?? []), ...partitions]));
      }
    } catch (error) {
      this.fail(error as MillraceError);
    }
    this.#isAdding = false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const again of waiting) again();
  }

  /**
   * One request of the open transaction, again while the answer is a passing refusal.
   *
   * @param what `the transaction is committed`
   * @param group whose coordinator is asked; that of the transaction otherwise
   * @throws MillraceError which is the end of the transaction
   */
  async #ask(what: string, request: (who: TransactionalProducer) => Request<{ code: number }>, group?: string): Promise<void> {
    const start = performance.now();
    this.#isOpen = true;
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      if (this.#failure !== undefined) throw this.#failure;
      const code = await this.#code(what, request(this.#who()), group);
      if (code === 0) return;
      const forMs = performance.now() - start;
      const mayPass = REPEATED.has(code) && forMs < this.#patienceMs(code);
      if (!mayPass) throw FENCED.has(code) ? await this.#whoHasIt() : refusal(this.#cluster.connection, this.#options, what, code);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** A job that has ended may still commit, where that takes moments. */
  #patienceMs(code: number): number {
    if (this.#patience.isOver) return OVER_MS;
    return code === CODE.unknownTopic ? UNKNOWN_TOPIC_MS : this.#options.brokerTimeoutMs;
  }

  async #code(what: string, request: Request<{ code: number }>, group?: string): Promise<number> {
    try {
      const { code } = await (group === undefined
        ? this.#cluster.askCoordinator(this.transactionalId, request, 'transaction')
        : this.#cluster.askCoordinator(group, request));
      return code;
    } catch (error) {
      const code = codeOf(error);
      if (code !== undefined) return code;
      if (isPassing(error)) throw lostAnswer(this.#options.name, what, describe(error).message);
      throw this.#cluster.connection.error(`${this.#options.name}: while ${what}`, error);
    }
  }

  #who(): TransactionalProducer {
    const { transactionalId } = this;
    assert(this.#identity !== undefined, 'a transaction begins before it is written to');
    return { transactionalId, ...this.#identity };
  }

  /**
   * A broker refuses this producer: the transaction timed out, or another process has the id. The broker
   * tells by a question with the own identity. It is asked once, and not where the job knows it already, because
   * with a stale one it aborts what the other process has open.
   */
  #whoHasIt(): Promise<MillraceError> {
    this.#verdict ??= this.#findOut();
    return this.#verdict;
  }

  async #findOut(): Promise<MillraceError> {
    const { name, timeoutMs, isTaken, held } = this.#options;
    if ((await isTaken?.().catch(() => false)) === true) return fenced(name, this.transactionalId);
    try {
      return await this.#patience.through('who has the transactional id cannot be found out', async () => {
        const { code, producerId, epoch } = await this.#cluster.askCoordinator(
          this.transactionalId,
          producerIdRequest(this.transactionalId, timeoutMs, this.#identity),
          'transaction',
        );
        if (FENCED.has(code)) return fenced(name, this.transactionalId);
        if (code !== 0) throw answered(code);
        if (held !== undefined) held.value = { producerId, epoch };
        return timedOut(name, timeoutMs);
      });
    } catch (error) {
      return brokenTransaction(name, describe(error).message);
    }
  }
}
