/**
 * The process of one contestant. It starts one entry of one case, prints @ready, then answers lines on its
 * standard input until that ends:
 *
 *   -> run 0.3 check     <- @{"units":...,"seconds":...,"cpuSeconds":...,"digest":[...]}
 *
 * The line asks for a run of at least so many seconds. Without `check` the digest may be empty. Lines that do
 * not begin with @ are other output and are ignored. The programs in peers/cpp speak the same protocol.
 */

import { createInterface } from 'node:readline';
import { allCases } from './cases/index.ts';
import { type Input, sampleOf } from './harness.ts';

const [caseName, entryName, input] = JSON.parse(process.argv[2] as string) as [string, string, Input];
const of = allCases.find(({ name }) => name === caseName);
const entry = entryName === 'ours' ? of?.ours : of?.peers[entryName];
if (entry?.start === undefined) throw new Error(`bench: no entry ${entryName} of ${caseName}`);

const contest = await entry.start(input);
console.log('@ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, seconds, check] = line.split(' ');
  if (verb === 'run') console.log(`@${JSON.stringify(await sampleOf(contest, Number(seconds), check === 'check'))}`);
}
await contest.close?.();
