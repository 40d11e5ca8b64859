/**
 * The door of operators/keyed: operators over whole rows by key: the contract, and process and
 * dropDuplicates.
 */

export { type DropDuplicatesRequest, planDropDuplicates } from './drop-duplicates.ts';
export { EMPTY_WINDOWS, planEmptyWindows } from './empty-windows.ts';
export { KeyedExchange } from './keyed-exchange.ts';
export {
  type DueTimes,
  dueIn,
  type EpochClock,
  type KeyedContext,
  type KeyedInput,
  type KeyedOperator,
  type KeyedOperatorPlan,
  type RowFailures,
} from './keyed-operator.ts';
export type { ProcessContext } from './process-context.ts';
export { columnOfOutput, OUTPUT_NUMBER } from './process-outputs.ts';
export { planProcess } from './process-plan.ts';
export type { ProcessInput, ProcessOrder, ProcessRequest } from './process-request.ts';
export { placesOf, RowOutput } from './row-output.ts';
export { type Key, keyReader, RowReader, roughBytes } from './row-values.ts';
export { planSorted, type SortedRequest } from './sorted.ts';
export { stateCopy } from './state-copy.ts';
export { TimerQueue } from './timer-queue.ts';
