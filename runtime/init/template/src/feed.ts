// Makes clicks, a thousand a second, so that there is something to see. Delete this file, and what src/main.ts has of it,
// when your own clicks come in.

import { generator, json, log, pipeline } from 'millrace';
import { kafka } from 'millrace/io/kafka';
import { click, type Params } from './clicks.ts';

const CLICKS_PER_SECOND = 1_000;

export default function feed({ dir, brokers, startMs }: Params & { readonly startMs: number }) {
  return pipeline('feed')
    .from(
      generator({
        rowsPerSecond: CLICKS_PER_SECOND,
        seed: 1,
        schema: click,
        row: (i, rng) => ({ page: `/page/${rng.int(5)}`, ms: rng.int(800), at: startMs + i * (1_000 / CLICKS_PER_SECOND) }),
      }),
    )
    .to(
      brokers === undefined
        ? log.sink({ dir, topic: 'clicks', partitions: 2, value: json() })
        : kafka.sink({ brokers: brokers.split(','), topic: 'clicks', createTopic: { partitions: 2 }, value: json() }),
    );
}
