/** Types of scripts/servers/index.js, for the tests and demos that start servers through it. */

/** What a client needs, by server. */
export interface ServerConnections {
  /** The options of `new Client` of both vendors' clients. */
  elasticsearch: { node: string };
  opensearch: { node: string };
  /** WebHDFS is under `url` + `/webhdfs/v1`; `user` is the superuser; `rpc` is for Hadoop's own client. */
  hdfs: { url: string; user: string; rpc: string };
  /** The options of cassandra-driver's `new Client`. */
  cassandra: { contactPoints: string[]; localDataCenter: string };
  /** The REST server; Thrift with `settings: { thrift: true }`. */
  hbase: { url: string; zookeeper: string; thrift?: { host: string; port: number } };
  /** The superuser, without a password; logical replication is on. */
  postgres: { host: string; port: number; user: string; database: string };
  redis: { host: string; port: number };
  /** The options of the AWS SDK's `new S3Client`. */
  s3: { endpoint: string; region: string; forcePathStyle: true; credentials: { accessKeyId: string; secretAccessKey: string } };
  clickhouse: { url: string; username: string; password: string; database: string };
  /** The options of the AWS SDK's `new KinesisClient`, which needs a `requestHandler` of HTTP/1.1 besides. */
  kinesis: { endpoint: string; region: string; credentials: { accessKeyId: string; secretAccessKey: string } };
  /** The schema registry's interface, as Confluent's. */
  apicurio: { url: string };
  /** Lines over TCP go to files under `out`, unless `settings` has the lines of another agent, called `a`. */
  flume: { host: string; port: number; out: string };
  /** Lines over TCP go to the file `messages`, unless `settings: { config }` has other actions. */
  rsyslog: { host: string; port: number; messages: string };
  /** `settings: { targets: 'host:port,...', path }` says whom it asks, each second. */
  prometheus: { url: string };
  /** DevTools protocol; an option of puppeteer's `connect`. */
  chromium: { browserURL: string };
}

export type ServerName = keyof ServerConnections;

export interface ServerOptions {
  /** Of the interface that `url` names; default a free one. */
  readonly port?: number;
  /** Where data, settings and logs go; kept by `stop`. Default a new folder of the system's place for temporary files, which `stop` removes. */
  readonly dir?: string;
  /** More of the server's own settings, by its own names. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Of the Java process, or of the largest. */
  readonly heapMiB?: number;
}

export interface RunningServer<Name extends ServerName = ServerName> {
  readonly name: Name;
  readonly version: string;
  /** 127.0.0.1 */
  readonly host: string;
  readonly port: number;
  /** All ports, by what listens there. */
  readonly ports: Readonly<Record<string, number>>;
  readonly url: string;
  readonly connect: ServerConnections[Name];
  readonly dir: string;
  /** The first process of `pids`. */
  readonly pid: number;
  readonly pids: readonly number[];
  readonly logFiles: readonly string[];
  /** Resolves when one of its processes has ended. */
  readonly exited: Promise<void>;
  /** kill -9 to all its processes; the data stays. */
  kill(): Promise<void>;
  /** On the same ports, over the same data; resolves when it serves. A running server is ended in good order first. */
  restart(): Promise<void>;
  /** Ends it in good order, and removes the folder that it has made. */
  stop(): Promise<void>;
}

export const SERVER_NAMES: readonly ServerName[];

/**
 * Starts a server on 127.0.0.1 and resolves when it serves, after 120 s at most. The first start fetches it from the registries into
 * `.cache/servers/`. It ends with this process.
 *
 * @throws Error that says what to install, with the end of its log if it does not start
 * @example
 * const server = await startServer('elasticsearch');
 * await fetch(`${server.url}/_cluster/health`);
 * await server.stop();
 */
export function startServer<Name extends ServerName>(name: Name, options?: ServerOptions): Promise<RunningServer<Name>>;

/** What must be installed before `startServer` can work here, or undefined. Starts and fetches nothing. */
export function missing(name: ServerName): string | undefined;

/** The version that `startServer` starts; undefined for one of the system that is not installed. */
export function versionOf(name: ServerName): string | undefined;
