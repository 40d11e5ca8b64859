/**
 * Connections to brokers. kafkajs provides sockets, TLS and logins; the requests are ours (client/). A
 * connection that broke is never used again: kafkajs would continue in the middle of the answer that was cut
 * off.
 */

import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import type { KafkaConfig, SASLOptions } from 'kafkajs';
import { keepSecret, type LogLevel, MillraceError } from '../../../core/index.ts';
import type { Report } from '../../report.ts';
import type { KafkaConnectionOptions } from '../connection/index.ts';
import { BrokerAnswer, type Request, WireReader, WireWriter } from '../protocol/index.ts';
import { type KafkajsBroker, privateClient } from './private-client.ts';

const KEEP_ALIVE_MS = 60_000;
const LOG_LEVEL_ERROR = 1;
const LOG_LEVEL_INFO = 4;
/** Its errors are no errors of the job, which tries again, or ends with an error of its own. */
const LEVEL_OF: Readonly<Record<number, LogLevel>> = { 1: 'warn', 2: 'warn', 4: 'info', 5: 'debug' };
/** System and TLS errors that repeat: a bad certificate or handshake is bad the next time too. */
const TLS_FAULT = /CERT|SSL|TLS|EPROTO|SIGNATURE/;

/**
 * One source's or sink's part of a cluster: the settings for kafkajs, its open sockets, and its last error.
 */
export class Connection {
  readonly options: KafkaConnectionOptions;
  readonly config: KafkaConfig;
  /** Where its lines go, and what is counted; undefined: nowhere. */
  readonly report: Report | undefined;
  /** The last error that kafkajs logged. It goes into our own error's message. */
  lastError = '';
  readonly #sockets = new Set<Socket>();
  #isClosed = false;

  constructor(options: KafkaConnectionOptions, report?: Report) {
    this.options = options;
    this.report = report;
    this.config = {
      clientId: options.clientId ?? 'millrace',
      brokers: [...options.brokers],
      connectionTimeout: options.connectionTimeout ?? 3000,
      requestTimeout: options.requestTimeout ?? 30_000,
      enforceRequestTimeout: true,
      logLevel: this.#logLevel,
      logCreator: () => (entry) => {
        const cause = entry.log['error'];
        const line = typeof cause === 'string' && !entry.log.message.includes(cause) ? `${entry.log.message}: ${cause}` : entry.log.message;
        if (entry.level === LOG_LEVEL_ERROR) this.lastError = line;
        const { broker, clientId } = entry.log as { readonly broker?: unknown; readonly clientId?: unknown };
        report?.log[LEVEL_OF[entry.level] ?? 'debug']({ client: 'kafkajs', part: entry.namespace, broker, clientId }, line);
      },
      socketFactory: (socket) => this.#connect(socket),
      ...(options.ssl !== undefined && { ssl: options.ssl as boolean | tls.ConnectionOptions }),
      ...(options.sasl !== undefined && { sasl: keptTokens(options.sasl) as SASLOptions }),
    };
  }

  /** Without a log only its last error is of use. */
  get #logLevel(): number {
    return this.report === undefined ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
  }

  /** A broker, not connected yet. */
  async broker(host: string, port: number, rack: string | null = null): Promise<KafkajsBroker> {
    const client = privateClient();
    const { logCreator, ...config } = this.config;
    const logger = client.createLogger({ level: this.#logLevel, logCreator: logCreator as NonNullable<KafkaConfig['logCreator']> });
    const connectionPool = new client.ConnectionPool({ ...config, logger, host, port, rack, maxInFlightRequests: null });
    return new client.Broker({ connectionPool, logger, allowAutoTopicCreation: false });
  }

  /** Ends all connections at once. Pending requests are told that there will be no answer. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets) socket.destroy(new Error('closed'));
    this.#sockets.clear();
  }

  /**
   * The error for a broker that does not answer, or refuses.
   *
   * @param what what could not be done: `kafka clicks: the topic cannot be looked up`
   */
  error(what: string, cause: unknown): MillraceError {
    if (cause instanceof MillraceError) return cause;
    const { brokers, ssl } = this.options;
    const { name, type, message, code } = describe(cause);
    const said = message || this.lastError;
    const at = brokers.join(', ');
    if (name.includes('SASL') || type.includes('SASL') || type.includes('AUTHENTICATION')) {
      const mechanism = this.options.sasl?.mechanism ?? 'no sasl option';
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: the Kafka broker at ${at} refuses the login (${mechanism}): ${said}. Correct the sasl option.`,
        {
          cause,
        },
      );
    }
    if (type.endsWith('AUTHORIZATION_FAILED')) {
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: the Kafka broker at ${at} does not allow it (${type}). Ask for the rights, or use another user.`,
        { cause },
      );
    }
    if (TLS_FAULT.test(code)) {
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: there is no TLS connection to the Kafka broker at ${at} (${said}; ${code}). Correct the certificate, the address in brokers (it has to be in the certificate), or the ssl option: ssl: { ca } for a certificate authority of your own.`,
        { cause },
      );
    }
    if (isConnectionError(cause)) {
      const hint = ssl === undefined || ssl === false ? ', or set the ssl option if it takes TLS only' : ', or the ssl option if it takes no TLS';
      return new MillraceError(
        'ERR_MILLRACE_BROKER',
        `${what}: no Kafka broker answers at ${at} (${said || this.lastError}). Start it, or correct the brokers option${hint}.`,
        { cause },
      );
    }
    return new MillraceError('ERR_MILLRACE_BROKER', `${what}: the Kafka cluster at ${at} says: ${said}`, { cause });
  }

  #connect({ host, port, ssl, onConnect }: { host: string; port: number; ssl?: tls.ConnectionOptions; onConnect: () => void }): Socket {
    if (this.#isClosed) throw new Error('closed');
    const name = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl ? tls.connect({ host, port, ...name, ...(typeof ssl === 'object' ? ssl : {}) }, onConnect) : net.connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Each request is written whole, so waiting for the previous acknowledgement only costs time.
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

/** Tokens that a provider gives are secrets, which nobody can know before. */
function keptTokens(sasl: NonNullable<KafkaConnectionOptions['sasl']>): NonNullable<KafkaConnectionOptions['sasl']> {
  if (!('oauthBearerProvider' in sasl)) return sasl;
  const { oauthBearerProvider: provider } = sasl;
  return {
    ...sasl,
    oauthBearerProvider: async () => {
      const token = await provider();
      keepSecret(token?.value);
      return token;
    },
  };
}

/**
 * Asks a broker, after connecting to it if necessary.
 *
 * @param frame the request as bytes, header included, where it has a frame of its own
 */
export async function ask<T>(broker: KafkajsBroker, request: Request<T>, frame?: (correlationId: number, clientId: string) => Buffer): Promise<T> {
  await connected(broker);
  const { apiKey, apiName, version, isFlexible, body, waitMs } = request;
  return (await broker.connectionPool.send({
    request: {
      apiKey,
      apiName,
      apiVersion: version,
      frame: frame ?? ((correlationId: number, clientId: string) => framed(request, body, correlationId, clientId)),
    },
    response: {
      decode: async (payload: Buffer) => {
        const reader = new WireReader(payload, isFlexible);
        reader.end();
        return { answer: request.read(reader), clientSideThrottleTime: 0 };
      },
      parse: async ({ answer }: { answer: T }) => answer,
    },
    logResponseError: false,
    ...(waitMs !== undefined && { requestTimeout: waitMs + 5_000 }),
  })) as T;
}

const connecting = new WeakMap<KafkajsBroker, Promise<void>>();

/**
 * When two requests find the connection closed, kafkajs opens a second socket and forgets the first. Here
 * only one of them connects.
 */
async function connected(broker: KafkajsBroker): Promise<void> {
  if (broker.isConnected() && broker.connectionPool.pool[0]?.isConnected() === true) return;
  const under =
    connecting.get(broker) ??
    (async () => {
      await broker.connect();
      await broker.connectionPool.getConnection(0);
    })().finally(() => connecting.delete(broker));
  connecting.set(broker, under);
  await under;
}

/** size | api key | version | correlation id | client id | tagged fields, if flexible | body */
function framed({ apiKey, version, isFlexible }: Request<unknown>, body: Uint8Array, correlationId: number, clientId: string): Buffer {
  const header = new WireWriter().i16(apiKey).i16(version).i32(correlationId).string(clientId);
  if (isFlexible) header.i8(0);
  return new WireWriter()
    .i32(header.bytes.length + body.length)
    .raw(header.bytes)
    .raw(body).bytes;
}

/** The error of an answer with this code. */
export function answered(code: number): BrokerAnswer {
  const { type, message } = privateClient().createErrorFromCode(code);
  return new BrokerAnswer(code, type, `${message} (${code})`);
}

/** @throws BrokerAnswer unless the code is 0 */
export function mustSucceed(code: number): void {
  if (code !== 0) throw answered(code);
}

/** No answer came: the connection could not be made, it broke, or the time was up. */
export function isConnectionError(error: unknown): boolean {
  const { name } = describe(error);
  return /Connection|Timeout|NumberOfRetries|BrokerNotFound/.test(name);
}

/** True when another attempt may succeed in a moment. */
export function isPassing(error: unknown): boolean {
  if (error instanceof MillraceError) return false;
  if (error instanceof BrokerAnswer) return error.retriable;
  return isConnectionError(error) && !TLS_FAULT.test(describe(error).code);
}

/** kafkajs wraps errors in errors; the innermost says what happened. */
export function describe(error: unknown): { name: string; type: string; message: string; code: string } {
  let inner = error as { name?: string; type?: string; message?: string; code?: unknown; cause?: unknown; originalError?: unknown };
  const seen = new Set<unknown>();
  while (!seen.has(inner) && (inner?.cause ?? inner?.originalError) instanceof Error) {
    seen.add(inner);
    inner = (inner.cause ?? inner.originalError) as typeof inner;
  }
  return { name: inner?.name ?? '', type: inner?.type ?? '', message: inner?.message ?? String(error), code: String(inner?.code ?? '') };
}

/**
 * Rejects with an error named `Timeout` when the promise takes longer. The work goes on, and its result is
 * dropped.
 */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`no answer within ${ms / 1000} s`), { name: 'Timeout' })), ms);
  });
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
