/**
 * A state that is a function of the epoch: what the owner of a table makes of it, step by step, in a thread of its own, and what a reader must
 * find, by formula. In each cycle of CYCLE epochs a table grows from nothing: every epoch brings STEP new keys and a row for each key.
 */

import { BatchBuilder, type GroupTable, nullable, type SlabAllocator, schema, smallTable, u32, utf8 } from '../../core/index.ts';
import { type AggregatePlan, collect, count, countDistinct, last, max, planAggregate, sum } from '../../operators/index.ts';

export const CYCLE = 40;
export const STEP = 50;

export const plan: AggregatePlan = planAggregate({
  input: schema({ key: nullable(utf8), side: u32, text: utf8, epoch: u32 }),
  keys: ['key', 'side'],
  aggregates: {
    rows: count(),
    epochs: sum('epoch'),
    newest: last('text'),
    most: max('epoch'),
    early: collect('text', { max: 2 }),
    different: countDistinct('epoch'),
  },
});

export function keyAt(k: number): [key: string | null, side: number] {
  if (k % 11 === 0) return [null, k];
  if (k % 7 === 0) return ['long '.repeat(20 + (k % 30)) + k, k];
  return [['__proto__', '', 'é', `k${k}`][k % 4] as string, k];
}

function textAt(epoch: number): string {
  return `${epoch} `.repeat(1 + (epoch % 50));
}

/** How many keys there are at the end of an epoch. */
export function keysAt(epoch: number): number {
  return ((epoch % CYCLE) + 1) * STEP;
}

/** The row of key `k` at the end of an epoch; undefined: it is not there. */
export function rowAt(k: number, epoch: number): Record<string, unknown> | undefined {
  if (k >= keysAt(epoch)) return undefined;
  const first = epoch - (epoch % CYCLE) + Math.floor(k / STEP);
  const rows = epoch - first + 1;
  const [key, side] = keyAt(k);
  return {
    key,
    side,
    rows,
    epochs: ((first + epoch) * rows) / 2,
    newest: textAt(epoch),
    most: epoch,
    early: JSON.stringify(rows === 1 ? [textAt(first)] : [textAt(first), textAt(first + 1)]),
    different: rows,
  };
}

/** A table that is brought from one epoch to the next. */
export class LiveState {
  readonly table: GroupTable;
  readonly #rows: BatchBuilder;
  #epoch = -1;

  constructor(slabs: SlabAllocator) {
    this.table = smallTable(slabs, plan.layout, 0);
    this.#rows = new BatchBuilder(slabs, plan.input, CYCLE * STEP);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Does what the next epoch brings. */
  step(): void {
    const epoch = ++this.#epoch;
    if (epoch % CYCLE === 0) this.table.clear();
    this.#rows.reset();
    for (let k = 0; k < keysAt(epoch); k++) {
      const [key, side] = keyAt(k);
      this.#rows.appendRow({ key, side, text: textAt(epoch), epoch });
    }
    const batch = this.#rows.finish();
    const column = (index: number) => (index < 0 ? undefined : batch.column(index));
    this.table.update(
      plan.keys.map((key) => batch.column(key)),
      plan.inputs.map(column),
      0,
      batch.rowCount,
    );
  }
}
