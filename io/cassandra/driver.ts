/**
 * What is used of cassandra-driver, which users install themselves: its client, with the types of what we call, so
 * that ours need none of its own. And what its errors mean.
 */

import { MillraceError } from '../../core/index.ts';
import { Unavailable } from '../delivery/index.ts';
import type { CassandraSinkOptions } from './options.ts';

export interface Statement {
  readonly query: string;
  readonly params: readonly unknown[];
}

export interface Token {
  readonly _token?: never;
}

export interface TokenRange {
  readonly start: Token;
  readonly end: Token;
}

export interface Client {
  readonly metadata: {
    getTokenRanges(): Iterable<TokenRange>;
    getReplicas(keyspace: string, token: TokenRange): readonly { readonly address: string }[] | null;
  };
  connect(): Promise<void>;
  execute(query: string, params: readonly unknown[], options: object): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  batch(statements: readonly Statement[], options: object): Promise<unknown>;
  shutdown(): Promise<void>;
  on(event: string, listener: (host?: { shutdown?(waits: boolean): unknown }) => void): void;
}

export interface Driver {
  readonly Client: new (options: object) => Client;
  readonly types: { readonly consistencies: Readonly<Record<string, number>>; readonly unset: object };
  readonly auth: { readonly PlainTextAuthProvider: new (username: string, password: string) => object };
  readonly policies: { readonly reconnection: { readonly ConstantReconnectionPolicy: new (ms: number) => object } };
}

const RECONNECT_MS = 1_000;

/** @throws MillraceError ERR_MILLRACE_SINK when it is not installed */
export async function loadDriver(name: string): Promise<Driver> {
  try {
    const module = (await import('cassandra-driver')) as unknown as { default: Driver };
    return module.default;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new MillraceError('ERR_MILLRACE_SINK', `${name} needs the driver of Cassandra, which is not installed: npm i cassandra-driver`, { cause });
  }
}

export function makeClient(
  driver: Driver,
  { contactPoints, localDataCenter, consistency = 'localQuorum', auth, ssl, client = {} }: CassandraSinkOptions,
): Client {
  const { policies = {}, queryOptions = {}, pooling = {} } = client as { policies?: object; queryOptions?: object; pooling?: object };
  const made = new driver.Client({
    ...client,
    contactPoints: [contactPoints].flat(),
    localDataCenter,
    ...(auth === undefined ? {} : { authProvider: new driver.auth.PlainTextAuthProvider(auth.username, auth.password) }),
    ...(ssl === undefined ? {} : { sslOptions: ssl }),
    // Of a connection that a server has closed at once its timer stays behind, and keeps the process alive. A connection
    // that is dead is noticed by the time that a request may take.
    pooling: { heartBeatInterval: 0, ...pooling },
    // Its own pause grows to ten minutes, and a server that is back must be seen before.
    policies: { reconnection: new driver.policies.reconnection.ConstantReconnectionPolicy(RECONNECT_MS), ...policies },
    queryOptions: { ...queryOptions, consistency: driver.types.consistencies[consistency], isIdempotent: true, prepare: true },
  });
  // It forgets a node that comes back as another, and would try to connect to the old one for ever.
  made.on('hostRemove', (host) => void host?.shutdown?.(false));
  return made;
}

/**
 * Ends a client, also one that could not connect: its own `shutdown` does nothing then, and what it has begun (pools, a
 * control connection that connects again and again) would keep the process alive.
 */
export async function endClient(client: Client): Promise<void> {
  const begun = client as { connected?: boolean; hosts?: unknown };
  if (begun.hosts !== undefined && begun.hosts !== null) begun.connected = true;
  await client.shutdown();
}

/** What an error of the driver means for the rows of a request. */
export type Meaning = 'unavailable' | 'rows' | 'unprepared' | 'fatal';

const UNPREPARED = 0x2500;
const INVALID = 0x2200;
/** Syntax, rights, credentials, settings: it will not be otherwise later. */
const FATAL: ReadonlySet<number> = new Set([0x000a, 0x0100, 0x2000, 0x2100, 0x2300]);
/** Words of an invalid request that mean the place, not the row. */
const OF_THE_PLACE = /does not exist|unconfigured table|undefined column|unknown identifier/i;

interface DriverError extends Error {
  readonly code?: number | string;
  readonly innerErrors?: Readonly<Record<string, DriverError>>;
}

export function meaningOf(error: unknown): Meaning {
  const { name, code, message, innerErrors } = error as DriverError;
  if (name === 'NoHostAvailableError') {
    const inner = Object.values(innerErrors ?? {}).filter((each) => each instanceof Error);
    const meanings = inner.map(meaningOf);
    return meanings.length > 0 && meanings.every((each) => each === meanings[0]) ? (meanings[0] as Meaning) : 'unavailable';
  }
  if (name === 'AuthenticationError' || name === 'ArgumentError' || name === 'NotSupportedError') return 'fatal';
  if (typeof code !== 'number') return 'unavailable';
  if (code === UNPREPARED) return 'unprepared';
  if (code === INVALID) return OF_THE_PLACE.test(message) ? 'fatal' : 'rows';
  return FATAL.has(code) ? 'fatal' : 'unavailable';
}

/** The server's own words: those of the first node where several were tried. */
export function wordsOf(error: unknown): string {
  const { message, innerErrors } = error as DriverError;
  const [first] = Object.entries(innerErrors ?? {});
  if (first === undefined) return oneLine(message);
  const [host, inner] = first;
  return `${host}: ${oneLine(inner instanceof Error ? inner.message : String(inner))}`;
}

export function unavailable(error: unknown): Unavailable {
  return new Unavailable(`the cluster does not take requests (${wordsOf(error)})`, { cause: error });
}

/** The driver knows no abort: what is under way is left alone. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function oneLine(text: string): string {
  return (text.split('\n')[0] ?? '').trim().replace(/\.$/, '');
}
