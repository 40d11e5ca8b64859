/**
 * examples/monitoring, with a real Prometheus that scrapes a real job: every metric that the dashboard and the rules name is there,
 * every expression has an answer, and numbers are those of the job. Where Prometheus is missing the tests are skipped and say what to
 * install, except in CI, where they fail.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Job, run } from '../../runtime/index.ts';
import { jobMetrics, processMetrics } from '../../runtime/observe/index.ts';
import { until } from './until.ts';

const module = new URL('./pipelines/observed.ts', import.meta.url);
const examples = fileURLToPath(new URL('../../examples/monitoring/', import.meta.url));

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

/** Whether Prometheus is there; otherwise the test is marked as skipped. */
function hasPrometheus(t: TestContext): boolean {
  if (['prometheus', 'promtool'].every((name) => spawnSync(name, ['--version']).status === 0)) return true;
  const advice = 'Prometheus is not there: apt-get install prometheus';
  if (process.env['CI'] === 'true') throw new Error(advice);
  t.skip(advice);
  return false;
}

function promtool(args: readonly string[], input = ''): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', input });
  assert.equal(status, 0, `promtool ${args.join(' ')}:\n${stdout}${stderr}`);
  assert.equal(stderr.replaceAll(/^.*SUCCESS.*$/gm, '').trim(), '', 'nothing to object to');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

/** A Prometheus with the example's configuration, but for the target and how often it looks. */
async function startPrometheus(t: TestContext, target: string): Promise<string> {
  const dir = await folder(t);
  const config = (await readFile(join(examples, 'prometheus.yml'), 'utf8'))
    .replaceAll(': 10s', ': 1s')
    .replace('- alerts.yml', `- ${join(examples, 'alerts.yml')}`)
    .replace('127.0.0.1:9464', target);
  await writeFile(join(dir, 'prometheus.yml'), config);
  const port = await freePort();
  const args = [
    `--config.file=${join(dir, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ];
  const child: ChildProcess = spawn('prometheus', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  t.after(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    assert.equal(child.exitCode, null, said);
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true;
  }, 'Prometheus');
  return url;
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: { readonly result: readonly { readonly metric: Record<string, string>; readonly value: readonly [number, string] }[] };
}

async function query(url: string, expr: string): Promise<Answer> {
  return (await (await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expr })}`)).json()) as Answer;
}

/** The expressions of the dashboard, as Grafana would send them. */
async function dashboardExpressions(): Promise<string[]> {
  const dashboard = JSON.parse(await readFile(join(examples, 'grafana-dashboard.json'), 'utf8')) as Dashboard;
  const all = [...dashboard.panels.flatMap(({ targets }) => targets), ...dashboard.annotations.list].map(({ expr }) => expr);
  return all.map((expr) => expr.replaceAll('$pipeline', '.*').replaceAll('$__rate_interval', '30s'));
}

const namesIn = (text: string): string[] => [...new Set([...text.matchAll(/\b(?:millrace|process|nodejs)_[a-z_]+\b/g)].map(([name]) => name))];

/** By name of a family, or of what a histogram is made of. */
function knownNames(job: Job): Set<string> {
  return new Set(
    [...jobMetrics(job.watch), ...processMetrics()].flatMap(({ name, type }) =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
    ),
  );
}

test('the rules and the configuration are as promtool wants them, and so is the text of the metrics', async (t) => {
  if (!hasPrometheus(t)) return;
  promtool(['check', 'rules', join(examples, 'alerts.yml')]);
  promtool(['check', 'config', join(examples, 'prometheus.yml')]);
  const job = await run(module, {
    workers: 1,
    metrics: { port: 0 },
    checkpoint: { dir: await folder(t), interval: 1 },
    params: { rows: 10_000_000, rowsPerSecond: 1_000 },
  });
  await until(() => job.progress().rowsOut > 0 && job.progress().lastCheckpoint !== undefined, 'output');
  const text = await (await fetch(`${job.url}/metrics`)).text();
  await job.stop();
  promtool(['check', 'metrics'], text);
});

test('the dashboard and the rules name metrics that there are, and docs/OPERATIONS.md has each', async () => {
  const job = await run(module, { workers: 1, params: { rows: 100 } });
  await job.done;
  const known = knownNames(job);
  const named = [...(await dashboardExpressions()), await readFile(join(examples, 'alerts.yml'), 'utf8')]
    .flatMap(namesIn)
    .filter((name) => name !== 'millrace_job');
  assert.ok(named.length > 25);
  assert.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  );
  const operations = await readFile(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8');
  const families = [...jobMetrics(job.watch), ...processMetrics()].map(({ name }) => name);
  assert.deepEqual(
    families.filter((name) => !operations.includes(`| \`${name}\` |`)),
    [],
    'each metric has a line of its own',
  );
  const described = [...operations.matchAll(/^\| `((?:millrace|process|nodejs)_[a-z_]+)` \|/gm)].map(([, name]) => name as string);
  assert.deepEqual(
    described.filter((name) => !families.includes(name)),
    [],
    'and no line is of one that is gone',
  );
});

test('a real Prometheus scrapes a real job: every expression has an answer, and the numbers are those of the job', async (t) => {
  if (!hasPrometheus(t)) return;
  const job = await run(module, {
    workers: 1,
    metrics: { port: 0 },
    checkpoint: { dir: await folder(t), interval: 50 },
    params: { rows: 100_000_000, rowsPerSecond: 2_000 },
  });
  t.after(() => job.stop({ drain: false }));
  const url = await startPrometheus(t, new URL(job.url as string).host);
  const expressions = await dashboardExpressions();
  // Rates need two samples, and quantiles something that happened between them.
  let missing: string[] = expressions;
  const mayBeEmpty = (expr: string): boolean => / (>|==) \d+$/.test(expr) && !expr.startsWith('millrace_job_state');
  await until(async () => {
    const still: string[] = [];
    for (const expr of missing) {
      const { status, error, data } = await query(url, expr);
      assert.equal(status, 'success', `${expr}: ${error}`);
      if (data.result.length === 0 && !mayBeEmpty(expr)) still.push(expr);
    }
    missing = still;
    return still.length === 0;
  }, `answers to all ${expressions.length} expressions`).catch((error: Error) => assert.fail(`${error.message}. None came for:\n${missing.join('\n')}`));

  // At rest, what Prometheus has is what the job has.
  job.pause();
  await until(async () => {
    const { rowsIn, epochsUnderWay, epochBytes } = job.progress();
    const [rows] = (await query(url, 'sum(millrace_rows_in_total)')).data.result;
    return epochsUnderWay === 0 && epochBytes === 0 && rowsIn > 0 && Number(rows?.value[1]) === rowsIn;
  }, 'the same number of rows');
  const of = async (expr: string): Promise<number> => Number((await query(url, expr)).data.result[0]?.value[1]);
  const { rowsOut, ledger, partitions } = job.progress();
  assert.equal(await of('millrace_rows_out_total'), rowsOut);
  assert.equal(await of('millrace_ledger_rows_total{reason="late"}'), ledger.late);
  assert.equal(await of(`millrace_rows_in_total{partition="1"}`), partitions[1]?.rowsIn);
  assert.equal(await of('millrace_job_state{state="paused"}'), 1);
  assert.equal(await of('count(millrace_rows_in_total)'), 2);

  // The rules are loaded, and evaluated without an error; the job that is down is one that fires.
  const rules = async () =>
    (
      (await (await fetch(`${url}/api/v1/rules`)).json()) as {
        data: { groups: { rules: { name: string; health: string; state: string; lastError?: string }[] }[] };
      }
    ).data.groups.flatMap(({ rules }) => rules);
  await until(async () => (await rules()).every(({ health }) => health !== 'unknown'), 'the rules');
  for (const { name, health, lastError } of await rules()) assert.equal(health, 'ok', `${name}: ${lastError}`);
  assert.ok((await rules()).length >= 10);
  await job.stop();
  await until(async () => (await rules()).some(({ name, state }) => name === 'MillraceDown' && state !== 'inactive'), 'the alert of a job that is down');
});
