/**
 * One lane of a delivery: blocks that are sent in their order, one request at a time. Records that the server
 * may still take are sent again before any that came later, so rows of one key stay in their order.
 */

import type { SinkBlock } from '../sink.ts';
import { RecordBlock } from './record-block.ts';
import { Records } from './transport.ts';

/** A record that is not stored yet, with the block that it is of. */
export interface Pending {
  readonly of: QueuedBlock;
  readonly bytes: Uint8Array;
  /** Counts the records of the lane. */
  readonly sequence: number;
}

export class QueuedBlock {
  readonly epoch: number;
  readonly unit: number;
  readonly records: RecordBlock;
  readonly settled: Promise<void>;
  #left: number;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;
  /** The next record that has not been sent. */
  next = 0;

  constructor({ epoch, unit, bytes }: SinkBlock) {
    this.epoch = epoch;
    this.unit = unit;
    this.records = new RecordBlock(bytes);
    this.#left = this.records.count;
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.settled.catch(() => {}); // it reaches whoever awaits the write
    if (this.#left === 0) this.#resolve();
  }

  /** So many of its records are stored, or refused. */
  settle(count: number): void {
    this.#left -= count;
    if (this.#left === 0) this.#resolve();
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

export interface RequestLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** The records of a request, with what has to be told of each. */
export interface LaneRequest {
  readonly records: Records;
  readonly pending: readonly Pending[];
}

export class Lane {
  readonly #number: number;
  #sequence = 0;
  readonly #queue: QueuedBlock[] = [];
  /** To be sent again, before all others. */
  #again: readonly Pending[] = [];
  isAtWork = false;
  /** Most rows of a request that has records which come again: fewer where one of them spoils the others. */
  #rowsAgain = Number.POSITIVE_INFINITY;

  constructor(number: number) {
    this.#number = number;
  }

  add(block: QueuedBlock): void {
    if (block.records.count > 0) this.#queue.push(block);
  }

  get isEmpty(): boolean {
    return this.#again.length === 0 && this.#queue.length === 0;
  }

  /** These are to come first, in this order. */
  putBack(pending: readonly Pending[]): void {
    this.#again = [...pending, ...this.#again];
  }

  /** One of so many records spoils the others: they are looked through by halves. */
  halve(count: number): void {
    this.#rowsAgain = Math.max(1, Math.floor(count / 2));
  }

  /** What was sent last was taken: larger runs may be. */
  widen(): void {
    this.#rowsAgain = this.#again.length === 0 ? Number.POSITIVE_INFINITY : this.#rowsAgain * 2;
  }

  /** Takes the next records, at least one. A request never mixes those that come again with new ones. */
  take({ rows, bytes }: RequestLimits): LaneRequest {
    if (this.#again.length > 0) {
      let size = 0;
      const most = Math.min(rows, this.#rowsAgain);
      const fits = this.#again.findIndex((record, i) => i >= most || ((size += record.bytes.length) > bytes && i > 0));
      const pending = fits < 0 ? this.#again : this.#again.slice(0, fits);
      this.#again = fits < 0 ? [] : this.#again.slice(fits);
      return this.#request(pending);
    }
    const pending: Pending[] = [];
    const chunks: Uint8Array[] = [];
    let size = 0;
    for (let block = this.#queue[0]; block !== undefined; block = this.#queue[0]) {
      const { records } = block;
      const from = block.next;
      let to = from;
      for (; to < records.count && pending.length < rows; to++) {
        const record = records.bytes(to, to + 1);
        if (pending.length > 0 && size + record.length > bytes) break;
        size += record.length;
        pending.push({ of: block, bytes: record, sequence: this.#sequence++ });
      }
      if (to > from) chunks.push(records.bytes(from, to));
      block.next = to;
      if (to < records.count) break;
      this.#queue.shift();
    }
    return this.#request(pending, chunks);
  }

  #request(pending: readonly Pending[], chunks?: readonly Uint8Array[]): LaneRequest {
    const records = pending.map((record) => record.bytes);
    return { pending, records: new Records(records, chunks, this.#number, (pending[0] as Pending).sequence) };
  }

  /** Fails all that is in it. */
  fail(error: unknown): void {
    for (const { of: block } of this.#again) block.fail(error);
    for (const block of this.#queue) block.fail(error);
    this.#again = [];
    this.#queue.length = 0;
  }
}
