/**
 * What a table makes of the rows of each group, kept up as rows are replaced and go. At the end of each epoch
 * the results that differ from those that are out come out as changes: the old one, taken back, then the new
 * one. A group without rows is gone.
 */

import { type Batch, readValue, type Schema, withSign } from '../../core/index.ts';
import { NEVER_DUE, named, type StateRow } from '../exchange/index.ts';
import { resultSchema } from '../fold/index.ts';
import {
  type DueTimes,
  type Key,
  type KeyedContext,
  type KeyedInput,
  type KeyedOperator,
  type KeyedOperatorPlan,
  keyReader,
  roughBytes,
} from '../keyed/index.ts';
import type { ChangeFold } from './change-fold.ts';
import { ChangeReader, changesInput, neverThere, putChange, textOf } from './change-rows.ts';

export interface TableGroupsRequest {
  /** With the hidden column. */
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly fold: ChangeFold;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when a key is no column, or two result columns have one name */
export function planTableGroups({ input, keys, fold }: TableGroupsRequest): KeyedOperatorPlan {
  const rows = changesInput(input, keys);
  const results = resultSchema(
    rows.keys.map((key) => input.field(key)),
    false,
    fold.fields,
  );
  return {
    name: fold.name,
    callsFunctions: fold.callsFunctions,
    inputs: [rows],
    output: withSign(results),
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: fold.facts },
    open: (context, from) => new TableGroups(fold, rows, results, context, from as Snapshot | undefined),
    whole: fold.whole,
    describe: () =>
      `${fold.title} by ${keys.join(', ') || '(none: one group)'}\n  table     results that change come out: the old one, taken back, then the new one`,
  };
}

interface Group {
  readonly id: Key;
  readonly key: readonly unknown[];
  rows: number;
  state: unknown;
  /** The results that are out. Never written to. */
  out: readonly (readonly unknown[])[];
  /** Rows on which a function failed, and how often: they are not in the state, and will not be taken out. */
  failed: Map<string, number> | undefined;
}

interface Snapshot {
  readonly groups: readonly Group[];
}

class TableGroups implements KeyedOperator {
  readonly #fold: ChangeFold;
  readonly #keys: readonly number[];
  readonly #names: readonly string[];
  readonly #context: KeyedContext;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #reader: ChangeReader;
  readonly #isGuarded: boolean;
  readonly #groups = new Map<Key, Group>();
  readonly #touched = new Set<Group>();

  constructor(fold: ChangeFold, input: KeyedInput, results: Schema, context: KeyedContext, from: Snapshot | undefined) {
    this.#fold = fold;
    this.#keys = input.keys;
    this.#names = results.fields.slice(0, input.keys.length).map(({ name }) => name);
    this.#context = context;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#reader = new ChangeReader(input.schema);
    this.#isGuarded = context.failures.areSkipped && fold.callsFunctions;
    for (const group of from?.groups ?? []) this.#groups.set(group.id, { ...group });
  }

  get stateBytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const { id, state, out } of this.#groups.values()) {
      if (looked++ === 100) break;
      bytes += 200 + roughBytes(id) + roughBytes(state, 4) + roughBytes(out, 2);
    }
    return Math.round(this.#groups.size <= 100 ? bytes : bytes * (this.#groups.size / 100));
  }

  get due(): DueTimes {
    return NEVER_DUE;
  }

  onBatch(rows: Batch): void {
    const { atWork } = this.#context;
    for (let row = 0; row < rows.rowCount; row++) {
      atWork[0] = row;
      const id = this.#keyOf(rows, row);
      let group = this.#groups.get(id);
      if (group === undefined) {
        const key = this.#keys.map((column) => readValue(rows.memory, rows.column(column), row));
        group = { id, key, rows: 0, state: this.#fold.init(), out: [], failed: undefined };
        this.#groups.set(id, group);
      }
      this.#touched.add(group);
      this.#put(group, rows, row, this.#reader.isRetraction(rows, row) ? -1 : 1);
    }
  }

  onWatermark(): void {
    for (const group of this.#touched) {
      const results = this.#resultsOf(group);
      if (results !== undefined) this.#settle(group, results);
      if (group.rows === 0 && group.failed === undefined) this.#groups.delete(group.id);
    }
    this.#touched.clear();
  }

  snapshot(): Snapshot {
    return {
      groups: [...this.#groups.values()].map(({ id, key, rows, state, out, failed }) => ({
        id,
        key,
        rows,
        state: this.#fold.copy(state, key),
        out,
        failed: failed === undefined ? undefined : new Map(failed),
      })),
    };
  }

  *stateRows(): Generator<StateRow> {
    for (const { key, rows, state } of this.#groups.values()) yield { key: named(this.#names, key), rows, value: this.#fold.shown(state) };
  }

  #put(group: Group, batch: Batch, row: number, sign: 1 | -1): void {
    if (sign < 0 && group.failed !== undefined && this.#forget(group, group.failed, batch, row)) return;
    if (group.rows + sign < 0) throw neverThere(this.#fold.title);
    if (this.#isGuarded) {
      try {
        group.state = this.#fold.put(group.state, batch, row, sign, true);
      } catch (error) {
        this.#context.failures.skip(error, row);
        if (sign < 0) {
          // What it had added stays in the state, but it holds the group no longer.
          group.rows--;
          return;
        }
        const text = textOf(this.#reader.values(batch, row));
        (group.failed ??= new Map()).set(text, (group.failed.get(text) ?? 0) + 1);
        return;
      }
    } else group.state = this.#fold.put(group.state, batch, row, sign, false);
    group.rows += sign;
  }

  /** True: the row has failed when it came, so there is nothing to take out. */
  #forget(group: Group, failed: Map<string, number>, batch: Batch, row: number): boolean {
    const text = textOf(this.#reader.values(batch, row));
    const times = failed.get(text);
    if (times === undefined) return false;
    if (times > 1) failed.set(text, times - 1);
    else failed.delete(text);
    if (failed.size === 0) group.failed = undefined;
    return true;
  }

  /** Undefined: a function failed, and what is out stays. */
  #resultsOf(group: Group): readonly (readonly unknown[])[] | undefined {
    if (group.rows === 0) return [];
    if (!this.#isGuarded) return this.#fold.results(group.state, group.key);
    try {
      return this.#fold.results(group.state, group.key);
    } catch (error) {
      this.#context.failures.skip(error, named(this.#names, group.key));
      return undefined;
    }
  }

  #settle(group: Group, results: readonly (readonly unknown[])[]): void {
    const { output, failures } = this.#context;
    if (!this.#isGuarded) {
      this.#putOut(group, results);
      return;
    }
    output.mark();
    try {
      this.#putOut(group, results);
    } catch (error) {
      // A value that does not fit its column.
      failures.skip(error, named(this.#names, group.key));
      output.takeBack();
      return;
    }
    output.keep();
  }

  #putOut(group: Group, results: readonly (readonly unknown[])[]): void {
    const { output } = this.#context;
    const { key, out } = group;
    const rowOf = (values: readonly unknown[] | undefined) => (values === undefined ? undefined : [...key, ...values]);
    for (let i = 0; i < Math.max(out.length, results.length); i++) putChange(output, rowOf(out[i]), rowOf(results[i]));
    group.out = results;
  }
}
