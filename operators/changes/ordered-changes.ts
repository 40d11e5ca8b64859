/**
 * Puts the changes of a table in order by its key. Behind a join by another column the old and the new row of a
 * key come from different shards, in any order. Here they meet, and come out side by side. Nothing is kept
 * from epoch to epoch.
 */

import { type Batch, type Schema, withSign } from '../../core/index.ts';
import { NEVER_DUE, type StateRow } from '../exchange/index.ts';
import type { DueTimes, KeyedContext, KeyedOperator, KeyedOperatorPlan } from '../keyed/index.ts';
import { ChangeReader, changesInput } from './change-rows.ts';
import { NetChanges } from './net-changes.ts';

/** @param input with the hidden column */
export function planOrderedChanges(input: Schema, keys: readonly string[]): KeyedOperatorPlan {
  const rows = changesInput(input, keys);
  const reader = new ChangeReader(input);
  const places = keys.map((name) => reader.schema.indexOf(name));
  return {
    name: 'table order',
    inputs: [rows],
    output: withSign(reader.schema),
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.NEGATIVE_INFINITY,
    state: { format: 1, facts: {} },
    open: (context) => new OrderedChanges(reader, places, context),
    whole: 'changes of a key meet',
    describe: () => `table by ${keys.join(', ')}: the changes of each key in order`,
  };
}

class OrderedChanges implements KeyedOperator {
  readonly stateBytes = 0;
  readonly #reader: ChangeReader;
  readonly #context: KeyedContext;
  readonly #changes: NetChanges;

  constructor(reader: ChangeReader, places: readonly number[], context: KeyedContext) {
    this.#reader = reader;
    this.#context = context;
    this.#changes = new NetChanges(places);
  }

  get due(): DueTimes {
    return NEVER_DUE;
  }

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) this.#changes.add(this.#reader.values(rows, row), this.#reader.isRetraction(rows, row) ? -1 : 1);
  }

  onWatermark(): void {
    if (!this.#changes.isEmpty) this.#changes.putOut(this.#context.output);
  }

  snapshot(): unknown {
    return {};
  }

  *stateRows(): Generator<StateRow> {}
}
