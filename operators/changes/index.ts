/** The door of operators/changes: tables, and operators over tables, whose rows are replaced and go. */

export { aggregateFold } from './aggregate-fold.ts';
export type { ChangeFold } from './change-fold.ts';
export { planOrderedChanges } from './ordered-changes.ts';
export { changeReduceFold } from './reduce-fold.ts';
export { planTable, type TableRequest } from './table.ts';
export { planTableGroups, type TableGroupsRequest } from './table-groups.ts';
export { planTablesJoin, type TablesJoinRequest } from './tables-join.ts';
export { type ChangeTopRequest, changeTopFold } from './top-fold.ts';
