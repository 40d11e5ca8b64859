/**
 * A random number generator that can start at any row. The stream of row i follows from (seed, i) alone, so
 * any worker can make any row, in any order, and a seed replays a run. For generators and tests; not for
 * secrets.
 *
 * Each row starts xoshiro128** (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", TOMS
 * 47(4), 2021) from four words that a finalizer of MurmurHash3 mixes from seed and row number. Seeking costs
 * about as much as four draws. The 128 bits of state keep the streams of 2^32 rows from overlapping.
 */

const UNIT = 2 ** -32;
const TAU = 2 * Math.PI;

/** Draws. `rng()` itself is a number in [0, 1), in steps of 2^-32. */
export interface Rng {
  (): number;
  /** A whole number 0 to 2^32 - 1. */
  u32(): number;
  /** A whole number 0 to `below` - 1, for `below` up to 2^32. */
  int(below: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** One of the values, each equally likely. */
  pick<T>(values: readonly T[]): T;
  /** A draw from the normal distribution (Box and Muller). */
  normal(mean?: number, deviation?: number): number;
  /**
   * A draw from the exponential distribution: the time between events that come once per `mean` on average.
   */
  exponential(mean?: number): number;
}

/** An Rng that moves from row to row. */
export interface SeekableRng extends Rng {
  /** The next draws are those of this row. `row` is a whole number of at most 2^53. */
  seek(row: number): void;
}

/**
 * @param seed any number; its 64 bits count
 * @example
 *   const rng = seededRng(42);
 *   rng.seek(7);
 *   rng(); // the first number of row 7, always the same
 */
export function seededRng(seed: number): SeekableRng {
  // In typed arrays, not in variables: a captured variable that holds a large integer is boxed on each store.
  const s = new Int32Array(4);
  const bits = new Int32Array(new Float64Array([seed]).buffer);
  const seedLow = mix((bits[0] as number) ^ 0x9e37_79b9);
  const seedHigh = mix((bits[1] as number) + seedLow);

  function next(): number {
    const s1 = s[1] as number;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    s[2] = (s[2] as number) ^ (s[0] as number);
    s[3] = (s[3] as number) ^ s1;
    s[1] = s1 ^ (s[2] as number);
    s[0] = (s[0] as number) ^ (s[3] as number);
    s[2] = (s[2] as number) ^ (s1 << 9);
    const s3 = s[3] as number;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  const draws = {
    u32: next,
    // Lemire's multiplication without the rejection step: a bias of at most below / 2^32.
    int: (below: number): number => Math.floor(next() * UNIT * below),
    chance: (probability: number): boolean => next() * UNIT < probability,
    pick: <T>(values: readonly T[]): T => values[Math.floor(next() * UNIT * values.length)] as T,
    normal: (mean = 0, deviation = 1): number => mean + deviation * Math.sqrt(-2 * Math.log((next() + 1) * UNIT)) * Math.cos(TAU * next() * UNIT),
    exponential: (mean = 1): number => -mean * Math.log((next() + 1) * UNIT),
    seek(row: number): void {
      const low = mix((row | 0) ^ seedLow);
      const high = mix(Math.floor(row / 4_294_967_296) + seedHigh + low);
      s[0] = low;
      s[1] = high;
      s[2] = mix(low + 0x9e37_79b9);
      s[3] = mix(high + 0x3c6e_f372) | 1; // never all zero
    },
  };
  draws.seek(0);
  return Object.assign(() => next() * UNIT, draws);
}

/** Finalizer of MurmurHash3: each bit of the word depends on all of them. */
function mix(word: number): number {
  let h = word ^ (word >>> 16);
  h = Math.imul(h, 0x85eb_ca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
