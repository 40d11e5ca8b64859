export interface KafkaProcess {
  /** `127.0.0.1:PORT`. */
  readonly brokers: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves with the exit code when the broker ends, however that comes. */
  readonly exited: Promise<number | null>;
  stop(): Promise<void>;
}

export function startKafka(options?: { port?: number; properties?: Record<string, string | number>; version?: string }): Promise<KafkaProcess>;
export function missingForKafka(version?: string): string | undefined;
