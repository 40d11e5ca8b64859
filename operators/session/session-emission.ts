/**
 * Which sessions come out at the end of an epoch, and which earlier results are retracted.
 *
 *   final     a session comes out when it closes: nothing is ever retracted
 *   update    each session that changed
 *   revise    each session when the watermark has passed its end; and, until it closes, when late rows have
 *             changed it
 *
 * A result is obsolete when its session has other bounds now, or was merged into another session. What it was
 * is saved when the first row of an epoch touches its session, so it costs nothing as long as none does.
 */

import { bool, type Field, MillraceError, Schema } from '../../core/index.ts';
import { TimeHeap } from '../by-key/index.ts';
import type { Emission } from '../windows.ts';
import type { SessionList } from './session-list.ts';

/** The column that says whether a row retracts a result. */
export const RETRACTED = 'retracted';

export interface SessionBounds {
  readonly start: number;
  readonly last: number;
}

/** A retracted result. */
export interface Retraction extends SessionBounds {
  readonly number: number;
}

/** Results that are out, of sessions that are open: by number. */
export type PublishedSessions = readonly (readonly [number: number, bounds: SessionBounds])[];

export class SessionEmission {
  readonly #list: SessionList;
  readonly #gapMs: number;
  readonly #emission: Emission;
  readonly #published = new Map<number, SessionBounds>();
  /** Those touched by rows of this epoch, in the order of their first rows. */
  readonly #touched = new Map<number, SessionBounds>();
  /** Emit 'revise': sessions that are not out, by their ends as known so far. */
  readonly #due = new TimeHeap();

  constructor(list: SessionList, gapMs: number, emission: Emission) {
    this.#list = list;
    this.#gapMs = gapMs;
    this.#emission = emission;
  }

  /**
   * Called when a row has gone into a session. True: its result is out, and this is the first row of the
   * epoch, so what it is made of must be saved.
   */
  touch(number: number): boolean {
    const bounds = this.#published.get(number);
    if (bounds === undefined || this.#touched.has(number)) return false;
    this.#touched.set(number, bounds);
    return true;
  }

  /**
   * What comes out at the end of an epoch, given the sessions that changed in it and those that its watermark
   * closes: first the retracted results, then those of these sessions.
   */
  settle(
    watermark: number,
    changed: readonly number[],
    closed: readonly number[],
  ): { readonly retracted: readonly Retraction[]; readonly due: readonly number[] } {
    if (this.#emission === 'final') return { retracted: [], due: closed };
    const { starts, lasts, numbers } = this.#list;
    const retracted = new Map(this.#touched);
    this.#touched.clear();
    const due: number[] = [];
    for (const session of changed) {
      const number = numbers[session] as number;
      const last = lasts[session] as number;
      const was = retracted.get(number);
      const isSame = was?.start === starts[session] && was?.last === last;
      if (isSame) retracted.delete(number);
      if (this.#emission === 'update' || isSame || (was !== undefined && this.#isOver(last, watermark))) due.push(session);
      else this.#due.push(last + this.#gapMs, number, session);
    }
    for (const number of retracted.keys()) this.#published.delete(number);
    if (this.#emission === 'revise') due.push(...this.#takeDue(watermark));
    for (const session of due) this.#published.set(numbers[session] as number, { start: starts[session] as number, last: lasts[session] as number });
    return { retracted: Array.from(retracted, ([number, { start, last }]) => ({ number, start, last })), due };
  }

  /** A session has closed. */
  forget(number: number): void {
    this.#published.delete(number);
  }

  /** No session that is not out is over before; +Infinity: there is none. */
  get firstDue(): number {
    return this.#due.firstTime;
  }

  get bytes(): number {
    return this.#published.size * 100 + this.#due.bytes;
  }

  /** Between two epochs. */
  snapshot(): PublishedSessions {
    return [...this.#published].map(([number, bounds]) => [number, { ...bounds }]);
  }

  /** To be called once the list has been restored. */
  restore(published: PublishedSessions): void {
    for (const [number, bounds] of published) this.#published.set(number, bounds);
    if (this.#emission !== 'revise') return;
    const { lasts, numbers } = this.#list;
    for (const session of this.#list.inOrder()) {
      const number = numbers[session] as number;
      if (!this.#published.has(number)) this.#due.push((lasts[session] as number) + this.#gapMs, number, session);
    }
  }

  /** The sessions that are over and not yet out, in the order of their ends. */
  #takeDue(watermark: number): number[] {
    const taken: number[] = [];
    const heap = this.#due;
    while (heap.size > 0 && (heap.firstTime < watermark || watermark === Number.POSITIVE_INFINITY)) {
      const known = heap.firstTime;
      const number = heap.firstSequence;
      const session = heap.pop();
      if (!this.#list.isOpen(session, number) || this.#published.has(number)) continue;
      const last = this.#list.lasts[session] as number;
      if (last + this.#gapMs > known) heap.push(last + this.#gapMs, number, session);
      else {
        taken.push(session);
        // A session may be listed here more than once.
        this.#published.set(number, { start: this.#list.starts[session] as number, last });
      }
    }
    return taken;
  }

  #isOver(last: number, watermark: number): boolean {
    return last + this.#gapMs < watermark;
  }
}

/**
 * A schema of results with the column `retracted` after the bounds.
 *
 * @param at number of columns before it
 * @throws MillraceError ERR_MILLRACE_PIPELINE when there is a column of that name
 */
export function withRetracted(schema: Schema, at: number): Schema {
  if (schema.indexOf(RETRACTED) >= 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `A result column would be named "${RETRACTED}", which is what sessions say of results that are taken back. Rename it, or take emit('final').`,
    );
  }
  return new Schema([...schema.fields.slice(0, at), retractedField(), ...schema.fields.slice(at)]);
}

export function retractedField(): Field {
  return { name: RETRACTED, type: bool };
}
