/** The demo's job: the same result, bit for bit, however many workers and whatever the trigger, and as a plain loop has it. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checksum, expectedResult, type PageMinute } from '../../runtime/demo/result.ts';
import { type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { effortCount } from '../seed.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { runCli, startProcess } from './cli-process.ts';
import { clickLines, expectedClicks } from './clicks-model.ts';
import { results } from './pipelines/main-job.ts';

const ROWS = 200_000;
const SEED = 7;
const example = (name: string) => new URL(`../../examples/${name}.ts`, import.meta.url);
const mainJob = new URL('./pipelines/main-job.ts', import.meta.url);

const dirs = { json: '', arrow: '' };
let expected: string[] = [];

before(async () => {
  for (const format of ['json', 'arrow'] as const) {
    dirs[format] = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    const job = await run(example('clicks-data'), {
      workers: 2,
      trigger: 'availableNow',
      drain: 'emit',
      params: { dir: dirs[format], rows: ROWS, seed: SEED, format },
    });
    assert.equal((await job.done).rowsOut, ROWS);
  }
  expected = expectedClicks(ROWS, SEED);
});

after(async () => {
  for (const dir of Object.values(dirs)) await rm(dir, { recursive: true, force: true });
});

const triggers: readonly RunOptions[] = [
  { trigger: '5ms', bounded: true, drain: 'emit' },
  { trigger: '100ms', bounded: true, drain: 'emit' },
  { trigger: 'availableNow', drain: 'emit' },
];
const sums = new Set<string>();

for (const format of ['json', 'arrow'] as const) {
  for (const workers of [1, 2, 4]) {
    // Two workers with every trigger; one and four with two of them each, of which Arrow, another decoder, has one.
    const at = [1, 2, 4].indexOf(workers);
    for (const options of format === 'json' ? (workers === 2 ? triggers : [triggers[at] as RunOptions]) : [triggers[(at + 1) % 3] as RunOptions]) {
      test(`${format}, ${workers} workers, trigger ${options.trigger}: as the loop has it`, async () => {
        const job = await run(mainJob, { ...options, workers, params: { format, dir: dirs[format] } });
        const { rowsIn, rowsOut } = await job.done;
        assert.equal(rowsIn, ROWS);
        assert.equal(rowsOut, expected.length);
        assert.deepEqual(clickLines(results.rows), expected);
        assert.deepEqual(
          Object.values(job.progress().ledger).filter((count) => count > 0),
          [],
        );
        sums.add(checksum(results.rows as unknown as PageMinute[]));
      });
    }
  }
}

test('one checksum for all of them, and for the loop of the demo', async () => {
  sums.add(checksum(await expectedResult(ROWS, SEED)));
  assert.equal(sums.size, 1);
});

test('small batches, a small memory and small epochs change nothing', async () => {
  const job = await run(mainJob, {
    workers: 2,
    trigger: '20ms',
    bounded: true,
    drain: 'emit',
    batchRows: 64,
    memory: '64MiB',
    epochBytes: '512KiB',
    params: { format: 'json', dir: dirs.json },
  });
  await job.done;
  assert.deepEqual(clickLines(results.rows), expected);
});

test('the checksum sees every kind of wrong result, and no other order', async () => {
  const right = await expectedResult(20_000, SEED);
  const [first, second, ...rest] = right as [PageMinute, PageMinute, ...PageMinute[]];
  const wrong: Record<string, readonly PageMinute[]> = {
    'a row too few': [first, ...rest],
    'a row twice': [first, first, second, ...rest],
    'a count off by one': [{ ...first, clicks: first.clicks + 1 }, second, ...rest],
    'a mean off by one bit': [{ ...first, meanMs: first.meanMs * (1 + Number.EPSILON) }, second, ...rest],
    'another page': [{ ...first, page: `${first.page}x` }, second, ...rest],
    'another window': [{ ...first, windowStart: first.windowStart + 1 }, second, ...rest],
    'another end': [{ ...first, windowEnd: first.windowEnd - 1 }, second, ...rest],
    nothing: [],
  };
  for (const [what, rows] of Object.entries(wrong)) assert.notEqual(checksum(rows), checksum(right), what);
  assert.equal(checksum([...right].reverse()), checksum(right));
});

test('the demo prints what the issue says, in both formats, and the same checksum', async () => {
  const sums = new Set<string>();
  for (const format of ['json', 'arrow']) {
    const { code, stdout, stderr } = await runCli(['demo', '--rows', '100000', '--workers', '2', '--format', format, '--seed', '3', '--json']);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim().split('\n').length, 1, 'one line, the rest on stderr');
    const last = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(Object.keys(last), ['rows', 'windows', 'seconds', 'rowsPerSecond', 'maxRssBytes', 'checksum', 'verified']);
    assert.equal(last['rows'], 100_000);
    assert.equal(last['windows'], expectedClicks(100_000, 3).length);
    assert.equal(last['verified'], true);
    for (const name of ['seconds', 'rowsPerSecond', 'maxRssBytes']) assert.ok((last[name] as number) > 0, name);
    sums.add(last['checksum'] as string);
  }
  assert.equal(sums.size, 1);
});

test('a slowed sink and many epochs: memory stays flat, and nothing is lost', async () => {
  const rows = effortCount(8_000_000);
  // A process of its own, so that what other tests have left is not measured.
  const program = `
    import { run } from './runtime/index.ts';
    const base = ${JSON.stringify(new URL('../../', import.meta.url).href)};
    const module = new URL('./test/runtime/pipelines/steady.ts', base);
    const samples = [];
    const job = await run(module, { workers: 2, trigger: 10, bounded: true, drain: 'emit', memory: '64MiB', epochBytes: '1MiB', sinkDelay: 15, params: { rows: ${rows} } });
    const sample = ({ rowsIn, memory } = job.progress()) => samples.push({ rowsIn, used: memory.usedBytes, rss: process.memoryUsage.rss() });
    const timer = setInterval(sample, 50);
    await job.done;
    clearInterval(timer);
    const { results } = await import(module.href);
    console.log(JSON.stringify({ samples, windows: results.rows.length, clicks: results.rows.reduce((sum, row) => sum + row.clicks, 0) }));`;
  const { code, stdout, stderr } = await startProcess([...TYPESCRIPT, '--input-type=module', '--eval', program]).ended;
  assert.equal(code, 0, stderr);
  const { samples, windows, clicks } = JSON.parse(stdout) as { samples: { rowsIn: number; used: number; rss: number }[]; windows: number; clicks: number };
  const rng = seededRng(1);
  let expected = 0;
  for (let i = 0; i < rows; i++) {
    rng.seek(i);
    if (rng.int(1_000) === 7) expected++;
  }
  assert.equal(clicks, expected);
  assert.equal(windows, Math.ceil(rows / 20_000));
  assert.ok(Math.max(...samples.map(({ used }) => used)) < 64 << 20);
  const most = (part: typeof samples) => Math.max(...part.map(({ rss }) => rss));
  const warm = samples.filter(({ rowsIn }) => rowsIn > rows / 4);
  const half = warm.length >> 1;
  assert.ok(half > 0, `${samples.length} samples are too few: give it more rows`);
  assert.ok(most(warm.slice(half)) - most(warm.slice(0, half)) < 48 << 20, `resident memory grew: ${JSON.stringify(warm)}`);
});
