/**
 * Conditional probabilities of items that occur together, learned one set at a time.
 */

export interface CooccurrenceState<T> {
  sets: number;
  /** Number of sets by item. */
  readonly counts: Map<T, number>;
  /** Number of sets by item and other item. */
  readonly pairs: Map<T, Map<T, number>>;
}

/**
 * Items that occur together (in a basket, a session): P(b | a), the share of the sets with a that also have
 * b. Memory grows with the pairs seen; in a pipeline count pairs with flatMap and keyBy.
 *
 * @example
 *   const baskets = new Cooccurrence<string>();
 *   baskets.add(['bread', 'butter']);
 *   baskets.add(['bread']);
 *   baskets.probability('butter', 'bread'); // 0.5
 */
export class Cooccurrence<T extends string | number> {
  readonly state: CooccurrenceState<T>;

  /** @param state continues from what a model has learned; it is changed in place */
  constructor(state: CooccurrenceState<T> = { sets: 0, counts: new Map(), pairs: new Map() }) {
    this.state = state;
  }

  /** Number of sets seen. */
  get count(): number {
    return this.state.sets;
  }

  /** Adds one set of items; duplicates count once. */
  add(items: Iterable<T>): void {
    const set = [...new Set(items)];
    const { counts } = this.state;
    this.state.sets++;
    for (const a of set) {
      counts.set(a, (counts.get(a) ?? 0) + 1);
      for (const b of set) if (a !== b) this.#count(a, b, 1);
    }
  }

  merge(other: Cooccurrence<T>): void {
    const { counts } = this.state;
    this.state.sets += other.state.sets;
    for (const [a, n] of other.state.counts) counts.set(a, (counts.get(a) ?? 0) + n);
    for (const [a, row] of other.state.pairs) for (const [b, n] of row) this.#count(a, b, n);
  }

  /** Every item seen, in order of first appearance. */
  items(): IterableIterator<T> {
    return this.state.counts.keys();
  }

  /** P(b | a); NaN where a was never seen. */
  probability(b: T, given: T): number {
    const total = this.state.counts.get(given);
    if (total === undefined) return Number.NaN;
    return b === given ? 1 : (this.state.pairs.get(given)?.get(b) ?? 0) / total;
  }

  /** P(b | a) / P(b): above 1, a makes b more likely. */
  lift(b: T, given: T): number {
    return this.probability(b, given) / ((this.state.counts.get(b) ?? 0) / this.state.sets);
  }

  /** The items most likely to occur with the given one, at most `n`, with their P(b | a). */
  likeliest(given: T, n: number): { readonly item: T; readonly probability: number }[] {
    const found = [...(this.state.pairs.get(given) ?? [])].map(([item]) => ({ item, probability: this.probability(item, given) }));
    return found.sort((a, b) => b.probability - a.probability || (a.item < b.item ? -1 : 1)).slice(0, n);
  }

  #count(a: T, b: T, n: number): void {
    let row = this.state.pairs.get(a);
    if (row === undefined) {
      row = new Map();
      this.state.pairs.set(a, row);
    }
    row.set(b, (row.get(b) ?? 0) + n);
  }
}
