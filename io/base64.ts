/**
 * Base64 between text and bytes in shared memory (RFC 4648), for binary columns in text formats.
 *
 * Reading takes the standard and the URL-safe alphabet, with or without padding. Anything else is refused,
 * including white space and trailing bits that are not zero. Writing uses the standard alphabet, padded.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const PAD = 0x3d;
const encoded = new Uint8Array(64);
const decoded = new Int8Array(256).fill(-1);
for (let i = 0; i < 64; i++) {
  encoded[i] = ALPHABET.charCodeAt(i);
  decoded[ALPHABET.charCodeAt(i)] = i;
}
decoded['-'.charCodeAt(0)] = 62;
decoded['_'.charCodeAt(0)] = 63;

/**
 * Decodes `from` to `to` into `target`, which may equal `from`: writing never overtakes reading. Returns the
 * number of bytes, or -1 for invalid base64.
 */
export function decodeBase64(u8: Uint8Array, from: number, to: number, target: number): number {
  let end = to;
  if ((to - from) % 4 === 0 && end > from && u8[end - 1] === PAD) end -= u8[end - 2] === PAD ? 2 : 1;
  if ((end - from) % 4 === 1) return -1;
  let bits = 0;
  let bitCount = 0;
  let at = target;
  for (let i = from; i < end; i++) {
    const six = decoded[u8[i] as number] as number;
    if (six < 0) return -1;
    bits = (bits << 6) | six;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      u8[at++] = bits >>> bitCount;
      bits &= (1 << bitCount) - 1;
    }
  }
  return bits === 0 ? at - target : -1;
}

/** Number of bytes that {@link encodeBase64} writes. */
export function base64Bytes(byteLength: number): number {
  return Math.ceil(byteLength / 3) * 4;
}

/** Encodes `from` to `to` at `target`; returns the address after it. */
export function encodeBase64(u8: Uint8Array, from: number, to: number, target: number): number {
  let at = target;
  for (let i = from; i < to; i += 3) {
    const left = to - i;
    const bits = ((u8[i] as number) << 16) | ((left > 1 ? (u8[i + 1] as number) : 0) << 8) | (left > 2 ? (u8[i + 2] as number) : 0);
    u8[at] = encoded[bits >>> 18] as number;
    u8[at + 1] = encoded[(bits >>> 12) & 63] as number;
    u8[at + 2] = left > 1 ? (encoded[(bits >>> 6) & 63] as number) : PAD;
    u8[at + 3] = left > 2 ? (encoded[bits & 63] as number) : PAD;
    at += 4;
  }
  return at;
}
