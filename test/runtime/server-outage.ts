/**
 * A job whose results go to a real server that is killed in the middle and comes back: what is there at the end is what the rows give. The
 * job waits meanwhile, takes in no more than its memory allows, and ends by itself.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../runtime/index.ts';
import type { RunningServer } from '../../scripts/servers/index.js';
import { until } from '../io/kafka-fixture.ts';
import type { ToServerParams } from './pipelines/to-server.ts';
import { writeTopic } from './topics.ts';

const TO_SERVER = new URL('./pipelines/to-server.ts', import.meta.url);
const KEYS = 20;
const WINDOW_MS = 100;
const BATCH_ROWS = 400;

/** One row of the result. */
export interface WindowRow {
  readonly key: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly rows: number;
  readonly n: number;
}

export interface OutageOptions {
  /** Name in pipelines/to-server.ts, and its options. */
  readonly sink: string;
  readonly options: object;
  readonly server: RunningServer;
  /** What the server has at the end, in any order. */
  read(): Promise<readonly WindowRow[]>;
  readonly guarantee?: 'at-least-once' | 'exactly-once';
  /** How often the server is killed. Default 2. */
  readonly kills?: number;
}

/** Rows come in all the while, so that the server is killed with requests under way. */
export async function throughOutages(t: TestContext, { sink, options, server, read, guarantee = 'at-least-once', kills = 2 }: OutageOptions): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const expected = new Map<string, WindowRow>();
  let count = 0;
  const more = async (): Promise<void> => {
    const rows = Array.from({ length: BATCH_ROWS }, (_, i) => ({
      id: count + i,
      key: `k${(count + i) % KEYS}`,
      n: (count + i) % 7,
      at: 1_000_000 + count + i,
    }));
    for (const { key, n, at } of rows) {
      const windowStart = Math.floor(at / WINDOW_MS) * WINDOW_MS;
      const known = expected.get(`${key} ${windowStart}`) ?? { key, windowStart, windowEnd: windowStart + WINDOW_MS, rows: 0, n: 0 };
      expected.set(`${key} ${windowStart}`, { ...known, rows: known.rows + 1, n: known.n + n });
    }
    count += rows.length;
    await writeTopic(
      dir,
      'in',
      1,
      rows.map((row) => JSON.stringify(row)),
      count,
    );
  };
  await more();
  const params: ToServerParams = { dir, sink, options: JSON.stringify(options) };
  const job = await run(TO_SERVER, {
    workers: 1,
    trigger: 20,
    drain: 'emit',
    guarantee,
    checkpoint: { dir: join(dir, 'state'), interval: 100 },
    params: { ...params },
  });
  const failed = job.done.then(
    () => undefined,
    (error: unknown) => error,
  );
  let isFeeding = true;
  const feeding = (async () => {
    while (isFeeding) {
      await more();
      await sleep(20);
    }
  })();
  const alive = async (what: string, condition: () => boolean): Promise<void> =>
    until(what, async () => condition() || (job.state === 'failed' && Promise.reject(await failed)), 120);
  try {
    for (let kill = 0; kill < kills; kill++) {
      const before = job.progress().rowsOut;
      await alive('rows at the server', () => job.progress().rowsOut > before + 100);
      await server.kill();
      await alive('the job to wait for its server', () => job.state === 'waiting');
      await server.restart();
      await alive('the job to go on', () => job.state === 'running');
    }
    isFeeding = false;
    await feeding;
    await alive('the rows that came in meanwhile', () => job.progress().rowsIn === count);
  } finally {
    isFeeding = false;
    await feeding;
    await job.stop({ drain: true });
  }
  const sorted = (rows: readonly WindowRow[]) =>
    rows.map(({ key, windowStart, windowEnd, rows, n }) => JSON.stringify([windowStart, key, windowEnd, rows, n])).sort();
  assert.deepEqual(sorted(await read()), sorted([...expected.values()]));
  const { ledger, sinks } = job.progress();
  assert.deepEqual(
    Object.entries(ledger).filter(([, rows]) => rows > 0),
    [],
  );
  t.diagnostic(`${count} rows, ${expected.size} results, ${JSON.stringify(sinks)}`);
}
