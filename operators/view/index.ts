/** The door of operators/view: a running aggregate, or rows that are kept as one, read while they change. */

export { type LiveCandidate, LiveRanks } from './live-ranks.ts';
export { type LiveRanking, LiveRows } from './live-rows.ts';
export { type LiveView, openView } from './open-view.ts';
export { LiveImages, planRowView, type RowBytes, type RowView, type RowViewRequest, type ViewedRows } from './row-view.ts';
