/**
 * Requests to an HTTP server, or to one of several that are the same: connections that stay open, credentials,
 * TLS. Over node:http, as bodies are views of shared memory that nothing copies. What is a passing failure is
 * `Unavailable`; what an answer's status means is up to the caller.
 */

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { Unavailable } from '../delivery/index.ts';

export interface HttpConnectionOptions {
  /** `http://127.0.0.1:9200`, or several servers that are the same: one that does not answer is passed over. */
  readonly url: string | readonly string[];
  /** Credentials: a name and a password, or a token that is sent as `Bearer`, or an API key (`ApiKey`). */
  readonly auth?: { readonly username: string; readonly password: string } | { readonly bearer: string } | { readonly apiKey: string };
  /** As for `tls.connect`: `ca`, `cert`, `key`, `rejectUnauthorized`, `servername`, ... */
  readonly ssl?: ConnectionOptions;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** For `checkOptionNames`. */
export const HTTP_OPTIONS = { url: true, auth: true, ssl: true, headers: true } as const;

export interface HttpRequest {
  readonly method: string;
  /** Behind the address of the server, or a whole URL (a redirect of it); empty: that address, with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Pieces of the body. */
  readonly body?: readonly Uint8Array[] | string;
  readonly signal?: AbortSignal;
}

/** The bytes of an answer: a Buffer, whose type users may not have. */
export interface AnswerBody extends Uint8Array {
  toString(encoding?: 'utf8' | 'latin1' | 'base64'): string;
  includes(value: number | string | Uint8Array, from?: number): boolean;
  subarray(from?: number, to?: number): AnswerBody;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: AnswerBody;
  text(): string;
  /** @throws MillraceError ERR_MILLRACE_SINK when it is no JSON */
  json(): unknown;
}

const ANSWER_BYTES_MAX = 256 * 1_024 * 1_024;
/** A server that failed is asked last for so long. */
const PASSED_OVER_MS = 10_000;
const TEXT_MAX = 500;

interface Server {
  readonly url: URL;
  failedAtMs: number;
}

export class HttpClient {
  /** Its servers, for messages; credentials are not in it. */
  readonly place: string;
  readonly #servers: readonly Server[];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #ssl: ConnectionOptions;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  #turn = 0;

  /**
   * @param what whose options they are, as messages begin
   * @param connections most that are open to one server
   * @throws MillraceError ERR_MILLRACE_OPTION
   */
  constructor(what: string, { url, auth, ssl = {}, headers = {} }: HttpConnectionOptions, connections: number) {
    this.#servers = serversOf(what, url);
    this.place = this.#servers.map((server) => `${server.url.origin}${server.url.pathname.replace(/\/$/, '')}`).join(', ');
    const inUrl = this.#servers.find((server) => server.url.username !== '')?.url;
    const credentials = auth ?? (inUrl && { username: decodeURIComponent(inUrl.username), password: decodeURIComponent(inUrl.password) });
    this.#headers = { ...authorization(what, credentials), ...lowerCase(what, headers) };
    this.#ssl = ssl;
    const options = { keepAlive: true, maxSockets: connections, maxFreeSockets: connections, scheduling: 'lifo' as const };
    this.#agents = { http: new HttpAgent(options), https: new HttpsAgent(options) };
  }

  /**
   * Sends a request to one of the servers, and resolves with its answer, whatever the status.
   *
   * @throws Unavailable when no server answers
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const server = this.#next();
    const url = addressOf(server.url, request.path);
    try {
      const answer = await this.#exchange(url, request);
      server.failedAtMs = Number.NEGATIVE_INFINITY;
      return answer;
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      request.signal?.throwIfAborted();
      server.failedAtMs = performance.now();
      throw new Unavailable(`${url.origin} does not answer: ${reasonOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  /** Those that answered last, in turns; if none did, the one that failed first. */
  #next(): Server {
    const servers = this.#servers;
    const now = performance.now();
    for (let i = 0; i < servers.length; i++) {
      const server = servers[this.#turn++ % servers.length] as Server;
      if (now - server.failedAtMs > PASSED_OVER_MS) return server;
    }
    return servers.reduce((one, other) => (other.failedAtMs < one.failedAtMs ? other : one));
  }

  #exchange(url: URL, { method, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
    const isSecure = url.protocol === 'https:';
    const pieces = typeof body === 'string' ? [Buffer.from(body)] : (body ?? []);
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    // Credentials go to our servers, not to where one of them sends us.
    const own = this.#servers.some((server) => server.url.origin === url.origin);
    const options: RequestOptions = {
      method,
      agent: isSecure ? this.#agents.https : this.#agents.http,
      headers: { ...(own ? this.#headers : {}), ...(body === undefined ? {} : { 'content-length': length }), ...headers },
      ...(signal === undefined ? {} : { signal }),
      ...(isSecure ? this.#ssl : {}),
    };
    return new Promise((resolve, reject) => {
      const request = (isSecure ? httpsRequest : httpRequest)(url, options);
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error(`its answer is longer than ${ANSWER_BYTES_MAX} bytes`));
        });
        response.on('error', reject);
        response.on('end', () => {
          if (response.complete) resolve(new Answer(response, Buffer.concat(chunks)));
          else reject(new Error('the connection ended within the answer'));
        });
      });
      for (const piece of pieces) request.write(piece);
      request.end();
    });
  }
}

class Answer implements HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;

  constructor(response: IncomingMessage, body: Buffer) {
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.body = body;
  }

  text(): string {
    return this.body.toString('utf8');
  }

  json(): unknown {
    try {
      return JSON.parse(this.text());
    } catch (cause) {
      throw new MillraceError('ERR_MILLRACE_SINK', `The answer (status ${this.status}) is no JSON: ${shown(this.text())}.`, { cause });
    }
  }
}

/** Whether a status says that the same request may succeed later. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** An answer that is not what was asked for, in one line: its status and the beginning of its text. */
export function wordsOf({ status, body }: HttpAnswer): string {
  const text = body.toString('utf8').replace(/\s+/g, ' ').trim();
  return `status ${status}${text === '' ? '' : `: ${text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX - 3)}...` : text}`}`;
}

/** How long the server asks us to wait (Retry-After), ms. */
export function pauseOf({ headers }: HttpAnswer): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** An answer with a passing status, as an error. */
export function busy(client: HttpClient, answer: HttpAnswer): Unavailable {
  return new Unavailable(`${client.place} answers with ${wordsOf(answer)}`, { pauseMs: pauseOf(answer) });
}

/** An empty path is the address of the server as it was given, with its query. */
function addressOf(server: URL, path: string): URL {
  if (path === '') return server;
  return /^https?:\/\//.test(path) ? new URL(path) : new URL(`${server.pathname.replace(/\/$/, '')}${path}`, server);
}

function serversOf(what: string, url: string | readonly string[]): readonly Server[] {
  const urls = [url].flat();
  if (urls.length === 0) throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: url names no server. Give one: url: 'http://127.0.0.1:9200'.`);
  return urls.map((text) => {
    let parsed: URL | undefined;
    try {
      parsed = new URL(text);
    } catch {}
    if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol))
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `${what}: url is ${shown(redacted(text))}; it must be the address of an HTTP server: 'http://127.0.0.1:9200'.`,
      );
    return { url: parsed, failedAtMs: Number.NEGATIVE_INFINITY };
  });
}

/** Without a password that may be in it. */
function redacted(url: unknown): unknown {
  return typeof url === 'string' ? url.replace(/\/\/[^@/]*@/, '//***@') : url;
}

function authorization(what: string, auth: HttpConnectionOptions['auth']): Record<string, string> {
  if (auth === undefined) return {};
  if ('bearer' in auth) {
    checkOptionNames(`${what}: auth`, auth, { bearer: true });
    return { authorization: `Bearer ${auth.bearer}` };
  }
  if ('apiKey' in auth) {
    checkOptionNames(`${what}: auth`, auth, { apiKey: true });
    return { authorization: `ApiKey ${auth.apiKey}` };
  }
  checkOptionNames(`${what}: auth`, auth, { username: true, password: true });
  return { authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` };
}

function lowerCase(what: string, headers: Readonly<Record<string, string>>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || /[\r\n]/.test(name + value))
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `${what}: the header ${shown(name)} is ${typeof value === 'string' ? 'of several lines' : shown(value)}; it must be a text of one line.`,
      );
  }
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** The words of a network error; that of several addresses has none of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code) : shown(error);
}
