/**
 * States of user-defined aggregates by session, beside the slots of the built-in ones
 * (session/session-aggregate.ts).
 */

import type { AnyRow } from '../../core/index.ts';
import { roughBytes } from '../keyed/index.ts';
import type { NamedAggregate } from './aggregate-split.ts';
import { UserFunction } from './user-function.ts';

const NO_KEY: readonly unknown[] = [];

export class SessionStates {
  readonly #functions: readonly UserFunction[];
  /** By the session's number: one per aggregator. */
  readonly #states = new Map<number, unknown[]>();

  constructor(own: readonly NamedAggregate[]) {
    this.#functions = own.map((named) => new UserFunction(named));
  }

  /** An estimate: the first hundred sessions stand for all. */
  get bytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const states of this.#states.values()) {
      if (looked++ === 100) break;
      bytes += 60 + roughBytes(states, 3);
    }
    return Math.round(looked === 0 ? 0 : bytes * (this.#states.size / Math.min(looked, 100)));
  }

  add(session: number, row: AnyRow): void {
    let states = this.#states.get(session);
    if (states === undefined) this.#states.set(session, (states = this.#functions.map((fn) => fn.init())));
    for (let i = 0; i < states.length; i++) states[i] = (this.#functions[i] as UserFunction).add(states[i], row);
  }

  /**
   * The states of a session with one more row, made of copies.
   *
   * @param into the session; -1: a new one
   * @param from the sessions that are merged into it, the earliest first
   * @throws MillraceError ERR_MILLRACE_USER_FUNCTION; nothing has changed then
   */
  tried(into: number, from: readonly number[], row: AnyRow): unknown[] {
    const copies = (session: number): unknown[] | undefined => this.#states.get(session)?.map((state, i) => (this.#functions[i] as UserFunction).kept(state));
    const states = copies(into) ?? this.#functions.map((fn) => fn.init());
    const others = from.map(copies);
    return this.#functions.map((fn, i) =>
      fn.add(
        others.reduce<unknown>((state, other) => fn.merge(state, other?.[i]), states[i]),
        row,
      ),
    );
  }

  /** Sets what {@link tried} gave. */
  put(session: number, states: unknown[]): void {
    this.#states.set(session, states);
  }

  /** Two sessions have become one, which keeps the number of the earlier one. */
  merge(earlier: number, later: number): void {
    const into = this.#states.get(earlier) as unknown[];
    const from = this.#states.get(later) as unknown[];
    for (let i = 0; i < into.length; i++) into[i] = (this.#functions[i] as UserFunction).merge(into[i], from[i]);
    this.#states.delete(later);
  }

  results(session: number): unknown[] {
    const states = this.#states.get(session) as unknown[];
    return this.#functions.map((fn, i) => fn.result(states[i], NO_KEY));
  }

  forget(session: number): void {
    this.#states.delete(session);
  }

  /** @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a state cannot be copied */
  copy(session: number): unknown[] {
    return (this.#states.get(session) as unknown[]).map((state, i) => (this.#functions[i] as UserFunction).copy(state, undefined));
  }

  restore(session: number, states: readonly unknown[]): void {
    this.#states.set(session, structuredClone([...states]));
  }
}
