/**
 * The metrics of a job, as families of samples: the one list of what there is, by the conventions of Prometheus. The
 * text endpoint and OpenTelemetry both read it. Everything is computed when it is asked for.
 */

import { packageVersion } from '../checkpoint/index.ts';
import type { Histogram } from './histogram.ts';
import { type JobWatch, PHASES } from './job-watch.ts';
import type { Progress } from './progress.ts';

export interface MetricSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number | Histogram;
}

export interface MetricFamily {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly samples: readonly MetricSample[];
}

const STATES: readonly Progress['state'][] = ['standby', 'starting', 'joining', 'restoring', 'running', 'waiting', 'paused', 'draining', 'stopped', 'failed'];

type Value = number | Histogram | undefined;
type Samples = Value | Iterable<readonly [labels: Readonly<Record<string, string | number>>, value: Value]>;

/** The metrics of a job, all with the label `pipeline`. What is unknown is left out. */
export function jobMetrics(watch: JobWatch, nowMs = Date.now()): MetricFamily[] {
  const progress = watch.progress();
  const { carried, lastCheckpoint, lastEpochAtMs } = watch;
  const { memory, partitions, ledger, backPressure } = progress;
  const pipeline = watch.log.pipeline;
  const families: MetricFamily[] = [];
  const add = (name: string, type: MetricFamily['type'], help: string, of: Samples): void => {
    const all = of === undefined || typeof of === 'number' || !(Symbol.iterator in of) ? [[{}, of] as const] : [...of];
    const samples = all.flatMap(([labels, value]) =>
      value === undefined || (typeof value === 'number' && !Number.isFinite(value)) ? [] : [{ labels: { pipeline, ...labels }, value }],
    );
    families.push({ name: `millrace_${name}`, type, help, samples });
  };
  const byPartition = (value: (one: Progress['partitions'][number]) => Value) =>
    partitions.map((one) => [{ source: one.source, partition: one.partition }, value(one)] as const);
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);

  add('build_info', 'gauge', 'Version of the package and of Node.js; always 1.', [[{ version: packageVersion(), node: process.versions.node }, 1]]);
  add('start_timestamp_seconds', 'gauge', 'When the job was started, as a Unix time.', seconds(watch.startedAtMs));
  add(
    'job_state',
    'gauge',
    '1 for the state that the job is in, 0 for the others.',
    STATES.map((state) => [{ state }, progress.state === state ? 1 : 0] as const),
  );
  add('restarts_total', 'counter', 'How often the job has gone on from a checkpoint after a failure, in this process.', progress.restarts);

  add(
    'rows_in_total',
    'counter',
    'Rows taken in. Rows that are read again after a restart count again.',
    byPartition((one) => watch.rowsOf(one)),
  );
  add('rows_out_total', 'counter', 'Rows that sinks have written.', progress.rowsOut);
  add('received_bytes_total', 'counter', 'Bytes taken in from the sources.', carried.bytesIn + progress.bytesIn);
  add(
    'ledger_rows_total',
    'counter',
    'Rows that no result counts, by reason.',
    Object.entries(ledger).map(([reason, rows]) => [{ reason }, rows + (carried.ledger[reason] ?? 0)] as const),
  );

  add(
    'lag',
    'gauge',
    'What exists outside and is not read yet, in the unit of the source: records for Kafka and the log, bytes for files.',
    byPartition((one) => one.lag),
  );
  add('watermark_timestamp_seconds', 'gauge', 'The event time that the job has passed, as a Unix time.', seconds(progress.watermark));
  add('watermark_lag_seconds', 'gauge', 'How far the watermark of the job is behind the clock.', (nowMs - progress.watermark) / 1_000);
  add(
    'partition_watermark_lag_seconds',
    'gauge',
    'How far the event time of one partition is behind the clock.',
    byPartition((one) => (nowMs - one.watermark) / 1_000),
  );

  add('epochs_total', 'counter', 'Epochs that are written, with what they let be committed.', watch.phases.merge.count);
  add(
    'epoch_duration_seconds',
    'histogram',
    'What epochs spent in each phase; the phases follow each other.',
    PHASES.map((phase) => [{ phase }, watch.phases[phase]] as const),
  );
  add('epoch_intake_bytes', 'histogram', 'What epochs took in.', watch.epochBytes);
  add('open_epoch', 'gauge', 'The number of the epoch that is open.', progress.epoch);
  add('committed_epoch', 'gauge', 'The last epoch whose positions are committed; -1: none.', progress.committedEpoch);
  add('last_epoch_timestamp_seconds', 'gauge', 'When an epoch was finished last, as a Unix time.', seconds(lastEpochAtMs));

  add('checkpoint_duration_seconds', 'histogram', 'How long it took to make checkpoints.', watch.checkpoints);
  add('last_checkpoint_timestamp_seconds', 'gauge', 'When a checkpoint was made last, as a Unix time.', seconds(lastCheckpoint?.atMs));
  add('last_checkpoint_state_bytes', 'gauge', 'State in the last checkpoint, by the estimate of state_bytes.', lastCheckpoint?.stateBytes);

  add('state_bytes', 'gauge', 'State in memory; JavaScript values by estimate.', progress.stateBytes);
  add('spilled_bytes', 'gauge', 'State that is put away on disk.', progress.spilledBytes);
  add('memory_used_bytes', 'gauge', 'Shared memory in use: state, and what is under way.', memory.usedBytes);
  add('memory_limit_bytes', 'gauge', 'Shared memory that the job may use.', memory.totalBytes);

  add(
    'backpressure_seconds_total',
    'counter',
    'How long sources were not allowed to hand on more rows, by what they waited for.',
    (['workers', 'epochs', 'output'] as const).map((reason) => [{ reason }, carried.backPressure[reason] + backPressure[reason]] as const),
  );

  add(
    'sink_rows_total',
    'counter',
    'Rows written, by sink.',
    [...watch.sinks].map(([sink, { rows }]) => [{ sink }, rows] as const),
  );
  add(
    'sink_written_bytes_total',
    'counter',
    'Bytes written, by sink.',
    [...watch.sinks].map(([sink, { bytes }]) => [{ sink }, bytes] as const),
  );
  add(
    'sink_write_duration_seconds',
    'histogram',
    'How long a sink took to write its part of an epoch.',
    [...watch.sinks].map(([sink, { writes }]) => [{ sink }, writes] as const),
  );
  add(
    'retries_total',
    'counter',
    'Requests that were made again, by source or sink.',
    endpoints(watch).map((endpoint) => [{ endpoint }, watch.retries.get(endpoint) ?? 0] as const),
  );
  add(
    'log_lines_total',
    'counter',
    'Lines of the log of the job, by level.',
    Object.entries(watch.log.counts).map(([level, lines]) => [{ level }, lines] as const),
  );
  return families;
}

/** Those of the process, under the names that client libraries of Prometheus use. */
export function processMetrics(): MetricFamily[] {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const family = (name: string, type: 'counter' | 'gauge', help: string, value: number): MetricFamily => ({
    name,
    type,
    help,
    samples: [{ labels: {}, value }],
  });
  return [
    family('process_cpu_seconds_total', 'counter', 'CPU time of the process, all threads.', (user + system) / 1e6),
    family('process_resident_memory_bytes', 'gauge', 'Resident memory of the process.', rss),
    family('process_start_time_seconds', 'gauge', 'When the process was started, as a Unix time.', Date.now() / 1_000 - process.uptime()),
    family('nodejs_heap_size_used_bytes', 'gauge', 'Heap of the main thread in use.', heapUsed),
  ];
}

/** Sources and sinks that could try again, each once: a counter that begins at 0 shows its first increase. */
function endpoints(watch: JobWatch): string[] {
  return [...new Set([...watch.sourceNames, ...watch.sinks.keys(), ...watch.retries.keys()])];
}
