/**
 * The contract of a fold (reduce.ts, top.ts), and the values of its groups by key. Shared by running-fold.ts
 * and windowed-fold.ts.
 */

import type { AnyRow, Batch, Field } from '../../core/index.ts';
import { named } from '../exchange/index.ts';
import { type Key, type KeyedContext, type KeyedInput, keyReader, type RowFailures, type RowOutput, roughBytes, stateCopy } from '../keyed/index.ts';

/** How rows become one value. Structured clone must be able to copy the values. */
export interface RowFold<A = unknown> {
  /** The operator's name in messages. */
  readonly kind: 'reduce' | 'top';
  /** Its name in explain. */
  readonly name: string;
  /** What decides the meaning of its values: see StateFacts. */
  readonly facts: unknown;
  /** See KeyedOperatorPlan.whole. */
  readonly whole: string;
  /** Columns of the result behind the key columns (and the bounds of the window). */
  readonly fields: readonly Field[];
  /**
   * Puts a row into a value; may change the value and return it. With `tellsChanges`, returning the same
   * value, by identity, means that nothing changed.
   */
  add(value: A | undefined, batch: Batch, row: number): A;
  /** Puts `from` into a value; may change `value`, never `from`. */
  merge(value: A | undefined, from: A): A;
  /**
   * Takes `from`, which was put in earlier, out of a value; the oldest first. Undefined: the fold cannot
   * remove.
   */
  readonly remove: ((value: A, from: A) => A) | undefined;
  readonly tellsChanges: boolean;
  /** Whether it calls user-defined functions, which may fail. */
  readonly callsFunctions: boolean;
  /** Calls `put` with the values of `fields` for each result row of a key. */
  results(value: A, put: (values: readonly unknown[]) => void): void;
}

/** The value of a key. */
export interface Group {
  readonly id: Key;
  readonly key: readonly unknown[];
  value: unknown;
}

/** Makes groups from rows, and rows from groups. */
export class Groups {
  readonly fold: RowFold;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #keys: readonly number[];
  readonly #names: readonly string[];
  readonly #output: RowOutput;
  readonly #failures: RowFailures;
  readonly #atWork: Int32Array;
  readonly isGuarded: boolean;
  /** The last row that was to be added was left out. */
  hasFailed = false;

  constructor(fold: RowFold, input: KeyedInput, { output, failures, atWork }: Pick<KeyedContext, 'output' | 'failures' | 'atWork'>) {
    this.fold = fold;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#keys = input.keys;
    this.#names = input.keys.map((key) => input.schema.field(key).name);
    this.#output = output;
    this.#failures = failures;
    this.#atWork = atWork;
    this.isGuarded = failures.areSkipped && fold.callsFunctions;
  }

  /** Adds a row to its group among `groups`. Returns the group, or undefined when nothing changed. */
  add<G extends Group>(groups: Map<Key, G>, batch: Batch, row: number, make: (group: Group) => G): G | undefined {
    this.#atWork[0] = row;
    const id = this.#keyOf(batch, row);
    const known = groups.get(id);
    if (known !== undefined) {
      const before = known.value;
      if (this.isGuarded) {
        this.hasFailed = false;
        const kept = stateCopy(before);
        try {
          known.value = this.fold.add(before, batch, row);
        } catch (error) {
          this.failed(error, row);
          known.value = kept;
          return undefined;
        }
        return known;
      }
      known.value = this.fold.add(before, batch, row);
      return this.fold.tellsChanges && known.value === before ? undefined : known;
    }
    const group = make({ id, key: this.#keys.map((key) => batch.value(key, row)), value: this.fold.add(undefined, batch, row) });
    groups.set(id, group);
    return group;
  }

  keyOf(batch: Batch, row: number): Key {
    this.#atWork[0] = row;
    return this.#keyOf(batch, row);
  }

  /** A function has failed: what it was called for (see RowFailures.skip) is left out, or the job ends. */
  failed(error: unknown, of: number | AnyRow): void {
    this.hasFailed = true;
    this.#failures.skip(error, of);
  }

  /** The key columns of a group by name. */
  keyRow({ key }: Group): AnyRow {
    return named(this.#names, key);
  }

  put(group: Group, bounds: readonly unknown[]): void {
    const { key, value } = group;
    if (this.isGuarded) this.#output.mark();
    try {
      this.fold.results(value, (values) => this.#output.append([...key, ...bounds, ...values]));
    } catch (error) {
      if (!this.isGuarded) throw error;
      this.failed(error, this.keyRow(group));
      this.#output.takeBack();
      return;
    }
    if (this.isGuarded) this.#output.keep();
  }
}

/** An estimate of the heap that groups take: the first hundred stand for all. */
export function sampledBytes(groups: ReadonlyMap<Key, Group> | ReadonlyMap<number, Group>): number {
  let bytes = 0;
  let looked = 0;
  for (const { id, value } of groups.values()) {
    if (looked++ === 100) break;
    bytes += 120 + roughBytes(id) + roughBytes(value, 2);
  }
  return Math.round(groups.size <= 100 ? bytes : bytes * (groups.size / 100));
}
