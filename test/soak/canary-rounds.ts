/**
 * A short run for each planted bug, over topics of its own: the process with the bug is killed, or stopped and woken,
 * where the bug does its damage; a process without it goes on; and the oracle looks. The same short runs without a bug
 * find nothing, which the rounds of the checker itself show.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Oracle } from './oracle.ts';
import type { Kill } from './plan.ts';
import { Rounds } from './rounds.ts';
import { Stage } from './stage.ts';
import type { Canary } from './wrapping.ts';

const STOP_MS = 30_000;
/** Long enough that only fencing keeps a process out that was stopped. */
const LONG_MS = '120000';

/** Where the process with the bug is killed. */
const KILLED_AT: Readonly<Record<Exclude<Canary, 'fencing-off'>, Kill>> = {
  'commit-before-flush': { point: 'committed', times: 6 },
  'manifest-before-segments': { point: 'committed', times: 6 },
  'dropped-block': { point: 'committed', times: 8 },
  'positions-too-far': { point: 'committed', times: 6 },
};

/** @returns what gave the bug away; undefined: nobody noticed */
export async function caught(canary: Canary, brokers: readonly string[], name: string, seed: number): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-soak-'));
  const oracle = new Oracle();
  const stage = await Stage.open(brokers, `${name}-${canary}`, seed, oracle);
  const params = canary === 'fencing-off' ? { transactionTimeout: LONG_MS, heartbeatInterval: LONG_MS } : {};
  const rounds = new Rounds({ stage, oracle, brokers: [], dir, seed, say: () => {}, params });
  try {
    stage.feed();
    if (canary === 'fencing-off') await unfenced(rounds);
    else {
      const job = rounds.start({ canary, killAt: KILLED_AT[canary] });
      await job.ended;
      if (job.ending !== 'SIGKILL') return `it ended with ${job.ending}: ${job.output.trim().slice(-300)}`;
    }
    await stage.stopFeeding();
    await rounds.finish();
    await stage.readAll();
    const [unexplained] = rounds.tally.unexplained;
    const { lost, duplicated, wrong, torn, examples } = oracle.verdict();
    if (lost + duplicated + wrong + torn > 0) return `lost ${lost}, duplicated ${duplicated}, wrong ${wrong}, torn ${torn}; ${examples[0]}`;
    return unexplained;
  } finally {
    await stage.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** A process is stopped just before it commits; its successor does the same work; then it goes on. */
async function unfenced(rounds: Rounds): Promise<void> {
  const zombie = rounds.start({ canary: 'fencing-off', stopAt: { point: 'manifest-written', times: 4 } });
  for (const deadline = Date.now() + STOP_MS; !zombie.isStopped && zombie.isRunning && Date.now() < deadline; ) await sleep(10);
  const successor = await rounds.takeOver('copy', 'fencing-off');
  zombie.signal('SIGCONT');
  // Whatever it does now, it has no business doing.
  await zombie.endsWithin(2_000);
  await Promise.all([zombie.kill(), successor.kill()]);
}
