/** The options of the Kafka source and sink, and their check. Names are kafkajs's own where it has them. */

import { MillraceError, shown } from '../../core/index.ts';
import type { Codec } from '../codec.ts';

/**
 * Options of `tls.connect`, which gets them as they are; the usual ones by name. Our own, as those below: a program's types need
 * neither kafkajs's nor Node's.
 */
export interface KafkaTlsOptions {
  /** Certificates of who may sign the broker's, in PEM. Default: those that Node trusts. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Certificate and key of this client, in PEM. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly passphrase?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
  readonly [option: string]: unknown;
}

/** How to log in, as kafkajs takes it. */
export type KafkaSaslOptions =
  | { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string }
  | {
      readonly mechanism: 'aws';
      readonly authorizationIdentity: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
    }
  | { readonly mechanism: 'oauthbearer'; readonly oauthBearerProvider: () => Promise<{ readonly value: string }> }
  | KafkaSaslMechanism;

/** A mechanism of the user's own: kafkajs's `Mechanism`. */
export interface KafkaSaslMechanism {
  readonly mechanism: string;
  // biome-ignore lint/suspicious/noExplicitAny: what kafkajs hands over is its own affair
  readonly authenticationProvider: (args: any) => { authenticate(): Promise<void> };
}

/** How to reach the cluster. */
export interface KafkaConnectionOptions {
  /** Bootstrap addresses, `host:port`. One that answers is enough. */
  readonly brokers: readonly string[];
  /** Name in the broker's logs and quotas. Default `millrace`. */
  readonly clientId?: string;
  /** True, or the options of `tls.connect`. */
  readonly ssl?: boolean | KafkaTlsOptions;
  readonly sasl?: KafkaSaslOptions;
  /** Milliseconds to wait for a connection. Default 3000. */
  readonly connectionTimeout?: number;
  /** Milliseconds to wait for an answer. Default 30000. */
  readonly requestTimeout?: number;
}

export interface KafkaSourceOptions<R = unknown> extends KafkaConnectionOptions {
  readonly topic: string;
  /** Consumer group: under this name the positions are committed. */
  readonly group: string;
  readonly value: Codec<R>;
  /** Where a group without a committed position starts: at the oldest record (default), or at the end. */
  readonly fromBeginning?: boolean;
  /** `read_committed` (default): rows of aborted transactions are not seen, rows of open ones wait. */
  readonly isolation?: 'read_committed' | 'read_uncommitted';
  /**
   * What to do when the next offset is not in the log any more (retention, a topic made anew): stop with an error
   * (default), or go on at the oldest record that there is.
   */
  readonly failOnDataLoss?: boolean;
  /** Most bytes of one partition in one fetch. One record batch always comes whole, whatever its size. Default 1 MiB. */
  readonly maxBytesPerPartition?: number;
  /** Most bytes of one fetch. Default 10 MiB. */
  readonly maxBytes?: number;
  /** How long the broker waits for data before it answers an empty fetch, and so how long a resumed partition may wait. Default 100. */
  readonly maxWaitTimeInMs?: number;
  /** Milliseconds without a heartbeat after which the group takes the partitions away. Default 30000. */
  readonly sessionTimeout?: number;
  /** Default 3000, or a third of a shorter sessionTimeout. */
  readonly heartbeatInterval?: number;
  /** Default 60000. */
  readonly rebalanceTimeout?: number;
  /** Rack of this process, to read from a replica nearby. */
  readonly rackId?: string;
}

export interface KafkaSinkOptions<R = unknown> extends KafkaConnectionOptions {
  readonly topic: string;
  readonly value: Codec<R>;
  /** Column, or columns, whose text is the record's key and decides its partition. Without it the value decides. */
  readonly key?: string | readonly string[];
  /** The record's timestamp: `now` (default), or a timestamp column. */
  readonly timestamp?: 'now' | (string & {});
  /** -1 (default): all replicas in sync have it. 1: the leader has it. */
  readonly acks?: -1 | 1;
  /** Make the topic when it is not there. Without it a missing topic is an error. */
  readonly createTopic?: { readonly partitions?: number; readonly replicationFactor?: number };
  /** The largest record batch to write: not more than the topic's max.message.bytes. Default 1,048,588, the broker's default for it. */
  readonly batchBytesMax?: number;
  /** Milliseconds that a record batch may be tried again before the sink fails. Default 120000. */
  readonly deliveryTimeout?: number;
}

/** Legal topic names: Kafka, Topic.validate. */
const TOPIC_NAME = /^[a-zA-Z0-9._-]{1,249}$/;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkConnection(what: string, options: KafkaConnectionOptions & { readonly topic: string }): void {
  const { brokers, topic } = options;
  if (!Array.isArray(brokers) || brokers.length === 0) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: brokers is ${shown(brokers)}; it has to be a list of addresses such as ['127.0.0.1:9092'].`);
  }
  for (const broker of brokers) {
    const port = typeof broker === 'string' ? Number(/^.+:(\d{1,5})$/.exec(broker)?.[1] ?? 0) : 0;
    if (!(port > 0 && port < 65_536)) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: the broker address ${shown(broker)} is not host:port, such as '127.0.0.1:9092'.`);
    }
  }
  if (typeof topic !== 'string' || !TOPIC_NAME.test(topic) || topic === '.' || topic === '..') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what}: ${shown(topic)} cannot be a Kafka topic's name: 1 to 249 letters, digits, dots, dashes and underscores.`,
    );
  }
}

/** @throws MillraceError ERR_MILLRACE_OPTION when `value` is given and is no whole number in the range */
export function checkNumber(what: string, name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${name} is ${shown(value)}; it has to be a whole number from ${min} to ${max}.`);
}

/** @throws MillraceError ERR_MILLRACE_OPTION when `value` is given and is not in the list */
export function checkChoice(what: string, name: string, value: unknown, choices: readonly unknown[]): void {
  if (value === undefined || choices.includes(value)) return;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${name} is ${shown(value)}; it can be ${choices.map(shown).join(' or ')}.`);
}
