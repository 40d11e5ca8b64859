/** --metrics and --log-level, as a process: what it serves and prints, and that it ends. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli, startCli } from './cli-process.ts';
import { until } from './until.ts';

const observed = 'test/runtime/pipelines/observed.ts';
const endless = ['--param', 'rows=100000000', '--param', 'rowsPerSecond=2000', '--workers', '1'];

test('--metrics and --log-level as JSON: one object a line, the address among them; SIGTERM ends it with totals', async () => {
  const cli = startCli(['run', observed, ...endless, '--metrics', '0', '--log-level', 'info', '--json']);
  const objects = () =>
    cli
      .stderr()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const line = (msg: string) => objects().find((object) => object['msg'] === msg);
  await until(() => cli.child.exitCode !== null || line('the first rows are in') !== undefined, 'the first rows');
  const metrics = await (await fetch(`${line('metrics are served')?.['url']}/metrics`)).text();
  assert.match(metrics, /^millrace_job_state\{pipeline="observed \\"pipeline\\"",state="running"\} 1$/m);
  cli.child.kill('SIGTERM');
  const { code, stderr } = await cli.ended;
  assert.equal(code, 0, stderr);
  const stopped = line('the job has stopped');
  assert.ok(Number(stopped?.['rowsIn']) > 0);
  assert.deepEqual([stopped?.['level'], stopped?.['pipeline']], ['info', 'observed "pipeline"']);
  // Progress is there as before.
  assert.equal(objects().at(-1)?.['rowsIn'], stopped?.['rowsIn']);
});

test('as text: the address, lines of the log, and progress; without --log-level only the address', async () => {
  const args = ['run', observed, '--workers', '1', '--param', 'rows=2000', '--metrics', '127.0.0.1:0'];
  const quiet = await runCli(args);
  assert.equal(quiet.code, 0, quiet.stderr);
  assert.match(quiet.stderr, /^metrics at http:\/\/127\.0\.0\.1:\d+\/metrics$/m);
  assert.doesNotMatch(quiet.stderr, /the job starts/);
  const told = await runCli([...args, '--log-level', 'debug']);
  assert.match(told.stderr, /^\d\d:\d\d:\d\d\.\d{3} info {2}metrics are served url=http:/m);
  assert.match(told.stderr, /info {2}the job has stopped rowsIn=2000 /);
  assert.match(told.stderr, /2,000 rows in/);
});

test('used wrongly: exit code 2, and what to give', async () => {
  for (const [args, message] of [
    [['--metrics', 'here'], /--metrics is "here": give a port, or host:port/],
    [['--metrics', '70000'], /metrics\.port is 70000/],
    [['--log-level', 'loud'], /--log-level is "loud": give one of debug, info, warn, error/],
  ] as const) {
    const { code, stderr } = await runCli(['run', observed, ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
});
