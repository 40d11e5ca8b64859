/**
 * Server-sent events: the same messages to all pages that are open. A page that does not read as fast as they come
 * misses some, and gets the whole again; so nothing piles up here.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Route } from '../observe/index.ts';

/** Most that may wait for one page. */
const BACKLOG_BYTES_MAX = 1 << 20;
const PAGES_MAX = 32;

interface Page {
  readonly response: ServerResponse;
  /** It has missed something, and needs the whole. */
  isBehind: boolean;
}

export interface EventSource {
  /** Everything that a page needs to begin with. */
  whole(): object;
  /** What is new since the last call. */
  news(): object;
}

export class EventStream {
  readonly #source: EventSource;
  readonly #everyMs: number;
  readonly #pages = new Set<Page>();
  #timer: NodeJS.Timeout | undefined;

  constructor(source: EventSource, everyMs: number) {
    this.#source = source;
    this.#everyMs = everyMs;
  }

  readonly route: Route = (request, response) => {
    if (request.method === 'HEAD' || this.#pages.size >= PAGES_MAX) {
      response.writeHead(request.method === 'HEAD' ? 200 : 503, { 'content-type': 'text/event-stream' }).end();
      return;
    }
    this.#open(request, response);
  };

  get pageCount(): number {
    return this.#pages.size;
  }

  /** The last news, and the end of all connections. */
  close(): void {
    if (this.#pages.size > 0) this.#tell();
    clearInterval(this.#timer);
    for (const { response } of this.#pages) response.end();
    this.#pages.clear();
  }

  #open(request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    // A page that was here before comes back soon after the job does.
    response.write('retry: 1000\n\n');
    const page: Page = { response, isBehind: true };
    this.#pages.add(page);
    request.on('close', () => this.#leave(page));
    // Others have had this.
    if (this.#pages.size > 1) this.#tell();
    else this.#source.news();
    this.#tellWhole(page);
    this.#timer ??= setInterval(() => this.#tell(), this.#everyMs);
  }

  #leave(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    const text = message('news', this.#source.news());
    for (const page of this.#pages) {
      if (page.response.writableLength > BACKLOG_BYTES_MAX) page.isBehind = true;
      else if (page.isBehind) this.#tellWhole(page);
      else page.response.write(text);
    }
  }

  #tellWhole(page: Page): void {
    page.isBehind = false;
    page.response.write(message('whole', this.#source.whole()));
  }
}

function message(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
