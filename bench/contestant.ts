/**
 * The process of one contestant. It starts one entry of one case, then answers lines on its standard input:
 *
 *   -> run 0.3     <- @{"units":...,"seconds":...,"cpuSeconds":...,"digest":[...]}
 *
 * Lines that do not begin with @ are somebody's chatter. The programs in peers/cpp speak the same lines. The first line
 * that it says is @ready; it ends when its input does.
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
  const [verb, seconds] = line.split(' ');
  if (verb === 'run') console.log(`@${JSON.stringify(await sampleOf(contest, Number(seconds)))}`);
}
await contest.close?.();
