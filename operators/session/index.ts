/** The door of operators/session: session windows. */

export { planSessionFold } from './session-fold.ts';
export { planSession } from './session-plan.ts';
