/** The live page in a real Chromium: each panel shows what is known of a job; it asks for nothing elsewhere, and comes back with the job. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Dashboard } from '../../runtime/dashboard/index.ts';
import { type Job, run } from '../../runtime/index.ts';
import { openPage, type Page } from './browser.ts';
import { writeTopic } from './topics.ts';

const WATCHED = new URL('./pipelines/watched.ts', import.meta.url);
const PAGES = 5;
const MINUTE = 60_000;

/** Where pictures go, if they are asked for: docs/ has some of them. */
const SHOTS = process.env['MILLRACE_SCREENSHOTS'];

/** A folder for jobs, which are stopped before it goes. */
interface Place {
  readonly dir: string;
  readonly jobs: Job[];
}

async function folder(t: TestContext): Promise<Place> {
  const place = { dir: await mkdtemp(join(tmpdir(), 'millrace-test-')), jobs: [] as Job[] };
  t.after(async () => {
    for (const job of place.jobs) await job.stop({ drain: false }).catch(() => {});
    await rm(place.dir, { recursive: true, force: true });
  });
  return place;
}

/** 600 clicks of 5 pages in 3 minutes: 3 fail, 2 are no JSON. */
function clicks(): string[] {
  const rows = Array.from({ length: 598 }, (_, i) => JSON.stringify({ page: `/p${i % PAGES}`, ms: i % 200 === 0 ? 13 : 1, at: i * 300 }));
  return [...rows, 'no click', '{"page": 7}'];
}

async function start({ dir, jobs }: Place, options: object = {}): Promise<Job> {
  const checkpoint = { dir: join(dir, 'state'), interval: 100 };
  const job = await run(WATCHED, { workers: 1, trigger: 50, failedRows: 'skip', checkpoint, dashboard: { port: 0 }, params: { dir }, ...options });
  jobs.push(job);
  return job;
}

const figure = (name: string): string => `document.querySelector('dd[data-of="${name}"]').textContent`;
const cells = (id: string): string => `[...document.querySelectorAll('#${id} tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))`;

async function shot(page: Page, name: string): Promise<void> {
  const png = await page.screenshot();
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from('PNG')]);
  if (SHOTS === undefined) return;
  await mkdir(SHOTS, { recursive: true });
  await writeFile(join(SHOTS, `${name}.png`), png);
}

test('each panel shows what the job has done', async (t) => {
  const page = await openPage(t);
  if (page === undefined) return;
  const place = await folder(t);
  const { dir } = place;
  await writeTopic(dir, 'in', 1, clicks());
  const job = await start(place);
  await page.look({ width: 1280, height: 900 });
  await page.go(`${job.dashboardUrl}/`);
  await page.until('all rows', `${figure('rows in')} === '600'`);
  // Rows are counted when they are read, and event time moves when their epoch is merged.
  await page.until('the event time', `${figure('event time')} === '1970-01-01 00:02:59.100'`);
  assert.equal(await page.evaluate(`document.querySelector('h1').textContent`), 'watched <b>clicks</b>');
  assert.equal(await page.evaluate(`document.querySelector('#state').textContent`), 'running');
  assert.equal(await page.evaluate(figure('failed')), '3');
  assert.equal(await page.evaluate(figure('undecodable')), '2');
  assert.equal(await page.evaluate(figure('not counted')), '5');
  assert.equal(await page.evaluate(figure('lag')), '0');
  assert.deepEqual(
    (await page.evaluate<string[][]>(cells('partitions'))).map((row) => [row[1], row[2], row[3], row[5]]),
    [['0', '600', '0', '600']],
  );
  // Two minutes have ended, of five pages each.
  await page.until('the windows', `${cells('sinks')}[0][1] === '10'`);
  const samples = await page.evaluate<string[][]>(cells('samples'));
  assert.deepEqual(samples.map(([reason]) => reason).sort(), ['failed', 'failed', 'failed', 'undecodable', 'undecodable']);
  assert.ok(samples.some((row) => row[4]?.includes('thirteen')));
  await page.until('a checkpoint', `${figure('last')}.startsWith('epoch')`);
  await page.evaluate(`document.querySelector('#views-panel').scrollIntoView()`);
  await page.until('the view', `${cells('view')}.length === ${PAGES}`);
  const counted = new Map<string, number>();
  for (const text of clicks().slice(0, 598)) {
    const { page: name, ms } = JSON.parse(text) as { page: string; ms: number };
    if (ms !== 13) counted.set(name, (counted.get(name) ?? 0) + 1);
  }
  const view = await page.evaluate<string[][]>(cells('view'));
  assert.deepEqual(new Map(view.map((row) => [row[0], Number(row[1])])), counted);
  const tail = await page.evaluate<string[][]>(cells('tail'));
  assert.ok(tail.length > 0 && tail.every(([name]) => name?.startsWith('/p')), JSON.stringify(tail));
  // Sorted by a head, with the keyboard.
  await page.evaluate(`[...document.querySelectorAll('#view th button')].find((button) => button.textContent === 'page').focus()`);
  await page.press('Enter');
  await page.until('the order', `JSON.stringify(${cells('view')}.map(([name]) => name)) === JSON.stringify(${JSON.stringify([...counted.keys()].sort())})`);
  // The plan: a step says what it does when it is chosen.
  assert.ok((await page.evaluate<number>(`document.querySelectorAll('#plan g.node').length`)) >= 4);
  await page.evaluate(`document.querySelector('#plan g.source').dispatchEvent(new Event('focus'))`);
  assert.match(await page.evaluate<string>(`document.querySelector('#plan-step').textContent`), /^source: log in/);
  assert.match(await page.evaluate<string>(`document.querySelector('#plan g.source .rate').textContent`), /600 in all/);
  assert.match(await page.evaluate<string>(`document.querySelector('#log').textContent`), /the job starts.*sources and sinks are open/s);
  for (const id of ['epochs', 'latency']) {
    const painted = `(() => { const c = document.querySelector('#${id}'); return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); })()`;
    await page.until(`the canvas ${id}`, painted);
  }
  assert.equal(await page.evaluate(`document.querySelectorAll('.uplot').length`), 4);
  await page.evaluate('scrollTo(0, 0)');
  await shot(page, 'live-page');
  await page.look({ width: 1280, height: 900, dark: true });
  await shot(page, 'live-page-dark');
  await page.look({ width: 390, height: 844, isMobile: true });
  assert.ok((await page.evaluate<number>('document.documentElement.scrollWidth')) <= 390, 'nothing is wider than a phone');
  await shot(page, 'live-page-phone');
  assert.deepEqual(page.complaints, [], 'no error, and nothing that the policy refuses');
  const elsewhere = page.requests.filter((url) => !url.startsWith(`${job.dashboardUrl}/`) && !url.startsWith('data:'));
  assert.deepEqual(elsewhere, [], 'it asks for nothing elsewhere');
  await job.stop({ drain: true });
  await page.until('the end', `document.querySelector('#state').textContent === 'stopped'`);
});

test('it comes back with the job, and shows the new one', async (t) => {
  const page = await openPage(t);
  if (page === undefined) return;
  const place = await folder(t);
  const { dir } = place;
  await writeTopic(dir, 'in', 1, clicks());
  const first = await start(place);
  const { port } = new URL(first.dashboardUrl as string);
  await page.go(`${first.dashboardUrl}/`);
  await page.until('all rows', `${figure('rows in')} === '600'`);
  await first.stop({ drain: true });
  await writeTopic(dir, 'in', 1, [JSON.stringify({ page: '/p9', ms: 1, at: 10 * MINUTE })], 1);
  await start(place, { dashboard: { port: Number(port) } });
  await page.until('the one row of the new run', `${figure('rows in')} === '1' && document.querySelector('#state').textContent === 'running'`);
});

test('500 partitions, in the order that is asked for', async (t) => {
  const page = await openPage(t);
  if (page === undefined) return;
  const place = await folder(t);
  await writeTopic(
    place.dir,
    'in',
    500,
    Array.from({ length: 50_000 }, (_, i) => JSON.stringify({ page: `/p${i % PAGES}`, ms: 1, at: i })),
  );
  const job = await start(place);
  await page.go(`${job.dashboardUrl}/`);
  await page.until('all rows', `${figure('rows in')} === '50,000'`);
  assert.equal((await page.evaluate<string[][]>(cells('partitions'))).length, 500);
  await page.evaluate(`[...document.querySelectorAll('#partitions th button')].find((button) => button.textContent === 'partition').click()`);
  await page.until('the last partition first', `${cells('partitions')}[0][1] === '499'`);
  assert.deepEqual(page.complaints, []);
});

test('no memory grows with what comes in', async (t) => {
  const page = await openPage(t);
  if (page === undefined) return;
  const place = await folder(t);
  await writeTopic(place.dir, 'in', 1, clicks());
  const job = await start(place);
  // Ten minutes of news and more, before and after the page has as much of the past as it keeps.
  const dashboard = await Dashboard.open(job.watch, { port: 0, host: '127.0.0.1' }, undefined, () => job, 20);
  t.after(() => dashboard.close());
  await page.go(`${dashboard.url}/`);
  await page.until('all rows', `${figure('rows in')} === '600'`);
  await page.evaluate(`window.told = 0; new EventSource('events').addEventListener('news', () => window.told++);`);
  await page.until('all that is kept', 'window.told > 700', 240);
  const before = await page.heapBytes();
  // What waits to be collected goes with time, and what leaks does not.
  let after = Number.POSITIVE_INFINITY;
  for (let told = 1_500; told <= 2_000 && after >= before * 1.25 + 1e6; told += 100) {
    await page.until('as much again', `window.told > ${told}`, 240);
    after = Math.min(after, await page.heapBytes());
  }
  assert.ok(after < before * 1.25 + 1e6, `${before} bytes, then ${after}`);
  assert.deepEqual(page.complaints, []);
});

test('what it serves: no route that changes anything, a strict policy, views as JSON', async (t) => {
  const place = await folder(t);
  const { dir } = place;
  await writeTopic(dir, 'in', 1, clicks());
  const job = await start(place);
  const at = (path: string, options: object = {}) => fetch(`${job.dashboardUrl}${path}`, options);
  const page = await at('/');
  assert.equal(page.status, 200);
  const policy = page.headers.get('content-security-policy') ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  for (const path of ['/page.js', '/uplot.js', '/plan.js', '/metrics', '/live']) assert.equal((await at(path)).status, 200, path);
  assert.match((await at('/page.js')).headers.get('content-type') ?? '', /javascript/);
  for (const path of ['/', '/events', '/view']) assert.equal((await at(path, { method: 'POST' })).status, 405, path);
  assert.equal((await at('/../package.json')).status, 404);
  assert.equal((await at('/view?name=nobody')).status, 400);
  const top = async () => ((await (await at('/view?name=pages&by=clicks&n=2')).json()) as { rows: { clicks: number }[] }).rows.map((row) => row.clicks);
  for (const deadline = Date.now() + 60_000; (await top())[1] !== 120 && Date.now() < deadline; ) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await top(), [120, 120]);
});

test('beside the metrics, where both name one port; options that cannot be', async (t) => {
  const place = await folder(t);
  await writeTopic(place.dir, 'in', 1, clicks());
  const probe = await start(place);
  const port = Number(new URL(probe.dashboardUrl as string).port);
  await probe.stop({ drain: true });
  const job = await start(place, { metrics: { port }, dashboard: { port } });
  assert.equal(job.dashboardUrl, job.url);
  assert.equal((await fetch(`${job.dashboardUrl}/`)).status, 200);
  const params = { dir: place.dir };
  await assert.rejects(run(WATCHED, { dashboard: { port: -1 }, params }), { code: 'ERR_MILLRACE_OPTION', message: /dashboard.port is -1/ });
  await assert.rejects(run(WATCHED, { dashboard: { prt: 1 } as never, params }), { code: 'ERR_MILLRACE_OPTION', message: /no option "prt"/ });
});
