/**
 * The contract of a topic that holds a job's checkpoints: what the runtime needs of it. `millrace/io/kafka` implements it.
 *
 * The topic is compacted: of each key it keeps the newest value. All records are written in transactions, and
 * only committed ones are read, so those of a process that was fenced are never seen.
 */

import type { Transaction, TransactionDomain } from './sink.ts';

export interface TopicRecord {
  readonly key: string;
  /** null: the key is gone. */
  readonly value: Uint8Array | null;
}

/** What is known of the process that has the job. */
export interface TopicHolder {
  readonly text: string;
  /** Another number each time that the holder is heard of. */
  readonly heard: number;
}

export interface CheckpointTopic {
  /** What it is and where: `kafka clicks-state`. */
  readonly name: string;
  /** Identifies the topic. One that was made anew has another. */
  readonly id: string;
  /** Where its transactions are. Sinks of the same domain can share them. */
  readonly transactions: TransactionDomain;
  /** Where committed records end now. */
  end(): Promise<number>;
  /**
   * Reads the committed records between two offsets, in order. At most some megabytes are held at a time.
   *
   * @param take called with records that follow one another, and awaited
   * @returns the offset to go on from
   */
  read(from: number, to: number, take: (records: readonly TopicRecord[], next: number) => Promise<void>): Promise<number>;
  /**
   * Adds records to what a transaction of its domain commits next. Resolves when they are acknowledged.
   */
  write(transaction: Transaction, records: readonly TopicRecord[]): Promise<void>;
  /** Says that this process has the job. Not part of a transaction: it fences nobody. */
  announce(text: string): Promise<void>;
  /** Who said so last. */
  holder(): Promise<TopicHolder | undefined>;
  close(): Promise<void>;
}
