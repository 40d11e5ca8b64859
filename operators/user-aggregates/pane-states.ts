/**
 * States of user-defined aggregates by key and pane, and the states of windows made of them. The built-in
 * aggregates of the same call (mixed-aggregate.ts) decide when a window is due, and for which keys. How a
 * window is combined is chosen for each aggregator:
 *
 *   running   no window: one state per key
 *   pane      a window is one pane: its state is the window's
 *   merge     the states of a window's panes are merged, the oldest first
 *   grow      cumulative windows: the state of the window before, and the panes that came since
 *   remove    the state of the window before, without the rows of the panes that left, with those that came;
 *             the rows are kept
 *
 * A state that is carried from one window to the next is rebuilt from its panes when a row comes for a pane
 * that is in it already, when its result is not finite, and after as many windows as one has panes. So
 * rounding errors, and those of an inexact remove, do not persist. Within a pane rows are added in order of
 * arrival; panes are added in the order of time.
 */

import { type AnyRow, assert, type PaneGrid } from '../../core/index.ts';
import { type Key, type RowFailures, roughBytes } from '../keyed/index.ts';
import type { UserFunction } from './user-function.ts';

export type UserStrategy = 'running' | 'pane' | 'merge' | 'grow' | 'remove';

interface StatePane {
  readonly number: number;
  /** By aggregator; nothing for one that removes. */
  readonly states: unknown[];
  /** Kept where an aggregator removes. */
  readonly rows: AnyRow[];
}

/** What is carried from one window to the next. */
interface MovingStates {
  window: number;
  /** The panes that are in it. */
  first: number;
  last: number;
  readonly states: unknown[];
}

interface Entry {
  readonly id: Key;
  readonly key: readonly unknown[];
  /** Ascending by number. */
  readonly panes: StatePane[];
  moving: MovingStates | undefined;
}

export interface PaneStatesSnapshot {
  readonly entries: readonly Entry[];
}

const SAMPLED_PANES = 100;
const NO_ROWS: AnyRow[] = [];

export class PaneStates {
  readonly #functions: readonly UserFunction[];
  readonly #strategies: readonly UserStrategy[];
  readonly #failures: RowFailures;
  readonly #grid: PaneGrid | undefined;
  readonly #keepsRows: boolean;
  readonly #moves: boolean;
  readonly #entries = new Map<Key, Entry>();
  /** The keys that have a pane. */
  readonly #byPane = new Map<number, Entry[]>();
  /** The least pane of any key; Infinity: there is none. */
  #first = Number.POSITIVE_INFINITY;
  #paneCount = 0;

  /** @param grid undefined without a window */
  constructor(
    functions: readonly UserFunction[],
    strategies: readonly UserStrategy[],
    grid: PaneGrid | undefined,
    failures: RowFailures,
    from: PaneStatesSnapshot | undefined,
  ) {
    this.#functions = functions;
    this.#failures = failures;
    // A failing call would leave a state that is carried half changed: the panes are merged each time.
    const mayMove = (strategy: UserStrategy): boolean => !failures.areSkipped && (strategy === 'grow' || strategy === 'remove');
    this.#strategies = strategies.map((strategy) => (strategy === 'pane' || strategy === 'running' || mayMove(strategy) ? strategy : 'merge'));
    this.#grid = grid;
    this.#keepsRows = strategies.includes('remove');
    this.#moves = strategies.some(mayMove);
    for (const entry of structuredClone(from)?.entries ?? []) {
      this.#entries.set(entry.id, entry);
      for (const pane of entry.panes) this.#note(pane.number, entry);
      if (!failures.areSkipped) continue;
      entry.moving = undefined;
      for (const pane of entry.panes) this.#makeStates(pane, strategies);
    }
  }

  /** An estimate: the first hundred panes stand for all. */
  get bytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const { panes } of this.#entries.values()) {
      if (looked >= SAMPLED_PANES) break;
      for (const { states, rows } of panes.slice(0, SAMPLED_PANES - looked)) {
        looked++;
        bytes += 120 + roughBytes(states, 3) + (rows.length === 0 ? 0 : rows.length * (8 + roughBytes(rows[0])));
      }
    }
    return this.#entries.size * 200 + Math.round(looked === 0 ? 0 : bytes * (this.#paneCount / looked));
  }

  /**
   * Adds a row of a key, at a place in the batch that is being taken, to a pane. `keyOf` is called where the
   * key is new.
   *
   * @returns false: a function failed, and nothing has changed
   */
  add(id: Key, number: number, row: AnyRow, place: number, keyOf: () => readonly unknown[]): boolean {
    if (this.#failures.areSkipped) return this.#try(id, number, row, place, keyOf);
    let entry = this.#entries.get(id);
    if (entry === undefined) this.#entries.set(id, (entry = { id, key: keyOf(), panes: [], moving: undefined }));
    const { states, rows } = this.#paneOf(entry, number);
    for (let i = 0; i < states.length; i++) {
      if (this.#strategies[i] !== 'remove') states[i] = (this.#functions[i] as UserFunction).add(states[i], row);
    }
    if (this.#keepsRows) rows.push(row);
    if (entry.moving !== undefined && number <= entry.moving.last) entry.moving = undefined;
    return true;
  }

  /** `add`, on copies of the states. */
  #try(id: Key, number: number, row: AnyRow, place: number, keyOf: () => readonly unknown[]): boolean {
    const known = this.#entries.get(id);
    const pane = known?.panes.findLast((one) => one.number === number);
    const kept = pane?.states.map((state, i) => (this.#functions[i] as UserFunction).kept(state));
    let states: unknown[];
    try {
      states = this.#functions.map((fn, i) => fn.add(pane === undefined ? fn.init() : pane.states[i], row));
    } catch (error) {
      this.#failures.skip(error, place);
      if (kept !== undefined) pane?.states.splice(0, kept.length, ...kept);
      return false;
    }
    const entry = known ?? { id, key: keyOf(), panes: [], moving: undefined };
    if (known === undefined) this.#entries.set(id, entry);
    const into = pane ?? this.#paneOf(entry, number, states);
    into.states.splice(0, states.length, ...states);
    if (this.#keepsRows) into.rows.push(row);
    return true;
  }

  /** The states of a pane that had rows only, as removing rows was the strategy. */
  #makeStates({ states, rows }: StatePane, strategies: readonly UserStrategy[]): void {
    this.#functions.forEach((fn, i) => {
      if (strategies[i] !== 'remove') return;
      states[i] = fn.init();
      for (const row of rows) {
        const kept = fn.kept(states[i]);
        try {
          states[i] = fn.add(states[i], row);
        } catch (error) {
          this.#failures.skip(error, row);
          states[i] = kept;
        }
      }
    });
  }

  /**
   * The results of a key's window: one per aggregator. The key must have a row in it. Where emission is
   * 'final', the windows of a key are requested in ascending order.
   */
  results(id: Key, window: number): unknown[] {
    const entry = this.#entries.get(id);
    assert(entry, 'a window of a key without states');
    const { key } = entry;
    const first = this.#grid?.firstPane(window) ?? 0;
    const last = this.#grid?.lastPane(window) ?? 0;
    const moving = this.#moves ? this.#moveTo(entry, window, first, last) : undefined;
    const results = this.#functions.map((fn, i) => {
      const strategy = this.#strategies[i];
      return fn.result(strategy === 'grow' || strategy === 'remove' ? moving?.states[i] : this.#mergedOf(entry, i, first, last), key);
    });
    const hasLost = results.some((value, i) => this.#strategies[i] === 'remove' && typeof value === 'number' && !Number.isFinite(value));
    if (hasLost) entry.moving = undefined;
    return results;
  }

  /**
   * The states of a key's window, one per aggregator, as if each were merged from those of its panes. The key
   * must have a row in it, and failing rows must be left out: then every pane has states.
   */
  statesOf(id: Key, window: number): unknown[] {
    const entry = this.#entries.get(id);
    assert(entry !== undefined && this.#failures.areSkipped, 'states of panes that have rows only');
    const first = this.#grid?.firstPane(window) ?? 0;
    const last = this.#grid?.lastPane(window) ?? 0;
    return this.#functions.map((_, i) => this.#mergedOf(entry, i, first, last));
  }

  /** Drops the panes before this one. */
  dropBelow(pane: number): void {
    if (pane <= this.#first) return;
    this.#first = Number.POSITIVE_INFINITY;
    for (const [number, entries] of this.#byPane) {
      if (number >= pane) {
        this.#first = Math.min(this.#first, number);
        continue;
      }
      this.#byPane.delete(number);
      this.#paneCount -= entries.length;
      for (const entry of entries) {
        if ((entry.panes.at(-1) as StatePane).number < pane) {
          this.#entries.delete(entry.id);
          continue;
        }
        if (entry.moving !== undefined) this.#leave(entry, entry.moving, pane);
        entry.panes.splice(0, placeOf(entry.panes, pane));
      }
    }
  }

  /** @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a state cannot be copied */
  snapshot(): PaneStatesSnapshot {
    const copied = (states: readonly unknown[], key: readonly unknown[]) => states.map((state, i) => (this.#functions[i] as UserFunction).copy(state, key));
    const entries = Array.from(this.#entries.values(), ({ id, key, panes, moving }) => ({
      id,
      key: [...key],
      panes: panes.map(({ number, states, rows }) => ({ number, states: copied(states, key), rows: structuredClone(rows) })),
      moving: moving === undefined ? undefined : { ...moving, states: copied(moving.states, key) },
    }));
    return { entries };
  }

  /** The pane of a number, created where it is missing. Late rows are rare: the last pane is most likely. */
  #paneOf(entry: Entry, number: number, first?: unknown[]): StatePane {
    const { panes } = entry;
    let at = panes.length;
    while (at > 0 && (panes[at - 1] as StatePane).number > number) at--;
    const known = panes[at - 1];
    if (known?.number === number) return known;
    const pane: StatePane = {
      number,
      states: first ?? this.#functions.map((fn, i) => (this.#strategies[i] === 'remove' ? undefined : fn.init())),
      rows: this.#keepsRows ? [] : NO_ROWS,
    };
    panes.splice(at, 0, pane);
    this.#note(number, entry);
    return pane;
  }

  #note(number: number, entry: Entry): void {
    this.#paneCount++;
    if (number < this.#first) this.#first = number;
    const entries = this.#byPane.get(number);
    if (entries === undefined) this.#byPane.set(number, [entry]);
    else entries.push(entry);
  }

  /** One aggregator's state of a run of panes. */
  #mergedOf({ panes }: Entry, i: number, first: number, last: number): unknown {
    const fn = this.#functions[i] as UserFunction;
    const from = placeOf(panes, first);
    const to = placeOf(panes, last + 1);
    assert(to > from, 'a window of a key without rows in it');
    if (to === from + 1) return (panes[from] as StatePane).states[i];
    let merged = fn.init();
    for (let p = from; p < to; p++) merged = fn.merge(merged, (panes[p] as StatePane).states[i]);
    return merged;
  }

  /** The state that is carried, as of a window. */
  #moveTo(entry: Entry, window: number, first: number, last: number): MovingStates {
    const { panesPerWindow } = this.#grid as PaneGrid;
    const before = entry.moving;
    const goesOn = before !== undefined && first <= before.last && Math.floor(before.window / panesPerWindow) === Math.floor(window / panesPerWindow);
    let moving = before;
    if (!goesOn || moving === undefined) {
      const states = this.#functions.map((fn, i) => (this.#isMoving(i) ? fn.init() : undefined));
      moving = { window, first, last: first - 1, states };
      entry.moving = moving;
    } else this.#leave(entry, moving, first);
    const { panes } = entry;
    for (let p = placeOf(panes, moving.last + 1); p < panes.length && (panes[p] as StatePane).number <= last; p++) this.#enter(moving, panes[p] as StatePane);
    moving.window = window;
    moving.last = last;
    return moving;
  }

  #isMoving(i: number): boolean {
    return this.#strategies[i] === 'grow' || this.#strategies[i] === 'remove';
  }

  #enter({ states }: MovingStates, pane: StatePane): void {
    this.#functions.forEach((fn, i) => {
      if (this.#strategies[i] === 'grow') states[i] = fn.merge(states[i], pane.states[i]);
      else if (this.#strategies[i] === 'remove') for (const row of pane.rows) states[i] = fn.add(states[i], row);
    });
  }

  /**
   * Takes the panes before the given one out of the carried state. A window that grows is rebuilt before a
   * pane leaves.
   */
  #leave({ panes }: Entry, moving: MovingStates, before: number): void {
    const { states } = moving;
    for (let p = placeOf(panes, moving.first); p < panes.length; p++) {
      const { number, rows } = panes[p] as StatePane;
      if (number >= before || number > moving.last) break;
      this.#functions.forEach((fn, i) => {
        if (this.#strategies[i] === 'remove') for (const row of rows) states[i] = fn.remove(states[i], row);
      });
    }
    if (before > moving.first) moving.first = before;
  }
}

/** The place of the first pane with at least this number, or where it would be. */
function placeOf(panes: readonly StatePane[], number: number): number {
  let from = 0;
  let to = panes.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((panes[middle] as StatePane).number < number) from = middle + 1;
    else to = middle;
  }
  return from;
}
