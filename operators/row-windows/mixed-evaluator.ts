/**
 * The evaluation of windows of rows (row-windows.ts) by aggregates of which some are user-defined: the rows
 * of a window are added one by one to its own state.
 */

import type { AnyRow, SlabAllocator } from '../../core/index.ts';
import { named } from '../exchange/index.ts';
import { type Key, type KeyedInput, type RowFailures, roughBytes } from '../keyed/index.ts';
import { interleaved, type MixedPlan, namedValues, UserFunction } from '../user-aggregates/index.ts';
import { AggregateEvaluator, type Evaluator, type Firing, type Totals } from './row-window-evaluation.ts';

export class MixedEvaluator implements Evaluator {
  readonly #plan: MixedPlan;
  readonly #builtIn: AggregateEvaluator;
  readonly #functions: readonly UserFunction[];
  readonly #failures: RowFailures;
  readonly #keyNames: readonly string[];

  constructor(slabs: SlabAllocator, input: KeyedInput, plan: MixedPlan, failures: RowFailures) {
    this.#plan = plan;
    this.#failures = failures;
    this.#keyNames = input.keys.map((key) => input.schema.field(key).name);
    this.#builtIn = new AggregateEvaluator(slabs, input, plan.builtIn);
    this.#functions = plan.split.own.map((named) => new UserFunction(named));
  }

  totals(from: unknown): Totals {
    const saved = from as MixedTotalsSnapshot | undefined;
    return new MixedTotals(this.#functions, this.#builtIn.totals(saved?.builtIn), saved?.own);
  }

  round(firings: readonly Firing[], totals: Totals | undefined, put: ((firing: Firing, values: readonly unknown[]) => void) | undefined): void {
    const mixed = totals as MixedTotals | undefined;
    const own = mixed?.own ?? new Map<Key, unknown[]>();
    if (this.#failures.areSkipped) firings = this.#tried(firings, own);
    else this.#add(firings, own);
    const putBoth = (firing: Firing, values: readonly unknown[]): void => {
      const states = own.get(firing.entry.id) as unknown[];
      let results: unknown[];
      try {
        results = this.#functions.map((fn, i) => fn.result(states[i], firing.entry.key));
      } catch (error) {
        this.#failures.skip(error, named(this.#keyNames, firing.entry.key));
        return;
      }
      put?.(firing, interleaved(this.#plan.split, values, results));
    };
    this.#builtIn.round(firings, mixed?.builtIn, put === undefined ? undefined : putBoth);
  }

  #add(firings: readonly Firing[], own: Map<Key, unknown[]>): void {
    for (const { entry, rows } of firings) {
      let states = own.get(entry.id);
      if (states === undefined) own.set(entry.id, (states = this.#functions.map((fn) => fn.init())));
      for (const row of rows) {
        Object.freeze(row);
        for (let i = 0; i < states.length; i++) states[i] = (this.#functions[i] as UserFunction).add(states[i], row);
      }
    }
  }

  /** `#add`, on copies of the states. Returns the firings with the rows that could be added. */
  #tried(firings: readonly Firing[], own: Map<Key, unknown[]>): readonly Firing[] {
    return firings.flatMap((firing) => {
      const { id } = firing.entry;
      const rows = firing.rows.filter((row) => {
        Object.freeze(row);
        const known = own.get(id);
        const kept = known?.map((state, i) => (this.#functions[i] as UserFunction).kept(state));
        try {
          own.set(
            id,
            this.#functions.map((fn, i) => fn.add(known === undefined ? fn.init() : known[i], row)),
          );
          return true;
        } catch (error) {
          this.#failures.skip(error, row);
          if (kept !== undefined) own.set(id, kept);
          return false;
        }
      });
      return own.has(id) ? [{ ...firing, rows }] : [];
    });
  }

  show(firings: readonly Firing[], totals: Totals, put: (firing: Firing, value: unknown) => void): void {
    const { builtIn, own } = totals as MixedTotals;
    const names = this.#plan.builtIn.results.map(({ name }) => name);
    this.#builtIn.show(firings, builtIn, (firing, value) => {
      const values = names.map((name) => (value as AnyRow)[name]);
      put(firing, namedValues(this.#plan, names, values, own.get(firing.entry.id) ?? []));
    });
  }

  release(): void {
    this.#builtIn.release();
  }
}

interface MixedTotalsSnapshot {
  readonly builtIn: unknown;
  readonly own: ReadonlyMap<Key, readonly unknown[]>;
}

class MixedTotals implements Totals {
  readonly builtIn: Totals;
  readonly own: Map<Key, unknown[]>;
  readonly #functions: readonly UserFunction[];

  constructor(functions: readonly UserFunction[], builtIn: Totals, from: ReadonlyMap<Key, readonly unknown[]> | undefined) {
    this.#functions = functions;
    this.builtIn = builtIn;
    this.own = new Map(structuredClone(from)) as Map<Key, unknown[]>;
  }

  get bytes(): number {
    const [some] = this.own.values();
    return this.builtIn.bytes + this.own.size * (60 + roughBytes(some, 3));
  }

  snapshot(): MixedTotalsSnapshot {
    const copied = (states: readonly unknown[]) => states.map((state, i) => (this.#functions[i] as UserFunction).copy(state, undefined));
    return { builtIn: this.builtIn.snapshot(), own: new Map(Array.from(this.own, ([id, states]) => [id, copied(states)])) };
  }

  release(): void {
    this.builtIn.release();
  }
}
