// Confluent's TopArticles: the three articles of each industry that are read most, hour by hour.

import { collect, count, pipeline, timestamp, tumbling, utf8 } from 'millrace';
import { grouped, HOUR_MS, made, type Port, ranked, START_MS } from './port.ts';

const views = made({ user: utf8, page: utf8, industry: utf8, flags: utf8, at: timestamp }, 6_000, viewAt, { partitions: 2 });
const best = collect();

export default pipeline('top-articles')
  .from(views.source)
  .withWatermark('at', '10s')
  .filter((r) => r.flags.includes('ARTICLE'))
  .keyBy('industry', 'page')
  .window(tumbling('1h'))
  .aggregate({ reads: count() })
  .keyBy('industry')
  .window(tumbling('1h'))
  .top(3, { by: 'reads' })
  .to(best);

// The data, and a plain loop.

/** Page p of an industry is read half as often again as page p + 1. */
function viewAt(i: number, rng: { int(below: number): number; (): number }) {
  const page = Math.floor(Math.log(1 / (1 - rng())) / Math.log(1.6));
  return {
    user: `user-${rng.int(50)}`,
    page: `page-${page}`,
    industry: ['eng', 'telco', 'health'][rng.int(3)] as string,
    flags: rng.int(10) < 7 ? 'ARTICLE' : 'AD',
    at: START_MS + i * 2_000 + rng.int(8_000),
  };
}

export const port: Port = {
  inputs: [views],
  outcomes: [
    {
      sink: best,
      expected() {
        const articles = views.rows.filter((r) => r.flags.includes('ARTICLE'));
        return [...grouped(articles, (r) => `${r.industry} ${Math.floor(r.at / HOUR_MS)}`)].flatMap(([key, rows]) => {
          const [industry, hour] = key.split(' ');
          const pages = [...grouped(rows, (r) => r.page)].map(([page, own]) => ({ page, reads: own.length }));
          const windowStart = Number(hour) * HOUR_MS;
          return ranked(pages, 3, (r) => r.reads).map((r) => ({ ...r, industry, windowStart, windowEnd: windowStart + HOUR_MS }));
        });
      },
    },
  ],
};
