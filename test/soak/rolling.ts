/**
 * Rolling restarts: a process is at work, another one stands by with the same folder; the first is told to end, as a
 * deployment does it, and the other goes on. What is measured is the longest time without a commit.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { JobProcess } from './job-process.ts';
import type { Rounds } from './rounds.ts';
import type { Stage } from './stage.ts';

const STANDS_BY = /stands by/;
const LIMIT_MS = 60_000;
const LOOK_MS = 5;

export interface RollingParts {
  readonly rounds: Rounds;
  readonly stage: Stage;
  readonly say: (text: string) => void;
}

/** @returns seconds, one for each restart */
export async function rollingRestarts(times: number, { rounds, stage, say }: RollingParts): Promise<number[]> {
  if (times === 0) return [];
  const gaps: number[] = [];
  const before = await stage.committed();
  let active = rounds.start();
  await rounds.recovered(active, before);
  for (let n = 0; n < times; n++) {
    const next = rounds.start({ isStandby: true });
    for (const deadline = Date.now() + LIMIT_MS; !STANDS_BY.test(next.output) && next.isRunning && Date.now() < deadline; ) await sleep(LOOK_MS);
    gaps.push(await gap(active, stage));
    if (active.ending !== '0') rounds.unexplained(`told to end, it ended with ${active.ending}`, active);
    say(`rolling restart ${n + 1}: ${(gaps.at(-1) as number).toFixed(2)} s without a commit`);
    active = next;
  }
  await active.kill();
  return gaps;
}

/** Tells a process to end, and waits until its successor has committed. */
async function gap(active: JobProcess, stage: Stage): Promise<number> {
  let last = await stage.committed();
  let lastMs = performance.now();
  const startMs = lastMs;
  let longestMs = 0;
  active.signal('SIGTERM');
  // Two commits after its end: the first one may be its own.
  for (let after = 0; after < 2 && performance.now() - startMs < LIMIT_MS; await sleep(LOOK_MS)) {
    const isOver = !active.isRunning;
    const now = await stage.committed();
    if (now <= last) continue;
    last = now;
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
    if (isOver) after++;
  }
  return Math.max(longestMs, performance.now() - lastMs) / 1_000;
}
