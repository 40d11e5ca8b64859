/**
 * The functions of one aggregator as operators call them. What they return is checked, and what they throw
 * becomes an error that names the aggregate, the function and its arguments. States are opaque here; a new
 * one is never shared with another group.
 */

import { type AnyRow, type Field, MillraceError, shown } from '../../core/index.ts';
import type { AggregatorFunctions } from '../aggregate/index.ts';
import { stateCopy } from '../keyed/index.ts';
import { fitted, refusePromise } from '../rows/index.ts';
import type { NamedAggregate } from './aggregate-split.ts';

type Functions = AggregatorFunctions<unknown, unknown, unknown>;

export class UserFunction {
  readonly canRemove: boolean;
  readonly #name: string;
  readonly #field: Field;
  readonly #functions: Functions;
  /** The state that `init` returns every time; undefined: each one is new. */
  #pristine: { readonly state: unknown } | undefined;
  #isKnown = false;

  constructor({ name, aggregate }: NamedAggregate) {
    this.#name = name;
    this.#field = { name, type: aggregate.type };
    this.#functions = aggregate.functions;
    this.canRemove = aggregate.functions.remove !== undefined;
  }

  /**
   * A state of no row, never shared: where `init` returns one object every time, a copy of it as it was at
   * first.
   */
  init(): unknown {
    if (!this.#isKnown) this.#look();
    return this.#pristine === undefined ? this.#made() : structuredClone(this.#pristine.state);
  }

  /** The state with one more row. */
  add(state: unknown, row: AnyRow): unknown {
    try {
      const next: unknown = this.#functions.add(state, row);
      if (typeof next === 'object') refusePromise(next);
      return next === undefined ? state : next;
    } catch (cause) {
      throw this.#failed('add', [row], cause);
    }
  }

  /** `a` with what is in `b`. `b` does not change and is no part of the result. */
  merge(a: unknown, b: unknown): unknown {
    let merged: unknown;
    try {
      merged = this.#functions.merge(a, b);
      if (typeof merged !== 'object' || merged === null) return merged === undefined ? a : merged;
      refusePromise(merged);
    } catch (cause) {
      throw this.#failed('merge', [a, b], cause);
    }
    // Later calls may write into it.
    return merged === b ? this.copy(b, undefined) : merged;
  }

  /** A copy of a state, from before a call that may fail. */
  kept(state: unknown): unknown {
    return typeof state === 'object' && state !== null ? this.#copied(state) : state;
  }

  remove(state: unknown, row: AnyRow): unknown {
    try {
      const next: unknown = this.#functions.remove?.(state, row);
      if (typeof next === 'object') refusePromise(next);
      return next === undefined ? state : next;
    } catch (cause) {
      throw this.#failed('remove', [row], cause);
    }
  }

  /** The result of a state, as it reads back from the column. */
  result(state: unknown, key: readonly unknown[]): unknown {
    try {
      const value: unknown = this.#functions.result(state);
      if (typeof value === 'object') refusePromise(value);
      return fitted(this.#field, value);
    } catch (cause) {
      throw this.#failed('result', [state], cause, keyText(key));
    }
  }

  /**
   * A copy of a state, for a snapshot.
   *
   * @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a copy would not be the same: it holds a function,
   * or an instance of a class
   */
  copy(state: unknown, key: readonly unknown[] | undefined): unknown {
    let reason: string;
    let cause: unknown;
    try {
      const copy: unknown = structuredClone(state);
      const name = instanceIn(state, copy, 3);
      if (name === undefined) return copy;
      reason = `it has an instance of ${name}, which a copy would not be.`;
    } catch (error) {
      cause = error;
      reason = error instanceof Error ? error.message : String(error);
    }
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `The state of the aggregator ${shown(this.#name)}${key === undefined ? '' : keyText(key)} cannot be copied: ${reason} Keep plain values in it: numbers, strings, arrays, objects, Maps, Sets, dates, bytes; no functions and no instances of classes of your own.`,
      { cause },
    );
  }

  /** Shallow where that is enough: stateCopy; else as for a snapshot. */
  #copied(state: object): unknown {
    return Object.getPrototypeOf(state) === Object.prototype || Array.isArray(state) ? stateCopy(state) : this.copy(state, undefined);
  }

  /**
   * Finds out, before anything is added, whether `init` returns what can be copied, and whether it returns
   * the same object every time, or one that shares objects.
   */
  #look(): void {
    const first = this.#made();
    const second = this.#made();
    const state = this.copy(first, undefined);
    if (sharesObject(first, second, 2)) this.#pristine = { state };
    this.#isKnown = true;
  }

  #made(): unknown {
    try {
      const state: unknown = this.#functions.init();
      refusePromise(state);
      return state;
    } catch (cause) {
      throw this.#failed('init', [], cause);
    }
  }

  #failed(what: string, values: readonly unknown[], cause: unknown, of = ''): MillraceError {
    if (cause instanceof MillraceError && cause.code === 'ERR_MILLRACE_USER_FUNCTION') return cause;
    const reason = cause instanceof Error ? `${cause.name === 'MillraceError' ? '' : `${cause.name}: `}${cause.message}` : String(cause);
    const on = values.length === 0 ? '' : ` on ${values.map(shown).join(' and ')}`;
    return new MillraceError('ERR_MILLRACE_USER_FUNCTION', `aggregator ${shown(this.#name)}: ${what} failed${on}${of}: ${reason}`, { cause });
  }
}

/** Whether two states are one object, or share one. */
function sharesObject(a: unknown, b: unknown, depth: number): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return false;
  if (a === b) return true;
  if (depth === 0 || ArrayBuffer.isView(a)) return false;
  return Object.keys(a).some((name) => sharesObject((a as AnyRow)[name], (b as AnyRow)[name], depth - 1));
}

/** The group, as messages name it. */
function keyText(key: readonly unknown[]): string {
  return key.length === 0 ? '' : ` of the key ${key.map(shown).join(', ')}`;
}

/** The name of a class that has an instance in a value, but not in its copy. Looks some levels deep. */
function instanceIn(value: unknown, copy: unknown, depth: number): string | undefined {
  if (typeof value !== 'object' || value === null || depth === 0) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object without a prototype comes back with one, which makes no difference to its own properties.
  if (prototype !== Object.getPrototypeOf(copy) && prototype !== null) {
    const made = (prototype as { constructor?: { name?: unknown } }).constructor?.name;
    return typeof made === 'string' && made !== '' ? made : 'a class';
  }
  if (ArrayBuffer.isView(value)) return undefined;
  const inside = (v: object): Iterable<unknown> => (v instanceof Map || v instanceof Set ? v.values() : Object.values(v));
  const copies = inside(copy as object)[Symbol.iterator]();
  for (const part of inside(value)) {
    const name = instanceIn(part, copies.next().value, depth - 1);
    if (name !== undefined) return name;
  }
  return undefined;
}
