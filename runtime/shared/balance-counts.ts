/**
 * The numbers that a worker counts in an epoch for the balance (balance.ts), as they lie in the control
 * block: of each source, then of each exchange.
 */

/** What a worker counts of a source in an epoch. */
export const OF_SOURCE = { chunks: 0, bytes: 1, decoded: 2, refused: 3, corrupt: 4, count: 5 } as const;
/**
 * What it counts of an exchange: rows put in, and late ones; rows of the blocks found; pieces of its own
 * blocks; pieces merged; and, over all epochs, rows in open windows, and those of closed
 * ones. `bytes` of the blocks are not compared: they bound the epochs that follow.
 */
export const OF_EXCHANGE = { put: 0, late: 1, found: 2, pieces: 3, merged: 4, held: 5, released: 6, bytes: 7, count: 8 } as const;

/** Numbers that a worker counts in an epoch. */
export function balanceCounts(sources: number, exchanges: number): number {
  return sources * OF_SOURCE.count + exchanges * OF_EXCHANGE.count;
}
