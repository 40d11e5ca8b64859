/**
 * Rows on which a user-defined function fails, where they are to be left out: each is counted in the ledger,
 * and the first ones become samples of it. Rows whose stream's errors are taken do not come here.
 */

import { MillraceError } from '../../core/index.ts';
import type { RowCoordinates } from '../plan/index.ts';
import type { FailedRowsPolicy, LedgerSample } from '../shared/index.ts';
import type { Place } from './place.ts';

const SAMPLES_MAX = 10;

export class FailedRows {
  readonly areSkipped: boolean;
  readonly #place: Place;
  readonly #sample: (sample: LedgerSample) => void;
  #sampled = 0;

  constructor(policy: FailedRowsPolicy, place: Place, sample: (sample: LedgerSample) => void) {
    this.areSkipped = policy === 'skip';
    this.#place = place;
    this.#sample = sample;
  }

  /** Counts one. */
  note(message: string, { source, partition, offset }: RowCoordinates): void {
    this.#place.count('failed', 1);
    if (this.#sampled++ < SAMPLES_MAX) this.#sample({ reason: 'failed', source, partition, offset, rows: 1, message });
  }
}

/** Whether it is the fault of a function and of what it was given, and not of the job. */
export function isOfFunction(error: unknown): error is MillraceError {
  return error instanceof MillraceError && (error.code === 'ERR_MILLRACE_USER_FUNCTION' || error.code === 'ERR_MILLRACE_SCHEMA');
}
