/** Running totals of 100,003 users whose rows are evenly distributed, with or without a view of them. */

import { count, generator, pipeline, sum, u32 } from '../../runtime/index.ts';

export const USERS = 100_003;

export function rowAt(i: number): { user: number; ms: number } {
  return { user: (Math.imul(i, 0x9e_37_79_b1) >>> 8) % USERS, ms: i & 1_023 };
}

export default ({ rows, isViewed }: { rows: number; isViewed: boolean }) => {
  const totals = pipeline('totals')
    .from(generator({ rows, seed: 1, partitions: 4, schema: { user: u32, ms: u32 }, row: rowAt }))
    .keyBy('user')
    .aggregate({ rows: count(), ms: sum('ms') });
  return (isViewed ? totals.as('totals') : totals).forEachBatch(() => {});
};
