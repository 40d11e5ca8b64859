// Two running aggregates that are viewed while they grow. Their sinks note the epoch of each row, so that the state as of any epoch can be told.

import { type ChangelogSink, collect, count, countDistinct, generator, max, nullable, pipeline, quantile, type Rng, sum, topK, u32, utf8 } from 'millrace';

export interface Noted {
  readonly epoch: number;
  readonly row: Record<string, unknown>;
}

export const pageRows: Noted[] = [];
export const pairRows: Noted[] = [];

export const PAGES: readonly (string | null)[] = [
  null,
  '',
  '__proto__',
  'constructor',
  'é\u0000',
  'k'.repeat(10_000),
  `${'k'.repeat(9_999)}l`,
  ...Array.from({ length: 40 }, (_, i) => `/page/${'x'.repeat(i)}`),
];

/** Users become more with every row, so that tables grow all the time. */
export function rowAt(i: number, rng: Rng) {
  return { page: PAGES[rng.int(PAGES.length)] as string | null, user: rng.int(1 + (i >>> 2)), note: 'n'.repeat(rng.int(60)), ms: rng.int(1_000) };
}

/** What `collect` keeps, with the epochs. */
function noting(noted: Noted[]): ChangelogSink {
  const sink = collect();
  return {
    ...sink,
    async open(context) {
      noted.length = 0;
      const writer = await sink.open(context);
      return {
        ...writer,
        async commit(epoch) {
          const before = sink.rows.length;
          await writer.commit(epoch);
          for (const row of sink.rows.slice(before)) noted.push({ epoch, row });
        },
      };
    },
  };
}

export default ({ rows, partitions = 3, failAt }: { rows: number; partitions?: number; failAt?: number }) => {
  const all = pipeline('live').from(generator({ rows, seed: 11, partitions, schema: { page: nullable(utf8), user: u32, note: utf8, ms: u32 }, row: rowAt }));
  const source = all.filter((r) => {
    if (failAt !== undefined && r.user >= failAt) throw new Error('a user too many');
    return true;
  });
  const pages = source.keyBy('page').aggregate({
    rows: count(),
    ms: sum('ms'),
    longest: max('note'),
    users: countDistinct('user'),
    middle: quantile('ms', 0.5),
    common: topK('note', 3),
    first: collect('ms', { max: 5 }),
  });
  pages.as('pages').to(noting(pageRows));
  return source
    .keyBy('user', 'page')
    .aggregate({ rows: count(), ms: sum('ms') })
    .as('pairs')
    .to(noting(pairRows));
};
