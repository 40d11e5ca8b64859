/** The door of io/kafka/protocol, Kafka's protocol: numbers and texts, requests and answers, error codes. */

export { BrokerAnswer, CODE, codeOf } from './errors.ts';
export {
  assignment,
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
  offsetCommitRequest,
  offsetFetchRequest,
  subscription,
  syncGroupRequest,
  type TopicAnswer,
  userDataOf,
} from './requests.ts';
export { type Request, WireReader, WireWriter } from './wire.ts';
