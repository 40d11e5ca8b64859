/** The contract of what a table makes of the rows of each group: aggregates, a reduce, the greatest rows. */

import type { Batch, Field } from '../../core/index.ts';

export interface ChangeFold<S = unknown> {
  /** The operator's name in plans and messages. */
  readonly name: string;
  /** Its name in explain. */
  readonly title: string;
  /** What decides the meaning of its state: see StateFacts. */
  readonly facts: unknown;
  /** See KeyedOperatorPlan.whole. */
  readonly whole: string;
  /** Columns of the result behind the key columns. */
  readonly fields: readonly Field[];
  /** Whether it calls user-defined functions, which may fail. */
  readonly callsFunctions: boolean;
  /** Of no row. */
  init(): S;
  /**
   * The state with a row more (1) or without it (-1). May change the state and return it.
   *
   * @param isGuarded a failure must leave the state that was given as it was
   */
  put(state: S, batch: Batch, row: number, sign: 1 | -1, isGuarded: boolean): S;
  /** The result rows of a group that has rows: values of `fields`. */
  results(state: S, key: readonly unknown[]): readonly (readonly unknown[])[];
  /** A copy of the state that structured clone and v8.serialize can copy. */
  copy(state: S, key: readonly unknown[]): S;
  /** The state for people. */
  shown(state: S): unknown;
}
