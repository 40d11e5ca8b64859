/** The command line, as a process wherever that matters: what it prints, how it ends, and that it ends by itself. */

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { format } from 'node:util';
import { commandLine } from '../../runtime/command-line.ts';
import { checksum, expectedResult } from '../../runtime/demo/result.ts';
import { readLog, run } from '../../runtime/index.ts';
import { kafkaDecode } from '../io/record-batch-harness.ts';
import { type CliProcess, runCli, startCli } from './cli-process.ts';
import { writeTopic } from './topics.ts';

const clicks = 'test/runtime/pipelines/clicks.ts';
const faulty = 'test/runtime/pipelines/faulty.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function clickValues(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, n) => JSON.stringify({ page: `/p${(from + n) % 4}`, ms: 8, at: (from + n) * 20 }));
}

const lines = (text: string) => text.trim().split('\n');

/** What the job wrote, from the topic `out`. */
async function readLogRows(dir: string): Promise<{ page: string; windowStart: number; clicks: number }[]> {
  const rows: { page: string; windowStart: number; clicks: number }[] = [];
  for await (const batch of readLog(dir, 'out')) {
    for (const { value } of (await kafkaDecode(batch.bytes)).records) rows.push(JSON.parse(String(value)) as (typeof rows)[number]);
  }
  return rows;
}

/** Waits until the process has written something; fails when it has ended without. */
async function until(cli: CliProcess, condition: () => boolean): Promise<void> {
  let ended = false;
  void cli.ended.then(() => {
    ended = true;
  });
  while (!condition()) {
    assert.ok(!ended, `the process has ended: ${cli.stderr()}`);
    await sleep(20);
  }
}

/** The same in this process: its exit code, and what it prints. */
async function called(t: TestContext, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' };
  const [log, error] = [
    t.mock.method(console, 'log', (...parts: unknown[]) => void (printed.stdout += `${format(...parts)}\n`)),
    t.mock.method(console, 'error', (...parts: unknown[]) => void (printed.stderr += `${format(...parts)}\n`)),
  ];
  try {
    return { code: await commandLine(args), ...printed };
  } finally {
    log.mock.restore();
    error.mock.restore();
  }
}

test('--help and --version', async (t) => {
  const help = await called(t, ['--help']);
  assert.equal(help.code, 0);
  for (const word of ['run <module>', 'explain <module>', 'demo', '--trigger', '--mermaid', '--brokers']) assert.ok(help.stdout.includes(word), word);
  const ofRun = await called(t, ['run', clicks, '--help']);
  assert.deepEqual([ofRun.code, ofRun.stderr], [0, '']);
  assert.match(ofRun.stdout, /run <module>[\s\S]*--checkpoint/);
  assert.doesNotMatch(ofRun.stdout, /--mermaid|--brokers/);
  const version = await runCli(['--version']);
  assert.equal(version.code, 0);
  const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  assert.equal(version.stdout.trim(), manifest.version);
});

test('used wrongly: exit code 2, what is wrong, and nothing on stdout', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /command is missing/],
    [['fly'], /"fly"/],
    [['run'], /one module, not 0/],
    [['run', clicks, 'second.ts'], /one module, not 2/],
    [['run', clicks, '--fast'], /--fast/],
    [['run', clicks, '--workers', 'two'], /--workers.*"two"/],
    [['run', clicks, '--workers', '0'], /workers is 0/],
    [['run', clicks, '--trigger', '5x'], /trigger.*"5x"/],
    [['run', clicks, '--memory', '1TB'], /memory.*1TB/],
    [['run', clicks, '--memory', '64MiB', '--at-limit', 'disk'], /atLimit is "disk".*'spill'/],
    [['run', clicks, '--memory', '1TB', '--at-limit', 'spill'], /memory.*1TB/],
    [['run', clicks, '--param', 'dir'], /--param.*"dir"/],
    [['demo', '--format', 'xml'], /--format.*"xml"/],
    [['demo', '--rows', '-5'], /--rows/],
    [['demo', 'more'], /"more"/],
    [['checkpoint', 'list', 'dir'], /checkpoint has no "list".*millrace checkpoint --help/],
    [['checkpoint', 'inspect', 'a', 'b'], /give one directory, not 2/],
  ];
  const check = ([args, message]: (typeof cases)[number], { code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }): void => {
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /^\s+at /m, 'no stack');
    assert.equal(lines(stderr).length, 1, stderr);
    if (stderr.startsWith('millrace:')) assert.match(stderr, /What there is: millrace (\w+ )?--help$/m);
    assert.equal(stdout, '');
  };
  for (const one of cases) check(one, await called(t, one[0]));
  // And as processes: one that the command line refuses, and one that the job refuses.
  for (const at of [4, 6]) check(cases[at] as (typeof cases)[number], await runCli(cases[at]?.[0] ?? []));
});

test('explain prints the plan, and the same as Mermaid, and opens nothing', async (t) => {
  const text = await runCli(['explain', clicks, '--param', 'dir=/nowhere']);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^pipeline clicks\n/);
  for (const part of [/source 0: log in/, /watermark 0: at - 1000 ms/, /exchange 0/, /clicks/, /sink 0: collect/]) assert.match(text.stdout, part);
  const mermaid = await called(t, ['explain', clicks, '--mermaid', '--param', 'dir=/nowhere']);
  assert.equal(mermaid.code, 0, mermaid.stderr);
  assert.match(mermaid.stdout, /^flowchart LR\n/);
  assert.match(mermaid.stdout, /x0\[\[/);
  assert.doesNotMatch(mermaid.stdout, /undefined|NaN/);
});

test('run: a job that fails says why and exits with 1', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'other', 1, []);
  const cases: [string[], RegExp][] = [
    [['run', 'not-there.ts'], /ERR_MILLRACE_MODULE: .*not-there/],
    [['run', faulty, '--param', 'how=missing column'], /ERR_MILLRACE_PIPELINE: .*"nope"/],
    [['run', faulty, '--param', 'how=throws', '--trigger', 'availableNow'], /ERR_MILLRACE_USER_FUNCTION: filter #1 failed.*77777.*no row like this/],
    [['run', clicks, '--param', `dir=${dir}`, '--trigger', 'availableNow'], /ERR_MILLRACE_TOPIC: .*"in".*other/],
  ];
  for (const [args, message] of cases) {
    const { code, signal, stderr } = await runCli(args);
    assert.equal(signal, null, `it hung: ${args.join(' ')}`);
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
  }
});

test('run: drains, says what it did, and exits with 0', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 2, [...clickValues(0, 3_000), 'no click']);
  const args = ['run', clicks, '--trigger', 'availableNow', '--workers', '2', '--param', `dir=${dir}`];
  const text = await runCli(args);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stderr, /only sink is collect\(\).*\.to\(stdout\(\)\)/);
  assert.match(text.stderr, /3,001 rows in, 0 out|3,001 rows in, (1[0-9]|20) out/, 'the last windows wait for the next run');
  assert.match(text.stderr, /1 rows undecodable/);
  assert.match(text.stderr, /undecodable: log in, partition 0, offset \d+: .*no click/);

  const json = await runCli([...args, '--drain', 'emit', '--json']);
  assert.equal(json.code, 0, json.stderr);
  const progress = JSON.parse(lines(json.stderr).at(-1) as string) as { rowsIn: number; rowsOut: number; ledger: { undecodable: number } };
  assert.equal(progress.rowsIn, 3_001);
  assert.equal(progress.rowsOut, 6 * 4);
  assert.equal(progress.ledger.undecodable, 1);
});

// The same function hears SIGTERM: silence.test.ts sends that.
test('run: what a start warns of is a line of ours, before anything else, in both forms', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, clickValues(0, 3_000));
  const args = ['run', clicks, '--param', `dir=${dir}`, '--param', 'out=true', '--trigger', 'availableNow', '--drain', 'emit'];
  assert.equal((await runCli(args)).code, 0);
  // As a crash leaves a segment in the middle of a write.
  const torn = async () => {
    const names = await readdir(dir, { recursive: true });
    const segment = names.find((name) => name.startsWith('out') && name.endsWith('.log')) as string;
    await appendFile(join(dir, segment), 'torn');
  };
  await torn();
  const text = await runCli(args);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stderr, /^The log segment .* had 4 bytes of an unfinished write behind offset \d+\. They are cut off\.$/m);
  assert.doesNotMatch(text.stderr, /\(node:|MillraceWarning/);
  await torn();
  const json = await runCli([...args, '--json']);
  assert.match((JSON.parse(lines(json.stderr)[0] as string) as { warning: string }).warning, /unfinished write/);
});

test('run: SIGINT drains what was read, commits, and exits with 0', async (t) => {
  const dir = await folder(t);
  const params = ['--param', `dir=${dir}`, '--param', 'group=g', '--param', 'out=true'];
  await writeTopic(dir, 'in', 2, clickValues(0, 3_000));
  const cli = startCli(['run', clicks, '--trigger', '20ms', '--workers', '2', '--json', ...params]);
  const hasRead = (rows: number) => () => lines(cli.stderr()).some((line) => line.startsWith('{') && (JSON.parse(line) as { rowsIn: number }).rowsIn === rows);
  await until(cli, hasRead(3_000));
  // A second lot closes the windows of the first, whose positions may then be committed.
  await writeTopic(dir, 'in', 2, clickValues(3_000, 5_000), 1);
  await until(cli, hasRead(5_000));
  cli.child.kill('SIGINT');
  const { code, stderr } = await cli.ended;
  assert.equal(code, 0, stderr);
  const last = JSON.parse(lines(stderr).at(-1) as string) as { rowsIn: number; committedEpoch: number };
  assert.equal(last.rowsIn, 5_000);
  assert.ok(last.committedEpoch >= 0, 'windows that were closed are committed');

  // What comes later goes on from there.
  await writeTopic(dir, 'in', 2, clickValues(5_000, 6_000), 2);
  const rest = await run(new URL('./pipelines/clicks.ts', import.meta.url), {
    trigger: 'availableNow',
    drain: 'emit',
    params: { dir, group: 'g', out: true },
  });
  assert.equal((await rest.done).rowsIn, 3_000);
  const counts = new Map<string, number>();
  for (const row of await readLogRows(dir)) counts.set(`${row.page} ${row.windowStart}`, row.clicks);
  // 500 clicks every ten seconds, on four pages in turn.
  assert.equal(counts.size, 12 * 4);
  for (const [key, clicks] of counts) assert.equal(clicks, 125, key);
});

test('run: a job that fails while it drains is told once, without a stack of ours', async () => {
  const cli = startCli(['run', 'test/runtime/pipelines/trouble.ts', '--param', 'how=endless, sink fails', '--trigger', '10ms', '--json']);
  await until(cli, () => cli.stderr().includes('"rowsIn"'));
  cli.child.kill('SIGINT');
  const { code, signal, stderr } = await cli.ended;
  assert.equal(signal, null);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^ERR_MILLRACE_SINK: The sink troubled failed: disk full$/m);
  assert.doesNotMatch(stderr, /^\s+at |Unhandled/m);
});

test('demo: Ctrl-C leaves nothing behind', async (t) => {
  const dir = await folder(t);
  const cli = startCli(['demo', '--rows', '100000000'], { env: { TMPDIR: dir } });
  await until(cli, () => cli.stderr().includes('rows in'));
  cli.child.kill('SIGINT');
  const { code, stderr } = await cli.ended;
  assert.equal(code, 130, stderr);
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith('millrace')),
    [],
  );
});

test('demo prints a table, and leaves nothing in the temporary folder, neither when it fails', async (t) => {
  const dir = await folder(t);
  const args = ['demo', '--rows', '20000', '--trigger', '50ms', '--sink-delay', '10ms', '--workers', '1'];
  const text = await startCli(args, { env: { TMPDIR: dir } }).ended;
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /minute +page +clicks +mean ms/);
  assert.match(text.stdout, /\/page\/0 /);
  assert.ok(text.stdout.includes(`checksum ${checksum(await expectedResult(20_000, 1))}`));
  const bad = await startCli(['demo', '--rows', '2000', '--workers', '1000'], { env: { TMPDIR: dir } }).ended;
  assert.equal(bad.code, 2, bad.stderr);
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith('millrace')),
    [],
  );
});
