/** What the job keyed-operators has written, as one row. */

import { arrow, collect, count, f64, log, pipeline, sum, u32 } from '../../runtime/index.ts';

export const totals = collect();

export default ({ dir }: { dir: string }) =>
  pipeline('keyed-totals')
    .from(log.source({ dir, topic: 'results', value: arrow({ key: u32, n: f64 }) }))
    .keyBy({ all: u32 }, () => ({ all: 0 }))
    .aggregate({ rows: count(), n: sum('n'), weighted: sum((r) => r.n * (1 + (r.key % 7))) })
    .to(totals);
