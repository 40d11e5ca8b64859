/**
 * The one place that decides how often generated cases are tried, and from which seed. Tests import fast-check from here.
 *
 * - Without more, the seed is fixed: CI and `npm test` try the same cases at each run. `npm run fuzz` draws others, without an end.
 * - `MILLRACE_SEED=n` starts from another seed. What fails says its seed; with it the same cases come again.
 * - `MILLRACE_TEST_EFFORT=x` tries x times as many cases as usual (0.1, 20), `MILLRACE_TEST_RUNS=n` exactly n of each property.
 */

import fc from 'fast-check';

const fromEnvironment = (name: string): number | undefined => {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} is ${JSON.stringify(text)}: give a number that is not negative`);
  return value;
};

const seed = fromEnvironment('MILLRACE_SEED');
const effort = fromEnvironment('MILLRACE_TEST_EFFORT') ?? 1;
const exactRuns = fromEnvironment('MILLRACE_TEST_RUNS');

fc.configureGlobal({ seed: (seed ?? 20_260_101) | 0 });

export { fc };

/** How many cases to try of a property that is tried `usual` times. */
export function caseCount(usual: number): number {
  return exactRuns ?? effortCount(usual);
}

/** The same for what is not a case of a property: mutations, steps of a model, kills. MILLRACE_TEST_RUNS does not count there. */
export function effortCount(usual: number): number {
  return Math.max(1, Math.ceil(usual * effort));
}

/** Where a test's own generator starts: `usual`, or MILLRACE_SEED. */
export function seedOf(usual: number): number {
  return seed ?? usual;
}

/**
 * The cases of a list, or with a small effort a share of them, at least one, spread evenly. For lists of whole
 * jobs, each of which takes seconds: at the usual effort all of them run.
 */
export function shareOf<T>(cases: readonly T[]): readonly T[] {
  if (effort >= 1) return cases;
  const count = Math.max(1, Math.ceil(cases.length * effort));
  const first = Math.abs(seed ?? 0) % cases.length;
  return Array.from({ length: count }, (_, i) => cases[(first + Math.floor((i * cases.length) / count)) % cases.length] as T);
}
