/** The door of io/kafka/kafkajs: everything that knows kafkajs. */

export { answered, ask, Connection, describe, isConnectionError, isPassing, mustSucceed, within } from './connection.ts';
export { type KafkajsBroker, privateClient } from './private-client.ts';
