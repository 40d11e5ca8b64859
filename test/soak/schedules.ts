/** Simulated schedules: pipelines with each kind of state under crashes in memory, as `simulate` of millrace/testing gives them to users. */

import { type AnyRow, seededRng } from '../../core/index.ts';
import { simulate } from '../../runtime/testing.ts';
import { CRASH_CASES, type CrashCase } from '../runtime/crash-cases.ts';

const ROWS = 16;
/** Between two messages about how far it is. */
const SAID = 500;

/** A kind of state each. What comes out of them does not depend on where epochs are cut. */
const NAMES = ['tumbling windows', 'sessions', 'windows of windows', 'process, with timers'] as const;

export interface SchedulesResult {
  readonly schedules: number;
  readonly crashes: number;
  readonly steps: number;
  readonly failures: readonly string[];
  readonly seed: number;
  readonly seconds: number;
}

/** Runs so many schedules, in equal parts of each pipeline and guarantee; the rows differ from part to part. */
export function runSchedules(schedules: number, seed: number, say: (text: string) => void): SchedulesResult {
  const startMs = performance.now();
  const failures: string[] = [];
  let done = 0;
  let crashes = 0;
  let steps = 0;
  for (let part = 0; done < schedules; part++) {
    const name = NAMES[part % NAMES.length] as string;
    const guarantee = Math.floor(part / NAMES.length) % 4 === 3 ? 'at-least-once' : 'exactly-once';
    const runs = Math.min(50, schedules - done);
    const report = simulate((CRASH_CASES[name] as CrashCase).make(), {
      input: rowsOf(seed + part),
      runs,
      seed: seed + done,
      faults: { crashes: 2 },
      checkpoints: { guarantee },
    });
    crashes += report.crashes;
    steps += Object.values(report.steps).reduce((sum, times) => sum + times, 0);
    if (report.failure !== undefined) failures.push(`${name}, ${guarantee}, part ${part}, seed ${report.failure.seed}: ${report.failure.what}`);
    done += runs;
    if (done % SAID < runs) say(`${done} of ${schedules} schedules, ${failures.length} failures, ${((performance.now() - startMs) / 1_000).toFixed(0)} s`);
  }
  return { schedules: done, crashes, steps, failures, seed, seconds: Math.round((performance.now() - startMs) / 1_000) };
}

/** Out of order by less than the delay of the watermark. */
function rowsOf(seed: number): AnyRow[] {
  const rng = seededRng(seed);
  return Array.from({ length: ROWS }, (_, i) => ({ key: 'abcd'[rng.int(4)] as string, n: i, at: 1_000 + i * 14 + rng.int(20) }));
}
