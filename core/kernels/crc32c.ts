// CRC32C (Castagnoli), slicing by 16: one table look-up a byte, sixteen of them independent of each other.
// The sixteen tables (16 KiB) lie at an address that the caller gives; core/memory/crc32c.ts has the reference and the picture.

const POLYNOMIAL: u32 = 0x82f63b78; // reflected 0x1edc6f41

/** Fills the tables. Every thread writes the same values, so that it may be called again while others read. */
export function crc32cTables(tables: usize): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (POLYNOMIAL & (0 - (crc & 1)));
    store<u32>(tables + (<usize>i << 2), crc);
  }
  for (let slice: usize = 1; slice < 16; slice++) {
    for (let i: usize = 0; i < 256; i++) {
      const before = load<u32>(tables + ((slice - 1) << 10) + (i << 2));
      store<u32>(tables + (slice << 10) + (i << 2), (before >> 8) ^ load<u32>(tables + (<usize>(before & 255) << 2)));
    }
  }
}

// @ts-ignore: decorator
@inline
function look(tables: usize, slice: usize, word: u64, shift: u64): u32 {
  return load<u32>(tables + (slice << 10) + (<usize>((word >> shift) & 255) << 2));
}

/** CRC32C of `bytes` bytes at `address`, going on from `seed` (0 at the start). */
export function crc32c(tables: usize, address: usize, bytes: usize, seed: u32): u32 {
  let crc = ~seed;
  const end = address + bytes;
  let at = address;
  while (at + 16 <= end) {
    const low = load<u64>(at);
    const first = low ^ <u64>crc;
    const high = load<u64>(at, 8);
    // What does not wait for the previous round comes first; its sum is ready when the four that wait are.
    const rest =
      (look(tables, 11, low, 32) ^ look(tables, 10, low, 40)) ^ (look(tables, 9, low, 48) ^ look(tables, 8, low, 56)) ^
      ((look(tables, 7, high, 0) ^ look(tables, 6, high, 8)) ^ (look(tables, 5, high, 16) ^ look(tables, 4, high, 24))) ^
      ((look(tables, 3, high, 32) ^ look(tables, 2, high, 40)) ^ (look(tables, 1, high, 48) ^ look(tables, 0, high, 56)));
    crc = ((look(tables, 15, first, 0) ^ look(tables, 14, first, 8)) ^ (look(tables, 13, first, 16) ^ look(tables, 12, first, 24))) ^ rest;
    at += 16;
  }
  while (at < end) {
    crc = (crc >> 8) ^ load<u32>(tables + (<usize>((crc ^ load<u8>(at)) & 255) << 2));
    at++;
  }
  return ~crc;
}
