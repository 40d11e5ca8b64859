// Numbered rows as Arrow messages in a log: one message a batch.

import { arrow, generator, log, pipeline } from 'millrace';
import { event } from './values.ts';

export default ({ dir, rows }: { dir: string; rows: number }) =>
  pipeline('arrow-rows')
    .from(generator({ rows, seed: 1, partitions: 1, schema: event, row: (i) => ({ key: `key ${i % 9}`, n: i, at: i }) }))
    .to(log.sink({ dir, topic: 'messages', partitions: 1, value: arrow() }));
