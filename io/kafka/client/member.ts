/**
 * Membership of a consumer group, used as a lock: its holder reads all partitions of the topic, and commits.
 *
 * The member is static (KIP-345) and its name follows from the topic. So a process that replaces a killed one
 * is let in at once, without waiting for the dead one's session. A process that replaces a living one fences
 * it: the broker refuses the older one's next heartbeat and all of its commits. Kafka's own sharing of
 * partitions among members is not used: a job that lost some of them would hold state of rows that another
 * one counts. A job that is started again in its process joins as the member that it was: so it is refused if
 * another process is that by now.
 *
 * A member whose session expired (a machine that slept) joins again. It can then check whether anybody has
 * committed in the meantime.
 */

import { MillraceError } from '../../../core/index.ts';
import { answered, mustSucceed } from '../kafkajs/index.ts';
import {
  assignment,
  CODE,
  heartbeatRequest,
  type JoinAnswer,
  joinGroupRequest,
  leaveGroupRequest,
  type Membership,
  mustJoinAgain,
  type OffsetCommitter,
  offsetCommitRequest,
  subscription,
  syncGroupRequest,
  userDataOf,
  WireReader,
} from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import type { Held } from './held.ts';
import type { Patience } from './patience.ts';

/** How partitions are assigned: not at all. Members that want to share cannot join the same group. */
const PROTOCOL = 'millrace-exclusive';
const COMMIT_PAUSE_MS = 20;

export interface MemberOptions {
  readonly name: string;
  readonly group: string;
  readonly topic: string;
  readonly sessionMs: number;
  readonly heartbeatMs: number;
  readonly rebalanceMs: number;
  /** The member that this process was before, and is now. */
  readonly held?: Held<string>;
}

export interface MemberEvents {
  /**
   * The session had expired, so anybody may have read and committed since. Called before this process does
   * anything else as a member again.
   */
  rejoined(): Promise<void>;
  /** The membership is lost for good. */
  lost(error: MillraceError): void;
}

export class GroupMember {
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #options: MemberOptions;
  readonly #partitions: () => readonly number[];
  readonly #events: MemberEvents;
  readonly #instanceId: string;
  #memberId = '';
  #generation = -1;
  #joining: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isBeating = false;
  #failure: MillraceError | undefined;
  #isClosed = false;

  /** @param partitions what this member reads: all partitions */
  constructor(cluster: Cluster, patience: Patience, options: MemberOptions, partitions: () => readonly number[], events: MemberEvents) {
    this.#cluster = cluster;
    this.#patience = patience;
    this.#options = options;
    this.#partitions = partitions;
    this.#events = events;
    this.#instanceId = `millrace-${options.topic}`;
    this.#memberId = options.held?.value ?? '';
  }

  /**
   * Joins, and keeps the membership alive from then on.
   *
   * @throws MillraceError ERR_MILLRACE_BROKER, or ERR_MILLRACE_SOURCE when the group is used in another way
   */
  async join(): Promise<void> {
    await this.#join();
    this.#timer = setInterval(() => void this.#beat(), this.#options.heartbeatMs);
  }

  /**
   * Commits positions.
   *
   * @throws MillraceError ERR_MILLRACE_BROKER when it cannot be done in time, ERR_MILLRACE_SOURCE when
   * another member has taken over
   */
  async commit(offsets: readonly { partition: number; offset: number; metadata: string }[]): Promise<void> {
    await this.#patience.through(`positions of group ${this.#options.group} cannot be committed`, async () => {
      await this.#joining;
      if (this.#failure !== undefined) throw this.#failure;
      const codes = await this.#cluster.askCoordinator(this.#options.group, this.#commitRequest(offsets));
      if (codes.code === CODE.rebalancing) await this.#patience.sleep(COMMIT_PAUSE_MS);
      if (mustJoinAgain(codes.code)) {
        await this.#rejoin(codes.code);
        // A passing error: the commit is repeated with the new membership.
        throw answered(CODE.coordinatorLoading);
      }
      mustSucceed(codes.code);
    });
  }

  /**
   * Leaves the group, so that nobody has to wait for the session to expire. Waits for the broker only
   * briefly.
   */
  async leave(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#memberId === '' || this.#failure !== undefined) return;
    const { code } = await this.#cluster.askCoordinator(this.#options.group, leaveGroupRequest(this.#membership));
    if (code === 0) this.#hold('');
  }

  /** As whom positions are committed in a transaction: the broker refuses them once the membership is another's. */
  get committer(): OffsetCommitter {
    if (this.#failure !== undefined) throw this.#failure;
    return { generation: this.#generation, memberId: this.#memberId, instanceId: this.#instanceId };
  }

  get #membership(): Membership {
    return { group: this.#options.group, generation: this.#generation, memberId: this.#memberId, instanceId: this.#instanceId };
  }

  /** The codes of all partitions as one: the first that is not 0. */
  #commitRequest(offsets: readonly { partition: number; offset: number; metadata: string }[]) {
    const request = offsetCommitRequest(this.#membership, this.#options.topic, offsets);
    return { ...request, read: (answer: WireReader) => ({ code: request.read(answer).find(({ code }) => code !== 0)?.code ?? 0 }) };
  }

  async #beat(): Promise<void> {
    if (this.#isBeating || this.#isClosed || this.#failure !== undefined || this.#joining !== undefined) return;
    this.#isBeating = true;
    const key = `heartbeat of ${this.#instanceId}`;
    try {
      const { code } = await this.#cluster.askCoordinator(this.#options.group, heartbeatRequest(this.#membership));
      if (mustJoinAgain(code)) await this.#rejoin(code);
      else mustSucceed(code);
      this.#patience.passed(key);
    } catch (error) {
      if (this.#isClosed) return;
      try {
        this.#patience.failed(key, `group ${this.#options.group} cannot be reached`, error);
      } catch (failure) {
        this.#lose(failure as MillraceError);
      }
    } finally {
      this.#isBeating = false;
    }
  }

  async #rejoin(code: number): Promise<void> {
    if (code === CODE.fencedInstance) {
      this.#lose(this.#takenOver());
      throw this.#failure;
    }
    if (code === CODE.unknownMember) this.#memberId = '';
    this.#joining ??= this.#joinAgain().finally(() => {
      this.#joining = undefined;
    });
    await this.#joining;
  }

  async #joinAgain(): Promise<void> {
    try {
      await this.#join();
    } catch (error) {
      this.#lose(error as MillraceError);
      throw error;
    }
  }

  async #join(): Promise<void> {
    const { group } = this.#options;
    await this.#patience.through(`group ${group} cannot be joined`, async () => {
      const hadSession = this.#memberId !== '';
      const isFirst = this.#generation < 0;
      const answer = await this.#cluster.askCoordinator(group, this.#joinRequest());
      if (answer.code === CODE.unknownMember) {
        this.#memberId = '';
        throw answered(CODE.coordinatorLoading);
      }
      if (answer.code === CODE.fencedInstance) throw this.#takenOver();
      if (answer.code === CODE.inconsistentProtocol) throw this.#inUse();
      mustSucceed(answer.code);
      this.#memberId = answer.memberId;
      this.#generation = answer.generation;
      this.#hold(answer.memberId);
      const { code } = await this.#cluster.askCoordinator(group, syncGroupRequest(this.#membership, this.#assignments(answer), this.#options.rebalanceMs));
      if (code === CODE.fencedInstance) throw this.#takenOver();
      // Somebody else joined in between: try again.
      if (mustJoinAgain(code)) throw answered(CODE.rebalancing);
      mustSucceed(code);
      if (!isFirst && !hadSession) await this.#events.rejoined();
    });
  }

  #joinRequest() {
    const { group, topic, sessionMs, rebalanceMs } = this.#options;
    // What we read goes through the leader, for tools that show who reads what.
    const metadata = subscription(topic, assignment(topic, this.#partitions()));
    return joinGroupRequest({ group, memberId: this.#memberId, instanceId: this.#instanceId }, { sessionMs, rebalanceMs }, { name: PROTOCOL, metadata });
  }

  #assignments({ leader, memberId, members }: JoinAnswer): { memberId: string; assignment: Uint8Array }[] {
    if (leader !== memberId) return [];
    return members.map((member) => ({ memberId: member.memberId, assignment: userDataOf(new WireReader(member.metadata)) }));
  }

  #takenOver(): MillraceError {
    const { name, group } = this.#options;
    return new MillraceError(
      'ERR_MILLRACE_FENCED',
      `${name}: another process has begun to read as group ${group}, and goes on from what was committed; this one ends, so that no row counts twice. One job at a time reads a topic for a group: give a second one a group of its own.`,
    );
  }

  #inUse(): MillraceError {
    const { name, group } = this.#options;
    return new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `${name}: group ${group} is in use by consumers that share its partitions (another kind of client). Stop them, or give this job a group of its own.`,
    );
  }

  #hold(memberId: string): void {
    const { held } = this.#options;
    if (held !== undefined) held.value = memberId === '' ? undefined : memberId;
  }

  #lose(error: MillraceError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearInterval(this.#timer);
    if (!this.#isClosed) this.#events.lost(error);
  }
}
