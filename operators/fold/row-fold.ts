/**
 * The contract of a fold (reduce.ts, top.ts), and the values of its groups by key: what running-fold.ts and
 * windowed-fold.ts share.
 */

import type { Batch, Field } from '../../core/index.ts';
import type { KeyedInput } from '../keyed/keyed-operator.ts';
import type { RowOutput } from '../keyed/row-output.ts';
import { type Key, keyReader, roughBytes } from '../keyed/row-values.ts';

/** How rows become one value. Values must be something that structured clone can copy. */
export interface RowFold<A = unknown> {
  /** As explain calls it. */
  readonly name: string;
  /** As KeyedOperatorPlan.whole. */
  readonly whole: string;
  /** Columns of the result behind the key columns (and the bounds of the window). */
  readonly fields: readonly Field[];
  /**
   * Puts a row into a value; may change and return it. The same value again, by identity, means nothing
   * changed, if `tellsChanges`.
   */
  add(value: A | undefined, batch: Batch, row: number): A;
  /** Puts `from` into a value; may change `value`, never `from`. */
  merge(value: A | undefined, from: A): A;
  /** Takes `from` out of a value that it was put into, the oldest first. Undefined: it cannot. */
  readonly remove: ((value: A, from: A) => A) | undefined;
  readonly tellsChanges: boolean;
  /** Calls `put` with the values of `fields` for each result row of a key. */
  results(value: A, put: (values: readonly unknown[]) => void): void;
}

/** The value of a key. */
export interface Group {
  readonly id: Key;
  readonly key: readonly unknown[];
  value: unknown;
}

/** Makes groups of rows, and rows of groups. */
export class Groups {
  readonly fold: RowFold;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #keys: readonly number[];
  readonly #output: RowOutput;

  constructor(fold: RowFold, input: KeyedInput, output: RowOutput) {
    this.fold = fold;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#keys = input.keys;
    this.#output = output;
  }

  /** Adds a row to its group among `groups`. Returns the group, or undefined when nothing changed. */
  add<G extends Group>(groups: Map<Key, G>, batch: Batch, row: number, make: (group: Group) => G): G | undefined {
    const id = this.#keyOf(batch, row);
    const known = groups.get(id);
    if (known !== undefined) {
      const before = known.value;
      known.value = this.fold.add(before, batch, row);
      return this.fold.tellsChanges && known.value === before ? undefined : known;
    }
    const group = make({ id, key: this.#keys.map((key) => batch.value(key, row)), value: this.fold.add(undefined, batch, row) });
    groups.set(id, group);
    return group;
  }

  keyOf(batch: Batch, row: number): Key {
    return this.#keyOf(batch, row);
  }

  put({ key, value }: Group, bounds: readonly unknown[]): void {
    this.fold.results(value, (values) => this.#output.append([...key, ...bounds, ...values]));
  }
}

/** An estimate of what groups take in the heap: the first hundred stand for all. */
export function sampledBytes(groups: ReadonlyMap<Key, Group> | ReadonlyMap<number, Group>): number {
  let bytes = 0;
  let looked = 0;
  for (const { id, value } of groups.values()) {
    if (looked++ === 100) break;
    bytes += 120 + roughBytes(id) + roughBytes(value, 2);
  }
  return Math.round(groups.size <= 100 ? bytes : bytes * (groups.size / 100));
}
