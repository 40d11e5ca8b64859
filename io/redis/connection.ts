/** A connection to Redis: commands as bytes, replies in their order (RESP2). */

import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectSecure } from 'node:tls';
import { Unavailable } from '../delivery/index.ts';
import type { RedisAddress } from './options.ts';

const CRLF = Buffer.from('\r\n');
const [PLUS, MINUS, COLON, DOLLAR, STAR] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a];

/** What the server says of a command: undefined for anything but an error. */
export type Reply = string | undefined;

interface Waiting {
  readonly replies: Reply[];
  readonly count: number;
  resolve(replies: readonly Reply[]): void;
  reject(error: Error): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #place: string;
  #rest: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket, place: string) {
    this.#socket = socket;
    this.#place = place;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 10_000);
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection ended')));
  }

  /** @throws Unavailable when nobody answers */
  static async open({ host, port, isSecure }: RedisAddress, ssl: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const place = `${host}:${port}`;
    const socket = isSecure ? connectSecure({ ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl, host, port }) : connectPlain({ host, port });
    const made = new Connection(socket, place);
    const abort = (): void => made.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once(isSecure ? 'secureConnect' : 'connect', resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('the connection ended')));
      });
      return made;
    } catch (error) {
      signal.throwIfAborted();
      throw new Unavailable(`Redis at ${place} does not answer: ${wordsOf(error)}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * Sends commands and resolves with what is said of each. One call at a time. The pieces have to stay until it settles.
   *
   * @throws Unavailable when the connection is lost
   */
  async send(pieces: readonly Uint8Array[], count: number, signal: AbortSignal): Promise<readonly Reply[]> {
    const abort = (): void => this.destroy();
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<readonly Reply[]>((resolve, reject) => {
        if (this.#failure !== undefined) {
          reject(this.#failure);
          return;
        }
        this.#waiting = { replies: [], count, resolve, reject };
        this.#socket.cork();
        for (const piece of pieces) this.#socket.write(piece);
        this.#socket.uncork();
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new Unavailable(`Redis at ${this.#place} does not answer: ${wordsOf(error)}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** One command of texts. */
  async command(signal: AbortSignal, ...parts: readonly string[]): Promise<Reply> {
    const text = parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('');
    const [reply] = await this.send([Buffer.from(`*${parts.length}\r\n${text}`)], 1, signal);
    return reply;
  }

  destroy(): void {
    this.#fail(new Error('the connection was given up'));
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }

  #take(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (this.#waiting !== undefined) {
      const end = replyEnd(all, at);
      if (end < 0) break;
      const { replies, count, resolve } = this.#waiting;
      replies.push(all[at] === MINUS ? all.toString('utf8', at + 1, end - 2) : undefined);
      at = end;
      if (replies.length < count) continue;
      this.#waiting = undefined;
      resolve(replies);
    }
    this.#rest = all.subarray(at);
  }
}

/** Where the reply at `from` ends; -1: it is not there as a whole. */
function replyEnd(bytes: Buffer, from: number): number {
  const lineEnd = bytes.indexOf(CRLF, from);
  if (lineEnd < 0) return -1;
  const behind = lineEnd + 2;
  const kind = bytes[from];
  if (kind === PLUS || kind === MINUS || kind === COLON) return behind;
  const length = Number(bytes.toString('latin1', from + 1, lineEnd));
  if (kind === DOLLAR) {
    if (length < 0) return behind;
    return behind + length + 2 <= bytes.length ? behind + length + 2 : -1;
  }
  if (kind !== STAR) return behind;
  let at = behind;
  for (let i = 0; i < length; i++) {
    at = replyEnd(bytes, at);
    if (at < 0) return -1;
  }
  return at;
}

function wordsOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join('; ');
  return (error as Error).message || String((error as NodeJS.ErrnoException).code);
}
