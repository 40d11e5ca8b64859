/** The door of operators/view: a running aggregate, read while it changes. */

export { type LiveCandidate, LiveRanks } from './live-ranks.ts';
export { type LiveRanking, LiveRows, openView } from './live-rows.ts';
