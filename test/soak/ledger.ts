/** The ledger: one entry for each run of the checker that somebody wants to count, with the command and the commit that produced it. */

import { readFile, writeFile } from 'node:fs/promises';

const LEDGER = new URL('ledger.json', import.meta.url);

export type Counts = Readonly<Record<string, unknown>>;

export interface LedgerEntry {
  readonly date: string;
  /** `soak`: processes and brokers. `simulation`: schedules in memory. `hostile`: damaged input to a reader. */
  readonly kind: 'soak' | 'simulation' | 'hostile';
  readonly command: string;
  readonly counts: Counts;
}

export async function readLedger(): Promise<LedgerEntry[]> {
  return JSON.parse(await readFile(LEDGER, 'utf8')) as LedgerEntry[];
}

export async function appendToLedger(kind: LedgerEntry['kind'], command: string, counts: Counts): Promise<void> {
  const entries = [...(await readLedger()), { date: new Date().toISOString().slice(0, 10), kind, command, counts }];
  await writeFile(LEDGER, `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]\n`);
}
