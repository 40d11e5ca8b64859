/**
 * What a benchmark case is, and how one is measured. Contestants run in processes of their own, in rounds of
 * random order. Before and after timing they are verified against a slow reference. This file knows no case
 * and no engine.
 *
 *   case   one question with a frozen input: `group-by/u32/10k`
 *   entry  one engine's answer to it: `ours`, or a peer: `duckdb1`, `cpp`
 *   round  every entry once, in random order; a ratio is of one round, so a slow minute hits both sides
 */

import { seededRng } from '../core/index.ts';

/** `tiny` only verifies. */
export type Effort = 'full' | 'quick' | 'tiny';

/** What an entry computed, as numbers that are exact in an f64 and do not depend on any order. */
export type Digest = readonly number[];

export interface Input {
  readonly name: string;
  /** Size of the input in rows, records or batches, depending on the case. */
  readonly size: number;
  /** Folder of the case's frozen input. */
  readonly dir: string;
  readonly effort: Effort;
}

/** An entry that is ready to run. */
export interface Contest {
  /** Rows (records, batches) per run. */
  readonly units: number;
  /** Not timed. */
  before?(): void | Promise<void>;
  /** The timed part. It returns the seconds that count, where the clock must not cover all of it. */
  run(): void | Promise<void> | Promise<number | undefined>;
  /** Digest of the last run, or of a separate run. Not timed. */
  digest(): Digest | Promise<Digest>;
  close?(): void | Promise<void>;
}

export interface Entry {
  /** Why it cannot run here (not installed, no compiler), or undefined. Called in the runner's process. */
  missing?(): string | undefined;
  /** Efforts at which it is left out because a run takes too long, with the reason. */
  readonly tooSlow?: { readonly efforts: readonly Effort[]; readonly why: string };
  /** Needs a library with its own threads, or a compiler: not part of `--tiny`. */
  readonly isHeavy?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** A program that speaks the protocol of contestant.ts, in place of `start`. */
  program?(input: Input): { readonly command: string; readonly args: readonly string[] };
  start?(input: Input): Contest | Promise<Contest>;
  /**
   * Its right answer, where it differs from the case's: an entry that answers another question for
   * comparison.
   */
  expected?(input: Input, units: number): Digest | Promise<Digest>;
}

export interface BenchCase {
  readonly name: string;
  /** What selects it on the command line, besides its name: `group-by`, `strings`. */
  readonly rooms: readonly string[];
  readonly unit: Unit;
  readonly sizes: Readonly<Record<Effort, number>>;
  /** Writes the frozen input to `input.dir`. */
  setup?(input: Input): void | Promise<void>;
  /** The right answer, by the simplest means: arrays and loops. */
  expected(input: Input, units: number): Digest | Promise<Digest>;
  readonly ours: Entry;
  readonly peers: Readonly<Record<string, Entry>>;
}

/** How a time per unit is shown. The ratio is one of speeds whatever the unit: above 1, ours is faster. */
export interface Unit {
  readonly name: string;
  of(units: number, seconds: number): number;
}
export const ROWS: Unit = { name: 'M rows/s', of: (units, seconds) => units / seconds / 1e6 };
export const RECORDS: Unit = { name: 'M records/s', of: (units, seconds) => units / seconds / 1e6 };
export const BATCH_TIME: Unit = { name: 'us/batch', of: (units, seconds) => (seconds / units) * 1e6 };

/** One round of one entry. */
export interface Sample {
  readonly units: number;
  readonly seconds: number;
  /** User and system time of the process during the round, over all its threads. */
  readonly cpuSeconds: number;
  /** Empty when it was not requested. */
  readonly digest: Digest;
}

export interface Effortful {
  readonly rounds: number;
  /** A round lasts at least this long. */
  readonly roundSeconds: number;
  readonly warmSeconds: number;
}
export const EFFORTS: Readonly<Record<Effort, Effortful>> = {
  full: { rounds: 7, roundSeconds: 0.3, warmSeconds: 0.6 },
  quick: { rounds: 3, roundSeconds: 0.1, warmSeconds: 0.15 },
  // The verifying run is the only one.
  tiny: { rounds: 0, roundSeconds: 0, warmSeconds: 0 },
};

/** Runs a contest for at least `seconds`, at least once. Takes the digest of the last run if requested. */
export async function sampleOf(contest: Contest, seconds: number, isChecked: boolean): Promise<Sample> {
  let units = 0;
  let spent = 0;
  let cpu = 0;
  do {
    await contest.before?.();
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    const pending = contest.run();
    const counted = pending === undefined ? undefined : await pending;
    const whole = (performance.now() - start) / 1_000;
    const part = typeof counted === 'number' ? counted : whole;
    spent += part;
    const { user, system } = process.cpuUsage(cpuBefore);
    cpu += ((user + system) / 1e6) * (part / whole);
    units += contest.units;
  } while (spent < seconds);
  return { units, seconds: spent, cpuSeconds: cpu, digest: isChecked ? await contest.digest() : [] };
}

/** A contestant as the runner sees it, in this process or in another. */
export interface Contestant {
  readonly name: string;
  readonly entry: Entry;
  /** @param isChecked also take the digest, which may cost more than the run */
  sample(seconds: number, isChecked: boolean): Promise<Sample>;
  close(): Promise<void>;
}

export interface Figures {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface EntryResult {
  readonly name: string;
  /** In the case's unit. */
  readonly figures: Figures;
  /** Units per CPU-second relative to units per second: 1 is one busy thread. */
  readonly cpuShare: number;
  /** Speed of `ours` relative to this entry: the median of the rounds' ratios, and their spread. */
  readonly ratio: Figures;
}

export interface CaseResult {
  readonly name: string;
  readonly unit: string;
  readonly size: number;
  readonly ours: EntryResult;
  readonly peers: readonly EntryResult[];
  readonly skipped: Readonly<Record<string, string>>;
  /** What did not match the reference; empty when everything did. */
  readonly wrong: readonly string[];
}

/** Runs the rounds of one case. The first contestant is `ours`. */
export async function runCase(of: BenchCase, input: Input, contestants: readonly Contestant[], skipped: Readonly<Record<string, string>>): Promise<CaseResult> {
  const { rounds, roundSeconds, warmSeconds } = EFFORTS[input.effort];
  const wrong: string[] = [];
  const known = new Map<string, Digest>();
  const verify = async ({ name, entry }: Contestant, sample: Sample, unitsOfRun: number): Promise<void> => {
    const key = entry.expected === undefined ? `of ${unitsOfRun}` : `${name} ${unitsOfRun}`;
    let expected = known.get(key);
    if (expected === undefined) {
      expected = await (entry.expected ?? of.expected).call(entry.expected === undefined ? of : entry, input, unitsOfRun);
      known.set(key, expected);
    }
    if (!sameDigest(sample.digest, expected)) wrong.push(`${of.name}: ${name} gives ${sample.digest.join(' ')}; the reference has ${expected.join(' ')}`);
  };
  const samples = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  // The first run of each is only verified, and gives the units per run.
  const unitsOfRun = new Map<string, number>();
  for (const contestant of contestants) {
    const sample = await contestant.sample(0, true);
    unitsOfRun.set(contestant.name, sample.units);
    await verify(contestant, sample, sample.units);
    if (rounds === 0) samples.get(contestant.name)?.push(sample);
    if (warmSeconds > sample.seconds) await contestant.sample(warmSeconds - sample.seconds, false);
  }
  const rng = seededRng(1);
  for (let round = 0; round < rounds && wrong.length === 0; round++) {
    rng.seek(round);
    for (const contestant of shuffled(contestants, (below) => rng.int(below))) {
      const isLast = round === rounds - 1;
      const sample = await contestant.sample(roundSeconds, isLast);
      if (isLast) await verify(contestant, sample, unitsOfRun.get(contestant.name) as number);
      samples.get(contestant.name)?.push(sample);
    }
  }
  const [first, ...others] = contestants.map(({ name }) => entryResult(of.unit, name, samples.get('ours') ?? [], samples.get(name) ?? []));
  return { name: of.name, unit: of.unit.name, size: input.size, ours: first as EntryResult, peers: others, skipped, wrong };
}

/** The result of a case whose contestant broke down: it counts as wrong, and the others go on. */
export function failedCase(of: BenchCase, { size }: Input, error: unknown): CaseResult {
  const none = figuresOf([]);
  const why = error instanceof Error ? error.message : String(error);
  return {
    name: of.name,
    unit: of.unit.name,
    size,
    ours: { name: 'ours', figures: none, cpuShare: Number.NaN, ratio: none },
    peers: [],
    skipped: {},
    wrong: [`${of.name}: ${why}`],
  };
}

function entryResult(unit: Unit, name: string, ours: readonly Sample[], own: readonly Sample[]): EntryResult {
  const speed = ({ units, seconds }: Sample): number => units / seconds;
  const seconds = own.reduce((sum, sample) => sum + sample.seconds, 0);
  return {
    name,
    figures: figuresOf(own.map((sample) => unit.of(sample.units, sample.seconds))),
    cpuShare: own.reduce((sum, sample) => sum + sample.cpuSeconds, 0) / seconds,
    ratio: figuresOf(own.map((sample, round) => speed(ours[round] as Sample) / speed(sample))),
  };
}

export function figuresOf(values: readonly number[]): Figures {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
  return { median: median ?? Number.NaN, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** Equal, or as close as a sum of rounded numbers can be where a digest cannot be exact. */
export function sameDigest(a: Digest, b: Digest): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i] || Math.abs(value - (b[i] as number)) <= 1e-9 * Math.abs(value));
}

/** Fisher and Yates. */
function shuffled<T>(values: readonly T[], below: (n: number) => number): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
