/**
 * The first n of many groups, by a number: which of a view's groups are among the greatest. NaN, then null,
 * come last in either order.
 */

import { type Batch, type Column, isValid, type LiveCell, readTimestamp } from '../../core/index.ts';

/** i64 values are bigints; undefined: null. */
export type Rank = number | bigint | undefined;

/**
 * A group that may be among the first of all. `place`: its slot, as long as the cell has the version
 * `version`.
 */
export interface LiveCandidate {
  readonly rank: Rank;
  readonly cell: LiveCell;
  readonly version: number;
  readonly place: number;
}

/** Candidates beyond twice the wanted number, before they are cut down to it. */
const SLACK = 64;

/** Keeps the first `n` of the candidates given to it. */
export class LiveRanks {
  readonly order: 'desc' | 'asc';
  readonly #n: number;
  #list: LiveCandidate[] = [];
  #last: Rank;
  #isCut = false;

  constructor(n: number, order: 'desc' | 'asc') {
    this.#n = n;
    this.order = order;
  }

  /**
   * The candidates among the first `n` so far that this batch's first column adds: row i is the group at
   * `u32[places / 4 + i]`.
   */
  takeBatch(batch: Batch, cell: LiveCell, version: number, places: number): void {
    const { u32 } = batch.memory;
    for (let row = 0; row < batch.rowCount; row++) this.take(rankAt(batch, row), cell, version, u32[(places >>> 2) + row] as number);
  }

  /** The group at `place` is a candidate, if it is among the first `n` so far. */
  take(rank: Rank, cell: LiveCell, version: number, place: number): void {
    if (this.mayHold(rank)) this.#add({ rank, cell, version, place });
  }

  takeAll(other: LiveRanks): void {
    for (const candidate of other.#list) if (this.mayHold(candidate.rank)) this.#add(candidate);
  }

  /** An empty one, which leaves out what this one would. */
  fork(): LiveRanks {
    const fork = new LiveRanks(this.#n, this.order);
    fork.#last = this.#last;
    fork.#isCut = this.#isCut;
    return fork;
  }

  /** The first `n`, in order; of equal ranks, those that came first. */
  first(): readonly LiveCandidate[] {
    this.#cut();
    return this.#list;
  }

  mayHold(rank: Rank): boolean {
    return !this.#isCut || compareRanks(rank, this.#last, this.order) < 0;
  }

  #add(candidate: LiveCandidate): void {
    this.#list.push(candidate);
    if (this.#list.length >= 2 * this.#n + SLACK) this.#cut();
  }

  #cut(): void {
    this.#list.sort((a, b) => compareRanks(a.rank, b.rank, this.order));
    if (this.#list.length < this.#n) return;
    this.#list.length = this.#n;
    this.#last = this.#list.at(-1)?.rank;
    this.#isCut = true;
  }
}

/** Negative: `a` comes first. */
function compareRanks(a: Rank, b: Rank, order: 'desc' | 'asc'): number {
  if ((a as number) < (b as number)) return order === 'asc' ? -1 : 1;
  if ((a as number) > (b as number)) return order === 'asc' ? 1 : -1;
  // Equal, or one of them is not a number.
  return lastness(a) - lastness(b);
}

function lastness(rank: Rank): number {
  return rank === undefined ? 2 : rank !== rank ? 1 : 0;
}

/** The value of a row of the first column, which is a number or a time. */
function rankAt(batch: Batch, row: number): Rank {
  const { memory } = batch;
  const column = batch.columns[0] as Column;
  if (column.validity !== 0 && !isValid(memory, column, row)) return undefined;
  if (column.type.name === 'f64') return memory.f64[(column.data >>> 3) + row] as number;
  if (column.type.name === 'timestamp') return readTimestamp(memory, column.data, row);
  return batch.value(0, row) as number | bigint;
}
