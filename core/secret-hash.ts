/**
 * Hashes under a secret, for hash tables whose keys or values may be chosen by somebody else. The hash of
 * keys (hash.ts) is public, so whoever chooses keys can give them all one place. A table starts with it,
 * because it is fast and the same everywhere. Once a search passes more places than chance explains, the
 * table places its entries again by one of these.
 *
 * A secret may decide where things lie, never in what order they come out: the order has to be the same in
 * every process.
 */

import { mix32 } from './hash.ts';

const { crypto } = globalThis as unknown as { readonly crypto: { getRandomValues(words: Uint32Array): Uint32Array } };

/** A number of 32 bits, not 0, that only this process knows. */
export function newSecret(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) || 1;
}

/**
 * Each word is mixed before the next is added: collisions cannot be constructed without knowing the secret.
 */
export function secretHashLong(low: number, high: number, secret: number): number {
  return mix32(mix32(mix32(secret ^ low) ^ high) + secret);
}

/** The hash of `length` bytes at `start`. */
export function secretHashBytes(u8: Uint8Array, start: number, length: number, secret: number): number {
  let hash = mix32(secret ^ length);
  const end = start + length;
  for (let at = start; at < end; at += 4) {
    let word = u8[at] as number;
    if (at + 1 < end) word |= (u8[at + 1] as number) << 8;
    if (at + 2 < end) word |= (u8[at + 2] as number) << 16;
    if (at + 3 < end) word |= (u8[at + 3] as number) << 24;
    hash = mix32(hash ^ word);
  }
  return mix32(hash + secret);
}
