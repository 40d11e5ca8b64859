/**
 * What a state belongs to: the plan that it was written for, and the format that it is written in. Snapshots
 * and manifests of checkpoints carry it.
 */

import { identityOf, type PlanIdentity } from './identity.ts';
import type { Plan } from './plan.ts';

/** Number of the format, raised when what was written before can no longer be read. */
export const STATE_FORMAT = 3;

export interface StateHead {
  readonly format: number;
  readonly plan: PlanIdentity;
}

/** The head of a state of this plan. Views do not count, as state is the same with or without them. */
export function headOf(plan: Plan): StateHead {
  return { format: STATE_FORMAT, plan: identityOf({ ...plan, views: [] }) };
}
