/**
 * When rows that cannot be decoded end a job. By default they are counted in the ledger, and the job goes on.
 * It can be set to fail at the first one, or when they are more than a share of all rows. This is judged when
 * all workers have merged an epoch, before its output is written.
 */

import { MillraceError, shown } from '../../core/index.ts';
import type { LedgerSample } from '../shared/index.ts';

/**
 * `ledger` (default): they are counted. `fail`: the first one ends the job. `{ fail: { above } }`: more than
 * this share of the rows does.
 */
export type BadRows = 'ledger' | 'fail' | { readonly fail: { readonly above: number } };

/** A share is judged from this many rows on, or when no more will come. */
const ROWS_JUDGED_MIN = 1_000;

/** Rows that did not reach the pipeline, or that failed there and went to `errors`. */
export const BAD_REASONS = ['undecodable', 'corrupt', 'failed'] as const;
/** Besides: rows that the server of a sink refuses. They are judged with the next epoch. */
const REFUSED = 'refused';

/** The greatest share of bad rows that is allowed; 1 allows all. */
export function shareAllowed(badRows: BadRows): number {
  if (badRows === 'ledger') return 1;
  return badRows === 'fail' ? 0 : badRows.fail.above;
}

/** @returns whether the job has to end */
export function areTooMany({ bad, rows, isLast }: { readonly bad: number; readonly rows: number; readonly isLast: boolean }, allowed: number): boolean {
  if (bad === 0 || allowed >= 1) return false;
  return allowed === 0 || ((isLast || rows >= ROWS_JUDGED_MIN) && bad > allowed * rows);
}

export function tooMany(bad: number, rows: number, badRows: BadRows, samples: readonly LedgerSample[]): MillraceError {
  const sample = samples.find(({ reason }) => reason === REFUSED || BAD_REASONS.some((bad) => bad === reason));
  const first =
    sample === undefined ? '' : ` One of them: ${sample.reason}, ${sample.source}, partition ${sample.partition}, offset ${sample.offset}: ${sample.message}.`;
  return new MillraceError(
    'ERR_MILLRACE_CODEC',
    `${bad} of ${rows} rows were bad, which badRows: ${shown(badRows)} does not allow: the job ends before the epoch with them is written.${first} Mend the rows or the codec, or let them pass with badRows: 'ledger' and take them from the stream's errors.`,
  );
}
