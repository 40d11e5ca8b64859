/**
 * What is open around a job so that others can watch it: the HTTP server, the instruments of OpenTelemetry. It is
 * opened before the job starts, so that a probe sees a start that takes long, and closed when the job is over. A page
 * adds its routes to `server.routes`.
 */

import { jobRoutes } from './job-routes.ts';
import type { JobWatch } from './job-watch.ts';
import type { ResolvedObserve } from './observe-options.ts';
import { openTelemetry } from './telemetry.ts';
import { WatchServer } from './watch-server.ts';

export class Observation {
  /** undefined: none was asked for. */
  readonly server: WatchServer | undefined;
  readonly #endTelemetry: (() => void) | undefined;

  private constructor(server: WatchServer | undefined, endTelemetry: (() => void) | undefined) {
    this.server = server;
    this.#endTelemetry = endTelemetry;
  }

  /** @throws MillraceError ERR_MILLRACE_OPTION when the port is taken, or a package is missing */
  static async open(watch: JobWatch, { metrics, telemetry }: ResolvedObserve): Promise<Observation> {
    const end = telemetry === undefined ? undefined : await openTelemetry(watch);
    try {
      const server = metrics === undefined ? undefined : await WatchServer.open(metrics, jobRoutes(watch, metrics.ready));
      if (server !== undefined) watch.log.info({ url: server.url, paths: server.routes.paths }, 'metrics are served');
      return new Observation(server, end);
    } catch (error) {
      end?.();
      throw error;
    }
  }

  /** Is there anything that takes time to close? */
  get isOpen(): boolean {
    return this.server !== undefined;
  }

  async close(): Promise<void> {
    this.#endTelemetry?.();
    await this.server?.close();
  }
}
