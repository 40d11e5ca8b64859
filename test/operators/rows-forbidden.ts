/** Run by rows.test.ts in a process that forbids code from strings: prints what the plan says and whether the rows are right. */

import assert from 'node:assert/strict';
import { f64, schema, utf8 } from '../../core/index.ts';
import { planRows, type RowOperation } from '../../operators/rows/rows.ts';
import { batchOf, expected, outcome } from './rows-model.ts';

assert.throws(() => new Function('return 1'), EvalError);
const input = schema({ page: utf8, ms: f64 });
const operations: RowOperation[] = [
  { kind: 'filter', fn: (r) => r.ms > 2 },
  { kind: 'map', schema: schema({ p: utf8, v: f64 }), fn: (r) => ({ p: `${r.page}é`, v: r.ms * 2 }) },
];
const { batch } = batchOf(
  input,
  [1, 2, 3, 4].map((ms) => ({ page: `/${ms}`, ms })),
);
console.log(planRows(input, operations, 'all').describe().join('\n'));
assert.deepEqual(outcome(batch, operations), expected(batch, operations));
console.log('same rows');
