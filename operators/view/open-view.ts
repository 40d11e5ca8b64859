/** Chooses how an operator that can be viewed is read: a running aggregate, or rows that are kept as one. */

import { type AnyRow, assert, type LiveCell, type SlabAllocator } from '../../core/index.ts';
import { AggregateExchange } from '../aggregate/index.ts';
import type { ExchangeOperator } from '../exchange/index.ts';
import type { LiveCandidate, LiveRanks } from './live-ranks.ts';
import { LiveRows } from './live-rows.ts';
import { LiveImages, type ViewedRows } from './row-view.ts';

/**
 * What a view needs of the shards, one at a time. `version` is always what `cell.tryRead` returned. Undefined:
 * the shard changed meanwhile, look again. G: a column to rank by.
 */
export interface LiveView<G = unknown> {
  setKey(key: unknown): number;
  tryRow(cell: LiveCell, version: number): AnyRow | null | undefined;
  tryRows(cell: LiveCell, version: number): AnyRow[] | undefined;
  trySize(cell: LiveCell, version: number): number | undefined;
  ranking(by: string | undefined): G;
  tryRanks(cell: LiveCell, version: number, ranking: G, before: LiveRanks): LiveRanks | undefined;
  tryCandidate(candidate: LiveCandidate): AnyRow | undefined;
  trim(): void;
}

/**
 * Reads the shards of an operator that can be viewed.
 *
 * @param rows of the operator of a row view: what it keeps
 */
export function openView(slabs: SlabAllocator, operator: ExchangeOperator, rows?: ViewedRows): LiveView {
  assert(operator instanceof AggregateExchange && operator.isViewable, `a view of ${operator.name}, which holds no table to read`);
  return (rows === undefined ? new LiveRows(slabs, operator.plan) : new LiveImages(slabs, operator, rows)) as LiveView;
}
