/**
 * What a view costs the workers of a running job, and how long an answer takes meanwhile. The same job runs
 * without a view, with a view that nobody reads, and with one that is read all the time. Two workers at full
 * speed, epochs of 4 MiB of rows. The totals are checked.
 *
 *   npx tsx bench/live-view.ts [rows]
 */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, type View } from '../runtime/index.ts';
import { rowAt, USERS } from './jobs/totals.ts';

const ROWS = Number(process.argv[2] ?? 20_000_000);
const ROUNDS = 3;
const GETS_A_TURN = 20;
const PAUSE_MS = 2;

interface Totals {
  readonly user: number;
  readonly rows: number;
  readonly ms: number;
}

const questions: Record<'get' | 'top', number[]> = { get: [], top: [] };

/** Some questions every few milliseconds, like an application that has other things to do. */
async function ask(view: View<Totals>, isOver: () => boolean): Promise<void> {
  let user = 0;
  for (; !isOver(); await sleep(PAUSE_MS)) {
    if (view.get(0) === undefined) continue;
    for (let i = 0; i < GETS_A_TURN; i++) {
      user = (user + 7_919) % USERS;
      const startMs = performance.now();
      view.get(user);
      questions.get.push((performance.now() - startMs) * 1_000);
    }
    if (questions.get.length % 400 !== 0) continue;
    const startMs = performance.now();
    view.top(10, { by: 'rows' });
    questions.top.push((performance.now() - startMs) * 1_000);
  }
}

async function measure(isViewed: boolean, isAsked: boolean): Promise<{ cpu: number; wall: number }> {
  const job = await run(new URL('./jobs/totals.ts', import.meta.url), {
    workers: 2,
    trigger: 100,
    bounded: true,
    drain: 'emit',
    epochBytes: '4MiB',
    params: { rows: ROWS, isViewed },
  });
  let isOver = false;
  const before = process.cpuUsage();
  const asking = isAsked ? ask(job.view<Totals>('totals'), () => isOver) : undefined;
  await job.done;
  isOver = true;
  const { user, system } = process.cpuUsage(before);
  await asking;
  assert.equal(job.progress().rowsIn, ROWS);
  if (isViewed) {
    const view = job.view<Totals>('totals');
    assert.equal(
      view.rows().reduce((sum, { rows }) => sum + rows, 0),
      ROWS,
    );
    let [rows, ms] = [0, 0];
    for (let i = 0; i < ROWS; i++) {
      const row = rowAt(i);
      if (row.user !== 7) continue;
      rows++;
      ms += row.ms;
    }
    assert.deepEqual(view.get(7), rows === 0 ? undefined : { user: 7, rows, ms });
  }
  return { cpu: (user + system) / 1e6, wall: job.progress().seconds };
}

for (let round = 0; round < ROUNDS; round++) {
  for (const [name, isViewed, isAsked] of [
    ['no view', false, false],
    ['a view', true, false],
    ['a view that is asked', true, true],
  ] as const) {
    const { cpu, wall } = await measure(isViewed, isAsked);
    console.log(`${name.padEnd(22)} ${cpu.toFixed(2)} s of CPU, ${wall.toFixed(2)} s`);
  }
}
for (const [name, us] of Object.entries(questions)) {
  const sorted = us.sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN).toFixed(1);
  console.log(`${name}: ${sorted.length} times, median ${at(0.5)} us, 99 % ${at(0.99)}, 99.9 % ${at(0.999)}, longest ${at(1)}`);
}
