/**
 * OpenTelemetry: the same metrics, and a span for each epoch, through `@opentelemetry/api`. The application brings the
 * SDK and says where it goes; without one the API does nothing. The package is loaded when it is asked for.
 *
 * Names follow OpenTelemetry: `millrace_rows_in_total` is `millrace.rows.in`, and a unit is no part of a name. An
 * exporter for Prometheus makes the same names of them again, but for the dots.
 */

import type { Histogram as ApiHistogram, Attributes, Observable } from '@opentelemetry/api';
import { MillraceError } from '../../core/index.ts';
import { packageVersion } from '../checkpoint/index.ts';
import { type JobWatch, PHASES, secondsByPhase, type WatchListener } from './job-watch.ts';
import { jobMetrics, type MetricFamily } from './metrics.ts';

const SCOPE = 'millrace';

/**
 * Registers the instruments of a job, and listens to its epochs.
 *
 * @returns ends it
 * @throws MillraceError ERR_MILLRACE_OPTION when the package is not installed
 */
export async function openTelemetry(watch: JobWatch): Promise<() => void> {
  const { metrics, trace, SpanStatusCode } = await loaded();
  const meter = metrics.getMeter(SCOPE, packageVersion());
  const tracer = trace.getTracer(SCOPE, packageVersion());
  const { pipeline } = watch.log;
  const observables = new Map<string, Observable>();
  const histograms = new Map<string, ApiHistogram>();
  for (const { name, type, help } of jobMetrics(watch)) {
    const [of, options] = [telemetryName(name), { description: help, unit: unitOf(name) }];
    if (type === 'histogram') histograms.set(name, meter.createHistogram(of, options));
    else observables.set(name, type === 'counter' ? meter.createObservableCounter(of, options) : meter.createObservableGauge(of, options));
  }
  const observe = (result: { observe(instrument: Observable, value: number, attributes?: Attributes): void }): void => {
    for (const { name, samples } of jobMetrics(watch)) {
      const instrument = observables.get(name);
      if (instrument === undefined) continue;
      for (const { labels, value } of samples) if (typeof value === 'number') result.observe(instrument, value, labels);
    }
  };
  const all = [...observables.values()];
  meter.addBatchObservableCallback(observe, all);
  const listener: WatchListener = {
    epoch: (times) => {
      const seconds = secondsByPhase(times);
      const spent = PHASES.filter((phase) => phase !== 'checkpoint' || times.checkpointMs > 0);
      for (const phase of spent) histograms.get('millrace_epoch_duration_seconds')?.record(seconds[phase], { pipeline, phase });
      histograms.get('millrace_epoch_intake_bytes')?.record(times.bytes, { pipeline });
      const endMs = Date.now();
      let atMs = endMs - 1_000 * PHASES.reduce((sum, phase) => sum + seconds[phase], 0);
      const attributes: Attributes = { 'millrace.pipeline': pipeline, 'millrace.epoch': times.epoch, 'millrace.epoch.bytes': times.bytes };
      for (const phase of spent) attributes[`millrace.epoch.${phase}_seconds`] = seconds[phase];
      const span = tracer.startSpan('millrace.epoch', { startTime: atMs, attributes });
      for (const phase of spent) {
        atMs += seconds[phase] * 1_000;
        span.addEvent(`${phase} done`, undefined, atMs);
      }
      span.setStatus({ code: SpanStatusCode.OK });
      span.end(endMs);
    },
    checkpoint: ({ ms }) => histograms.get('millrace_checkpoint_duration_seconds')?.record(ms / 1_000, { pipeline }),
    sinkWrite: (sink, seconds) => histograms.get('millrace_sink_write_duration_seconds')?.record(seconds, { pipeline, sink }),
  };
  watch.listeners.push(listener);
  return () => {
    meter.removeBatchObservableCallback(observe, all);
    watch.listeners.splice(watch.listeners.indexOf(listener), 1);
  };
}

/** `millrace_rows_in_total` as `millrace.rows.in`: without what says the kind and the unit. */
export function telemetryName(name: MetricFamily['name']): string {
  return name
    .replace(/_total$/, '')
    .replace(/_(seconds|bytes)$/, '')
    .replaceAll('_', '.');
}

function unitOf(name: string): string {
  const base = name.replace(/_total$/, '');
  if (base.endsWith('_seconds')) return 's';
  if (base.endsWith('_bytes')) return 'By';
  return '1';
}

async function loaded(): Promise<typeof import('@opentelemetry/api')> {
  try {
    return await import('@opentelemetry/api');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new MillraceError('ERR_MILLRACE_OPTION', "telemetry is 'opentelemetry', which needs the package @opentelemetry/api: npm i @opentelemetry/api", {
      cause,
    });
  }
}
