/** How a cluster is reached, as a user writes it: the options that sources and sinks share. Names are kafkajs's own where it has them. */

import type { ConnectionOptions } from 'node:tls';
import type { Mechanism, SASLOptions } from 'kafkajs';

/** How to reach the cluster. */
export interface KafkaConnectionOptions {
  /** Bootstrap addresses, `host:port`. One that answers is enough. */
  readonly brokers: readonly string[];
  /** Name in the broker's logs and quotas. Default `millrace`. */
  readonly clientId?: string;
  /** True, or the options of `tls.connect`: `{ ca }` for a certificate authority of your own. */
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: SASLOptions | Mechanism;
  /**
   * Takes what gives secrets away: a password that goes over the network as it is (`sasl` of the mechanisms plain, oauthbearer and
   * aws without `ssl`), or a broker whose certificate nobody checks (`rejectUnauthorized: false`). Default false: both are refused.
   */
  readonly allowInsecure?: boolean;
  /** Milliseconds to wait for a connection. Default 3000. */
  readonly connectionTimeout?: number;
  /** Milliseconds to wait for an answer. Default 30000. */
  readonly requestTimeout?: number;
  /**
   * Milliseconds that a broker which is not there is waited for: at the start, while reading, at a commit. What is waited for is
   * said in a line. Default 120000.
   */
  readonly brokerTimeout?: number;
}
