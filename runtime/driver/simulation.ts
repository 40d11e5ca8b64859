/**
 * `simulate`: a pipeline under crashes, in memory. A schedule takes a job through its input in an order that a
 * seed draws among all that a job could see, with a virtual clock; leaves it at any step, as a crash does;
 * loses what was not synced; and starts a successor from what is left, which may crash, too. What has come
 * out in the end is compared with a run that nothing disturbs. (FoundationDB and TigerBeetle are tested so.)
 */

import { type AnyRow, checkOptionNames, type Duration, durationMs, MillraceError, type SeekableRng, seededRng, shown } from '../../core/index.ts';
import { graphOf, makePlan, type PipelineLike, type Plan } from '../plan/index.ts';
import { type SimulatedFrame, type SimulatedInput, SimulatedJob, SimulatedWorld } from './crash-simulation.ts';

const PARTITIONS_DEFAULT = 2;
const SHARDS_DEFAULT = 2;
const RUNS_DEFAULT = 100;
const ROUNDS = 4;
const FRAME_ROWS_MAX = 4;
const ROUND_MS = 60;
const RESTART_MS = 70;
const CHECKPOINT_INTERVAL_MS = 20;
const CRASHES_DEFAULT = 3;

export interface SimulationOptions {
  /**
   * What comes in: the rows of the source, or of each source in the order of the pipeline. They go to the
   * partitions in turn, and each partition is read in order; tables that are loaded, before the rows that meet
   * them. No row may be late: how late it is depends on the
   * order of reading, and then the output does.
   */
  readonly input: readonly AnyRow[] | readonly (readonly AnyRow[])[];
  /** How many schedules. Default 100. */
  readonly runs?: number;
  /** The first schedule's number. The same number gives the same schedule. Default 1. */
  readonly seed?: number;
  /**
   * `crashes`: the most in one schedule (default 3; each has at least one, unless it is 0). `unsynced`: a crash
   * loses any part of what was written and not synced (default true).
   */
  readonly faults?: { readonly crashes?: number; readonly unsynced?: boolean };
  /** How often a checkpoint is made, on the virtual clock (default '20ms'), and what is promised with it. */
  readonly checkpoints?: { readonly interval?: Duration; readonly guarantee?: 'at-least-once' | 'exactly-once' };
  /** Partitions of each source. Default 2. */
  readonly partitions?: number;
  /** Engines, as workers of a job. Default 2. */
  readonly shards?: number;
  /** How long the source is silent between two rounds of input, on the virtual clock. Default '60ms'. */
  readonly pause?: Duration;
  /**
   * Looks at the rows of each sink, in the order of the pipeline. Undefined: right; a text: what is wrong.
   * Default: the same rows as in a run that nothing disturbs; exactly as often, or at least as often and no
   * others. A pipeline whose output depends on where epochs end (a running aggregate, windows of processing
   * time) needs a check of its own.
   */
  readonly check?: (outputs: readonly (readonly AnyRow[])[]) => string | undefined;
}

export interface SimulationReport {
  /** Schedules that were taken to the end. */
  readonly runs: number;
  readonly crashes: number;
  /** Steps of all jobs, by kind: read, cut, scan, merge, write, checkpoint, ... */
  readonly steps: Readonly<Record<string, number>>;
  /** The first schedule that went wrong; the others were not tried. `simulate` with this seed repeats it. */
  readonly failure?: SimulationFailure;
}

export interface SimulationFailure {
  readonly seed: number;
  /** By crash: before which step of its job it came. */
  readonly crashedBefore: readonly number[];
  readonly what: string;
}

/**
 * Tries schedules until one goes wrong, or all have gone well. It takes no time but that of the processor.
 *
 * @param pipeline the default export of a pipeline module: a pipeline or a stream of one. Its user functions
 * are called as in a job; its sources and sinks are not opened
 * @returns what was tried, and the first failure, if there is one
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_PIPELINE; and what a run that nothing disturbs throws
 * @example
 * const report = simulate(perMinute, { input: rows, runs: 1_000 });
 * assert.equal(report.failure, undefined);
 */
export function simulate(pipeline: PipelineLike, options: SimulationOptions): SimulationReport {
  return simulateWith(pipeline, options);
}

/** The same, with a bug that is planted. */
export function simulateWith(pipeline: PipelineLike, options: SimulationOptions, plant?: SimulatedInput['plant']): SimulationReport {
  const graph = graphOf(pipeline);
  if (graph === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `simulate() got ${shown(pipeline)}, which is no pipeline.`);
  const plan = makePlan(graph);
  const { runs, seed, crashes, losesUnsynced, isExact, input, check } = resolved(plan, options, plant);
  const steps: Record<string, number> = {};
  const { plant: _, ...plain } = input;
  const undisturbed = SimulatedWorld.of(plain);
  const length = finish(new SimulatedJob(plain, undisturbed, seed), {});
  const expected = undisturbed.outside.outputs.map(rowCounts);
  const judge = check ?? ((outputs: readonly (readonly AnyRow[])[]) => difference(outputs.map(rowCounts), expected, isExact));
  let crashed = 0;
  for (let run = 0; run < runs; run++) {
    const crashedBefore: number[] = [];
    let what: string | undefined;
    try {
      const rng = seededRng(seed + run);
      const world = crashing(input, rng, crashes === 0 ? 0 : 1 + rng.int(crashes), losesUnsynced, length, crashedBefore, steps);
      what = judge(world.outside.outputs);
    } catch (error) {
      what = `it ended: ${error instanceof Error ? error.message : String(error)}`;
    }
    crashed += crashedBefore.length;
    if (what !== undefined) return { runs: run, crashes: crashed, steps, failure: { seed: seed + run, crashedBefore, what } };
  }
  return { runs, crashes: crashed, steps };
}

/** One schedule: jobs that crash, and one that does not. */
function crashing(
  input: SimulatedInput,
  rng: SeekableRng,
  crashes: number,
  losesUnsynced: boolean,
  length: number,
  crashedBefore: number[],
  steps: Record<string, number>,
): SimulatedWorld {
  let world = SimulatedWorld.of(input);
  for (let crash = 0; crash < crashes; crash++) {
    const job = new SimulatedJob(input, world, rng.int(2 ** 31));
    const before = rng.int(length + 1);
    for (let step = 0; step < before; step++) {
      const kind = job.step();
      if (kind === undefined) break;
      steps[kind] = (steps[kind] ?? 0) + 1;
    }
    crashedBefore.push(before);
    world = world.clone((unsynced) => (losesUnsynced ? rng.int(unsynced + 1) : 0));
    world.clockMs += RESTART_MS;
  }
  finish(new SimulatedJob(input, world, rng.int(2 ** 31)), steps);
  return world;
}

/** @returns how many steps it took */
function finish(job: SimulatedJob, steps: Record<string, number>): number {
  for (let count = 0; ; count++) {
    const kind = job.step();
    if (kind === undefined) return count;
    steps[kind] = (steps[kind] ?? 0) + 1;
  }
}

interface Resolved {
  readonly runs: number;
  readonly seed: number;
  readonly crashes: number;
  readonly losesUnsynced: boolean;
  readonly isExact: boolean;
  readonly input: SimulatedInput;
  readonly check: SimulationOptions['check'];
}

function resolved(plan: Plan, options: SimulationOptions, plant: SimulatedInput['plant']): Resolved {
  checkOptionNames('simulate()', options, {
    input: true,
    runs: true,
    seed: true,
    faults: true,
    checkpoints: true,
    partitions: true,
    shards: true,
    pause: true,
    check: true,
  });
  const { faults = {}, checkpoints = {}, seed = 1, check } = options;
  checkOptionNames('simulate() faults', faults, { crashes: true, unsynced: true });
  checkOptionNames('simulate() checkpoints', checkpoints, { interval: true, guarantee: true });
  const { guarantee = 'exactly-once', interval = CHECKPOINT_INTERVAL_MS } = checkpoints;
  if (guarantee !== 'exactly-once' && guarantee !== 'at-least-once') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `simulate() got the guarantee ${shown(guarantee)}; give 'at-least-once' or 'exactly-once'.`);
  }
  const whole = (name: string, value: number, least: number): number => {
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new MillraceError('ERR_MILLRACE_OPTION', `simulate() got ${name}: ${shown(value)}; give a whole number of at least ${least}.`);
  };
  const partitions = whole('partitions', options.partitions ?? PARTITIONS_DEFAULT, 1);
  const isExact = guarantee === 'exactly-once';
  const tables = new Set(plan.sources.flatMap(({ behind }) => behind));
  return {
    runs: whole('runs', options.runs ?? RUNS_DEFAULT, 1),
    seed: whole('seed', seed, 0),
    crashes: whole('faults.crashes', faults.crashes ?? CRASHES_DEFAULT, 0),
    losesUnsynced: faults.unsynced ?? true,
    isExact,
    check,
    input: {
      plan,
      partitions,
      shards: whole('shards', options.shards ?? SHARDS_DEFAULT, 1),
      rounds: roundsOf(bySource(plan, options.input), tables, partitions, durationMs(options.pause ?? ROUND_MS, 'simulate() pause')),
      readFirst: [...tables],
      checkpoints: { intervalMs: durationMs(interval, 'simulate() checkpoints.interval', 1), isExact },
      ...(plant === undefined ? {} : { plant }),
    },
  };
}

function bySource(plan: Plan, input: SimulationOptions['input']): readonly (readonly AnyRow[])[] {
  if (!Array.isArray(input))
    throw new MillraceError('ERR_MILLRACE_OPTION', `simulate() got input: ${shown(input)}; give the rows of the source, or of each source.`);
  const lists = (input.every((each) => Array.isArray(each)) && input.length > 0 ? input : [input]) as readonly (readonly AnyRow[])[];
  if (lists.length === plan.sources.length) return lists;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `simulate() got the rows of ${lists.length} source${lists.length === 1 ? '' : 's'}, and the pipeline has ${plan.sources.length}: give a list of rows for each.`,
  );
}

/** The rows in equal parts, one after the other, each in frames of a few. What is loaded first is there at the start. */
function roundsOf(input: readonly (readonly AnyRow[])[], tables: ReadonlySet<number>, partitions: number, passMs: number): SimulatedInput['rounds'] {
  return Array.from({ length: ROUNDS }, (_, round) => {
    const frames: SimulatedFrame[] = [];
    input.forEach((rows, source) => {
      const isTable = tables.has(source);
      if (isTable && round > 0) return;
      const part = isTable ? rows : rows.slice(Math.floor((rows.length * round) / ROUNDS), Math.floor((rows.length * (round + 1)) / ROUNDS));
      for (let partition = 0; partition < partitions; partition++) {
        const own = part.filter((__, i) => i % partitions === partition);
        for (let at = 0; at < own.length; at += FRAME_ROWS_MAX) frames.push({ source, partition, rows: own.slice(at, at + FRAME_ROWS_MAX) });
      }
    });
    return { frames, passMs };
  });
}

/** By text: how often a row came. */
function rowCounts(rows: readonly AnyRow[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const text = shownRow(row);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

/** Bytes and bigints, which JSON has not, by their text. */
function shownRow(row: AnyRow): string {
  return JSON.stringify(
    Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)),
    (_, value) => (typeof value === 'bigint' ? `${value}n` : value),
  );
}

function difference(came: readonly ReadonlyMap<string, number>[], expected: readonly ReadonlyMap<string, number>[], isExact: boolean): string | undefined {
  for (const [sink, counts] of came.entries()) {
    const wanted = expected[sink] as ReadonlyMap<string, number>;
    for (const [row, times] of wanted) {
      const found = counts.get(row) ?? 0;
      if (found < times) return `sink ${sink} has lost ${row}`;
      if (isExact && found > times) return `sink ${sink} has ${found} times ${row}, not ${times}`;
    }
    for (const row of counts.keys()) if (!wanted.has(row)) return `sink ${sink} has ${row}, which is wrong`;
  }
  return undefined;
}
