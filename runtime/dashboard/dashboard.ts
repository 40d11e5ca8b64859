/**
 * The live page of a job: its files, a stream of events, and its views as JSON. It is read only: no route changes
 * anything. Where `/metrics` is served at the same place, the page is beside it; else it has a server of its own, with
 * those routes too.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { MillraceError } from '../../core/index.ts';
import { type JobWatch, jobRoutes, type Routes, reply, WatchServer } from '../observe/index.ts';
import type { DashboardPlace } from './dashboard-options.ts';
import { EventStream } from './event-stream.ts';
import { addPageFiles } from './page-files.ts';
import { Telling } from './telling.ts';

const EVERY_MS = 500;
const VIEW_ROWS = 50;
const VIEW_ROWS_MAX = 1_000;
const JSON_TYPE = 'application/json; charset=utf-8';

/** What the page asks of the job. */
export interface DashboardHost {
  /** Reads a view: see View. */
  view(name: string): {
    readonly epoch: number;
    readonly size: number;
    top(n: number, options: { by?: never; order?: 'desc' | 'asc'; mixed?: boolean }): readonly object[];
    rows(options: { mixed?: boolean }): readonly object[];
  };
}

export class Dashboard {
  readonly #events: EventStream;
  /** Undefined: it is beside the metrics. */
  readonly #server: WatchServer | undefined;
  readonly url: string;

  private constructor(events: EventStream, server: WatchServer | undefined, url: string) {
    this.#events = events;
    this.#server = server;
    this.url = url;
  }

  /**
   * @param metrics where metrics are served, if they are
   * @throws MillraceError ERR_MILLRACE_OPTION when the port is taken
   */
  static async open(
    watch: JobWatch,
    place: DashboardPlace,
    metrics: WatchServer | undefined,
    host: () => DashboardHost | undefined,
    everyMs = EVERY_MS,
  ): Promise<Dashboard> {
    const events = new EventStream(new Telling(watch), everyMs);
    const beside = metrics !== undefined && new URL(metrics.url).port === String(place.port);
    const routes = beside ? metrics.routes : jobRoutes(watch, { lag: undefined, epochAgeMs: 30_000 });
    addPageFiles(routes);
    routes.add('/events', events.route).add('/view', (request, response) => answerView(request, response, host()));
    const server = beside ? undefined : await WatchServer.open(place, routes as Routes);
    const url = (server ?? (metrics as WatchServer)).url;
    watch.log.info({ url }, 'the live page is served');
    return new Dashboard(events, server, url);
  }

  async close(): Promise<void> {
    this.#events.close();
    await this.#server?.close();
  }
}

/** `/view?name=pages&by=clicks&order=desc&n=50` */
function answerView(request: IncomingMessage, response: ServerResponse, host: DashboardHost | undefined): void {
  const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
  const refuse = (status: number, message: string): void => reply(response, status, JSON_TYPE, `${JSON.stringify({ error: message })}\n`);
  if (host === undefined) {
    refuse(503, 'The job has not started yet.');
    return;
  }
  const n = Math.min(VIEW_ROWS_MAX, Math.max(1, Math.trunc(Number(query.get('n') ?? VIEW_ROWS)) || VIEW_ROWS));
  const by = query.get('by');
  const order = query.get('order') === 'asc' ? 'asc' : 'desc';
  try {
    const view = host.view(query.get('name') ?? '');
    const rows = by === null ? view.rows({ mixed: true }).slice(0, n) : view.top(n, { by: by as never, order, mixed: true });
    reply(response, 200, JSON_TYPE, `${JSON.stringify({ epoch: view.epoch, rows }, plain)}\n`);
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    refuse(400, error.message);
  }
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
