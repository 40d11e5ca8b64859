/** The door of runtime/plan: what a pipeline becomes: graph, plan, identity, explain. */

export { describePlan, mermaidPlan } from './explain.ts';
export {
  type ExchangeNode,
  GRAPH,
  Graph,
  graphOf,
  type NamedTime,
  type Node,
  type NodeTable,
  type PipelineLike,
  parentsOf,
  type Upstream,
  type WatermarkStrategy,
} from './graph.ts';
export { identityDifference, identityOf, type OperatorIdentity, type PlanIdentity } from './identity.ts';
export {
  type ExchangePlan,
  type ExchangeTarget,
  eventTimeOf,
  type FlowPlan,
  type LookupPlan,
  type Plan,
  type SinkPlan,
  type SourcePlan,
  type TaskPlan,
  type ViewPlan,
  type WatermarkPlan,
} from './plan.ts';
export { makePlan } from './planner.ts';
export { ERROR_SCHEMA, type ErrorRow, ErrorRows, LateRows, lateSchema, type RowCoordinates, rowText, valuesText } from './side-outputs.ts';
export { headOf, STATE_FORMAT, type StateHead } from './state-head.ts';
export { type Allowed, type AllowedNames, NOTHING_ALLOWED, type Predecessor, type Succession, stateOperators, succession } from './succession.ts';
export { mustBeShareable, planOfTask, shardsOf, TASK_COUNTS, taskName } from './task-plan.ts';
