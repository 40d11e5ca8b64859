/**
 * The examples: what each pipeline finds on the embedded log, at any number of workers, is what a plain loop over the same rows
 * finds; and each runs as the program that its first lines name.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { clickAt } from '../../examples/clicks-data.ts';
import * as clickstream from '../../examples/clickstream.ts';
import * as logAnalytics from '../../examples/log-analytics.ts';
import * as recommendations from '../../examples/recommendations.ts';
import * as trades from '../../examples/trades.ts';
import { type Rng, run, seededRng } from '../../runtime/index.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { startProcess } from './cli-process.ts';
import { writeTopic } from './topics.ts';

const MINUTE_MS = 60_000;
const SEED = 1;

async function temporaryFolder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Makes the data of an example once, and calls `check` after a run with each number of workers. */
async function withWorkers(t: TestContext, name: string, check: () => void): Promise<void> {
  const dir = await temporaryFolder(t);
  const module = new URL(`../../examples/${name}.ts`, import.meta.url);
  await (await run(module, { workers: 1, trigger: 'availableNow', params: { dir, step: 'make' } })).done;
  for (const [workers, trigger] of [
    [1, 200],
    [3, 20],
  ] as const) {
    const job = await run(module, { workers, trigger, bounded: true, drain: 'emit', params: { dir } });
    await job.done;
    assert.equal(job.progress().ledger.late, 0);
    check();
  }
}

/** The rows that the generator of an example makes. */
function rowsOf<R>(count: number, rowAt: (i: number, rng: Rng) => R): R[] {
  const rng = seededRng(SEED);
  return Array.from({ length: count }, (_, i) => {
    rng.seek(i);
    return rowAt(i, rng);
  });
}

function grouped<R>(rows: readonly R[], keyOf: (row: R) => string): Map<string, R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) {
    const group = groups.get(keyOf(row));
    if (group === undefined) groups.set(keyOf(row), [row]);
    else group.push(row);
  }
  return groups;
}

/** Rows of one user cut where there is a longer pause than the gap. */
function visitsOf<R extends { readonly user: string; readonly at: number }>(rows: readonly R[], gapMs: number): R[][] {
  const visits: R[][] = [];
  for (const own of grouped(rows, ({ user }) => user).values()) {
    own.sort((a, b) => a.at - b.at);
    own.forEach((row, i) => {
      if (i === 0 || row.at - (own[i - 1] as R).at > gapMs) visits.push([]);
      (visits.at(-1) as R[]).push(row);
    });
  }
  return visits;
}

const meanOf = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
const deviationOf = (values: readonly number[]) => {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1));
};
const near = (got: number, expected: number, what: string) =>
  assert.ok(Math.abs(got - expected) <= 1e-7 * Math.abs(expected), `${what}: ${got}, the loop has ${expected}`);

test('log analytics: minutes and alerts as a loop over the requests has them', async (t) => {
  const requests = rowsOf(logAnalytics.REQUESTS, logAnalytics.requestAt);
  const minuteOf = (at: number) => at - (at % MINUTE_MS);
  const groups = grouped(requests, ({ service, at }) => `${service} ${minuteOf(at)}`);
  const alerts: (readonly [string, number, number])[] = [];
  for (const service of new Set(requests.map((request) => request.service))) {
    for (const signal of ['errorRate', 'meanMs']) {
      const learned: number[] = [];
      for (let minute = logAnalytics.START_MS; minute < logAnalytics.START_MS + 60 * MINUTE_MS; minute += MINUTE_MS) {
        const rows = groups.get(`${service} ${minute}`) ?? [];
        const value = meanOf(rows.map(({ status, ms }) => (signal === 'meanMs' ? ms : status >= 500 ? 1 : 0)));
        const z = (value - meanOf(learned)) / deviationOf(learned);
        if (learned.length >= logAnalytics.LEARNING_MINUTES && z > logAnalytics.ALERT_Z) alerts.push([`${service} ${signal} ${minute}`, value, z]);
        else learned.push(value);
      }
    }
  }
  assert.equal(alerts.length, 8);

  await withWorkers(t, 'log-analytics', () => {
    assert.equal(logAnalytics.minutes.rows.length, groups.size);
    for (const { service, windowStart, requests: count, errorRate, meanMs, p95Ms } of logAnalytics.minutes.rows) {
      const rows = groups.get(`${service} ${windowStart}`) ?? [];
      const ms = rows.map((row) => row.ms).sort((a, b) => a - b);
      const p95 = ms[Math.floor(0.95 * (ms.length - 1))] as number;
      assert.equal(count, rows.length);
      assert.equal(errorRate, rows.filter(({ status }) => status >= 500).length / rows.length);
      assert.equal(meanMs, meanOf(ms));
      assert.ok(Math.abs(p95Ms - p95) <= 0.01 * p95, `${p95Ms} for ${p95}`);
    }
    const found = new Map(logAnalytics.alerts.rows.map((alert) => [`${alert.service} ${alert.signal} ${alert.minute}`, alert]));
    assert.deepEqual([...found.keys()].sort(), alerts.map(([name]) => name).sort());
    assert.equal(found.size, logAnalytics.alerts.rows.length);
    for (const [name, value, z] of alerts) {
      assert.equal(found.get(name)?.value, value);
      near(found.get(name)?.z as number, z, name);
    }
  });
});

test('clickstream: visits and funnel as a loop over the clicks of each user has them', async (t) => {
  const clicks = rowsOf(clickstream.SLOTS, clickstream.clickAt).filter(({ step }) => step !== '');
  const visits = visitsOf(clicks, clickstream.GAP_MS);
  const funnel = new Map<string, number>();
  for (const visit of visits) {
    let next = 0;
    for (const { device, step } of visit) {
      if (step !== ['view', 'cart', 'checkout', 'buy'][next]) continue;
      next++;
      funnel.set(`${device} ${step}`, (funnel.get(`${device} ${step}`) ?? 0) + 1);
    }
  }
  assert.equal(funnel.size, 12);
  const expected = visits.map(
    (visit) => `${visit[0]?.user} ${visit[0]?.device} ${visit[0]?.at} ${(visit.at(-1)?.at ?? 0) + clickstream.GAP_MS} ${visit.length}`,
  );

  await withWorkers(t, 'clickstream', () => {
    assert.deepEqual(
      clickstream.visits.rows.map((row) => `${row.user} ${row.device} ${row.windowStart} ${row.windowEnd} ${row.clicks}`).sort(),
      expected.sort(),
    );
    // A running count comes out whenever it has changed: the last one is the result.
    const last = new Map(clickstream.reached.rows.map(({ device, step, count }) => [`${device} ${step}`, count]));
    assert.deepEqual([...last].sort(), [...funnel].sort());
  });
});

test('trades: prices, bands and spikes as a loop over the trades has them', async (t) => {
  const groups = grouped(rowsOf(trades.TRADES, trades.tradeAt), ({ symbol, at }) => `${symbol} ${at - (at % MINUTE_MS)}`);
  const expected = new Map<string, { readonly vwap: number; readonly low: number; readonly high: number; readonly mean: number; readonly deviation: number }>();
  for (const symbol of trades.SYMBOLS) {
    for (let minute = trades.START_MS; groups.has(`${symbol} ${minute}`); minute += MINUTE_MS) {
      const own = groups.get(`${symbol} ${minute}`) ?? [];
      const before = Array.from({ length: 10 }, (_, m) => groups.get(`${symbol} ${minute - (m + 1) * MINUTE_MS}`) ?? []).flat();
      if (before.length === 0) continue;
      const prices = own.map(({ price }) => price);
      const volume = own.reduce((sum, { size }) => sum + size, 0);
      const band = before.map(({ price }) => price);
      expected.set(`${symbol} ${minute + MINUTE_MS}`, {
        vwap: own.reduce((sum, { price, size }) => sum + price * size, 0) / volume,
        low: Math.min(...prices),
        high: Math.max(...prices),
        mean: meanOf(band),
        deviation: deviationOf(band),
      });
    }
  }
  assert.equal(expected.size, 5 * 89);
  const spikes = [...expected].filter(([, { vwap, mean, deviation }]) => Math.abs(vwap - mean) > trades.BAND_DEVIATIONS * deviation).map(([name]) => name);
  assert.equal(spikes.length, 2);

  await withWorkers(t, 'trades', () => {
    assert.equal(trades.minutes.rows.length, expected.size);
    for (const row of trades.minutes.rows) {
      const name = `${row.symbol} ${row.end}`;
      const loop = expected.get(name);
      assert.ok(loop !== undefined, name);
      assert.deepEqual([row.vwap, row.low, row.high], [loop.vwap, loop.low, loop.high], name);
      near(row.mean, loop.mean, name);
      near(row.deviation, loop.deviation, name);
      near(row.z, (loop.vwap - loop.mean) / loop.deviation, name);
    }
    assert.deepEqual(trades.spikes.rows.map(({ symbol, end }) => `${symbol} ${end}`).sort(), spikes.sort());
  });
});

test('recommendations: what a loop over the baskets of each user comes to', async (t) => {
  const purchases = rowsOf(recommendations.SLOTS, recommendations.purchaseAt).filter(({ item }) => item !== '');
  const baskets = visitsOf(purchases, recommendations.GAP_MS).map((rows) => ({ shop: rows[0]?.shop as string, items: new Set(rows.map(({ item }) => item)) }));
  const expected: string[] = [];
  for (const [shop, own] of grouped(baskets, (basket) => basket.shop)) {
    const holding = (...items: string[]) => own.filter((basket) => items.every((item) => basket.items.has(item))).length;
    const items = [...new Set(own.flatMap((basket) => [...basket.items]))].sort();
    for (const item of items) {
      items
        .filter((other) => other !== item)
        .map((other) => ({
          other,
          probability: holding(item, other) / holding(item),
          lift: (holding(item, other) * own.length) / (holding(item) * holding(other)),
        }))
        .filter(({ lift }) => lift > recommendations.LIFT_MIN)
        .sort((a, b) => b.probability - a.probability || (a.other < b.other ? -1 : 1))
        .slice(0, recommendations.MOST)
        .forEach(({ other, probability, lift }, place) => expected.push(`${shop} ${item} ${place + 1} ${other} ${probability} ${lift.toFixed(9)}`));
    }
  }
  for (const { shop, item, other } of recommendations.HABITS) assert.ok(expected.some((line) => line.startsWith(`${shop} ${item} 1 ${other} `)));

  await withWorkers(t, 'recommendations', () => {
    assert.deepEqual(
      recommendations.recommendations.rows.map((row) => `${row.shop} ${row.item} ${row.rank} ${row.other} ${row.probability} ${row.lift.toFixed(9)}`).sort(),
      expected.sort(),
    );
  });
});

describe('as programs', () => {
  const start = (name: string, ...args: string[]) => startProcess([...TYPESCRIPT, `examples/${name}.ts`, ...args]).ended;

  for (const name of ['log-analytics', 'clickstream', 'recommendations']) {
    test(`${name} finds what was hidden`, async () => {
      const { code, stdout, stderr } = await start(name);
      assert.equal(code, 0, `${stdout}${stderr}`);
      assert.match(stdout, /\n\nFound: .*(\n.*)?\.\n\n$/);
    });
  }

  test('clicks shows the busiest pages of each minute, as a loop over the clicks has them', async () => {
    const minute = Date.UTC(2026, 0, 1, 0, 3);
    const inMinute = rowsOf(500_000, clickAt).filter(({ ms, at }) => ms > 0 && at >= minute && at < minute + MINUTE_MS);
    const pages = [...grouped(inMinute, ({ page }) => page)].map(([page, rows]) => ({ page, clicks: rows.length })).sort((a, b) => b.clicks - a.clicks);
    const { code, stdout, stderr } = await start('clicks');
    assert.equal(code, 0, stderr);
    const shown = stdout.split('\n').flatMap((line) => (line.startsWith('2026-01-01 00:03:00 ') ? [line.trim().split(/\s+/).slice(2, 5)] : []));
    assert.deepEqual(
      shown,
      pages.slice(0, 3).map(({ page, clicks }, place) => [String(place + 1), page, String(clicks)]),
    );
  });

  test('word-count prints a table of its words', async () => {
    const { code, stdout, stderr } = await start('word-count');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^the +5$/m);
    assert.match(stdout, /^wheel +3$/m);
  });

  test('trades finds what was hidden; a folder that is given keeps the log, and is read again', async (t) => {
    const dir = join(await temporaryFolder(t), 'log');
    const first = await start('trades', dir);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /\n\nFound: MILL at 15:07 and RACE at 15:41/);
    assert.ok(existsSync(dir));
    const second = await start('trades', dir);
    assert.deepEqual([second.code, second.stdout.split('\n').slice(1)], [0, first.stdout.split('\n').slice(1)]);
  });

  test('what is not found ends the program with code 1', async (t) => {
    const dir = await temporaryFolder(t);
    await writeTopic(dir, 'trades', 1, [JSON.stringify({ symbol: 'MILL', price: 1, size: 1, at: trades.START_MS })]);
    const { code, stdout } = await start('trades', dir);
    assert.equal(code, 1, stdout);
    assert.match(stdout, /not what the data was made to show/);
  });
});
