/** The door of operators/join: two streams by key. */

export { planAsOfJoin } from './as-of-join.ts';
export { type IntervalJoinRequest, planIntervalJoin } from './interval-join.ts';
export { isKept, type JoinColumns, type JoinSide, type JoinType, joinColumns } from './join-columns.ts';
export { planTableJoin, type TableJoinRequest } from './table-join.ts';
export { planWindowJoin, type WindowJoinRequest } from './window-join.ts';
