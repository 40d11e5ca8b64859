/** What is done to the job, round by round, drawn from a seed: the same seed and options give the same plan. */

import { type SeekableRng, seededRng } from '../../core/index.ts';
import { DEATH_NAMES } from './pipeline.ts';
import { CHECKPOINT_POINTS, type KillPoint, START_POINTS, WORKER_POINTS } from './points.ts';

export const FAULTS = ['kill', 'stop', 'worker', 'broker', 'damage'] as const;
export type FaultName = (typeof FAULTS)[number];

export type Fault =
  /** A worker thread dies of a user function, at this row of its own. */
  | { readonly kind: 'worker'; readonly how: string; readonly row: number }
  /** kill -9 of a broker, which comes back after a while. */
  | { readonly kind: 'broker'; readonly node: number; readonly afterMs: number; readonly downMs: number }
  /**
   * SIGSTOP, a successor, SIGCONT. The successor has a copy of the checkpoint directory, as on another machine, or
   * somebody has removed the lock. At a point, or after a time.
   */
  | { readonly kind: 'stop'; readonly at: Kill; readonly has: 'copy' | 'unlocked'; readonly restMs: number };

/** When a process is killed or stopped: so long after its first checkpoint, or when it reaches a point the n-th time. */
export type Kill = { readonly afterMs: number } | { readonly point: KillPoint; readonly times: number };

/** One process: started, left to make a checkpoint, something done to it, killed. */
export interface Round {
  readonly fault?: Fault | undefined;
  readonly kill: Kill;
  /** The newest checkpoint is damaged before the next start. */
  readonly damage?: 'manifest' | 'segment' | undefined;
}

export interface PlanOptions {
  readonly kills: number;
  readonly faults: ReadonlySet<FaultName>;
  readonly seed: number;
  /** How many brokers may be killed. */
  readonly brokers: number;
}

const AFTER_MS_MAX = 700;

export function planOf({ kills, faults, seed, brokers }: PlanOptions): Round[] {
  const rng = seededRng(seed);
  const share = (name: FaultName, part: number): number => (faults.has(name) ? Math.max(1, Math.round(kills * part)) : 0);
  const others: (Fault | undefined)[] = [
    ...Array.from({ length: share('stop', 1 / 6) }, (_, i): Fault => stopOf(rng, i)),
    ...Array.from(
      { length: share('worker', 1 / 3) },
      (_, i): Fault => ({ kind: 'worker', how: DEATH_NAMES[i % DEATH_NAMES.length] as string, row: 20 + rng.int(600) }),
    ),
    ...Array.from(
      { length: brokers > 0 ? share('broker', 1 / 6) : 0 },
      (): Fault => ({ kind: 'broker', node: rng.int(brokers), afterMs: rng.int(300), downMs: 500 + rng.int(4_000) }),
    ),
  ];
  const count = Math.max(kills, others.length);
  const points = shuffled(rng, [...CHECKPOINT_POINTS, ...WORKER_POINTS, ...START_POINTS]);
  while (others.length < count) others.push(undefined);
  let quiet = 0;
  let named = 0;
  const rounds = shuffled(rng, others).map((fault): Round => {
    // Most of those that nothing else happens to end at a named point: one after the other, so that none is left out.
    const isNamed = fault === undefined && ++quiet % 4 !== 0;
    return { fault, kill: isNamed ? pointOf(rng, points[named++ % points.length] as KillPoint) : { afterMs: rng.int(AFTER_MS_MAX) } };
  });
  const kinds = ['manifest', 'segment'] as const;
  const damaged = shuffled(
    rng,
    rounds.map((_, i) => i),
  ).slice(0, share('damage', 1 / 6));
  return rounds.map((round, i) => (damaged.includes(i) ? { ...round, damage: kinds[damaged.indexOf(i) % 2] } : round));
}

function stopOf(rng: SeekableRng, i: number): Fault {
  const points = ['manifest-written', 'commit-sent', 'prepared', 'segments-synced'] as const;
  const at: Kill = rng.chance(0.5) ? { point: points[rng.int(points.length)] as KillPoint, times: 2 + rng.int(4) } : { afterMs: rng.int(AFTER_MS_MAX) };
  return { kind: 'stop', at, has: i % 2 === 0 ? 'copy' : 'unlocked', restMs: rng.int(1_500) };
}

function pointOf(rng: SeekableRng, point: KillPoint): Kill {
  const isStart = (START_POINTS as readonly KillPoint[]).includes(point);
  const isWorker = (WORKER_POINTS as readonly KillPoint[]).includes(point);
  return { point, times: isStart ? 1 : isWorker ? 5 + rng.int(20) : 2 + rng.int(5) };
}

function shuffled<T>(rng: SeekableRng, of: readonly T[]): T[] {
  const left = [...of];
  for (let i = left.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [left[i], left[j]] = [left[j] as T, left[i] as T];
  }
  return left;
}
