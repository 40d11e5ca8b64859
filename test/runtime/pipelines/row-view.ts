// The last row of each key, viewed: of rows that tell by their number how many came before them.

import { bool, generator, pipeline, u32, utf8 } from '../../../runtime/index.ts';

export const ROWS = 100_000;
const KEYS = 200;

export interface NumberedRow {
  readonly i: number;
  readonly key: string;
  readonly gone: boolean;
}

export function rowAt(i: number): NumberedRow {
  const hash = Math.imul(i + 1, 0x9e37_79b1) >>> 8;
  return { i, key: `key-${hash % KEYS}`, gone: hash % 7 === 0 };
}

/** The table after the first `count` rows. */
export function lastOf(count: number): Map<string, NumberedRow> {
  const table = new Map<string, NumberedRow>();
  // Each key comes among the last of these.
  for (let i = Math.max(0, count - KEYS * 100); i < count; i++) {
    const row = rowAt(i);
    if (row.gone) table.delete(row.key);
    else table.set(row.key, row);
  }
  return table;
}

export default pipeline('row-view')
  .from(generator({ rows: ROWS, rowsPerSecond: 50_000, seed: 1, schema: { i: u32, key: utf8, gone: bool }, row: (i) => rowAt(i) }))
  .keyBy('key')
  .table({ delete: (r) => r.gone })
  .as('last');
