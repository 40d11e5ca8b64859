/** The HTTP end of `http.source`: who may send, what a request holds, and what is answered. Accepted is what is on disk. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { MillraceError, shown } from '../../core/index.ts';
import { BadBody, type BodyFormat, recordsIn } from './bodies.ts';
import type { HttpSourceOptions, ListenerLimits } from './source-options.ts';

export interface Accepts {
  append(records: readonly Uint8Array[]): Promise<void>;
  readonly backlogBytes: number;
}

/** Bodies that are being read, all together. */
const READING_BYTES_MAX = 128 * 1_024 * 1_024;
const PASSED: Readonly<Record<string, string>> = { 'content-type': 'application/json' };

type Unzip = (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;
const UNZIP: ReadonlyMap<string, Unzip> = new Map<string, Unzip>([
  ['gzip', promisify(zlib.gunzip) as Unzip],
  ['x-gzip', promisify(zlib.gunzip) as Unzip],
  ['deflate', promisify(zlib.inflate) as Unzip],
  ['br', promisify(zlib.brotliDecompress) as unknown as Unzip],
]);

/** An answer that is no acceptance. */
class Refused extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

export class Listener {
  readonly #options: HttpSourceOptions;
  readonly #limits: ListenerLimits;
  readonly #inbox: Accepts;
  readonly #server: Server;
  readonly #token: Buffer | undefined;
  /** An error of the inbox, which is the end. */
  readonly #fail: (error: unknown) => void;
  readonly #underWay = new Set<Promise<void>>();
  #readingBytes = 0;
  #isClosing = false;

  private constructor(options: HttpSourceOptions, limits: ListenerLimits, inbox: Accepts, fail: (error: unknown) => void) {
    this.#options = options;
    this.#limits = limits;
    this.#inbox = inbox;
    this.#fail = fail;
    this.#token = options.token === undefined ? undefined : digest(options.token);
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const answered = this.#answer(request, response).finally(() => this.#underWay.delete(answered));
      this.#underWay.add(answered);
    };
    this.#server = options.ssl === undefined ? createHttp(answer) : createHttps(options.ssl, answer);
  }

  /** @throws MillraceError ERR_MILLRACE_SOURCE when it cannot listen there */
  static async open(options: HttpSourceOptions, limits: ListenerLimits, inbox: Accepts, fail: (error: unknown) => void): Promise<Listener> {
    const { port, host = '127.0.0.1' } = options;
    const listener = new Listener(options, limits, inbox, fail);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (cause) => {
        reject(
          new MillraceError(
            'ERR_MILLRACE_SOURCE',
            `http.source cannot listen on ${host}:${port}: ${cause.message}. Take another port, or end what listens there.`,
            { cause },
          ),
        );
      });
      listener.#server.listen(port, host, resolve);
    });
    listener.#server.removeAllListeners('error');
    listener.#server.on('error', fail);
    return listener;
  }

  /** Takes nothing more; what is being accepted is answered first. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    await Promise.race([Promise.all(this.#underWay), new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let status = 200;
    let headers = PASSED;
    let said: object;
    try {
      said = { accepted: await this.#accept(request) };
    } catch (error) {
      if (error instanceof Refused) {
        ({ status } = error);
        headers = { ...PASSED, ...error.headers };
      } else status = error instanceof BadBody ? 400 : 503;
      said = { error: (error as Error).message };
      if (status === 503 && !(error instanceof Refused)) this.#fail(error);
    }
    // What is left of the body would be taken for the next request.
    if (!request.complete) headers = { ...headers, connection: 'close' };
    response.writeHead(status, headers).end(`${JSON.stringify(said)}\n`);
    if (!request.complete) request.resume();
  }

  async #accept(request: IncomingMessage): Promise<number> {
    const { path = '/', format = 'json' } = this.#options;
    if ((request.url ?? '/').split('?')[0] !== path) throw new Refused(404, `Rows are taken at ${path}.`);
    if (request.method !== 'POST' && request.method !== 'PUT') throw new Refused(405, 'Rows are taken by POST.', { allow: 'POST, PUT' });
    this.#authorize(request);
    if (this.#isClosing) throw new Refused(503, 'The job is ending. Try again.', { 'retry-after': '1' });
    const { backlogBytesMax } = this.#limits;
    if (this.#inbox.backlogBytes > backlogBytesMax)
      throw new Refused(429, `There are ${this.#inbox.backlogBytes} bytes that the job has not read. Try again.`, { 'retry-after': '1' });
    const records = recordsIn(await this.#plainBody(request), format as BodyFormat);
    await this.#inbox.append(records);
    return records.length;
  }

  #authorize({ headers }: IncomingMessage): void {
    if (this.#token === undefined) return;
    const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
    if (given !== undefined && timingSafeEqual(digest(given), this.#token)) return;
    throw new Refused(401, 'Send the token: Authorization: Bearer ...', { 'www-authenticate': 'Bearer' });
  }

  async #plainBody(request: IncomingMessage): Promise<Uint8Array> {
    const { bodyBytesMax } = this.#limits;
    const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
    const unzip = UNZIP.get(encoding);
    if (unzip === undefined && encoding !== 'identity') throw new Refused(415, `The body is encoded as ${shown(encoding)}; gzip, deflate and br are read.`);
    const body = await this.#body(request);
    if (unzip === undefined) return body;
    try {
      return await unzip(body, { maxOutputLength: bodyBytesMax });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bodyBytesMax);
      throw new BadBody(`the body is no ${encoding}: ${(error as Error).message}`);
    }
  }

  async #body(request: IncomingMessage): Promise<Buffer> {
    const { bodyBytesMax } = this.#limits;
    if (Number(request.headers['content-length'] ?? 0) > bodyBytesMax) throw tooLarge(bodyBytesMax);
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        this.#readingBytes += chunk.length;
        if (bytes > bodyBytesMax) throw tooLarge(bodyBytesMax);
        if (this.#readingBytes > READING_BYTES_MAX) throw new Refused(429, 'Too many requests at a time. Try again.', { 'retry-after': '1' });
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Refused(400, `The body did not come whole: ${(error as Error).message}.`);
    } finally {
      this.#readingBytes -= bytes;
    }
    return Buffer.concat(chunks);
  }
}

function tooLarge(bytesMax: number): Refused {
  return new Refused(413, `A body may have ${bytesMax} bytes (bodyBytesMax). Send fewer rows at a time.`);
}

/** Of equal length, whatever was sent. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
