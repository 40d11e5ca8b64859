/** The systems of the demo, by name. Each has a file of its own, which loads the system's client. */

import type { System } from './system.ts';

const SYSTEMS: Readonly<Record<string, () => Promise<{ readonly system: System }>>> = {
  hdfs: () => import('./hdfs.ts'),
  hbase: () => import('./hbase.ts'),
  cassandra: () => import('./cassandra.ts'),
  elasticsearch: () => import('./elasticsearch.ts'),
};

export const SYSTEM_NAMES: readonly string[] = Object.keys(SYSTEMS);

/** @param name one of SYSTEM_NAMES */
export async function systemOf(name: string): Promise<System> {
  const load = SYSTEMS[name];
  if (load === undefined) throw new Error(`There is no system ${JSON.stringify(name)}. There are ${SYSTEM_NAMES.join(', ')}.`);
  return (await load()).system;
}
