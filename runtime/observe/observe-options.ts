/** The options of `run` that are about watching a job, checked. */

import { checkOptionNames, type Duration, durationMs, type Logger, MillraceError, shown } from '../../core/index.ts';
import { mustHaveLevels } from './line-logger.ts';
import type { ReadinessBounds } from './readiness.ts';
import type { ServerPlace } from './watch-server.ts';

export interface MetricsOptions {
  /** 0: any that is free; `job.url` says which. */
  readonly port: number;
  /** The address to listen at. Default '127.0.0.1': this machine only. There is no login: put a proxy in front. */
  readonly host?: string;
  /** When `/ready` says that the job is ready, besides that its partitions are assigned. */
  readonly ready?: {
    /** Most that may exist outside and not be read yet, over all partitions, in the unit of the sources. Default: not judged. */
    readonly lag?: number;
    /** How long ago an epoch may have been finished last, while there is something to do. Default '30s'. */
    readonly epochAge?: Duration;
  };
}

/** The options of `run` that this room checks. */
export interface ObserveOptions {
  /**
   * Gets what happens in the life of the job, as `(fields, message)`: its start with the plan, partitions, slow epochs,
   * back-pressure, checkpoints, restarts, its end with totals; nothing per row, and no secrets. A pino logger is one as it
   * is; see `lineLogger` and `messageFirst`. Default: none, and warnings go to the event 'warning', or to the process.
   */
  readonly logger?: Logger;
  /** Serves `/metrics` for Prometheus, `/live` and `/ready` while the job lasts. */
  readonly metrics?: MetricsOptions;
  /** The same metrics, and a span for each epoch, through the package @opentelemetry/api, which the application installs. */
  readonly telemetry?: 'opentelemetry';
}

export interface ResolvedObserve {
  readonly logger: Logger | undefined;
  readonly metrics: (ServerPlace & { readonly ready: ReadinessBounds }) | undefined;
  readonly telemetry: 'opentelemetry' | undefined;
}

const HOST = '127.0.0.1';
const EPOCH_AGE = '30s';

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function resolveObserve({ logger, metrics, telemetry }: ObserveOptions): ResolvedObserve {
  if (logger !== undefined) mustHaveLevels('logger', logger);
  if (telemetry !== undefined && telemetry !== 'opentelemetry') throw refused(`telemetry is ${shown(telemetry)}. It can be 'opentelemetry'.`);
  return { logger, metrics: metrics === undefined ? undefined : metricsOf(metrics), telemetry };
}

function metricsOf(metrics: MetricsOptions): NonNullable<ResolvedObserve['metrics']> {
  checkOptionNames('metrics', metrics, { port: true, host: true, ready: true });
  const { port, host = HOST, ready = {} } = metrics;
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw refused(`metrics.port is ${shown(port)}. Give a whole number from 0 (any that is free) to 65535.`);
  if (typeof host !== 'string' || host === '')
    throw refused(`metrics.host is ${shown(host)}. Give an address of this machine: '127.0.0.1', or '0.0.0.0' for all.`);
  checkOptionNames('metrics.ready', ready, { lag: true, epochAge: true });
  const { lag, epochAge = EPOCH_AGE } = ready;
  if (lag !== undefined && !(typeof lag === 'number' && lag >= 0)) throw refused(`metrics.ready.lag is ${shown(lag)}. Give a number from 0 on.`);
  return { port, host, ready: { lag, epochAgeMs: durationMs(epochAge, 'metrics.ready.epochAge', 1) } };
}

function refused(message: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_OPTION', message);
}
