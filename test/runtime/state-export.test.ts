/** `millrace checkpoint export`: of each kind of operator what it keeps, as a plain model of the rows has it. */

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspectCheckpoints } from '../../runtime/checkpoint/index.ts';
import { type AnyRow, type Job, run } from '../../runtime/index.ts';
import { runCli } from './cli-process.ts';
import { DELAY_MS, LONG_DELAY_MS } from './pipelines/exported.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const MODULE = 'test/runtime/pipelines/exported.ts';

interface Row {
  readonly id: number;
  readonly user: string;
  readonly page: string;
  readonly big: number;
  readonly at: number;
}

/** Ids ascend; times do, too, but for some that are a little late. Each user pauses now and then. */
const ROWS = Array.from(
  { length: 500 },
  (_, id): Row => ({
    id,
    user: `u${(id * 7) % 3}`,
    page: id % 5 === 0 ? '__proto__' : `p:${id % 2};n`,
    // Not exact as a number of JavaScript, so written as text below.
    big: (id * 31) % 50,
    at: 1_000 + Math.floor(id / 3) * 4 + (id % 60 < 30 ? 0 : 25) - (id % 11 === 0 ? 7 : 0),
  }),
);
const BIG = 9_007_199_254_740_993n;
const bigOf = ({ big }: Row): bigint => BIG + BigInt(big);
const lineOf = (row: Row): string => JSON.stringify(row).replace(`"big":${row.big}`, `"big":${bigOf(row)}`);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const start = (dir: string): Promise<Job> =>
  run(new URL('./pipelines/exported.ts', import.meta.url), {
    workers: 2,
    trigger: 20,
    memory: '256MiB',
    checkpoint: { dir: join(dir, 'state'), interval: '20ms' },
    params: { dir },
  });

/** A checkpoint has so many rows. */
async function checkpointOf(dir: string, rows: number): Promise<void> {
  await until(async () => {
    const { checkpoints } = await inspectCheckpoints(join(dir, 'state'));
    return checkpoints[0]?.sources[0]?.positions[0]?.offset === rows;
  }, `a checkpoint of ${rows} rows`);
}

const exporting = (dir: string, ...more: string[]) =>
  runCli(['checkpoint', 'export', join(dir, 'state'), '--pipeline', MODULE, '--param', `dir=${dir}`, ...more]);

/** Lines as values; whole numbers beyond 2^53 as text. */
function parsed(stdout: string): AnyRow[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line.replace(/(?<=[:[,])(\d{16,})(?=[,}\]])/g, '"$1"')) as AnyRow);
}

function grouped(rows: readonly Row[], of: (row: Row) => readonly string[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) for (const group of of(row)) groups.set(group, [...(groups.get(group) ?? []), row]);
  return groups;
}

const byUser = (rows: readonly Row[]) => [...grouped(rows, ({ user }) => [user])].map(([user, of]) => ({ key: { user }, rows: of }));
const keyOfBoth = ({ user, page }: Row): AnyRow => JSON.parse(JSON.stringify({ user, page })) as AnyRow;
const byBoth = (rows: readonly Row[]) =>
  [...grouped(rows, ({ user, page }) => [`${user} ${page}`]).values()].map((of) => ({ key: keyOfBoth(of[0] as Row), rows: of }));

function windowsOf(at: number, sizeMs: number, slideMs: number): number[] {
  const starts: number[] = [];
  for (let first = Math.floor(at / slideMs) * slideMs; first > at - sizeMs; first -= slideMs) starts.push(first);
  return starts;
}

const ids = (rows: readonly Row[]): number[] => rows.map(({ id }) => id);
const even = (rows: readonly Row[]): number[] => ids(rows).filter((id) => id % 2 === 0);
const evens = (rows: readonly Row[]) => ({ ids: ids(rows), even: even(rows) });
const valueOf = (row: Row): AnyRow => ({ ...row, big: String(bigOf(row)) });
function withoutPage(row: Row): AnyRow {
  const { page: _, ...rest } = valueOf(row);
  return rest;
}
const summed = (rows: readonly Row[]): AnyRow => ({ ...valueOf(rows.at(-1) as Row), id: ids(rows).reduce((a, b) => a + b) });
const times = (rows: readonly Row[]): number[] => rows.map(({ at }) => at);

/** What each operator keeps, by its name, with rows in any order. */
function model(rows: readonly Row[]): Record<string, AnyRow[]> {
  const watermark = Math.max(...times(rows)) - DELAY_MS;
  const calm = Math.max(...times(rows)) - LONG_DELAY_MS;
  const open = (of: { key: AnyRow; rows: readonly Row[] }[], sizeMs: number, slideMs: number, latenessMs = 0) =>
    of.flatMap(({ key, rows: all }) =>
      [...new Set(all.flatMap(({ at }) => windowsOf(at, sizeMs, slideMs)))]
        .filter((from) => from + sizeMs + latenessMs > watermark)
        .map((from) => ({
          bounds: { key, windowStart: from, windowEnd: from + sizeMs },
          rows: all
            .map((row, place) => ({ row, place, pane: Math.floor(row.at / slideMs) }))
            .filter(({ row }) => windowsOf(row.at, sizeMs, slideMs).includes(from))
            // Panes are combined in the order of time.
            .sort((a, b) => a.pane - b.pane || a.place - b.place)
            .map(({ row }) => row),
        })),
    );
  const sessions = byUser(rows).flatMap(({ key, rows: all }) => {
    const found: Row[][] = [];
    for (const row of all.toSorted((a, b) => a.at - b.at)) {
      const last = found.at(-1)?.at(-1);
      if (last !== undefined && row.at - last.at <= 12) found.at(-1)?.push(row);
      else found.push([row]);
    }
    return found
      .map((of) => ({ bounds: { key, windowStart: of[0]?.at as number, windowEnd: (of.at(-1)?.at as number) + 12 }, rows: of }))
      .filter(({ bounds }) => bounds.windowEnd >= watermark);
  });
  const held = (isHeld: (row: Row) => boolean): AnyRow[] =>
    rows
      .filter((row) => row.id % 3 < 2 && isHeld(row))
      .map((row) => ({ key: { user: row.user }, side: row.id % 3 === 0 ? 'left' : 'right', time: row.at, value: valueOf(row) }));
  const passed = byBoth(rows).flatMap(({ key, rows: all }) => {
    const through: number[] = [];
    for (const { at } of all) if (!through.some((time) => Math.abs(time - at) < 40)) through.push(at);
    const expires = Math.max(...through) + 40;
    return expires > watermark ? [{ key, expires }] : [];
  });
  const byPage = (all: readonly Row[]) => [...grouped(all, ({ page }) => [page])].map(([page, of]) => ({ key: { page }, rows: of }));
  const users = byUser(rows).flatMap(({ rows: of }) => of.slice(-1).filter(({ id }) => id % 5 !== 0));
  const pages = byPage(rows).map(({ rows: of }) => of.at(-1) as Row);
  const joined = (side: 'left' | 'right', all: readonly Row[]): AnyRow[] => all.map((row) => ({ key: { page: row.page }, side, value: withoutPage(row) }));
  return {
    'table 1': users.map((row) => ({ key: { user: row.user }, value: valueOf(row) })),
    'table 2': pages.map((row) => ({ key: { page: row.page }, value: valueOf(row) })),
    'table aggregate 1': byPage(users).map(({ key, rows: of }) => ({ key, rows: of.length, value: { rows: of.length, id: Math.max(...ids(of)) } })),
    'table top 1': byPage(users).map(({ key, rows: of }) => ({ key, rows: of.length, value: of.toSorted((a, b) => b.id - a.id).map(withoutPage) })),
    'tables join 1': [...joined('left', users), ...joined('right', pages)],
    'aggregate 1': byUser(rows).map(({ key, rows: of }) => ({
      key,
      value: { rows: of.length, big: String(of.reduce((all, row) => all + bigOf(row), 0n)), newest: Math.max(...times(of)) },
    })),
    'aggregate 2': open(byUser(rows), 50, 50).map(({ bounds, rows: of }) => ({ ...bounds, value: { rows: of.length } })),
    'aggregate 3': open(byUser(rows), 100, 50, 30).map(({ bounds, rows: of }) => ({ ...bounds, value: { rows: of.length, id: Math.max(...ids(of)) } })),
    'aggregate 4': open(byBoth(rows), 100, 50).map(({ bounds, rows: of }) => ({ ...bounds, value: { evens: evens(of), rows: of.length } })),
    'aggregate 5': byUser(rows).map(({ key, rows: of }) => ({ key, value: { evens: evens(of) } })),
    'reduce 1': byBoth(rows).map(({ key, rows: of }) => ({ key, value: summed(of) })),
    'reduce 2': open(byUser(rows), 100, 50).map(({ bounds, rows: of }) => ({ ...bounds, value: summed(of) })),
    'top 1': byUser(rows).map(({ key, rows: of }) => ({ key, value: of.slice(-2).reverse().map(valueOf) })),
    'process 1': byBoth(rows).map(({ key, rows: of }) => ({
      key,
      value: { ids: ids(of).slice(-2), pages: [[of[0]?.page, String(bigOf(of.at(-1) as Row))]] },
      timers: [...new Set(of.map(({ at }) => at + 60))].filter((time) => time > watermark).sort((a, b) => a - b),
      processingTimers: [],
    })),
    'dropDuplicates 1': passed,
    'dropDuplicates 2': [...new Set(rows.map(bigOf))].map((big) => ({ key: { big: String(big) }, expires: null })),
    'over 1': [
      ...rows.filter(({ at }) => at >= calm).map((row) => ({ key: { user: row.user }, time: row.at, value: valueOf(row) })),
      ...byUser(rows.filter(({ at }) => at < calm)).map(({ key, rows: all }) => {
        const of = all.toSorted((a, b) => a.at - b.at);
        const value = {
          seen: of.length,
          total: String(of.slice(-2).reduce((sum, row) => sum + bigOf(row), 0n)),
          last: JSON.stringify(of.slice(-3).map(({ page }) => page)),
        };
        return { key, rows: 3, newest: Math.max(...times(of)), value, expires: null };
      }),
    ],
    'over 2': byBoth(rows).flatMap(({ key, rows: all }) => {
      const newest = Math.max(...times(all));
      if (newest + 40 <= calm) return [];
      let now = Number.NEGATIVE_INFINITY;
      const seen = all.map(({ at }) => (now = Math.max(now, at))).filter((at) => at > newest - 40).length;
      return [{ key, rows: seen, newest, value: { seen }, expires: newest + 40 }];
    }),
    'interval join 1': held(({ at }) => at + 50 >= watermark),
    'windowed join 1': held(({ at }) => Math.floor(at / 50) * 50 + 50 > watermark),
    'table join 1': byUser(rows.filter(({ id }) => id % 3 === 1)).map(({ key, rows: of }) => ({ key, value: valueOf(of.at(-1) as Row), side: 'right' })),
    // The version of the watermark, and what it has not passed.
    'as-of join 1': [
      ...byUser(rows.filter(({ id, at }) => id % 3 === 1 && at < watermark)).map(({ key, rows: of }) => ({
        key,
        side: 'right',
        isValid: true,
        value: valueOf(of.toSorted((a, b) => a.at - b.at).at(-1) as Row),
      })),
      ...held(({ at }) => at >= watermark).map((row) => ({ ...row, isValid: false })),
    ],
    'sorted 1': rows.filter(({ at }) => at >= watermark).map((row) => ({ key: { user: row.user }, time: row.at, value: valueOf(row) })),
    'process 2': [
      ...byUser(rows.filter(({ id, at }) => id % 3 < 2 && at < watermark)).map(({ key, rows: of }) => ({
        key,
        value: { left: Math.max(0, ...times(of.filter(({ id }) => id % 3 === 0))), right: Math.max(0, ...times(of.filter(({ id }) => id % 3 === 1))) },
        timers: [],
        processingTimers: [],
      })),
      ...held(({ at }) => at >= watermark).map(({ key, side, time, value }) => ({ key, waits: `row of stream ${side === 'left' ? 1 : 2}`, time, value })),
    ],
    'session windows 1': sessions.map(({ bounds, rows: of }) => ({
      ...bounds,
      value: { rows: of.length, evens: { ids: ids(of).sort(), even: even(of).sort() } },
    })),
    'top 2': sessions.map(({ bounds, rows: of }) => ({ ...bounds, value: [valueOf(of.toSorted((a, b) => b.id - a.id)[0] as Row)] })),
    'window of rows 1': byUser(rows).flatMap(({ key, rows: of }) => {
      const kept = of.slice(of.length - (of.length % 7));
      return kept.length === 0 ? [] : [{ key, value: kept.map(({ user, at }) => ({ user, at })) }];
    }),
    'window of rows 2': byUser(rows).map(({ key, rows: of }) => ({
      key,
      windowStart: Math.min(...times(of)),
      windowEnd: Math.max(...times(of)),
      value: { rows: of.length, evens: evens(of) },
    })),
    'window of rows 3': byUser(rows).map(({ key, rows: of }) => ({
      key,
      windowStart: Math.min(...times(of)),
      windowEnd: Math.max(...times(of)),
      value: summed(of),
    })),
  };
}

const inOrder = (rows: readonly AnyRow[]): AnyRow[] => rows.toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
const textOf = (row: AnyRow): string => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));

function mustBe(found: readonly AnyRow[], rows: readonly Row[]): void {
  const expected = model(rows);
  for (const [operator, of] of Object.entries(expected)) {
    const kept = found.filter((row) => row['operator'] === operator).map(({ operator: _, ...row }) => row as AnyRow);
    // The rows of a session may have come in another order than that of their times.
    if (operator === 'session windows 1') {
      for (const { value } of kept as unknown as { value: { evens: { ids: number[]; even: number[] } } }[]) {
        value.evens.ids.sort();
        value.evens.even.sort();
      }
    }
    assert.ok(of.length > 0, `${operator} keeps nothing in the model`);
    assert.deepEqual(inOrder(kept), inOrder(of), operator);
  }
  assert.deepEqual(
    found.filter((row) => !((row['operator'] as string) in expected)),
    [],
  );
}

test('beside a running job, and behind it: of each operator what it keeps', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, ROWS.slice(0, 100).map(lineOf));
  const job = await start(dir);
  for (let to = 100; ; to += 100) {
    await checkpointOf(dir, to);
    if (to === 300) {
      const { code, stdout, stderr } = await exporting(dir);
      assert.deepEqual([code, stderr], [0, '']);
      mustBe(parsed(stdout), ROWS.slice(0, 300));
      assert.equal(job.state, 'running');
    }
    if (to === ROWS.length) break;
    await writeTopic(dir, 'in', 1, ROWS.slice(to, to + 100).map(lineOf), to);
  }
  await job.stop();
  const files = async () => {
    const names = (await readdir(join(dir, 'state'))).sort();
    return Promise.all(names.map(async (name) => [name, (await stat(join(dir, 'state', name))).size]));
  };
  const before = await files();
  const { code, stdout, stderr } = await exporting(dir);
  assert.deepEqual([code, stderr], [0, '']);
  mustBe(parsed(stdout), ROWS);
  const one = await exporting(dir, '--operator', 'top 1');
  assert.deepEqual(
    parsed(one.stdout),
    parsed(stdout).filter((row) => row['operator'] === 'top 1'),
  );
  assert.deepEqual(await files(), before);
  const none = await exporting(dir, '--operator', 'top 7');
  assert.equal(none.code, 2);
  assert.match(none.stderr, /no operator "top 7" with state\. Those of the pipeline are aggregate 1, /);
});

test('what is damaged is said, and the checkpoint before is shown; without a whole one, or without any, it fails', async (t) => {
  const dir = await folder(t);
  await writeTopic(dir, 'in', 1, ROWS.slice(0, 100).map(lineOf));
  let job = await start(dir);
  await checkpointOf(dir, 100);
  await job.stop();
  await writeTopic(dir, 'in', 1, ROWS.slice(100, 200).map(lineOf), 100);
  job = await start(dir);
  await checkpointOf(dir, 200);
  await job.stop();
  const state = join(dir, 'state');
  const { checkpoints } = await inspectCheckpoints(state);
  assert.equal(checkpoints.length, 2);
  const manifests = (await readdir(state)).filter((name) => name.endsWith('.manifest')).sort();
  await appendFile(join(state, manifests.at(-1) as string), 'x');
  const older = await exporting(dir);
  assert.equal(older.code, 0);
  assert.match(older.stderr, /Damaged: checkpoint-.*\.manifest/);
  assert.ok(older.stdout.length > 0);
  for (const { name } of checkpoints.flatMap(({ segments }) => segments)) await writeFile(join(state, name), 'no segment');
  const none = await exporting(dir);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /has no checkpoint that is whole.*segment-.* is damaged/s);
  assert.equal(none.stdout, '');
  const empty = await runCli(['checkpoint', 'export', await folder(t), '--pipeline', MODULE, '--param', `dir=${dir}`]);
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /has no checkpoint\. Give the directory that the job was started with/);
  const without = await runCli(['checkpoint', 'export', state]);
  assert.equal(without.code, 2);
  assert.match(without.stderr, /needs --pipeline <module>: .*functions of the pipeline/);
  const other = await runCli(['checkpoint', 'export', state, '--pipeline', 'test/runtime/pipelines/steady.ts']);
  assert.equal(other.code, 1);
});
