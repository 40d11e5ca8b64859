// A source whose decoder loses a row, or gives a batch twice, and says nothing.

import { type ChangelogSink, collect, count, f64, generator, pipeline, type Source, utf8 } from 'millrace';

export const results = collect();

export interface Params {
  readonly fault: 'none' | 'lost row' | 'batch twice';
}

export default ({ fault }: Params) => {
  const honest = generator({ rows: 50_000, seed: 1, schema: { key: utf8, n: f64 }, row: (i) => ({ key: `k${i % 7}`, n: i }) });
  const source = {
    ...honest,
    decoder(context: Parameters<typeof honest.decoder>[0]) {
      const inner = honest.decoder(context);
      let batches = 0;
      let again: ReturnType<typeof inner.next>;
      return {
        open: (chunk: Parameters<typeof inner.open>[0]) => inner.open(chunk),
        offsetOf: (row: number) => inner.offsetOf(row),
        next() {
          if (again !== undefined) {
            const batch = again;
            again = undefined;
            return batch;
          }
          const batch = inner.next();
          if (batch === undefined || batches++ > 0) return batch;
          if (fault === 'batch twice') again = batch;
          return fault === 'lost row' ? batch.slice(0, batch.rowCount - 1) : batch;
        },
      };
    },
  } as Source<{ key: string; n: number }>;
  return pipeline('unbalanced')
    .from(source)
    .keyBy('key')
    .aggregate({ n: count() })
    .to(results as ChangelogSink);
};
