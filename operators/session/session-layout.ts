/**
 * The layout that the shards of an aggregation in session windows share. session-plan.ts makes it; see there
 * for what a session is.
 */

import type { DataType, Schema } from '../../core/index.ts';
import type { AggregatePlan } from '../aggregate/index.ts';
import type { KeyedInput } from '../keyed/index.ts';
import type { MixedPlan } from '../user-aggregates/index.ts';
import type { WindowSpec } from '../windows.ts';

export interface SessionPlan {
  /** Its event time is the end of the row where rows have gaps of their own: such a row is late when that is. */
  readonly input: KeyedInput;
  /** Position of the column that says when a row happened, and what is added to it. */
  readonly time: number;
  readonly timeShiftMs: 0 | -1;
  /** Position of the column with the end of a row; -1: all have one gap. */
  readonly end: number;
  /** Positions of the columns that functions of the user's see. */
  readonly columns: readonly number[];
  readonly keyTypes: readonly DataType[];
  /** Key columns, windowStart, windowEnd; `retracted`, where results may be retracted. */
  readonly head: Schema;
  /** Results may be retracted. */
  readonly isRevised: boolean;
  /** The aggregates alone, without key and window. Its slots are keyed by the session's number. */
  readonly values: AggregatePlan;
  /** With user-defined aggregates: the columns of both; `values` are the built-in ones. */
  readonly mixed: MixedPlan | undefined;
  readonly output: Schema;
  readonly window: WindowSpec;
  /** 0 where rows have gaps of their own. */
  readonly gapMs: number;
}
