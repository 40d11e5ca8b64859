/**
 * How to reach a cluster: the options that sources and sinks share. Names are those of kafkajs where it has
 * them.
 */

/**
 * Options of `tls.connect`, which receives them unchanged; the usual ones are named. This type and those below
 * are our own, so that a program's types need neither kafkajs's nor Node's.
 */
export interface KafkaTlsOptions {
  /** Certificates of the authorities that may sign the broker's, in PEM. Default: those that Node trusts. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Certificate and key of this client, in PEM. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly passphrase?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
  readonly [option: string]: unknown;
}

/** How to log in, in kafkajs's form. */
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

/** A user-defined mechanism: kafkajs's `Mechanism`. */
export interface KafkaSaslMechanism {
  readonly mechanism: string;
  // biome-ignore lint/suspicious/noExplicitAny: the arguments are up to kafkajs
  readonly authenticationProvider: (args: any) => { authenticate(): Promise<void> };
}

/** How to reach the cluster. */
export interface KafkaConnectionOptions {
  /** Bootstrap addresses, `host:port`. One that answers is enough. */
  readonly brokers: readonly string[];
  /** Name in the broker's logs and quotas. Default `millrace`. */
  readonly clientId?: string;
  /** True, or the options of `tls.connect`, such as `{ ca }` for your own certificate authority. */
  readonly ssl?: boolean | KafkaTlsOptions;
  readonly sasl?: KafkaSaslOptions;
  /**
   * Allows settings that expose secrets: a password sent unencrypted (`sasl` with the mechanisms plain,
   * oauthbearer and aws without `ssl`), or a broker whose certificate is not verified
   * (`rejectUnauthorized: false`). Default false: both are refused.
   */
  readonly allowInsecure?: boolean;
  /** Milliseconds to wait for a connection. Default 3000. */
  readonly connectionTimeout?: number;
  /** Milliseconds to wait for an answer. Default 30000. */
  readonly requestTimeout?: number;
  /**
   * Milliseconds to wait for a broker that is unreachable: at the start, while reading, at a commit. A line
   * says what is waited for. Default 120000.
   */
  readonly brokerTimeout?: number;
}
