/**
 * The row at which a worker calls a function, for whoever watches it: words of its line of activity in the
 * control block (control.ts). Per row one word is written, by row programs and by operators by key; the others
 * once per batch. So it costs next to nothing, and a thread that hangs need not be asked.
 *
 *   f64 first, next   a scan: offsets of the batch at work
 *   i32 row           in the batch, or among the shard's rows of the block; -1: none
 *   i32 base          of `row` in the batch
 *   i32 rows          of the batch, if their offsets ascend one by one; 0: where a row was read is not known
 *   i32 block         that a shard takes rows of; 0: none
 *   i32 shard
 */

import type { SharedMemory } from '../../core/index.ts';

const ROW = 4;
const BASE = 5;
const ROWS = 6;
const BLOCK = 7;
const SHARD = 8;
const WORDS = 9;

/** What the words say. */
export interface SeenRow {
  readonly first: number;
  readonly next: number;
  /** -1: none. */
  readonly row: number;
  readonly rows: number;
  readonly block: number;
  readonly shard: number;
}

export class RowAtWork {
  /** Two words: what row programs and operators by key write to. */
  readonly words: Int32Array;
  readonly #all: Int32Array;
  readonly #offsets: Float64Array;

  /** @param address of 40 bytes, at a multiple of 8 */
  constructor({ i32: { buffer } }: SharedMemory, address: number) {
    this.#all = new Int32Array(buffer, address, WORDS);
    this.#offsets = new Float64Array(buffer, address, 2);
    this.words = new Int32Array(buffer, address + ROW * 4, 2);
  }

  /** Worker: it begins with a chunk (of which no batch is known yet), or with shards (0, 0). */
  begin(first: number, next: number): void {
    this.atBatch(first, next, 0);
    this.#all[BLOCK] = 0;
  }

  /** Worker: functions are called for a batch, whose rows were read at these offsets. */
  atBatch(first: number, next: number, rows: number): void {
    this.#offsets[0] = first;
    this.#offsets[1] = next;
    this.atOther(rows);
  }

  /** Worker: functions are called for rows that are not those of the batch one by one. */
  atOther(rows = 0): void {
    this.#all[ROW] = -1;
    this.#all[BASE] = 0;
    this.#all[ROWS] = rows;
  }

  /** Worker: no function is called now. */
  rest(): void {
    this.#all[ROW] = -1;
  }

  /** Worker: a shard takes its rows of a block; 0: it does not. */
  atBlock(block: number, shard: number): void {
    this.rest();
    this.#all[BASE] = 0;
    this.#all[BLOCK] = block;
    this.#all[SHARD] = shard;
  }

  /** Worker: what a shard puts out is with functions behind it, while `work` runs. */
  aside(work: () => void): void {
    const [row, block] = [this.#all[ROW] as number, this.#all[BLOCK] as number];
    this.#all[BLOCK] = 0;
    this.rest();
    work();
    this.#all[BLOCK] = block;
    this.#all[ROW] = row;
  }

  /** Any thread. Between a worker's writes it may be seen half changed. */
  seen(): SeenRow {
    const at = (word: number): number => Atomics.load(this.#all, word);
    const row = at(ROW);
    return {
      first: this.#offsets[0] as number,
      next: this.#offsets[1] as number,
      row: row < 0 ? -1 : row + at(BASE),
      rows: at(ROWS),
      block: at(BLOCK) >>> 0,
      shard: at(SHARD),
    };
  }
}
