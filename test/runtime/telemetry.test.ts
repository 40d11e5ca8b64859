/** OpenTelemetry: the metrics and spans of a job, as the real SDK gets them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metrics, trace } from '@opentelemetry/api';
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { run } from '../../runtime/index.ts';
import { jobMetrics } from '../../runtime/observe/index.ts';
import { telemetryName } from '../../runtime/observe/telemetry.ts';
import { until } from './until.ts';

const module = new URL('./pipelines/observed.ts', import.meta.url);
const attributes = { pipeline: 'observed "pipeline"' };

test('the SDK gets what the text has, and a span for each epoch', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const spans = new InMemorySpanExporter();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));

  const job = await run(module, { workers: 1, trigger: 20, telemetry: 'opentelemetry', params: { rows: 100_000_000, rowsPerSecond: 5_000 } });
  await until(() => job.progress().rowsOut > 0, 'output');
  job.pause();
  await until(() => job.progress().epochsUnderWay === 0 && job.progress().epochBytes === 0, 'the rest');
  await reader.forceFlush();
  const exported = exporter.getMetrics().at(-1)?.scopeMetrics ?? [];
  assert.deepEqual(
    exported.map(({ scope }) => scope.name),
    ['millrace'],
  );
  const found = new Map(exported.flatMap(({ metrics }) => metrics).map((metric) => [metric.descriptor.name, metric]));
  const { rowsIn } = job.progress();
  const rows = found.get('millrace.rows.in');
  assert.equal(
    rows?.dataPoints.reduce((sum, { value }) => sum + (value as number), 0),
    rowsIn,
  );
  assert.deepEqual(rows?.dataPoints[0]?.attributes, { ...attributes, source: job.progress().partitions[0]?.source, partition: 0 });
  assert.deepEqual([found.get('millrace.state')?.descriptor.unit, found.get('millrace.epoch.duration')?.descriptor.unit], ['By', 's']);
  const epochs = job.watch.phases.merge.count;
  const merged = found.get('millrace.epoch.duration')?.dataPoints.find((point) => point.attributes['phase'] === 'merge');
  assert.equal((merged?.value as { count: number } | undefined)?.count, epochs);

  const ended = spans.getFinishedSpans();
  assert.equal(ended.length, epochs);
  const [span] = ended;
  assert.equal(span?.name, 'millrace.epoch');
  assert.deepEqual([span?.attributes['millrace.pipeline'], span?.attributes['millrace.epoch']], [attributes.pipeline, 0]);
  assert.deepEqual(
    span?.events.map(({ name }) => name),
    ['intake done', 'merge done', 'write done', 'commit done'],
  );
  await job.stop();

  assert.deepEqual(job.watch.listeners, [], 'it ends with the job');
});

test('each metric has a name of its own there, and says its unit', async () => {
  const job = await run(module, { workers: 1, params: { rows: 100 } });
  await job.done;
  const names = jobMetrics(job.watch).map(({ name }) => telemetryName(name));
  assert.equal(new Set(names).size, names.length, `two of ${names.join(', ')} are the same`);
  assert.ok(names.every((name) => /^millrace(\.[a-z]+)+$/.test(name)));
});
