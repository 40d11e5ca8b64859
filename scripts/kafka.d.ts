/** Types of scripts/kafka.js, for the tests that start a broker through it. */

/**
 * A further listener: its protocol (SSL, SASL_SSL, SASL_PLAINTEXT), and its own settings without the prefix
 * `listener.name.<name>.`.
 */
export interface KafkaListener {
  readonly protocol: string;
  readonly properties?: Record<string, string>;
}

export interface KafkaOptions {
  readonly port?: number;
  readonly properties?: Record<string, string | number>;
  readonly version?: string;
  readonly listeners?: Record<string, KafkaListener>;
  /** In the form of StorageTool: `SCRAM-SHA-512=[name=alice,password=secret]`. */
  readonly scramUsers?: string[];
  readonly heapMiB?: number;
  /** One node of several: its number, from 1 on, the controllers' ports in this order, and the id of the cluster. */
  readonly place?: { readonly id: number; readonly controllerPorts: readonly number[]; readonly cluster: string };
}

export interface RunningKafka {
  readonly brokers: string;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<number | null>;
  /** Addresses of the further listeners, by name. */
  readonly listeners: Record<string, string>;
  stop(): Promise<void>;
  /** kill -9; the data stays. */
  kill(): Promise<void>;
  /** After `kill`, at the same address, over the same data. */
  restart(): Promise<void>;
}

export function startKafka(options?: KafkaOptions): Promise<RunningKafka>;
/** Several brokers as one cluster: topics have up to three copies, and one may be missing. */
export function startCluster(nodes: number, options?: Omit<KafkaOptions, 'port' | 'place'>): Promise<RunningKafka[]>;
export function missingForKafka(version?: string): string | undefined;
