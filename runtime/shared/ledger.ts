/** The ledger: counts of rows by partition, and samples of the rows that no result counts. */

/**
 * One count of each per worker and partition. All but rowsIn are the ledger: rows that no result counts, by
 * reason.
 */
export const COUNTER_NAMES = ['rowsIn', 'undecodable', 'corrupt', 'control', 'lost', 'late', 'replayed', 'failed'] as const;
export type CounterName = (typeof COUNTER_NAMES)[number];

/**
 * What happens to rows on which a function fails. `fail` (default): the first one ends the job. `skip`: they
 * are left out, and counted.
 */
export type FailedRowsPolicy = 'fail' | 'skip';

/** Samples that a job keeps. */
export const SAMPLES_MAX = 100;

/** One row, or frame, that did not reach the result. */
export interface LedgerSample {
  readonly reason: string;
  readonly source: string;
  readonly partition: number;
  readonly offset: number;
  readonly rows: number;
  readonly message: string;
}
