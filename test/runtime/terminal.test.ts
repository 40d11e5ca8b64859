/** `millrace top`: against a job that runs, and what it reads back and shows against numbers by hand. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { commandLine } from '../../runtime/command-line.ts';
import { run } from '../../runtime/index.ts';
import { top } from '../../runtime/terminal/index.ts';
import { samplesOf } from '../../runtime/terminal/scrape.ts';
import { screen } from '../../runtime/terminal/screen.ts';
import { until } from './until.ts';

const observed = new URL('./pipelines/observed.ts', import.meta.url);

test('of a running job, until it ends', async () => {
  const job = await run(observed, { workers: 1, metrics: { port: 0 }, params: { rows: 100_000_000, rowsPerSecond: 2_000 } });
  await until(() => job.progress().rowsIn > 0, 'rows');
  let once = '';
  await top(job.url as string, { intervalMs: 200, once: true }, { write: (text) => void (once += text) });
  assert.match(once, /^observed "pipeline": running, 0 restarts\n\nrows in +[\d,]+ {2}[\d,.]+ rows\/s\n/);
  assert.match(once, /^generator +0 +[\d,]+ +\S+$/m);
  let shown = '';
  const watching = top(job.url as string, { intervalMs: 100, once: false }, { isTTY: true, write: (text) => void (shown += text) });
  await until(() => shown.split('\x1b[H').length > 3, 'three screens');
  await job.stop({ drain: false });
  await watching;
  assert.match(shown, /The job has ended, or answers no more at http:.*\/metrics\.\n$/);
});

const scraped = (atMs: number, text: string) => ({ atMs, samples: samplesOf(text) });
const head = 'millrace_job_state{pipeline="a \\"b\\" \\\\ c",state="running"} 1\nmillrace_job_state{pipeline="x",state="failed"} 0\n';

test('rates, time to catch up, and what is unknown', () => {
  const at = (rows: number, lag: number) =>
    `${head}# HELP x\nmillrace_rows_in_total{source="kafka a b",partition="0"} ${rows}\nmillrace_rows_in_total{source="kafka a b",partition="1"} 5\nmillrace_lag{source="kafka a b",partition="0"} ${lag}\nmillrace_lag{source="kafka a b",partition="1"} 0\n`;
  const text = screen(scraped(3_000, at(2_100, 600)), scraped(1_000, at(100, 1_000)));
  assert.match(text, /^a "b" \\ c: running, - restarts$/m);
  assert.match(text, /^rows in +2,105 {2}1,000 rows\/s$/m);
  assert.match(text, /^rows out +-$/m);
  assert.match(text, /^lag +600 {2}caught up in 3\.0 s$/m);
  assert.match(text, /^kafka a b +0 +2,100 +600$/m);
  assert.match(screen(scraped(3_000, at(1, 700)), scraped(1_000, at(1, 600))), /^lag +700 {2}grows$/m);
  assert.match(screen(scraped(3_000, at(1, 700)), undefined), /^lag +700$/m);
});

test('more partitions than a screen has room for: those furthest behind', () => {
  const lines = Array.from(
    { length: 500 },
    (_, i) => `millrace_rows_in_total{source="s",partition="${i}"} 1\nmillrace_lag{source="s",partition="${i}"} ${i}\n`,
  );
  const text = screen(scraped(0, head + lines.join('')), undefined);
  assert.match(text, /^s +499 +1 +499$/m);
  assert.match(text, /^and 480 more with less lag$/m);
});

async function called(t: TestContext, ...args: string[]): Promise<{ code: number; err: string }> {
  let err = '';
  const mock = t.mock.method(console, 'error', (text: string) => void (err += text));
  const code = await commandLine(['top', ...args]);
  mock.mock.restore();
  return { code, err };
}

test('what is no job is refused', async (t) => {
  const other = createServer((_, answer) => answer.end('hello 1\n'));
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const before = await called(t, `127.0.0.1:${port}`);
  assert.deepEqual([before.code, /is no job of millrace/.test(before.err)], [1, true], before.err);
  await new Promise((resolve) => other.close(resolve));
  const gone = await called(t, `http://127.0.0.1:${port}/metrics`);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /ERR_MILLRACE_SOURCE: No job answers at http:.*ECONNREFUSED/);
  for (const [args, message] of [
    [['http://:x'], /top got "http:\/\/:x"/],
    [[], /give one URL/],
    [['a', '--interval', 'soon'], /--interval/],
  ] as const) {
    const { code, err } = await called(t, ...args);
    assert.equal(code, 2, err);
    assert.match(err, message);
  }
});
