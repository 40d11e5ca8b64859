// Page clicks: how often each page was clicked in each minute, and how long its visitors stayed on average.
//
//   npx tsx examples/clicks.ts                               makes half a million clicks on the embedded log,
//                                                            and counts them
//   npx millrace run examples/clicks.ts --param dir=./data   counts the topic `clicks` of the log in ./data
//
// The result is the topic `clicks-per-page` of the same log. clicks-data.ts makes the clicks. clicks-kafka.ts
// is the same job on Kafka. `npm start` runs five million clicks and checks the result.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { arrow, count, f64, json, log, main, mean, type Params, pipeline, type RowOf, run, type Sink, type Source, timestamp, tumbling, utf8 } from 'millrace';
import { grouped } from './on-log.ts';

export const click = { page: utf8, user: utf8, ms: f64, at: timestamp };
export const pageMinute = { page: utf8, windowStart: timestamp, windowEnd: timestamp, clicks: f64, meanMs: f64 };

export function clicksPerPage(source: Source<RowOf<typeof click>>, sink: Sink) {
  return pipeline('clicks-per-page')
    .from(source)
    .withWatermark('at', '5s')
    .filter((r) => r.ms > 0)
    .keyBy('page')
    .window(tumbling('1m'))
    .aggregate({ clicks: count(), meanMs: mean('ms') })
    .to(sink);
}

/** The busiest pages of each minute, from the job's results. */
function busiest(dir: string) {
  return pipeline('busiest-pages')
    .from(log.source({ dir, topic: 'clicks-per-page', value: json(pageMinute) }))
    .withWatermark('windowStart', '1m')
    .windowAll(tumbling('1m'))
    .top(3, { by: 'clicks' })
    .select('windowStart', 'rank', 'page', 'clicks', 'meanMs')
    .print({ rows: 30 });
}

export default ({ dir, format, step }: { dir: string; format?: 'json' | 'arrow'; step?: 'make' | 'run' | 'show' }) =>
  step === 'show'
    ? busiest(dir)
    : clicksPerPage(
        log.source({ dir, topic: 'clicks', group: 'clicks-per-page', value: format === 'arrow' ? arrow(click) : json(click) }),
        log.sink({ dir, topic: 'clicks-per-page', key: 'page', value: json() }),
      );

main(import.meta.url, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-'));
  // The log has no end, so its last windows would wait for more clicks. Here all clicks are there, so the
  // last windows are emitted too.
  const to = async (name: string, params: Params) =>
    (await run(new URL(name + extname(import.meta.url), import.meta.url), { workers: 2, trigger: 'availableNow', drain: 'emit', params })).done;
  try {
    await to('clicks-data', { dir, rows: 500_000, seed: 1 });
    const { rowsIn, rowsOut, seconds } = await to('clicks', { dir });
    console.log(`${grouped(rowsIn)} clicks in ${seconds.toFixed(1)} s, ${grouped(rowsOut)} pages and minutes. The busiest pages of each minute:`);
    await to('clicks', { dir, step: 'show' });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
