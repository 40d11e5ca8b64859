/**
 * The clock of a job, which stamps epochs: the wall clock, but never backwards. When the wall clock is set
 * back, it goes on at half the speed of a monotonic clock until the wall clock has caught up. So time does
 * not stand still, windows of processing time go on closing, and no hour comes twice.
 */

export class JobClock {
  readonly #wall: () => number;
  readonly #elapsed: () => number;
  #ms = Number.NEGATIVE_INFINITY;
  #readAt: number;

  /**
   * @param wall ms since 1970
   * @param elapsed ms of a monotonic clock
   */
  constructor(wall: () => number, elapsed: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#elapsed = elapsed;
    this.#readAt = elapsed();
  }

  /** Makes it show at least `ms`, which it showed before a restart. */
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
