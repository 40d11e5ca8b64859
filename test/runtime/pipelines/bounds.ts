/**
 * Pipelines whose output, or state, is more than their memory: rows that become a thousand, and a state by key that goes by
 * the clock, or stays while event time does.
 */

import { collect, f64, generator, json, log, pipeline, timestamp, utf8 } from 'millrace';

export const FACTOR = 1_000;
/** Of the pipelines with state. */
export const results = collect<{ k: number }>();

/** It counts as 4 KB, and is none. */
const TEXT = 'x'.repeat(4_000);
const STATE = () => ({ first: 0, text: TEXT });

export default ({ dir, kind, rows = 0 }: { dir: string; kind: 'many' | 'clock' | 'never'; rows?: number }) => {
  if (kind === 'many') {
    return pipeline('bounds')
      .from(log.source({ dir, topic: 'in', group: 'bounds', value: json({ n: f64 }) }))
      .flatMap({ n: f64, i: f64, text: utf8 }, (row, emit) => {
        for (let i = 0; i < FACTOR; i++) emit({ n: row.n, i, text: 'twenty bytes of text' });
      })
      .to(log.sink({ dir, topic: 'out', value: json(), partitions: 1 }));
  }
  const source = generator({ rows, rowsPerSecond: 20_000, seed: 1, schema: { k: f64, at: timestamp }, row: (i) => ({ k: i, at: 1_000 + i }) });
  const stream = pipeline('bounds').from(source);
  const schema = { k: f64 };
  const onRow = (row: { k: number }, ctx: { emit(row: { k: number }): void }) => ctx.emit({ k: row.k });
  return (
    kind === 'clock'
      ? stream.keyBy('k').process({ schema, state: STATE, onRow, ttl: '1s' })
      : stream.withWatermark('at', '1s').keyBy('k').process({ schema, state: STATE, onRow })
  ).to(results);
};
