/**
 * Connections to PostgreSQL through the client `pg`, which users install: one that is lost is an error of everything
 * under way on it, and the next call makes another. COPY goes to its socket as it is, without a copy.
 */

import type { Socket } from 'node:net';
import { MillraceError } from '../../core/index.ts';
import { Unavailable } from '../delivery/index.ts';
import type { PostgresConnection } from './options.ts';

/** An error that the server has sent. */
export interface ServerError extends Error {
  /** SQLSTATE. */
  readonly code: string;
  readonly severity: string;
  readonly detail?: string;
  /** `COPY clicks, line 3, column n: "x"`. */
  readonly where?: string;
}

interface PgConnection {
  readonly stream: Socket;
  query(text: string): void;
  endCopyFrom(): void;
}

interface PgClient {
  readonly connection: PgConnection;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  connect(): Promise<unknown>;
  query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
  query(submittable: CopyIn): unknown;
  end(): Promise<void>;
  on(event: 'error' | 'end', listener: (error?: Error) => void): void;
}

export interface PgModule {
  readonly Client: new (options: object) => PgClient;
}

/** @throws MillraceError ERR_MILLRACE_SINK when it is not installed */
export async function loadPg(what: string): Promise<PgModule> {
  let loaded: PgModule & { readonly default?: PgModule };
  try {
    loaded = (await import('pg' as string)) as typeof loaded;
  } catch (cause) {
    throw new MillraceError('ERR_MILLRACE_SINK', `${what} needs the client pg, which cannot be loaded: ${(cause as Error).message}. Install it: npm i pg`, {
      cause,
    });
  }
  return loaded.default ?? loaded;
}

/** Where options lead, for messages. */
export function placeOf({ Client }: PgModule, options: object): string {
  const { host, port, database } = new Client(options);
  return `${host}:${port}/${database}`;
}

export function clientOptions(connection: string | PostgresConnection, applicationName: string): object {
  const own = { application_name: applicationName, keepAlive: true };
  return typeof connection === 'string' ? { ...own, connectionString: connection } : { ...own, ...connection, application_name: applicationName };
}

export class Connection {
  readonly #client: PgClient;
  #isOver = false;

  private constructor(client: PgClient) {
    this.#client = client;
  }

  /** @throws Unavailable, MillraceError ERR_MILLRACE_SINK: see {@link failureOf} */
  static async open({ Client }: PgModule, options: object, signal: AbortSignal): Promise<Connection> {
    const client = new Client(options);
    const made = new Connection(client);
    const over = (): void => void (made.#isOver = true);
    client.on('error', over);
    client.on('end', over);
    await made.#under(signal, () => client.connect());
    return made;
  }

  /** Nothing more can be asked here. */
  get isOver(): boolean {
    return this.#isOver;
  }

  async query(signal: AbortSignal, text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]> {
    return (await this.#under(signal, () => this.#client.query(text, values))).rows ?? [];
  }

  /** COPY ... FROM STDIN. The pieces have to stay until it settles. */
  copy(signal: AbortSignal, text: string, chunks: readonly Uint8Array[]): Promise<void> {
    return this.#under(
      signal,
      () =>
        new Promise((resolve, reject) => {
          this.#client.query(new CopyIn(text, chunks, resolve, reject));
        }),
    );
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#client.end().catch(() => {});
  }

  /** At once, whatever is under way. */
  destroy(): void {
    this.#isOver = true;
    this.#client.connection.stream.destroy();
  }

  async #under<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const abort = (): void => this.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

/** What `pg` asks of a query of one's own. */
class CopyIn {
  readonly #text: string;
  readonly #chunks: readonly Uint8Array[];
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(text: string, chunks: readonly Uint8Array[], resolve: () => void, reject: (error: Error) => void) {
    this.#text = text;
    this.#chunks = chunks;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: PgConnection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: PgConnection): void {
    const { stream } = connection;
    stream.cork();
    for (const chunk of this.#chunks) {
      const head = Buffer.allocUnsafe(5);
      head[0] = 0x64;
      head.writeInt32BE(chunk.length + 4, 1);
      stream.write(head);
      stream.write(chunk);
    }
    connection.endCopyFrom();
    stream.uncork();
  }

  /** The last that is heard. What was not sent yet is sent, and the server drops it, before the next query. */
  handleError(error: Error): void {
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#resolve();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
  handleCopyData(): void {}
}

export function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'severity' in error && /^[0-9A-Z]{5}$/.test(String((error as ServerError).code));
}

/** Whether the server refuses a row for what is in it: a value, a constraint, a trigger. */
export function isOfRow(error: unknown): error is ServerError {
  return isServerError(error) && (/^(22|23|44)/.test(error.code) || error.code === 'P0001' || error.code === '54000');
}

/**
 * Connections, what the server has too little of, deadlocks, and a server that starts, stops or only reads: it may go
 * well later.
 */
const PASSING = /^(08|40|53|57P|58)|^(55P03|57014|25006)$/;
const OF_TLS = /^(ERR_TLS|ERR_SSL|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_)/;

/** What to make of an error: `Unavailable` where another try is worth it, else one that ends the job. */
export function failureOf(name: string, place: string, error: unknown): unknown {
  if (error instanceof MillraceError || error instanceof Unavailable || !(error instanceof Error)) return error;
  if (isServerError(error)) {
    const words = `${error.message}${error.detail === undefined ? '' : ` (${error.detail})`}`;
    if (PASSING.test(error.code)) return new Unavailable(`PostgreSQL at ${place} says: ${words}`, { cause: error });
    const hint = error.code.startsWith('28') ? ' Check user and password of connection.' : '';
    return new MillraceError('ERR_MILLRACE_SINK', `${name}: PostgreSQL at ${place} refuses: ${words}.${hint}`, { cause: error });
  }
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  const isOfNetwork =
    syscall !== undefined || error instanceof AggregateError || /terminated|timeout|not queryable|ECONN|EPIPE/.test(`${error.message} ${code}`);
  if (isOfNetwork && !OF_TLS.test(code)) return new Unavailable(`PostgreSQL at ${place} does not answer: ${error.message || code}`, { cause: error });
  return new MillraceError('ERR_MILLRACE_SINK', `${name}: there is no connection to PostgreSQL at ${place}: ${error.message}.`, { cause: error });
}
