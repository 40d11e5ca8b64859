/** What the shards of an aggregation in session windows go by; session-plan.ts makes it, and tells what a session is. */

import type { DataType, Schema } from '../../core/index.ts';
import type { AggregatePlan } from '../aggregate/aggregate-plan.ts';
import type { KeyedInput } from '../keyed/keyed-operator.ts';
import type { MixedPlan } from '../user-aggregates/aggregate-split.ts';
import type { WindowSpec } from '../windows.ts';

export interface SessionPlan {
  readonly input: KeyedInput;
  readonly keyTypes: readonly DataType[];
  /** Key columns, windowStart, windowEnd; `retracted`, where results are revised. */
  readonly head: Schema;
  /** Results may be taken back. */
  readonly isRevised: boolean;
  /** The aggregates alone, without key and window; its slots are keyed by the session's number. */
  readonly values: AggregatePlan;
  /** With aggregates of the user's: the columns of both; `values` are the built-in ones. */
  readonly mixed: MixedPlan | undefined;
  readonly output: Schema;
  readonly window: WindowSpec;
  readonly gapMs: number;
}
