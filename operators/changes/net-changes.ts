/**
 * Changes of an epoch, added up: rows that come and go again are left out. What is left comes out by key, the
 * old row of a key directly before its new one.
 */

import type { RowOutput } from '../keyed/index.ts';
import { putChange, textOf } from './change-rows.ts';

interface NetRow {
  readonly values: readonly unknown[];
  times: number;
}

export class NetChanges {
  readonly #key: readonly number[];
  readonly #rows = new Map<string, NetRow>();

  /** @param key places of the values by which a new row replaces an old one */
  constructor(key: readonly number[]) {
    this.#key = key;
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** @param times how often the row comes; negative: goes */
  add(values: readonly unknown[], times: number): void {
    const text = textOf(values);
    const known = this.#rows.get(text);
    if (known === undefined) this.#rows.set(text, { values, times });
    else if ((known.times += times) === 0) this.#rows.delete(text);
  }

  /** The changes that are left, each row once with how often it comes. */
  rows(): Iterable<{ readonly values: readonly unknown[]; readonly times: number }> {
    return this.#rows.values();
  }

  /** Puts out what is left, and is empty then. */
  putOut(output: RowOutput): void {
    const byKey = new Map<string, { readonly before: (readonly unknown[])[]; readonly after: (readonly unknown[])[] }>();
    for (const { values, times } of this.#rows.values()) {
      const text = textOf(this.#key.map((place) => values[place]));
      let change = byKey.get(text);
      if (change === undefined) byKey.set(text, (change = { before: [], after: [] }));
      const list = times < 0 ? change.before : change.after;
      for (let n = Math.abs(times); n > 0; n--) list.push(values);
    }
    for (const { before, after } of byKey.values()) {
      for (let i = 0; i < Math.max(before.length, after.length); i++) putChange(output, before[i], after[i]);
    }
    this.clear();
  }

  clear(): void {
    this.#rows.clear();
  }
}
