// Many rows joined with a small table, by key or broadcast; and what is written down when the table's source is the slower one.

import { setTimeout as sleep } from 'node:timers/promises';
import { broadcast, collect, f64, iterable, memory, pipeline, type Stream, utf8 } from 'millrace';

export const results = collect();

export interface Params {
  readonly rows: number;
  readonly how: 'key' | 'broadcast';
  readonly table: 'loaded' | 'growing';
  /** The table comes from a source that lets others have their turn before it gives a row. */
  readonly isSlow: boolean;
}

async function* slowly() {
  for (let i = 0; i < 3; i++) {
    await sleep(20);
    yield { id: 'a', name: `Ann ${i}` };
  }
}

export default ({ rows, how, table, isSlow }: Params) => {
  const p = pipeline('table');
  const schema = { id: utf8, name: utf8 };
  const names: Stream<{ id: string; name: string }> = isSlow
    ? p.from(iterable(slowly(), { schema }))
    : p.from(memory([{ id: 'a', name: 'Ann 2' }], { schema }));
  const many = p.from(
    memory(
      Array.from({ length: rows }, (_, n) => ({ user: 'a', n })),
      { schema: { user: utf8, n: f64 } },
    ),
  );
  const right = names.keyBy('id');
  const keyed = many.keyBy('user');
  const joined = how === 'key' ? keyed.join(right, { table }) : keyed.join(broadcast(right), { table });
  return joined.to(results);
};
