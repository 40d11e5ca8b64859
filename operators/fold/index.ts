/** The door of operators/fold: reduce and top. */

export { type FoldRequest, planFold, resultSchema } from './fold.ts';
export { type Reducer, reduceFold } from './reduce.ts';
export { type Group, Groups, type RowFold, sampledBytes } from './row-fold.ts';
export { compareOrdered, orderColumns, type Ties, type TopRequest, topFold } from './top.ts';
