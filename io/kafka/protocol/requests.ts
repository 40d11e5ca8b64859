/**
 * The requests to a broker other than Fetch and Produce, and their answers. Layouts: Kafka's protocol guide.
 */

import { type Request, WireReader, WireWriter } from './wire.ts';

const LIST_OFFSETS = 2;
export const METADATA = 3;
const OFFSET_COMMIT = 8;
export const OFFSET_FETCH = 9;
const FIND_COORDINATOR = 10;
const JOIN_GROUP = 11;
const HEARTBEAT = 12;
const LEAVE_GROUP = 13;
const SYNC_GROUP = 14;
const NO_UUID = '0'.repeat(32);
/** Versions of Metadata: topics have ids from this one on; and what brokers older than 2.8 offer instead. */
export const METADATA_WITH_IDS = 10;
const METADATA_OLD = 7;

export interface Layout {
  readonly apiKey: number;
  readonly apiName: string;
  readonly version: number;
  readonly isFlexible?: boolean;
  readonly waitMs?: number;
}

export function request<T>(layout: Layout, write: (to: WireWriter) => WireWriter, read: (from: WireReader) => T): Request<T> {
  const { isFlexible = false } = layout;
  return { ...layout, isFlexible, body: write(new WireWriter(isFlexible)).bytes, read };
}

export interface NodeAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

export interface TopicAnswer {
  readonly code: number;
  readonly topic: string;
  /** Hexadecimal; undefined where the brokers are too old to have ids. */
  readonly id: string | undefined;
  readonly partitions: readonly { readonly code: number; readonly partition: number; readonly leader: number }[];
}

export interface MetadataAnswer {
  readonly nodes: readonly NodeAddress[];
  readonly topics: readonly TopicAnswer[];
}

/** @param topics null: all topics */
export function metadataRequest(topics: readonly string[] | null, offered: number): Request<MetadataAnswer> {
  const hasIds = offered >= METADATA_WITH_IDS;
  return request(
    { apiKey: METADATA, apiName: 'Metadata', version: hasIds ? METADATA_WITH_IDS : METADATA_OLD, isFlexible: hasIds },
    (to) => {
      if (topics === null) to.isFlexible ? to.i8(0) : to.i32(-1);
      else to.list(topics, (topic) => (hasIds ? to.uuid(NO_UUID).string(topic).end() : to.string(topic)));
      to.flag(false);
      if (hasIds) to.flag(false).flag(false);
      return to.end();
    },
    (from) => {
      from.i32();
      const nodes = from.list(() => {
        const node = { nodeId: from.i32(), host: from.string(), port: from.i32(), rack: from.nullableString() };
        from.end();
        return node;
      });
      from.nullableString();
      from.i32();
      const found = from.list(() => {
        const code = from.i16();
        const topic = from.string();
        const id = hasIds ? from.uuid() : undefined;
        from.flag();
        const partitions = from.list(() => {
          const partition = { code: from.i16(), partition: from.i32(), leader: from.i32() };
          from.i32();
          for (let list = 0; list < 3; list++) from.list(() => from.i32());
          from.end();
          return partition;
        });
        if (hasIds) from.i32();
        from.end();
        return { code, topic, id: id === NO_UUID ? undefined : id, partitions };
      });
      return { nodes, topics: found };
    },
  );
}

export interface CoordinatorAnswer {
  readonly code: number;
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** What has a coordinator: a group, or a transactional id. */
export type Coordinated = 'group' | 'transaction';

export function coordinatorRequest(key: string, kind: Coordinated): Request<CoordinatorAnswer> {
  return request(
    { apiKey: FIND_COORDINATOR, apiName: 'FindCoordinator', version: 2 },
    (to) => to.string(key).i8(kind === 'group' ? 0 : 1),
    (from) => {
      from.i32();
      const code = from.i16();
      from.nullableString();
      return { code, nodeId: from.i32(), host: from.string(), port: from.i32() };
    },
  );
}

export interface LogOffset {
  readonly partition: number;
  readonly code: number;
  readonly offset: number;
}

/** @param time -2: the oldest record; -1: after the newest record visible at the isolation level */
export function listOffsetsRequest(topic: string, partitions: readonly number[], time: -1 | -2, isolationLevel: number): Request<LogOffset[]> {
  return request(
    { apiKey: LIST_OFFSETS, apiName: 'ListOffsets', version: 2 },
    (to) =>
      to
        .i32(-1)
        .i8(isolationLevel)
        .list([topic], (name) => to.string(name).list(partitions, (partition) => to.i32(partition).i64(time))),
    (from) => {
      from.i32();
      return topicsOf(from, () => {
        const partition = from.i32();
        const code = from.i16();
        from.bigint();
        return { partition, code, offset: from.i64() };
      });
    },
  );
}

export interface CommittedOffset {
  readonly topic: string;
  readonly partition: number;
  readonly code: number;
  readonly offset: number;
  readonly metadata: string;
}

/** Versions of OffsetFetch: those of pending transactions are waited for from this one on; and an older one. */
export const OFFSET_FETCH_STABLE = 7;
const OFFSET_FETCH_OLD = 5;

/**
 * What a group has committed. Where a transaction may still commit others, the answer is UNSTABLE_OFFSET_COMMIT
 * (brokers older than 2.5 do not know of it).
 *
 * @param topics null: all
 */
export function offsetFetchRequest(
  group: string,
  topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[] | null,
  offered: number,
): Request<{ code: number; offsets: CommittedOffset[] }> {
  const isStable = offered >= OFFSET_FETCH_STABLE;
  return request(
    { apiKey: OFFSET_FETCH, apiName: 'OffsetFetch', version: isStable ? OFFSET_FETCH_STABLE : OFFSET_FETCH_OLD, isFlexible: isStable },
    (to) => {
      to.string(group);
      if (topics === null) isStable ? to.i8(0) : to.i32(-1);
      else {
        to.list(topics, ({ topic, partitions }) =>
          to
            .string(topic)
            .list(partitions, (partition) => to.i32(partition))
            .end(),
        );
      }
      if (isStable) to.flag(true);
      return to.end();
    },
    (from) => {
      from.i32();
      const offsets = from.list(() => {
        const topic = from.string();
        const ofTopic = from.list(() => {
          const partition = from.i32();
          const offset = from.i64();
          from.i32();
          const metadata = from.string();
          const entry = { topic, partition, offset, metadata, code: from.i16() };
          from.end();
          return entry;
        });
        from.end();
        return ofTopic;
      });
      return { code: from.i16(), offsets: offsets.flat() };
    },
  );
}

/** Identifies a member of a group. */
export interface Membership {
  readonly group: string;
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string;
}

export function offsetCommitRequest(
  { group, generation, memberId, instanceId }: Membership,
  topic: string,
  offsets: readonly { partition: number; offset: number; metadata: string }[],
): Request<{ partition: number; code: number }[]> {
  return request(
    { apiKey: OFFSET_COMMIT, apiName: 'OffsetCommit', version: 7 },
    (to) =>
      to
        .string(group)
        .i32(generation)
        .string(memberId)
        .string(instanceId)
        .list([topic], (name) => to.string(name).list(offsets, ({ partition, offset, metadata }) => to.i32(partition).i64(offset).i32(-1).string(metadata))),
    (from) => {
      from.i32();
      return topicsOf(from, () => ({ partition: from.i32(), code: from.i16() }));
    },
  );
}

export interface JoinAnswer {
  readonly code: number;
  readonly generation: number;
  readonly leader: string;
  readonly memberId: string;
  /** Sent to the leader: all members, with their subscriptions. */
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer }[];
}

export function joinGroupRequest(
  who: Omit<Membership, 'generation'>,
  times: { readonly sessionMs: number; readonly rebalanceMs: number },
  protocol: { readonly name: string; readonly metadata: Uint8Array },
): Request<JoinAnswer> {
  return request(
    { apiKey: JOIN_GROUP, apiName: 'JoinGroup', version: 5, waitMs: times.rebalanceMs },
    (to) =>
      to
        .string(who.group)
        .i32(times.sessionMs)
        .i32(times.rebalanceMs)
        .string(who.memberId)
        .string(who.instanceId)
        .string('consumer')
        .list([protocol], ({ name, metadata }) => to.string(name).blob(metadata)),
    (from) => {
      from.i32();
      const code = from.i16();
      const generation = from.i32();
      from.nullableString();
      const leader = from.string();
      const memberId = from.string();
      const members = from.list(() => {
        const member = from.string();
        from.nullableString();
        return { memberId: member, metadata: from.blob() };
      });
      return { code, generation, leader, memberId, members };
    },
  );
}

export function syncGroupRequest(
  who: Membership,
  assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
  waitMs: number,
): Request<{ code: number; assignment: Buffer }> {
  return request(
    { apiKey: SYNC_GROUP, apiName: 'SyncGroup', version: 3, waitMs },
    (to) => member(to, who).list(assignments, ({ memberId, assignment }) => to.string(memberId).blob(assignment)),
    (from) => ({ ...codeAlone(from), assignment: from.blob() }),
  );
}

export function heartbeatRequest(who: Membership): Request<{ code: number }> {
  return request({ apiKey: HEARTBEAT, apiName: 'Heartbeat', version: 3 }, (to) => member(to, who), codeAlone);
}

export function leaveGroupRequest({ group, memberId, instanceId }: Membership): Request<{ code: number }> {
  return request(
    { apiKey: LEAVE_GROUP, apiName: 'LeaveGroup', version: 3 },
    (to) => to.string(group).list([memberId], (id) => to.string(id).string(instanceId)),
    (from) => {
      from.i32();
      const code = from.i16();
      const [ofMember = 0] = from.list(() => {
        from.string();
        from.nullableString();
        return from.i16();
      });
      return { code: code === 0 ? ofMember : code };
    },
  );
}

/**
 * A member's subscription when it joins, and the leader's assignment to it, in the form that Kafka's own
 * tools can show.
 */
export function subscription(topic: string, userData: Uint8Array): Buffer {
  const to = new WireWriter();
  return to
    .i16(0)
    .list([topic], (name) => to.string(name))
    .blob(userData).bytes;
}

export function assignment(topic: string, partitions: readonly number[]): Buffer {
  const to = new WireWriter();
  return to
    .i16(0)
    .list([topic], (name) => to.string(name).list(partitions, (partition) => to.i32(partition)))
    .blob(new Uint8Array(0)).bytes;
}

/** The partitions of an assignment to one topic; none where it is empty. */
export function assignedPartitions(bytes: Buffer): number[] {
  if (bytes.length === 0) return [];
  const from = new WireReader(bytes);
  from.i16();
  return topicsOf(from, () => from.i32());
}

/** The user data of a subscription. */
export function userDataOf(from: WireReader): Buffer {
  from.i16();
  from.list(() => from.string());
  return from.blob();
}

function member(to: WireWriter, { group, generation, memberId, instanceId }: Membership): WireWriter {
  return to.string(group).i32(generation).string(memberId).string(instanceId);
}

function codeAlone(from: WireReader): { code: number } {
  from.i32();
  return { code: from.i16() };
}

function topicsOf<T>(from: WireReader, partition: () => T): T[] {
  return from
    .list(() => {
      from.string();
      return from.list(partition);
    })
    .flat();
}
