/** The tail of a stream: some of the rows that go to a sink, for a person who watches. Seldom, so that it costs nothing. */

import type { Batch } from '../../core/index.ts';
import type { SinkEncoder } from '../../io/index.ts';

/** Gets rows as plain data. */
export type TailTaker = (sink: number, rows: readonly Readonly<Record<string, unknown>>[]) => void;

const PAUSE_MS = 400;
const ROWS_MAX = 10;
const TEXT_MAX = 200;

/** An encoder that shows the last rows of a batch, at most so often. */
export function tailed(encoder: SinkEncoder, sink: number, take: TailTaker): SinkEncoder {
  let shownAtMs = Number.NEGATIVE_INFINITY;
  return {
    write(batch) {
      const now = performance.now();
      if (batch.rowCount > 0 && now - shownAtMs >= PAUSE_MS) {
        shownAtMs = now;
        take(sink, lastRows(batch));
      }
      encoder.write(batch);
    },
    flush: () => encoder.flush(),
  };
}

function lastRows(batch: Batch): Record<string, unknown>[] {
  const rows: Record<string, unknown>[] = [];
  for (let row = Math.max(0, batch.rowCount - ROWS_MAX); row < batch.rowCount; row++) {
    rows.push(Object.fromEntries(batch.schema.fields.map(({ name }, column) => [name, plain(batch.value(column, row))])));
  }
  return rows;
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === 'string' && value.length > TEXT_MAX) return `${value.slice(0, TEXT_MAX)}...`;
  return value;
}
