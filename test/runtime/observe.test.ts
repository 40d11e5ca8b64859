/** What a job tells of itself while it runs: the log, metrics as text and over HTTP, /live and /ready. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { type EpochTimes, type Logger, lineLogger, MillraceError, messageFirst, type RunOptions, run } from '../../runtime/index.ts';
import { Histogram } from '../../runtime/observe/histogram.ts';
import { type JobWatch, Routes, WatchServer } from '../../runtime/observe/index.ts';
import { PressureLog } from '../../runtime/observe/pressure-log.ts';
import { prometheusText } from '../../runtime/observe/prometheus-text.ts';
import { readiness } from '../../runtime/observe/readiness.ts';
import { Recent } from '../../runtime/observe/recent.ts';
import { SlowEpochs } from '../../runtime/observe/slow-epochs.ts';
import type { Params } from './pipelines/observed.ts';
import { until } from './until.ts';

const module = new URL('./pipelines/observed.ts', import.meta.url);
/** Small epochs, so that some rows are late. */
const start = (params: Params, options: RunOptions = {}) => run(module, { workers: 1, trigger: 20, epochBytes: '16KiB', ...options, params: { ...params } });

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A logger that keeps its lines. */
function kept(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields: fields as Record<string, unknown> });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The samples of a text, by name and labels as they are written. Everything in it must be well-formed. */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.trimEnd().split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (name !== undefined) types.set(name, type as string);
    if (line.startsWith('#')) continue;
    const parts = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (\S+)$/.exec(line);
    assert.ok(parts, line);
    const base = (parts[1] as string).replace(/_(bucket|sum|count)$/, '');
    assert.ok(types.has(parts[1] as string) || types.get(base) === 'histogram', `${line} has a type`);
    assert.ok(!samples.has(`${parts[1]}${parts[2] ?? ''}`), `${line} is there once`);
    samples.set(`${parts[1]}${parts[2] ?? ''}`, Number(parts[3]));
  }
  return samples;
}

/** Sums the samples of a name. */
function total(samples: ReadonlyMap<string, number>, name: string): number {
  return [...samples].filter(([of]) => of === name || of.startsWith(`${name}{`)).reduce((sum, [, value]) => sum + value, 0);
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const get = async (url: string): Promise<{ status: number; text: string; headers: Headers }> => {
  const response = await fetch(url);
  return { status: response.status, text: await response.text(), headers: response.headers };
};

test('metrics say what the job has done: rows, ledger, epochs, checkpoints, sinks', async (t) => {
  const job = await start({ rows: 20_000 }, { checkpoint: { dir: await folder(t), interval: 1 }, bounded: true });
  await job.done;
  const progress = job.progress();
  const samples = samplesOf(job.metrics());
  assert.equal(progress.rowsIn, 20_000);
  assert.equal(total(samples, 'millrace_rows_in_total'), 20_000);
  assert.equal([...samples.keys()].filter((name) => name.startsWith('millrace_rows_in_total{')).length, 2, 'one for each partition');
  assert.ok(progress.ledger.late > 0);
  assert.equal(samples.get('millrace_ledger_rows_total{pipeline="observed \\"pipeline\\"",reason="late"}'), progress.ledger.late);
  assert.equal(total(samples, 'millrace_rows_out_total'), progress.rowsOut);
  assert.equal(total(samples, 'millrace_sink_rows_total'), progress.rowsOut);
  assert.ok(progress.rowsOut > 0);
  assert.equal(total(samples, 'millrace_received_bytes_total'), progress.bytesIn);
  const epochs = total(samples, 'millrace_epochs_total');
  assert.ok(epochs > 0 && epochs === samples.get('millrace_epoch_duration_seconds_count{pipeline="observed \\"pipeline\\"",phase="merge"}'));
  assert.equal(total(samples, 'millrace_epoch_intake_bytes_count'), epochs);
  // What an epoch took in is weighed, frames included: no less than the bytes of its rows.
  assert.ok(total(samples, 'millrace_epoch_intake_bytes_sum') >= progress.bytesIn);
  assert.ok(total(samples, 'millrace_checkpoint_duration_seconds_count') > 0);
  assert.equal(total(samples, 'millrace_last_checkpoint_state_bytes'), progress.lastCheckpoint?.stateBytes);
  assert.equal(total(samples, 'millrace_job_state'), 1);
  assert.equal(samples.get('millrace_job_state{pipeline="observed \\"pipeline\\"",state="stopped"}'), 1);
  assert.equal(job.url, undefined);
});

test('epochs: the phases follow each other, and are what the older times are made of', async () => {
  const job = await start({ rows: 5_000 });
  await job.done;
  const { lastEpoch } = job.progress();
  assert.ok(lastEpoch !== undefined);
  assert.ok(lastEpoch.intakeMs >= 0 && lastEpoch.mergeMs >= 0 && lastEpoch.checkpointMs === 0);
  assert.ok(lastEpoch.intakeMs + lastEpoch.mergeMs <= lastEpoch.scanMs + 1e-6, 'scanMs begins when the epoch before was cut');
});

test('over HTTP: /metrics, /live, /ready, and nothing else; it ends with the job', async () => {
  const job = await start({ rows: 10_000_000, rowsPerSecond: 2_000 }, { metrics: { port: 0 } });
  const url = job.url as string;
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  await until(() => job.progress().rowsOut > 0, 'output');
  const metrics = await get(`${url}/metrics`);
  assert.equal(metrics.status, 200);
  assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(String(metrics.headers.get('content-security-policy')), /^default-src 'none'/);
  const samples = samplesOf(metrics.text);
  assert.ok(total(samples, 'millrace_rows_in_total') > 0);
  assert.ok(total(samples, 'process_resident_memory_bytes') > 1e6);
  assert.deepEqual([(await get(`${url}/live`)).status, (await get(`${url}/live?x=1`)).text], [200, '{"ok":true,"state":"running","because":[]}\n']);
  const missing = await get(`${url}/`);
  assert.deepEqual([missing.status, missing.text], [404, 'There is no /. There is: /metrics, /live, /ready\n']);
  for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await fetch(`${url}/metrics`, { method })).status, 405);
  // A name that somebody made point to this machine is none of ours.
  const foreign = await new Promise<number>((resolve, reject) => {
    request(`${url}/metrics`, { headers: { host: 'evil.example' } }, (response) => resolve(response.resume().statusCode ?? 0))
      .on('error', reject)
      .end();
  });
  assert.equal(foreign, 403);
  await job.stop();
  await assert.rejects(fetch(`${url}/live`));
});

test('/ready goes by state, lag and the age of the last epoch', async () => {
  const job = await start({ rows: 10_000_000, rowsPerSecond: 2_000 }, { metrics: { port: 0, ready: { lag: 1e9, epochAge: '1h' } } });
  const ready = async () => JSON.parse((await get(`${job.url}/ready`)).text) as { ok: boolean; state: string; because: string[] };
  await until(async () => (await ready()).ok, 'readiness');
  job.pause();
  await until(() => job.state === 'paused', 'the pause');
  const paused = await get(`${job.url}/ready`);
  assert.equal(paused.status, 503);
  assert.deepEqual(JSON.parse(paused.text), { ok: false, state: 'paused', because: ['the job is paused'] });
  job.resume();
  await until(async () => (await ready()).ok, 'readiness again');
  await job.stop();
});

test('/ready: a lag beyond its bound, and epochs that do not come while there is something to do, are said', () => {
  const bounds = { lag: 10, epochAgeMs: 1_000 };
  const verdict = (
    progress: { state?: string; lag: number | undefined; epochsUnderWay?: number; epochBytes?: number },
    lastEpochAtMs: number | undefined,
    of = bounds,
  ) => {
    const all = { state: 'running', epochsUnderWay: 0, epochBytes: 0, ...progress };
    return readiness({ progress: () => all, startedAtMs: 0, lastEpochAtMs } as unknown as JobWatch, of, 5_000).because;
  };
  assert.deepEqual(verdict({ lag: 10 }, 4_500), []);
  assert.deepEqual(verdict({ lag: 11 }, 4_500), ['the lag is 11, more than 10']);
  assert.deepEqual(verdict({ lag: undefined }, 4_500), ['the lag of a partition is not known yet']);
  assert.deepEqual(verdict({ lag: 11 }, 4_500, { ...bounds, lag: Number.POSITIVE_INFINITY }), []);
  const old = ['no epoch has been finished for 5 s, more than 1'];
  assert.deepEqual(verdict({ lag: 5 }, undefined), old, 'since the start');
  assert.deepEqual(verdict({ lag: 0, epochsUnderWay: 1 }, 0), old);
  assert.deepEqual(verdict({ lag: 0, epochBytes: 1 }, 0), old);
  assert.deepEqual(verdict({ lag: 0 }, 0), [], 'a job without rows makes no epochs');
  assert.deepEqual(verdict({ lag: 0, state: 'joining' }, 4_500), ['a source has reported nothing of its partitions yet']);
});

test('a port that is taken, and options that are wrong, are errors that say what to do', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  await assert.rejects(start({ rows: 1 }, { metrics: { port } }), {
    code: 'ERR_MILLRACE_OPTION',
    message: new RegExp(`port ${port}: the port is taken\\. Give another port`),
  });
  const wrong: [RunOptions, RegExp][] = [
    [{ metrics: { port: -1 } }, /metrics\.port is -1\. Give a whole number/],
    [{ metrics: { port: 0, host: '' } }, /metrics\.host is ""/],
    [{ metrics: { port: 0, ready: { lag: -1 } } }, /metrics\.ready\.lag is -1/],
    [{ metrics: { port: 0, ready: { epochAge: '5x' as '5s' } } }, /metrics\.ready\.epochAge is "5x"/],
    [{ logger: { info() {} } as unknown as Logger }, /logger has no function debug\. .*messageFirst/],
    [{ telemetry: 'statsd' as 'opentelemetry' }, /telemetry is "statsd"/],
    [{ signal: 'now' as unknown as AbortSignal }, /signal is "now"\. Give an AbortSignal/],
  ];
  for (const [options, message] of wrong) await assert.rejects(start({ rows: 1 }, options), { code: 'ERR_MILLRACE_OPTION', message });
});

test('the server: one table of routes; a route that throws is an answer, not an end', async (t) => {
  const routes = new Routes().add('/bad', () => {
    throw new MillraceError('ERR_MILLRACE_VIEW', 'no such view');
  });
  assert.throws(() => routes.add('/bad', () => {}), /has a route already/);
  const server = await WatchServer.open({ host: '::1', port: 0 }, routes).catch((error: MillraceError) => error);
  if (server instanceof MillraceError) return t.skip(`no IPv6 here: ${server.message}`);
  t.after(() => server.close());
  assert.match(server.url, /^http:\/\/\[::1\]:\d+$/);
  routes.add('/late', (_, response) => response.end('added later'));
  assert.deepEqual([(await get(`${server.url}/bad`)).status, (await get(`${server.url}/bad`)).text], [500, 'no such view\n']);
  assert.equal((await get(`${server.url}/late`)).text, 'added later');
});

test('the log tells the life of a job: start with the plan, open, first rows, checkpoints, stop with totals; nothing per row', async (t) => {
  const logger = kept();
  const dir = await folder(t);
  const options: RunOptions = { logger, checkpoint: { dir, interval: 1 }, bounded: true };
  await (await start({ rows: 20_000 }, options)).done;
  const told = logger.lines.map(({ message }) => message);
  const order = ['the job starts', 'sources and sinks are open', 'the first rows are in', 'a checkpoint is made', 'the job has stopped'];
  const places = order.map((message) => (message === 'a checkpoint is made' ? told.lastIndexOf(message) : told.indexOf(message)));
  assert.ok(
    places.every((place) => place >= 0),
    told.join('\n'),
  );
  assert.deepEqual(
    places,
    [...places].sort((a, b) => a - b),
  );
  const [first, last] = [logger.lines[0], logger.lines.at(-1)] as [Line, Line];
  assert.match((first.fields['plan'] as string[]).join('\n'), /^pipeline observed[\s\S]*exchange 0[\s\S]*sink 0: collect/);
  assert.deepEqual([first.fields['pipeline'], first.fields['guarantee'], first.fields['checkpoint']], ['observed "pipeline"', 'at-least-once', dir]);
  assert.deepEqual([last.level, last.fields['rowsIn']], ['info', 20_000]);
  assert.ok((last.fields['ledger'] as { late: number }).late > 0);
  // Per checkpoint there is a line at level debug; without those a job says some lines only.
  assert.ok(logger.lines.filter(({ level }) => level !== 'debug').length < 12);

  const again = kept();
  await (await start({ rows: 20_000 }, { ...options, logger: again })).done;
  const opened = again.lines.find(({ message }) => message.startsWith('sources and sinks are open'));
  assert.match(String(opened?.message), /goes on from a checkpoint/);
  assert.ok(Number(opened?.fields['checkpoint']) > 0);
});

test('warnings go to the log, and not to the process besides; a start that fails is said', async () => {
  const logger = kept();
  await assert.rejects(run(new URL('./pipelines/clicks.ts', import.meta.url), { logger, params: { dir: '/nowhere/at-all' } }));
  const last = logger.lines.at(-1);
  assert.deepEqual([last?.level, last?.message], ['error', 'the job could not start']);
  assert.match(String(last?.fields['code']), /^ERR_MILLRACE_/);
});

test('a logger that throws does not end the job', async () => {
  const warnings: string[] = [];
  const listen = (warning: Error) => void warnings.push(warning.message);
  process.on('warning', listen);
  const broken = () => {
    throw new Error('the disk is full');
  };
  const job = await start({ rows: 1_000 }, { logger: { debug: broken, info: broken, warn: broken, error: broken } });
  await job.done;
  await until(() => warnings.length > 0, 'the warning');
  process.removeListener('warning', listen);
  assert.equal(job.progress().rowsIn, 1_000);
  assert.deepEqual(warnings.filter((warning) => warning.includes('the disk is full')).length, 1);
});

test('pino fits as it is, console too, and what takes the message first through messageFirst', async () => {
  const texts: string[] = [];
  const sink = () =>
    new Writable({
      write(chunk, _, done) {
        texts.push(String(chunk));
        done();
      },
    });
  const { Console } = await import('node:console');
  const out = sink();
  const winstonLike = {
    ...Object.fromEntries(
      ['debug', 'info', 'warn', 'error'].map((level) => [level, (message: string, meta: object) => texts.push(`${level}: ${message} ${JSON.stringify(meta)}`)]),
    ),
  };
  const loggers: [Logger, RegExp][] = [
    [pino({ level: 'info' }, sink()), /"level":30,.*"pipeline":"observed \\"pipeline\\"".*"rowsIn":100,.*"msg":"the job has stopped"/],
    [new Console(out, out), /rowsIn: 100[\s\S]*the job has stopped/],
    [
      messageFirst(winstonLike as unknown as Parameters<typeof messageFirst>[0]),
      /info: the job has stopped \{"pipeline":"observed \\"pipeline\\"","rowsIn":100,/,
    ],
    [lineLogger({ out: { write: (text) => texts.push(text) } }), /^\d\d:\d\d:\d\d\.\d{3} info {2}the job has stopped rowsIn=100 /m],
    [
      lineLogger({ json: true, out: { write: (text) => texts.push(text) } }),
      /^\{"level":"info","time":"[^"]+","pipeline":"observed \\"pipeline\\"","rowsIn":100,.*"msg":"the job has stopped"\}$/m,
    ],
  ];
  for (const [logger, expected] of loggers) {
    texts.length = 0;
    await (await start({ rows: 100 }, { logger })).done;
    assert.match(texts.join(''), expected);
    assert.doesNotMatch(texts.join(''), /a checkpoint is made/);
  }
  assert.throws(() => messageFirst({} as Parameters<typeof messageFirst>[0]), {
    code: 'ERR_MILLRACE_OPTION',
    message: /messageFirst\(\) has no function debug/,
  });
  assert.throws(() => lineLogger({ level: 'loud' as 'warn' }), /level is "loud"\. Give one of debug, info, warn, error/);
});

test('the watch keeps samples, lines and the plan as data, each bounded', async () => {
  const job = await start({ rows: 10_000_000, rowsPerSecond: 5_000 });
  job.watch.keepHistory();
  await until(() => job.watch.history.length > 1, 'samples');
  const [first, second] = job.watch.history;
  assert.ok(first !== undefined && second !== undefined && second.rowsIn >= first.rowsIn && second.atMs > first.atMs);
  assert.equal(job.watch.history.at(-1)?.watermarks.length, 2);
  const { nodes, edges } = job.watch.graph;
  assert.deepEqual([...new Set(nodes.map(({ kind }) => kind))].sort(), ['exchange', 'sink', 'source', 'steps']);
  const ids = new Set(nodes.map(({ id }) => id));
  assert.ok(edges.length >= 3 && edges.every(({ from, to }) => ids.has(from) && ids.has(to)));
  assert.ok(
    job.watch.log.lines.some(({ message }) => message === 'the job starts'),
    'without a logger, too',
  );
  await job.stop();

  const recent = new Recent<number>(3);
  for (const n of [1, 2]) recent.push(n);
  assert.deepEqual([recent.all, recent.last], [[1, 2], 2]);
  for (const n of [3, 4, 5]) recent.push(n);
  assert.deepEqual([recent.all, recent.last], [[3, 4, 5], 5]);
});

test('histograms and the text format: cumulative buckets, escapes', () => {
  const histogram = new Histogram([1, 5]);
  for (const value of [1, 2, 5, 6]) histogram.record(value);
  const text = prometheusText([
    { name: 'h', type: 'histogram', help: 'a\\b\nc', samples: [{ labels: { x: 'q"\\\n' }, value: histogram }] },
    { name: 'none', type: 'gauge', help: 'none', samples: [] },
  ]);
  assert.equal(
    text,
    [
      '# HELP h a\\\\b\\nc',
      '# TYPE h histogram',
      'h_bucket{x="q\\"\\\\\\n",le="1"} 1',
      'h_bucket{x="q\\"\\\\\\n",le="5"} 3',
      'h_bucket{x="q\\"\\\\\\n",le="+Inf"} 4',
      'h_sum{x="q\\"\\\\\\n"} 14',
      'h_count{x="q\\"\\\\\\n"} 4',
      '',
    ].join('\n'),
  );
});

test('back-pressure is said when it lasts, with what rows wait for, and when it is over', () => {
  const logger = kept();
  const log = new PressureLog(logger);
  const of = (workers: number, epochs: number) => ({ workers, epochs, output: 0 });
  log.look(of(0, 0), 0);
  log.look(of(0, 1), 5_000);
  assert.deepEqual(logger.lines, [], 'a fifth of the time is none');
  log.look(of(0.5, 5.5), 10_000);
  log.look(of(1, 10), 15_000);
  assert.deepEqual(logger.lines, [{ level: 'info', message: 'back-pressure: rows wait for epochs to be written', fields: { share: 1, reason: 'epochs' } }]);
  log.look(of(1, 10.1), 20_000);
  assert.deepEqual(logger.lines.at(-1), { level: 'info', message: 'back-pressure is over', fields: { seconds: 15 } });
});

test('a slow epoch is said with what took long, at most once in ten seconds', () => {
  const logger = kept();
  const slow = new SlowEpochs(logger, 100);
  const epoch = (times: Partial<EpochTimes>): EpochTimes => ({
    ...{ epoch: 1, bytes: 9, scanMs: 0, writeMs: 0, commitMs: 0, intakeMs: 1e6, mergeMs: 0, checkpointMs: 0 },
    ...times,
  });
  slow.look(epoch({ mergeMs: 6_000 }), 0);
  slow.look(epoch({ writeMs: 4_999 }), 20_000);
  slow.look(epoch({ writeMs: 5_000 }), 30_000);
  slow.look(epoch({ writeMs: 6_000 }), 35_000);
  slow.look(epoch({ writeMs: 1_000, commitMs: 9_000, checkpointMs: 8_000 }), 45_000);
  assert.deepEqual(
    logger.lines.map(({ message, fields }) => [message, fields['othersBefore']]),
    [
      ['a slow epoch: it had to wait until the workers were up', undefined],
      ['a slow epoch: sinks took long to write it, or the epoch before it', undefined],
      ['a slow epoch: its checkpoint took long', 1],
    ],
  );
});

test('a slow sink is back-pressure, by the reason that it is', async () => {
  const job = await start({ rows: 3_000_000 }, { sinkDelay: '300ms' });
  await until(() => job.progress().backPressure.epochs > 0.5, 'back-pressure of epochs');
  await job.stop({ drain: false });
  const { backPressure } = job.progress();
  assert.ok(backPressure.epochs > backPressure.workers);
});
