/** The systems of the demo, by name. Each has a file of its own, which loads the system's client. */

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

const SYSTEMS: Readonly<Record<string, () => Promise<{ readonly system: System }>>> = {
  hdfs: () => import('./hdfs.ts'),
  elasticsearch: () => import('./elasticsearch.ts'),
};

export const SYSTEM_NAMES: readonly string[] = Object.keys(SYSTEMS);

/** @param name one of SYSTEM_NAMES */
export async function systemOf(name: string): Promise<System> {
  const load = SYSTEMS[name];
  if (load === undefined) throw new Error(`There is no system ${JSON.stringify(name)}. There are ${SYSTEM_NAMES.join(', ')}.`);
  return (await load()).system;
}
