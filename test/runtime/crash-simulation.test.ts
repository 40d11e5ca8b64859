/**
 * A crash at every step of every epoch, for small pipelines: a job is taken through its input in an order that a seed draws; before each of
 * its steps, what it has left behind is given to a successor, which goes on in an order of its own to the end. What both have written is
 * compared with a plain model of the input: every window whole, at least once, and nothing else. And faults that are planted are found.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, seededRng } from '../../core/index.ts';
import { type SimulatedFrame, type SimulatedInput, SimulatedJob, type SimulatedStep, SimulatedWorld, TOLD } from '../../runtime/driver/crash-simulation.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { caseCount } from '../seed.ts';
import { CRASH_CASES, type CrashCase, DISORDER_MS, type Row, rowText } from './crash-cases.ts';

const RUNS = Math.max(1, Math.round(caseCount(200) / 200));
const SEEDS = Array.from({ length: RUNS }, (_, run) => 11 + run);
const PARTITIONS = 2;
const ROUNDS = 4;
const RESTART_MS = 70;
/** Rows whose times move on, out of order by less than DISORDER_MS; each has a number of its own. */
function inputOf(
  name: string,
  seed: number,
  plant?: SimulatedInput['plant'],
  checkpoints?: SimulatedInput['checkpoints'],
): { input: SimulatedInput; rows: Row[][] } {
  const { make, sources = 1, readFirst, keepsDecisions = false, twice = false } = CRASH_CASES[name] as CrashCase;
  const rng = seededRng(seed);
  const rows: Row[][] = Array.from({ length: sources }, () => []);
  const clocks: number[] = Array(sources * PARTITIONS).fill(100);
  let number = 1;
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    const frames: SimulatedFrame[] = [];
    // Nothing has come for a while: windows close.
    const pauseMs = round > 0 ? 100 : 0;
    clocks.forEach((ms, global) => {
      clocks[global] = ms + pauseMs;
    });
    for (let source = 0; source < sources; source++) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        // A table is all there at the start.
        if (source === readFirst && round > 0) continue;
        const made = Array.from({ length: 2 + rng.int(2) }, (): Row => {
          const global = source * PARTITIONS + partition;
          const ms = (clocks[global] as number) + rng.int(40);
          clocks[global] = ms;
          return { key: 'abc'[rng.int(3)] as string, n: number++, at: ms - rng.int(DISORDER_MS) };
        });
        (rows[source] as Row[]).push(...made);
        const cut = 1 + rng.int(made.length);
        const sent = twice ? [...made, ...made] : made;
        for (const part of [sent.slice(0, cut), sent.slice(cut)]) if (part.length > 0) frames.push({ source, partition, rows: part });
      }
    }
    return { frames, passMs: 60 };
  });
  const plan = makePlan(graphOf(make()) as NonNullable<ReturnType<typeof graphOf>>);
  return {
    input: {
      plan,
      partitions: PARTITIONS,
      shards: 2,
      rounds,
      keepsDecisions,
      ...(readFirst === undefined ? {} : { readFirst: [readFirst] }),
      ...(plant === undefined ? {} : { plant }),
      ...(checkpoints === undefined ? {} : { checkpoints }),
    },
    rows,
  };
}

/** Whether rows came once: as in a run that nothing disturbs, or, where rows go by where epochs were cut, none twice. */
function writtenOnce(name: string, seed: number, checkpoints: SimulatedInput['checkpoints']): (written: readonly AnyRow[]) => string | undefined {
  if ((CRASH_CASES[name] as CrashCase).dependsOnCuts === true) {
    return (written) => (new Set(written.map(rowText)).size === written.length ? undefined : 'a row came twice');
  }
  const { input } = inputOf(name, seed, undefined, checkpoints);
  const world = SimulatedWorld.of(input);
  new SimulatedJob(input, world, seed).finish();
  const expected = (world.outside.outputs[0] as AnyRow[]).map(rowText).sort();
  return (written) => (JSON.stringify(written.map(rowText).sort()) === JSON.stringify(expected) ? undefined : `${written.length} rows, not ${expected.length}`);
}

interface Found {
  /** Steps of the run that was left, by kind. */
  readonly kinds: Map<string, number>;
  readonly wrong: string[];
}

/** Leaves a run before each of its steps. */
function crashEverywhere(
  name: string,
  seed: number,
  plant?: SimulatedInput['plant'],
  checkpoints?: SimulatedInput['checkpoints'],
  stateBytesMax?: number,
): Found {
  const made = inputOf(name, seed, plant, checkpoints);
  const { rows } = made;
  const input: SimulatedInput = stateBytesMax === undefined ? made.input : { ...made.input, stateBytesMax };
  const isExact = checkpoints?.isExact === true;
  const once = isExact ? writtenOnce(name, seed, checkpoints) : undefined;
  const check: CrashCase['check'] = (written, inputs) => (CRASH_CASES[name] as CrashCase).check(written, inputs) ?? once?.(written);
  const world = SimulatedWorld.of(input);
  const first = new SimulatedJob(input, world, seed);
  const kinds = new Map<string, number>();
  const wrong: string[] = [];
  // Of a fault that is planted one sign is enough.
  for (let step = 0; plant === undefined || wrong.length === 0; step++) {
    const chance = seededRng(seed * 1_000 + step);
    const left = world.clone((unsynced) => chance.int(unsynced + 1));
    left.clockMs += RESTART_MS;
    new SimulatedJob(input, left, seed * 1_000 + step).finish();
    const found = check(left.outside.outputs[0] as AnyRow[], rows);
    if (found !== undefined) wrong.push(`left before step ${step}: ${found}`);
    const kind = first.step();
    if (kind === undefined) break;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  first.finish();
  const found = check(world.outside.outputs[0] as AnyRow[], rows);
  if (found !== undefined) wrong.push(`not left at all: ${found}`);
  return { kinds, wrong };
}

describe('a crash at every step', () => {
  for (const [name, { keepsDecisions, isNeverCommitted }] of Object.entries(CRASH_CASES)) {
    test(name, (t) => {
      for (const seed of SEEDS) {
        const { kinds, wrong } = crashEverywhere(name, seed);
        assert.deepEqual(wrong, [], `seed ${seed}`);
        for (const kind of ['read', 'cut', 'scan', 'merge', 'write', 'written', ...(keepsDecisions === true ? ['record', 'recorded'] : [])]) {
          assert.ok((kinds.get(kind) ?? 0) > 0, `${kind} is a step of seed ${seed}`);
        }
        // Within the run, and not only at its end.
        if (isNeverCommitted !== true) assert.ok((kinds.get('commit') ?? 0) > (kinds.get('end') ?? 0), `seed ${seed} commits`);
        t.diagnostic(`seed ${seed}: ${[...kinds].map(([kind, times]) => `${kind} ${times}`).join(', ')}`);
      }
    });
  }
});

for (const [guarantee, isExact] of [
  ['at least once', false],
  ['exactly once', true],
] as const) {
  describe(`a crash at every step, with checkpoints of the state: ${guarantee}`, () => {
    for (const name of Object.keys(CRASH_CASES)) {
      test(name, (t) => {
        for (const seed of SEEDS) {
          const { kinds, wrong } = crashEverywhere(name, seed, undefined, { intervalMs: 20, isExact });
          assert.deepEqual(wrong, [], `seed ${seed}`);
          for (const kind of ['read', 'cut', 'scan', 'merge', 'write', 'checkpoint', 'checkpointed', ...(isExact ? ['publish', 'published'] : [])]) {
            assert.ok((kinds.get(kind) ?? 0) > 0, `${kind} is a step of seed ${seed}`);
          }
          assert.ok((kinds.get('checkpoint') ?? 0) > 1, `seed ${seed} makes checkpoints, whatever the pipeline is`);
          t.diagnostic(`seed ${seed}: ${[...kinds].map(([kind, times]) => `${kind} ${times}`).join(', ')}`);
        }
      });
    }
  });
}

describe('a crash at every step, exactly once, with every shard put away after its turn', () => {
  for (const name of Object.keys(CRASH_CASES)) {
    test(name, () => {
      for (const seed of SEEDS) assert.deepEqual(crashEverywhere(name, seed, undefined, { intervalMs: 20, isExact: true }, 0).wrong, [], `seed ${seed}`);
    });
  }
});

describe('a fault that is planted is found', () => {
  const told: Readonly<Record<string, string>> = TOLD;
  const inOrder: NonNullable<SimulatedInput['plant']> = ({ kind, act, tell }) => [
    { kind, run: act },
    { kind: told[kind] as string, run: tell },
  ];
  /** Said to be done before it is. */
  const tooEarly =
    (early: string): NonNullable<SimulatedInput['plant']> =>
    (wish, job) => {
      const steps = inOrder(wish, job);
      const [act, tell] = steps as [SimulatedStep, SimulatedStep];
      return wish.kind === early ? [tell, { ...act, isLate: true }] : steps;
    };
  /** What is committed is what has been read by now. */
  const tooNew: NonNullable<SimulatedInput['plant']> = (wish, job) => {
    const steps: SimulatedStep[] = [...inOrder(wish, job)];
    if (wish.kind === 'commit') {
      steps[0] = {
        kind: 'commit',
        run() {
          wish.act();
          job.outside.committed.forEach((positions, source) => {
            job.outside.commit(
              source,
              positions.map((position) => ({ ...position, offset: job.positionOf(source, position.partition) })),
            );
          });
        },
      };
    }
    return steps;
  };
  /** What is committed beside the positions gets lost. */
  const forgetful: NonNullable<SimulatedInput['plant']> = (wish, job) => {
    const [act, ...rest] = inOrder(wish, job) as [SimulatedStep, SimulatedStep];
    if (wish.kind !== 'commit') return [act, ...rest];
    const run = (): void => {
      act.run();
      job.outside.committed.forEach((positions, source) => {
        job.outside.commit(
          source,
          positions.map((position) => ({ ...position, metadata: '' })),
        );
      });
    };
    return [{ ...act, run }, ...rest];
  };
  const faults: readonly [what: string, name: string, plant: NonNullable<SimulatedInput['plant']>][] = [
    ['positions are committed before the output is written', 'tumbling windows', tooEarly('write')],
    ['positions are committed of rows that are in open windows', 'tumbling windows', tooNew],
    ['the same, in sliding windows', 'sliding windows with lateness', tooNew],
    ['which windows were closed is not committed', 'tumbling windows', forgetful],
    ['output goes out before its decisions are kept', 'windows of the clock, with decisions kept', tooEarly('record')],
  ];
  for (const [what, name, plant] of faults) {
    test(what, () => {
      const isFound = [11, 12, 13, 14, 15].some((seed) => crashEverywhere(name, seed, plant).wrong.length > 0);
      assert.ok(isFound, 'nobody noticed');
    });
  }
});
