/**
 * A consumer group in which processes share the tasks of a job. Tasks are the partitions of the topic between them, so
 * that Kafka's tools show who has which. The broker tells who is there; the leader among them shares out, and lets each
 * keep what it has as far as that is even: of n processes one that leaves moves 1/n of the tasks.
 *
 * The group only says who should have a task. That nobody else writes for it is up to the task's own transactions.
 */

import { randomUUID } from 'node:crypto';
import { MillraceError } from '../../../core/index.ts';
import { answered, mustSucceed } from '../kafkajs/index.ts';
import {
  assignedPartitions,
  assignment,
  CODE,
  heartbeatRequest,
  type JoinAnswer,
  joinGroupRequest,
  leaveGroupRequest,
  type Membership,
  mustJoinAgain,
  subscription,
  syncGroupRequest,
  userDataOf,
  WireReader,
} from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import type { Patience } from './patience.ts';
import { type Claim, sharedOut } from './sharing-out.ts';

/** Members that assign in another way cannot join the same group. */
const PROTOCOL = 'millrace-tasks';

export interface TaskGroupOptions {
  readonly name: string;
  readonly group: string;
  /** The topic between the tasks. */
  readonly topic: string;
  readonly tasks: number;
  readonly sessionMs: number;
  readonly heartbeatMs: number;
  /** How long the group waits for members that are there to join again. */
  readonly rebalanceMs: number;
}

export interface TaskGroupEvents {
  /** The tasks that this process has from now on. */
  assigned(tasks: readonly number[]): void;
  /** The group cannot be reached, or is used in another way. */
  failed(error: unknown): void;
}

export class TaskGroup {
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #options: TaskGroupOptions;
  readonly #events: TaskGroupEvents;
  readonly #instanceId = `millrace-${randomUUID()}`;
  #memberId = '';
  #generation = -1;
  #tasks: readonly number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isAtIt = false;
  #isClosed = false;

  constructor(cluster: Cluster, patience: Patience, options: TaskGroupOptions, events: TaskGroupEvents) {
    this.#cluster = cluster;
    this.#patience = patience;
    this.#options = options;
    this.#events = events;
  }

  /** Joins, and stays in the group from then on. */
  async join(): Promise<void> {
    await this.#join();
    this.#timer = setInterval(() => void this.#beat(), this.#options.heartbeatMs);
  }

  /** Leaves, so that the others take over at once. */
  async leave(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#memberId !== '') await this.#cluster.askCoordinator(this.#options.group, leaveGroupRequest(this.#membership));
  }

  get #membership(): Membership {
    return { group: this.#options.group, generation: this.#generation, memberId: this.#memberId, instanceId: this.#instanceId };
  }

  async #beat(): Promise<void> {
    if (this.#isAtIt || this.#isClosed) return;
    this.#isAtIt = true;
    const key = `heartbeat of ${this.#instanceId}`;
    try {
      const { code } = await this.#cluster.askCoordinator(this.#options.group, heartbeatRequest(this.#membership));
      if (mustJoinAgain(code)) {
        if (code !== CODE.rebalancing) this.#memberId = '';
        await this.#join();
      } else mustSucceed(code);
      this.#patience.passed(key);
    } catch (error) {
      if (this.#isClosed) return;
      try {
        this.#patience.failed(key, `group ${this.#options.group} cannot be reached`, error);
      } catch (failure) {
        clearInterval(this.#timer);
        this.#events.failed(failure);
      }
    } finally {
      this.#isAtIt = false;
    }
  }

  async #join(): Promise<void> {
    const { group, topic, sessionMs, rebalanceMs } = this.#options;
    const tasks = await this.#patience.through(`group ${group} cannot be joined`, async () => {
      const metadata = subscription(topic, assignment(topic, this.#tasks));
      const who = { group, memberId: this.#memberId, instanceId: this.#instanceId };
      const answer = await this.#cluster.askCoordinator(group, joinGroupRequest(who, { sessionMs, rebalanceMs }, { name: PROTOCOL, metadata }));
      if (answer.code === CODE.inconsistentProtocol) throw this.#inUse();
      if (mustJoinAgain(answer.code)) {
        this.#memberId = '';
        throw answered(CODE.coordinatorLoading);
      }
      mustSucceed(answer.code);
      this.#memberId = answer.memberId;
      this.#generation = answer.generation;
      const synced = await this.#cluster.askCoordinator(group, syncGroupRequest(this.#membership, this.#shares(answer), rebalanceMs));
      // Somebody else has joined in between.
      if (mustJoinAgain(synced.code)) throw answered(CODE.rebalancing);
      mustSucceed(synced.code);
      return assignedPartitions(synced.assignment);
    });
    if (this.#isClosed) return;
    this.#tasks = tasks;
    this.#events.assigned(tasks);
  }

  #shares({ leader, memberId, members }: JoinAnswer): { memberId: string; assignment: Uint8Array }[] {
    if (leader !== memberId) return [];
    const claims = members.map((member): Claim => ({ member: member.memberId, tasks: assignedPartitions(userDataOf(new WireReader(member.metadata))) }));
    return sharedOut(claims, this.#options.tasks).map(({ member, tasks }) => ({ memberId: member, assignment: assignment(this.#options.topic, tasks) }));
  }

  #inUse(): MillraceError {
    const { name, group } = this.#options;
    return new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `${name}: group ${group} is in use by another kind of client. Stop it, or give this job a group of its own.`,
    );
  }
}
