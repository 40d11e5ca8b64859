/** Error codes of the Kafka protocol: those that code here asks for, and which of them are passing. */

/** Numbers as in the protocol's list of errors. */
export const CODE = {
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopic: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  requestTimedOut: 7,
  brokerNotAvailable: 8,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  metadataTooLarge: 12,
  networkException: 13,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  illegalGeneration: 22,
  inconsistentProtocol: 23,
  unknownMember: 25,
  invalidSession: 26,
  rebalancing: 27,
  topicForbidden: 29,
  groupForbidden: 30,
  clusterForbidden: 31,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  invalidTransactionState: 48,
  invalidProducerMapping: 49,
  invalidTransactionTimeout: 50,
  concurrentTransactions: 51,
  transactionalIdForbidden: 53,
  storage: 56,
  unknownProducer: 59,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  offsetNotAvailable: 78,
  memberIdRequired: 79,
  groupIsFull: 81,
  fencedInstance: 82,
  unstableOffset: 88,
  producerFenced: 90,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
} as const;

/** Worth another attempt in a moment. */
const PASSING: ReadonlySet<number> = new Set([
  CODE.leaderNotAvailable,
  CODE.notLeader,
  CODE.requestTimedOut,
  CODE.brokerNotAvailable,
  CODE.replicaNotAvailable,
  CODE.networkException,
  CODE.coordinatorLoading,
  CODE.coordinatorNotAvailable,
  CODE.notCoordinator,
  CODE.notEnoughReplicas,
  CODE.notEnoughReplicasAfterAppend,
  CODE.rebalancing,
  CODE.storage,
  CODE.fencedLeaderEpoch,
  CODE.unknownLeaderEpoch,
  CODE.offsetNotAvailable,
  CODE.unstableOffset,
  CODE.concurrentTransactions,
]);

/** A broker's answer that says no. `type` is the protocol's name: `NOT_COORDINATOR_FOR_GROUP`. */
export class BrokerAnswer extends Error {
  readonly code: number;
  readonly type: string;
  readonly retriable: boolean;

  constructor(code: number, type: string, message: string) {
    super(message);
    this.name = 'BrokerAnswer';
    this.code = code;
    this.type = type;
    this.retriable = PASSING.has(code);
  }
}

/** Whether a member of a group has to join it again: the members change, or the group does not know this one any more. */
export function mustJoinAgain(code: number): boolean {
  return code === CODE.rebalancing || code === CODE.illegalGeneration || code === CODE.unknownMember || code === CODE.fencedInstance;
}

export function codeOf(error: unknown): number | undefined {
  return error instanceof BrokerAnswer ? error.code : undefined;
}
