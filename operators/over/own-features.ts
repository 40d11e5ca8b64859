/**
 * Features of `over` that are aggregators of the user's: functions over rows as objects, in the heap. The rows of
 * the longest range are kept once per key.
 *
 *   running   no range: one state, rows are added to it
 *   remove    with `remove`: rows that leave are taken out of the state, the new one is added. The state is made
 *             anew of the rows after as many removals as there are rows, and after a result that is not finite
 *   again     otherwise, and where failed rows are left out: a new state of all rows of the range, each time
 */

import type { AnyRow } from '../../core/index.ts';
import type { UserAggregate } from '../aggregate/index.ts';
import { roughBytes } from '../keyed/index.ts';
import { UserFunction } from '../user-aggregates/index.ts';

export interface OwnFeature {
  readonly name: string;
  readonly aggregate: UserAggregate;
  /** +Infinity: no such limit. */
  readonly withinMs: number;
  readonly rows: number;
  /** Position in the output. */
  readonly column: number;
}

interface FeatureState {
  /** The first row of the range, among those that are kept. */
  from: number;
  /** Undefined: it is made anew each time. */
  state: unknown;
  removals: number;
}

export interface OwnKey {
  readonly rows: AnyRow[];
  readonly times: number[];
  readonly states: FeatureState[];
  /** The results as of the newest row. */
  values: readonly unknown[];
}

const REMOVALS_MIN = 64;
const NO_KEY: readonly unknown[] = [];

export class OwnFeatures {
  readonly #features: readonly OwnFeature[];
  readonly #functions: readonly UserFunction[];
  /** What a call that fails has changed is taken back. */
  readonly #isGuarded: boolean;
  readonly #keys = new Map<number, OwnKey>();

  constructor(features: readonly OwnFeature[], isGuarded: boolean) {
    this.#features = features;
    this.#functions = features.map((feature) => new UserFunction(feature));
    this.#isGuarded = isGuarded;
  }

  /** An estimate: the first hundred keys stand for all. */
  get bytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const { rows, states } of this.#keys.values()) {
      if (looked++ === 100) break;
      bytes += 200 + rows.length * (rows.length === 0 ? 0 : 16 + roughBytes(rows[0])) + roughBytes(states, 3);
    }
    return Math.round(looked === 0 ? 0 : bytes * (this.#keys.size / Math.min(looked, 100)));
  }

  /**
   * Adds a row, the newest one of its key.
   *
   * @throws MillraceError ERR_MILLRACE_USER_FUNCTION; with guards nothing has changed then
   */
  add(key: number, row: AnyRow, time: number): void {
    const of = this.#keys.get(key) ?? { rows: [], times: [], states: [], values: [] };
    of.rows.push(row);
    of.times.push(time);
    try {
      const states = this.#features.map((_, f) => this.#moved(of, f));
      const values = states.map(({ state }, f) => (this.#functions[f] as UserFunction).result(state, NO_KEY));
      states.forEach((state, f) => {
        if (this.#isMadeAnew(f)) state.state = undefined;
        // What made it so may be gone from the next one, but not from this state.
        else if (typeof values[f] === 'number' && !Number.isFinite(values[f])) state.removals = Number.POSITIVE_INFINITY;
        of.states[f] = state;
      });
      of.values = values;
    } catch (error) {
      of.rows.pop();
      of.times.pop();
      throw error;
    }
    this.#keys.set(key, of);
    this.#dropHead(of);
  }

  /** The results of a key as of its newest row, by feature. */
  valuesOf(key: number): readonly unknown[] {
    return this.#keys.get(key)?.values ?? [];
  }

  forget(key: number): void {
    this.#keys.delete(key);
  }

  /** @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a state cannot be copied */
  copy(key: number): OwnKey {
    const { rows, times, states, values } = this.#keys.get(key) as OwnKey;
    return {
      rows: structuredClone(rows),
      times: [...times],
      states: states.map((of, f) => ({ ...of, state: (this.#functions[f] as UserFunction).copy(of.state, undefined) })),
      values: structuredClone(values),
    };
  }

  restore(key: number, from: OwnKey): void {
    const of = structuredClone(from);
    for (const row of of.rows) Object.freeze(row);
    this.#keys.set(key, of);
  }

  #isBounded(f: number): boolean {
    const { withinMs, rows } = this.#features[f] as OwnFeature;
    return Math.min(withinMs, rows) !== Number.POSITIVE_INFINITY;
  }

  #isMadeAnew(f: number): boolean {
    return this.#isBounded(f) && (this.#isGuarded || !(this.#functions[f] as UserFunction).canRemove);
  }

  /** The state of a feature with the newest row. */
  #moved({ rows, times, states }: OwnKey, f: number): FeatureState {
    const fn = this.#functions[f] as UserFunction;
    const { withinMs, rows: most } = this.#features[f] as OwnFeature;
    const was = states[f];
    const last = rows.length - 1;
    const row = rows[last] as AnyRow;
    if (!this.#isBounded(f)) {
      const state = was === undefined ? fn.init() : this.#isGuarded ? fn.kept(was.state) : was.state;
      return { from: 0, state: fn.add(state, row), removals: 0 };
    }
    const before = was?.from ?? 0;
    const until = (times[last] as number) - withinMs;
    let from = before;
    while (from < last && ((times[from] as number) <= until || rows.length - from > most)) from++;
    const removals = (was?.removals ?? 0) + from - before;
    if (was === undefined || this.#isMadeAnew(f) || from === last || removals > Math.max(REMOVALS_MIN, rows.length - from)) {
      let state = fn.init();
      for (let at = from; at <= last; at++) state = fn.add(state, rows[at] as AnyRow);
      return { from, state, removals: 0 };
    }
    let { state } = was;
    for (let at = before; at < from; at++) state = fn.remove(state, rows[at] as AnyRow);
    return { from, state: fn.add(state, row), removals };
  }

  /** Rows in front of all ranges go, many at a time. */
  #dropHead({ rows, times, states }: OwnKey): void {
    let first = rows.length;
    states.forEach(({ from }, f) => {
      if (this.#isBounded(f)) first = Math.min(first, from);
    });
    if (first < rows.length && first * 2 < rows.length) return;
    rows.splice(0, first);
    times.splice(0, first);
    states.forEach((state, f) => {
      if (this.#isBounded(f)) state.from -= first;
    });
  }
}
