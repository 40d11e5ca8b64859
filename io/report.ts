/** What an open source or sink tells of itself while it works: lines for the job's log, and what is counted. */

import type { Logger } from '../core/index.ts';

export interface Report {
  /** The log of the job. Nothing per row. */
  readonly log: Logger;
  /** A request has failed for a reason that may pass, and is made again. It is counted, and a line at level debug. */
  retried(what: string, because: string): void;
}
