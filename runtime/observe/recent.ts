/** The newest of something: a list that forgets its oldest entries. */

export class Recent<T> {
  readonly max: number;
  readonly #entries: T[] = [];
  #next = 0;

  /** @param max entries that are kept */
  constructor(max: number) {
    this.max = max;
  }

  push(entry: T): void {
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % this.max;
  }

  /** The oldest first. */
  get all(): T[] {
    return this.#entries.length < this.max ? [...this.#entries] : [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)];
  }

  get last(): T | undefined {
    return this.#entries[(this.#next + this.max - 1) % this.max];
  }
}
