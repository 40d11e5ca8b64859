/**
 * The demo, which `npm start` runs. It makes page clicks, counts them per page and minute, and checks the
 * result against a plain loop over the same clicks. It uses the embedded log in a temporary folder, or Kafka.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duration, durationMs } from '../../core/index.ts';
import { type RunOptions, run } from '../job/index.ts';
import { grouped, ProgressPrinter } from '../observe/index.ts';
import { runKilled } from './killed.ts';
import { example, type Place } from './place.ts';
import { checksum, expectedResult, type PageMinute, printTopPages } from './result.ts';

export interface DemoOptions {
  readonly rows?: number;
  readonly workers?: number;
  readonly trigger?: Duration;
  readonly brokers?: string;
  readonly format: 'json' | 'arrow';
  readonly sinkDelay?: Duration;
  /** Kills the job's process about so often, exactly-once, on the embedded log. */
  readonly killEvery?: Duration;
  /** How many times at most. */
  readonly kills?: number;
  /** So many processes share the job, exactly-once, over Kafka. */
  readonly processes?: number;
  /** Into how many tasks it is parted then. */
  readonly tasks?: number;
  readonly seed?: number;
  readonly json: boolean;
  /** Of the job that counts. */
  readonly metrics?: RunOptions['metrics'];
  readonly dashboard?: RunOptions['dashboard'];
  readonly logger?: RunOptions['logger'];
}

/** The code that a shell reports for a program ended by Ctrl-C. */
const EXIT_INTERRUPTED = 130;

/** Runs it all. Returns whether the result is right. */
export async function demo(options: DemoOptions): Promise<boolean> {
  const { rows = 5_000_000, workers = Math.max(2, availableParallelism() - 1), seed = 1, format } = options;
  const say = (text: string) => (options.json ? process.stderr : process.stdout).write(`${text}\n`);
  const place = options.brokers === undefined ? await onLog() : await (await import('./on-kafka.ts')).onKafka(options.brokers);
  // Gigabytes of clicks must not stay behind.
  const interrupted = () => void place.close().finally(() => process.exit(EXIT_INTERRUPTED));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  try {
    const params = { ...place.params, format, rows, seed };
    say(`making ${grouped(rows)} clicks as ${format} ...`);
    const madeSeconds = await runToEnd(example(place.makeClicks), { workers, trigger: 'availableNow', params });
    const crew =
      options.processes === undefined ? `${workers} worker${workers === 1 ? '' : 's'}` : `${options.processes} process${options.processes === 1 ? '' : 'es'}`;
    say(`made in ${madeSeconds.toFixed(1)} s; counting them per page and minute with ${crew} ...`);
    const expected = await expectedResult(rows, seed);

    const job = example(place.mainJob);
    const startedAt = performance.now();
    const killed =
      options.killEvery === undefined
        ? undefined
        : await runKilled({
            module: job,
            params,
            workers,
            dir: join(place.params['dir'] as string, 'state'),
            everyMs: durationMs(options.killEvery, 'kill-every', 1),
            times: options.kills ?? Number.POSITIVE_INFINITY,
            seed,
            say,
          });
    const shared =
      options.processes === undefined
        ? undefined
        : await (await import('./shared.ts')).runShared({
            module: job,
            place,
            params,
            processes: options.processes,
            tasks: options.tasks ?? 8,
            dir: await mkdtemp(join(tmpdir(), 'millrace-demo-')),
            count: expected.length,
            trigger: String(options.trigger ?? '100ms'),
          });
    const seconds =
      shared !== undefined
        ? shared.seconds
        : killed !== undefined
          ? (performance.now() - startedAt) / 1_000
          : await runToEnd(job, {
              workers,
              params,
              // All clicks are there, but the log has no end, and its last windows are checked, too.
              bounded: true,
              drain: 'emit',
              ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
              ...(options.dashboard === undefined ? {} : { dashboard: options.dashboard }),
              ...(options.logger === undefined ? {} : { logger: options.logger }),
              ...(options.trigger === undefined ? {} : { trigger: options.trigger }),
              ...(options.sinkDelay === undefined ? {} : { sinkDelay: options.sinkDelay }),
            });
    const maxRssBytes = process.resourceUsage().maxRSS * 1_024;
    const result = shared?.result ?? (await readResults(place));
    const sum = checksum(result);
    const isVerified = sum === checksum(expected);

    if (!options.json) printTopPages(result);
    say(
      `${grouped(rows)} rows in ${seconds.toFixed(2)} s: ${grouped(rows / seconds)} rows/s; ${grouped(result.length)} results, checksum ${sum}, ${isVerified ? 'as the plain loop has it' : `but the plain loop has ${grouped(expected.length)} results with checksum ${checksum(expected)}`}`,
    );
    if (killed?.kills === 0) say('0 kills: the job was over before its time. Give more --rows, or a shorter --kill-every.');
    else if (killed !== undefined)
      say(`${killed.kills} kill${killed.kills === 1 ? '' : 's'}, ${isVerified ? 'no result lost, none twice' : 'AND THE RESULT IS WRONG'}`);
    if (options.json) {
      console.log(
        JSON.stringify({
          rows,
          windows: result.length,
          seconds,
          rowsPerSecond: Math.round(rows / seconds),
          maxRssBytes,
          checksum: sum,
          verified: isVerified,
          ...killed,
          ...(shared === undefined
            ? {}
            : { processes: options.processes, cpuSeconds: shared.cpuSeconds, rowsPerCpuSecond: Math.round(rows / shared.cpuSeconds) }),
        }),
      );
    }
    return isVerified;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupted);
    await place.close();
  }
}

async function readResults(place: Place): Promise<readonly PageMinute[]> {
  const module = new URL(`./results.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
  await (await run(module, { workers: 1, trigger: 'availableNow', params: place.results })).done;
  return (await import('./results.ts')).results.rows as unknown as readonly PageMinute[];
}

async function onLog(): Promise<Place> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-demo-'));
  return {
    makeClicks: 'clicks-data',
    mainJob: 'clicks',
    params: { dir },
    results: { dir },
    close: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }),
  };
}

/**
 * Runs a module until its source is drained, with progress. Returns the seconds from start to the last
 * commit.
 */
async function runToEnd(module: URL, options: RunOptions): Promise<number> {
  const startedAt = performance.now();
  const job = await run(module, options);
  const printer = new ProgressPrinter('text');
  job.on('progress', (progress) => printer.show(progress));
  await job.done;
  printer.end(job.progress());
  return (performance.now() - startedAt) / 1_000;
}
