/**
 * One partition's share of a fetch, taken apart into record batches: where each begins and ends, and whether
 * it belongs to an aborted transaction. Headers are read, records never.
 *
 * The rule for aborted transactions is that of Kafka's own consumer (CompletedFetch). The broker lists the
 * aborted transactions that touch the fetched range, each as producer and first offset. In the order of the
 * batches, a producer counts as aborting from its transaction's first offset until its abort marker; its
 * batches in between are aborted. Transactions of several producers interleave freely. The list is complete
 * for each fetch, so nothing is carried over from one fetch to the next.
 */

import {
  baseOffsetAt,
  batchBytesAt,
  controlTypeAt,
  isControlAt,
  isTransactionalAt,
  magicAt,
  nextOffsetAt,
  producerIdAt,
  RECORD_BATCH,
} from '../../record-batch/index.ts';
import type { AbortedTransaction, Fetched } from './fetcher.ts';

const CONTROL_ABORT = 0;

export class FetchedRecords {
  /** Rows below this offset were not requested: the fetch began inside a record batch. */
  readonly cut: number;
  /** Address of the batch that `step` is on. */
  address = 0;
  byteLength = 0;
  first = 0;
  next = 0;
  isAborted = false;
  #bytes: Uint8Array;
  #at = 0;
  /** Aborted transactions that have not begun yet, by first offset; and the producers of those that have. */
  readonly #transactions: readonly AbortedTransaction[];
  #begun = 0;
  readonly #aborting = new Set<bigint>();

  constructor(fetched: Fetched) {
    this.cut = fetched.fetchedOffset;
    this.#bytes = fetched.records;
    this.#transactions = [...fetched.abortedTransactions].sort((a, b) => a.firstOffset - b.firstOffset);
  }

  /**
   * Moves to the next whole record batch. False at the end; a batch that is cut off there is fetched again.
   *
   * @throws RangeError for a message format older than record batch v2, and for broken framing
   */
  step(): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at + RECORD_BATCH.prefixBytes <= bytes.length) {
      const magic = magicAt(bytes, at);
      if (magic !== RECORD_BATCH.magicValue) {
        throw new RangeError(
          `the records at offset ${baseOffsetAt(bytes, at)} are in message format v${magic}. Only record batches (v2, Kafka 0.11 and newer) can be read: let the topic's old records expire, or copy it with a newer client.`,
        );
      }
      const length = batchBytesAt(bytes, at);
      if (length < RECORD_BATCH.headerBytes)
        throw new RangeError(`the record batch at offset ${baseOffsetAt(bytes, at)} says that it is ${length} bytes long.`);
      if (at + length > bytes.length) return false;
      this.#at = at + length;
      const next = nextOffsetAt(bytes, at);
      if (!Number.isSafeInteger(next)) {
        throw new RangeError(
          `the record batch behind offset ${this.cut} has offsets beyond 2^53 - 1 (about ${next}), which cannot be counted exactly. Write to a topic whose offsets are smaller.`,
        );
      }
      const isAborted = this.#judge(at, next);
      if (next > this.cut) {
        this.address = at;
        this.byteLength = length;
        this.first = baseOffsetAt(bytes, at);
        this.next = next;
        this.isAborted = isAborted;
        return true;
      }
      at = this.#at;
    }
    return false;
  }

  /** The bytes of the batch that `step` is on, as a view. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.address, this.address + this.byteLength);
  }

  /**
   * Called before a longer wait. Copies what is not taken yet and releases the fetch's answer, which can be
   * many times larger.
   */
  compact(): void {
    const rest = this.#bytes.length - this.#at;
    if (2 * rest > this.#bytes.buffer.byteLength) return;
    this.#bytes = this.#bytes.slice(this.#at);
    this.#at = 0;
  }

  #judge(at: number, next: number): boolean {
    while (this.#begun < this.#transactions.length && (this.#transactions[this.#begun]?.firstOffset as number) < next) {
      this.#aborting.add((this.#transactions[this.#begun++] as AbortedTransaction).producerId);
    }
    if (this.#aborting.size === 0 || !isTransactionalAt(this.#bytes, at)) return false;
    const producer = producerIdAt(this.#bytes, at);
    if (!this.#aborting.has(producer)) return false;
    if (!isControlAt(this.#bytes, at)) return true;
    if (controlTypeAt(this.#bytes, at) === CONTROL_ABORT) this.#aborting.delete(producer);
    return false;
  }
}
