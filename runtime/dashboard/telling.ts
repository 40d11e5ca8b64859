/**
 * What the page is told, as plain data: the plan and what is kept of the past to begin with, then what is new, twice a
 * second. Names of fields are those of `Progress`, and secrets are masked as in the log.
 */

import { dataWithoutSecrets, withoutSecrets } from '../../core/index.ts';
import type { EpochTimes, JobWatch, LogLine, Progress, ProgressSample } from '../observe/index.ts';
import type { EventSource } from './event-stream.ts';

export class Telling implements EventSource {
  readonly #watch: JobWatch;
  #epoch = -1;
  #lineAtMs = Number.NEGATIVE_INFINITY;
  #lines = 0;

  constructor(watch: JobWatch) {
    this.#watch = watch;
    watch.keepHistory();
  }

  whole(): object {
    const watch = this.#watch;
    return {
      pipeline: watch.log.pipeline,
      startedAtMs: watch.startedAtMs,
      pid: process.pid,
      graph: watch.graph,
      history: watch.history.map(sampleText),
      epochs: watch.recentEpochs.all.map(epochText),
      lines: watch.log.lines.map(lineText),
      now: nowText(watch),
    };
  }

  news(): object {
    const watch = this.#watch;
    const epochs = watch.recentEpochs.all.filter(({ epoch }) => epoch > this.#epoch || epoch + 1_000 < this.#epoch);
    const last = epochs.at(-1);
    if (last !== undefined) this.#epoch = last.epoch;
    const lines = this.#newLines(watch.log.lines);
    return { epochs: epochs.map(epochText), lines: lines.map(lineText), now: nowText(watch) };
  }

  #newLines(lines: readonly LogLine[]): readonly LogLine[] {
    const { debug: _, ...counts } = this.#watch.log.counts;
    const count = Object.values(counts).reduce((sum, one) => sum + one, 0);
    const fresh = Math.min(lines.length, count - this.#lines);
    this.#lines = count;
    this.#lineAtMs = lines.at(-1)?.atMs ?? this.#lineAtMs;
    return fresh === 0 ? [] : lines.slice(-fresh);
  }
}

function nowText(watch: JobWatch): object {
  const progress = watch.progress();
  const { state, rowsIn, rowsOut, rowsPerSecond, rowsPerSecondNow, lag, epoch, committedEpoch, epochsUnderWay, seconds, restarts } = progress;
  return {
    atMs: Date.now(),
    state,
    rowsIn,
    rowsOut,
    rowsPerSecond,
    rowsPerSecondNow,
    bytesIn: progress.bytesIn + watch.carried.bytesIn,
    lag,
    watermark: timeText(progress.watermark),
    epoch,
    committedEpoch,
    epochsUnderWay,
    seconds,
    restarts,
    memory: progress.memory,
    stateBytes: progress.stateBytes,
    spilledBytes: progress.spilledBytes,
    backPressure: progress.backPressure,
    lastCheckpoint: progress.lastCheckpoint,
    ledger: progress.ledger,
    samples: progress.samples.map(({ reason, source, partition, offset, message }) => ({
      reason,
      source: withoutSecrets(source),
      partition,
      offset,
      message: withoutSecrets(message),
    })),
    partitions: partitionsText(progress),
    sinks: [...watch.sinks].map(([name, { rows, bytes }]) => ({ name, rows, bytes, retries: watch.retries.get(name) ?? 0, ...serverCounts(progress, name) })),
    sources: sourcesText(progress),
    tails: [...watch.tails].map(([sink, rows]) => ({ sink, rows: rows.all })),
  };
}

/** Of a sink that talks to a server. */
function serverCounts(progress: Progress, name: string): object {
  const found = progress.sinks.find(({ sink }) => withoutSecrets(sink) === name);
  if (found === undefined) return {};
  const { requests, refused, inFlight, isWaiting } = found;
  return { requests, refused, inFlight, isWaiting };
}

function partitionsText({ partitions }: Progress): unknown[] {
  return partitions.map(({ source, partition, position, lag, watermark, rowsIn }) => [
    withoutSecrets(source),
    partition,
    position ?? null,
    lag ?? null,
    timeText(watermark),
    rowsIn,
  ]);
}

function sourcesText({ partitions }: Progress): object[] {
  const sources = new Map<string, number>();
  for (const { source, rowsIn } of partitions) sources.set(source, (sources.get(source) ?? 0) + rowsIn);
  return [...sources].map(([name, rows]) => ({ name: withoutSecrets(name), rows }));
}

function sampleText({ atMs, rowsIn, rowsOut, bytesIn, lag, watermark, stateBytes, memoryBytes, backPressure }: ProgressSample): unknown[] {
  const { workers, epochs, output } = backPressure;
  return [atMs, rowsIn, rowsOut, bytesIn, lag ?? null, timeText(watermark), stateBytes, memoryBytes, workers, epochs, output];
}

function epochText({ epoch, bytes, intakeMs, mergeMs, writeMs, commitMs, checkpointMs }: EpochTimes): number[] {
  return [epoch, bytes, intakeMs, mergeMs, writeMs, checkpointMs, commitMs - checkpointMs].map((value) => Math.round(value * 100) / 100);
}

function lineText({ atMs, level, message, fields }: LogLine): object {
  const { plan: _, ...others } = fields as Record<string, unknown>;
  return { atMs, level, message, fields: dataWithoutSecrets(others) };
}

/** Infinities are no JSON: null before the first row, 'end' behind the last. */
function timeText(ms: number): number | string | null {
  if (Number.isFinite(ms)) return ms;
  return ms > 0 ? 'end' : null;
}
