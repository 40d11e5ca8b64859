/** One thing of the holdings of a process (io/sink.ts). */

import type { Holdings } from '../../sink.ts';

export class Held<T> {
  readonly #holdings: Holdings;
  readonly #name: string;

  constructor(holdings: Holdings, name: string) {
    this.#holdings = holdings;
    this.#name = name;
  }

  /** Undefined: this process has never had it, or has given it back. */
  get value(): T | undefined {
    return this.#holdings.get(this.#name) as T | undefined;
  }

  set value(value: T | undefined) {
    if (value === undefined) this.#holdings.delete(this.#name);
    else this.#holdings.set(this.#name, value);
  }
}
