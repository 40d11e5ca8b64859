/**
 * Checks UTF-8 in shared memory. Overlong forms, surrogates and code points beyond U+10FFFF are not well
 * formed (Unicode 15, table 3-7).
 */

/** The first byte of `from` to `to` that is not part of well-formed UTF-8, or `to` if there is none. */
export function utf8Fault(u8: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to) {
    const lead = u8[at] as number;
    if (lead < 0x80) {
      at++;
      continue;
    }
    const more = lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 0;
    if (more === 0 || at + more >= to) return at;
    // The second byte reveals overlong forms, surrogates and code points too large; the others are plain
    // continuations.
    const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    const second = u8[at + 1] as number;
    if (second < low || second > high) return at;
    for (let i = 2; i <= more; i++) if (((u8[at + i] as number) & 0xc0) !== 0x80) return at;
    at += more + 1;
  }
  return to;
}

/** Writes a code point (no surrogate) as UTF-8; returns the address after it. */
export function writeCodePoint(u8: Uint8Array, address: number, code: number): number {
  let at = address;
  if (code < 0x80) u8[at++] = code;
  else {
    if (code < 0x800) u8[at++] = 0xc0 | (code >>> 6);
    else {
      if (code < 0x10000) u8[at++] = 0xe0 | (code >>> 12);
      else {
        u8[at++] = 0xf0 | (code >>> 18);
        u8[at++] = 0x80 | ((code >>> 12) & 0x3f);
      }
      u8[at++] = 0x80 | ((code >>> 6) & 0x3f);
    }
    u8[at++] = 0x80 | (code & 0x3f);
  }
  return at;
}
