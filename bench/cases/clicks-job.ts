/**
 * The main job as a contest: clicks per page and minute, JSON from one embedded log to another, with the
 * options of a contestant. The clock runs from the first rows that a worker has scanned to the last commit;
 * threads start before that.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { seededRng } from '../../core/index.ts';
import { clickAt } from '../../examples/clicks-data.ts';
import { results } from '../../runtime/demo/results.ts';
import type { RunOptions } from '../../runtime/job/options.ts';
import { run } from '../../runtime/job/run.ts';
import type { Contest, Digest, Input } from '../harness.ts';

const MINUTE_MS = 60_000;
const SEED = 1;
const POLL_MS = 2;

interface PageMinute {
  readonly page: string;
  readonly windowStart: number;
  readonly clicks: number;
  readonly meanMs: number;
}

const moduleOf = (path: string): URL => new URL(path, import.meta.url);
const inputOf = ({ dir }: Input): string => join(dir, 'in');

export async function writeClicks(input: Input): Promise<void> {
  mkdirSync(inputOf(input));
  const job = await run(moduleOf('../../examples/clicks-data.ts'), {
    workers: 2,
    trigger: 'availableNow',
    drain: 'emit',
    params: { dir: inputOf(input), rows: input.size, seed: SEED, format: 'json' },
  });
  await job.done;
}

function addPageMinute(to: number[], { page, windowStart, clicks, meanMs }: PageMinute): void {
  const number = Number(page.slice('/page/'.length));
  to[0] = (to[0] as number) + 1;
  to[1] = (to[1] as number) + clicks;
  to[2] = (to[2] as number) + clicks * number;
  to[3] = (to[3] as number) + clicks * ((windowStart / MINUTE_MS) % 1_009);
  // A mean times its count is a sum of eighths again.
  to[4] = (to[4] as number) + Math.round(meanMs * clicks * 8) * (1 + (number % 11));
}

/** The right answer, by one loop over the same clicks and a Map. */
export function clicksReference({ size }: Input): Digest {
  const rng = seededRng(SEED);
  const groups = new Map<string, { page: string; windowStart: number; clicks: number; sum: number }>();
  for (let i = 0; i < size; i++) {
    rng.seek(i);
    const { page, ms, at } = clickAt(i, rng);
    if (!(ms > 0)) continue;
    const windowStart = Math.floor(at / MINUTE_MS) * MINUTE_MS;
    const key = `${page} ${windowStart}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { page, windowStart, clicks: 0, sum: 0 }));
    group.clicks++;
    group.sum += ms;
  }
  const digest = [0, 0, 0, 0, 0];
  for (const { page, windowStart, clicks, sum } of groups.values()) addPageMinute(digest, { page, windowStart, clicks, meanMs: sum / clicks });
  return digest;
}

/**
 * @param name of the contestant, for its folders
 * @param options of its job; `checkpoint` is a folder of its own, new for each run, with this interval
 */
export function clicksContest(input: Input, name: string, options: Omit<RunOptions, 'checkpoint'> & { readonly checkpointInterval?: `${number}ms` }): Contest {
  const output = join(input.dir, `out-${name}`);
  const { checkpointInterval: interval, ...rest } = options;
  const checkpoint = interval === undefined ? {} : { checkpoint: { dir: join(output, 'state'), interval } };
  return {
    units: input.size,
    before() {
      rmSync(output, { recursive: true, force: true });
      mkdirSync(output);
    },
    async run() {
      const job = await run(moduleOf('../jobs/clicks.ts'), {
        trigger: 'availableNow',
        drain: 'emit',
        ...rest,
        ...checkpoint,
        params: { from: inputOf(input), to: output },
      });
      let startMs = 0;
      let rowsBefore = 0;
      const timer = setInterval(() => {
        const { rowsIn } = job.progress();
        if (rowsIn === 0) return;
        startMs = performance.now();
        rowsBefore = rowsIn;
        clearInterval(timer);
      }, POLL_MS);
      try {
        await job.done;
      } finally {
        clearInterval(timer);
      }
      // Rows from before the clock started count at the same speed.
      return startMs === 0 || rowsBefore === input.size ? undefined : ((performance.now() - startMs) / 1_000) * (input.size / (input.size - rowsBefore));
    },
    async digest() {
      await (await run(moduleOf('../../runtime/demo/results.ts'), { workers: 1, trigger: 'availableNow', drain: 'emit', params: { dir: output } })).done;
      const digest = [0, 0, 0, 0, 0];
      for (const row of results.rows as unknown as readonly PageMinute[]) addPageMinute(digest, row);
      return digest;
    },
  };
}
