/** The door of io/kafka/protocol, Kafka's protocol: numbers and texts, requests and answers, error codes. */

export { BrokerAnswer, CODE, codeOf, mustJoinAgain } from './errors.ts';
export {
  assignedPartitions,
  assignment,
  type CommittedOffset,
  type Coordinated,
  coordinatorRequest,
  heartbeatRequest,
  type JoinAnswer,
  joinGroupRequest,
  leaveGroupRequest,
  listOffsetsRequest,
  METADATA,
  type Membership,
  type MetadataAnswer,
  metadataRequest,
  type NodeAddress,
  OFFSET_FETCH,
  offsetCommitRequest,
  offsetFetchRequest,
  subscription,
  syncGroupRequest,
  type TopicAnswer,
  userDataOf,
} from './requests.ts';
export {
  addOffsetsRequest,
  addPartitionsRequest,
  commitOffsetsRequest,
  endTransactionRequest,
  INIT_PRODUCER_ID,
  INIT_PRODUCER_ID_VERSION,
  NO_MEMBER,
  type OffsetCommitter,
  type ProducerIdAnswer,
  type ProducerIdentity,
  producerIdRequest,
  type TopicOffsets,
  type TopicPartitions,
  type TransactionalProducer,
} from './transactions.ts';
export { type Request, WireReader, WireWriter } from './wire.ts';
