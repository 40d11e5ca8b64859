/**
 * The clock of a job, which epochs are stamped with: the wall clock, but never backwards. Where the wall clock was set back, it goes on
 * at half the speed of a monotonic clock until the wall clock has come up with it: time does not stand still, so windows of
 * processing time go on closing, and no hour comes twice.
 */

export class JobClock {
  readonly #wall: () => number;
  readonly #elapsed: () => number;
  #ms = Number.NEGATIVE_INFINITY;
  #readAt: number;

  /**
   * @param wall ms since 1970
   * @param elapsed ms since whenever, from a clock that nobody sets
   */
  constructor(wall: () => number, elapsed: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#elapsed = elapsed;
    this.#readAt = elapsed();
  }

  /** From now on it shows at least `ms`: what was shown before a restart. */
  notBefore(ms: number): void {
    this.#ms = Math.max(this.#ms, ms);
  }

  /** Whole milliseconds since 1970, at least those of the call before. */
  read(): number {
    const readAt = this.#elapsed();
    const passed = Math.max(0, readAt - this.#readAt);
    this.#readAt = readAt;
    this.#ms = Math.max(this.#wall(), this.#ms + passed / 2);
    return Math.floor(this.#ms);
  }
}
