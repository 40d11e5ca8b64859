/**
 * The one HTTP server of a job: a table of routes on one port, on 127.0.0.1 unless told otherwise. It only answers
 * GET; no route changes anything. What a route answers is up to the route (job-routes.ts, and later a page).
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { MillraceError, shown } from '../../core/index.ts';

/** Answers a GET. It may hold the response open (server-sent events): `close` ends the connection. */
export type Route = (request: IncomingMessage, response: ServerResponse) => void;

/** What is there, by path. */
export class Routes {
  readonly #routes = new Map<string, Route>();

  /** @throws RangeError when the path is taken */
  add(path: string, route: Route): this {
    if (this.#routes.has(path)) throw new RangeError(`${path} has a route already`);
    this.#routes.set(path, route);
    return this;
  }

  get(path: string): Route | undefined {
    return this.#routes.get(path);
  }

  get paths(): string[] {
    return [...this.#routes.keys()];
  }
}

export interface ServerPlace {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** Headers of every answer. A page sets its own content-security-policy. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export class WatchServer {
  readonly routes: Routes;
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, routes: Routes, host: string) {
    this.#server = server;
    this.routes = routes;
    const { port } = server.address() as AddressInfo;
    this.url = `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  }

  /** @throws MillraceError ERR_MILLRACE_OPTION when nobody can listen there */
  static async open({ host, port }: ServerPlace, routes: Routes): Promise<WatchServer> {
    const isLocal = isLoopback(host);
    const server = createServer((request, response) => answer(request, response, routes, isLocal));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const why = cause.code === 'EADDRINUSE' ? 'the port is taken' : cause.message;
        reject(
          new MillraceError(
            'ERR_MILLRACE_OPTION',
            `Nothing can listen at ${shown(host)}, port ${port}: ${why}. Give another port (0: any that is free), or an address of this machine as host.`,
            {
              cause,
            },
          ),
        );
      });
      server.listen({ host, port }, resolve);
    });
    return new WatchServer(server, routes, host);
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** A plain answer. */
export function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type }).end(body);
}

function answer(request: IncomingMessage, response: ServerResponse, routes: Routes, isLocal: boolean): void {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const text = (status: number, body: string): void => reply(response, status, 'text/plain; charset=utf-8', `${body}\n`);
  const path = (request.url ?? '/').split('?', 1)[0] as string;
  const route = routes.get(path);
  // A page from elsewhere whose name points to this machine would be let in by the browser.
  if (isLocal && !isLocalName(request.headers.host)) text(403, 'This address answers to localhost and to IP addresses only.');
  else if (route === undefined) text(404, `There is no ${path}. There is: ${routes.paths.join(', ')}`);
  else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    text(405, 'Only GET: nothing can be changed here.');
  } else {
    try {
      route(request, response);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else text(500, error instanceof MillraceError ? error.message : 'It went wrong; the log of the process may say why.');
    }
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function isLocalName(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}
