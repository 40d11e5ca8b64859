// Joins with a table against a Map: the table as of the end of each epoch; restored between epochs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, bool, schema } from '../../core/index.ts';
import { type JoinSide, planTableJoin } from '../../operators/index.ts';
import { fc } from '../seed.ts';
import { behind, epochs, options, PARTITIONS, RUNS, left as stream } from './join-rows.ts';
import { inOrder, type KeyedEpoch, normalized, runKeyed, shownValue } from './keyed-harness.ts';

// Both inputs hold rows of the left's schema, so that keys are null on both sides and there is a bool to delete by.
const table: JoinSide = { ...stream, schema: schema({ ...Object.fromEntries(stream.schema.fields.map(({ name, type }) => [name, type])), on: bool }) };

function asTable(row: AnyRow): AnyRow {
  return { user: row.id, at: row.at, size: row.amount, name: row.name ?? '', note: row.name, on: row.big === null };
}

function model(all: readonly KeyedEpoch[], type: string, deletes: boolean) {
  const latest = new Map<string, AnyRow>();
  return all.flatMap((epoch, e) => {
    const rows = inOrder(epoch);
    const keyOf = (row: AnyRow) => (row.user === null ? undefined : `${shownValue(row.user)}|${shownValue(row.size)}`);
    for (const { row, input } of rows) {
      const key = keyOf(row);
      if (input === 0 || key === undefined) continue;
      if (deletes && row.on === true) latest.delete(key);
      else latest.set(key, row);
    }
    return rows
      .filter(({ input }) => input === 0)
      .map(({ row }) => ({ row, found: latest.get(keyOf(row) ?? '') }))
      .filter(({ found }) => found !== undefined || type === 'left')
      .map(({ row, found }) => ({
        epoch: e,
        row: { ...row, at_right: found?.at ?? null, name_right: found?.name ?? null, note_right: found?.note ?? null, on_right: found?.on ?? null },
      }));
  });
}

describe('table join', () => {
  test('gives what a Map gives', () => {
    fc.assert(
      fc.property(
        fc.oneof(epochs, behind),
        options,
        fc.constantFrom('inner', 'left') as fc.Arbitrary<'inner' | 'left'>,
        fc.boolean(),
        fc.boolean(),
        (random, { workers, batchRows, restoreAfter }, type, deletes, broadcast) => {
          const all = random.map(({ chunks, nowMs }) => ({
            nowMs,
            chunks: chunks.map((chunk) => (chunk.input === 1 ? { ...chunk, rows: chunk.rows.map(asTable) } : chunk)),
          }));
          const plan = planTableJoin({ left: stream, right: table, type, suffix: '_right', deleted: deletes ? 'on' : undefined, broadcast });
          const columns = plan.output.fields.map((field) => field.name);
          const run = runKeyed(plan, all, {
            workers,
            spread: (chunk) => chunk,
            batchRows,
            partitions: PARTITIONS,
            ...(restoreAfter === undefined ? {} : { restoreAfter }),
          });
          assert.deepEqual(normalized(run.results, columns), normalized(model(all, type, deletes), columns));
          assert.equal(run.leakedBytes, 0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('takes neither right nor full, and deletes by a bool only', () => {
    const request = { left: stream, right: table, suffix: '_right', deleted: undefined };
    for (const type of ['right', 'full'] as const)
      assert.throws(() => planTableJoin({ ...request, type }), { code: 'ERR_MILLRACE_PIPELINE', message: /within/ });
    assert.throws(() => planTableJoin({ ...request, type: 'inner', deleted: 'name' }), { code: 'ERR_MILLRACE_PIPELINE', message: /bool/ });
  });
});
