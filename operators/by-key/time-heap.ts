/**
 * Numbers in the order of their times, equal times in the order of their sequence: a binary heap over typed
 * arrays. O(log n) per push and pop. Used for the rows of joins, for sessions and for timers.
 */

export class TimeHeap {
  #times = new Float64Array(64);
  #sequences = new Float64Array(64);
  #ids = new Uint32Array(64);
  size = 0;

  /** +Infinity when it is empty. */
  get firstTime(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number);
  }

  /** Sequence of the first one, which must be there. */
  get firstSequence(): number {
    return this.#sequences[0] as number;
  }

  push(time: number, sequence: number, id: number): void {
    if (this.size === this.#ids.length) this.#grow();
    const times = this.#times;
    const sequences = this.#sequences;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = times[parent] as number;
      if (above < time || (above === time && (sequences[parent] as number) <= sequence)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, time, sequence, id);
  }

  /** Removes the first one, which must be there. */
  pop(): number {
    const id = this.#ids[0] as number;
    const last = --this.size;
    const time = this.#times[last] as number;
    const sequence = this.#sequences[last] as number;
    let at = 0;
    for (let child = 1; child < last; child = at * 2 + 1) {
      if (child + 1 < last && this.#isBefore(child + 1, this.#times[child] as number, this.#sequences[child] as number)) child++;
      if (!this.#isBefore(child, time, sequence)) break;
      this.#move(child, at);
      at = child;
    }
    this.#set(at, time, sequence, this.#ids[last] as number);
    return id;
  }

  /** Calls `visit` with each, in no particular order. */
  each(visit: (time: number, sequence: number, id: number) => void): void {
    for (let at = 0; at < this.size; at++) visit(this.#times[at] as number, this.#sequences[at] as number, this.#ids[at] as number);
  }

  get bytes(): number {
    return this.#ids.length * 20;
  }

  #isBefore(at: number, time: number, sequence: number): boolean {
    const own = this.#times[at] as number;
    return own < time || (own === time && (this.#sequences[at] as number) < sequence);
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#times[from] as number, this.#sequences[from] as number, this.#ids[from] as number);
  }

  #set(at: number, time: number, sequence: number, id: number): void {
    this.#times[at] = time;
    this.#sequences[at] = sequence;
    this.#ids[at] = id;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const sequences = new Float64Array(times.length);
    sequences.set(this.#sequences);
    this.#sequences = sequences;
    const ids = new Uint32Array(times.length);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
