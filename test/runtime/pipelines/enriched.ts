// Clicks that are looked up before the key, and results that are looked up behind it; by functions that answer late, out of order, or never.

import { setTimeout as sleep } from 'node:timers/promises';
import { collect, count, f64, generator, nullable, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';

export const means = collect();
export const plain = collect();
export const failures = collect();

export interface EnrichedParams {
  readonly rows: string;
  /** 'late': answers come out of order. 'flaky': each row fails at first. 'failing': rows of user 3 always do. 'hanging': they never come. */
  readonly how: string;
  readonly concurrency?: string;
  readonly cache?: string;
}

const attempts = new Map<number, number>();
let underWay = 0;

/** How many calls were under way at a time, most: a column of the rows. */
async function lookUp(id: number, user: number, how: string, signal: AbortSignal): Promise<{ team: string; most: number }> {
  const most = ++underWay;
  try {
    const attempt = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, attempt);
    if (how === 'flaky' && attempt < 2) throw new Error('try again');
    if (user === 3 && how === 'failing') throw new Error('nobody knows user 3');
    if (user === 3 && how === 'hanging') await sleep(60_000, undefined, { signal });
    if (how === 'late') await sleep((id * 7) % 5);
    else await null;
    return { team: `team ${user % 3}`, most };
  } finally {
    underWay--;
  }
}

export default ({ rows, how, concurrency = '50', cache }: EnrichedParams) => {
  const source = generator({
    rows: Number(rows),
    seed: 1,
    schema: { id: f64, user: f64, at: timestamp },
    row: (i) => ({ id: i, user: i % 7, at: 1_000_000 + i }),
  });
  const enriched = pipeline('enriched')
    .from(source)
    .withWatermark('at', 0)
    .filter((r) => r.id % 10 !== 9)
    .enrich({ team: utf8, most: f64 }, (r, { signal }) => lookUp(r.id, r.user, how, signal), {
      concurrency: Number(concurrency),
      timeout: how === 'hanging' ? 100 : '10s',
      retries: how === 'flaky' ? 1 : 0,
      ...(cache === undefined ? {} : { cache: { by: 'user', size: Number(cache) } }),
    });
  enriched.to(plain);
  if (how === 'failing' || how === 'hanging') enriched.errors.to(failures);
  return enriched
    .keyBy('team')
    .window(tumbling(100))
    .aggregate({ rows: count(), ids: sum('id') })
    .enrich({ name: utf8, half: nullable(f64) }, async (r) => {
      await null;
      return { name: `${r.team} at ${r.windowStart}`, half: r.rows % 2 === 0 ? r.rows / 2 : null };
    })
    .to(means);
};
