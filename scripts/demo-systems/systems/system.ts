/** What a system of the demo has to bring. */

import type { Sink } from '../../../runtime/index.ts';
import type { ServerName } from '../../servers/index.js';
import type { Average } from '../averages.ts';

/** A system: where the results of job.ts go, and how they are read back. `connect` is what scripts/servers says of the server. */
export interface System {
  /** What scripts/servers starts. */
  readonly server: ServerName;
  /** Default at-least-once, over a sink whose rows replace themselves. */
  readonly guarantee?: 'exactly-once';
  /** Makes tables and the like, before the job. */
  prepare?(connect: unknown): Promise<void>;
  /** Of rows `{ page: utf8, windowStart: timestamp, averageMs: f64 }`. Also called in workers. */
  sink(connect: unknown): Sink;
  /** All results, through the server's own interface. */
  read(connect: unknown): Promise<Average[]>;
}
