/**
 * LZ4 frames, compressed: greedy matching with one hash table, as LZ4's own fast mode does it (Yann Collet,
 * lz4_Block_format.md and lz4_Frame_format.md). Blocks of 64 KiB, each by itself, no checksums beside that of
 * the header: what Kafka's Java client writes. It is TypeScript only: the package that there is (lz4js) keeps
 * its tables in plain arrays and is slower.
 */

const BLOCK_BYTES = 1 << 16;
/** Magic; version 1, independent blocks; blocks of 64 KiB; the checksum of these two bytes. */
const HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82);
const STORED = 0x8000_0000;
const HASH_BITS = 14;
const MATCH_BYTES_MIN = 4;
/** The last bytes of a block are literals, and no match begins close before them. */
const LITERALS_LAST = 5;
const MATCH_START_LAST = 12;
/** Steps become longer after this many bytes without a match, times 2^6. */
const SKIP_SHIFT = 6;

const table = new Int32Array(1 << HASH_BITS);

/** Bytes that `lz4Frame` writes at most for so many. */
export function lz4FrameBytesMax(bytes: number): number {
  const blocks = Math.ceil(bytes / BLOCK_BYTES);
  return HEADER.length + blocks * 4 + bytes + 4 + blockBytesMax(BLOCK_BYTES);
}

/** Writes the bytes from `from` to `to` as one frame to the start of `out`. Returns its length. */
export function lz4Frame(source: Uint8Array, from: number, to: number, out: Uint8Array): number {
  out.set(HEADER);
  let at = HEADER.length;
  for (let start = from; start < to; start += BLOCK_BYTES) {
    const end = Math.min(to, start + BLOCK_BYTES);
    const length = lz4Block(source, start, end, out, at + 4);
    if (length < end - start) {
      writeU32(out, at, length);
      at += 4 + length;
    } else {
      writeU32(out, at, STORED + (end - start));
      out.set(source.subarray(start, end), at + 4);
      at += 4 + end - start;
    }
  }
  writeU32(out, at, 0);
  return at + 4;
}

function blockBytesMax(bytes: number): number {
  return bytes + Math.ceil(bytes / 255) + 16;
}

/** One block: sequences of literals and a match, the last without a match. Returns its length. */
function lz4Block(source: Uint8Array, from: number, to: number, out: Uint8Array, start: number): number {
  table.fill(-1);
  const matchEnd = to - LITERALS_LAST;
  const last = to - MATCH_START_LAST;
  let put = start;
  let literals = from;
  let at = from;
  while (at <= last) {
    const word = read32(source, at);
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    const candidate = from + (table[slot] as number);
    table[slot] = at - from;
    // 64 KiB of a block: no distance is too large.
    if (candidate < from || read32(source, candidate) !== word) {
      at += 1 + ((at - literals) >> SKIP_SHIFT);
      continue;
    }
    let length = MATCH_BYTES_MIN;
    while (at + length < matchEnd && source[candidate + length] === source[at + length]) length++;
    put = sequence(source, literals, at, at - candidate, length, out, put);
    at += length;
    literals = at;
  }
  return sequence(source, literals, to, 0, MATCH_BYTES_MIN, out, put) - start;
}

/** Token, length of the literals, literals, distance, length of the match. A distance of 0: no match. */
function sequence(source: Uint8Array, from: number, to: number, distance: number, length: number, out: Uint8Array, start: number): number {
  const count = to - from;
  const more = length - MATCH_BYTES_MIN;
  let at = start + 1;
  out[start] = (Math.min(count, 15) << 4) | Math.min(more, 15);
  if (count >= 15) at = extension(out, at, count - 15);
  for (let i = from; i < to; i++) out[at++] = source[i] as number;
  if (distance === 0) return at;
  out[at++] = distance;
  out[at++] = distance >>> 8;
  return more >= 15 ? extension(out, at, more - 15) : at;
}

function extension(out: Uint8Array, start: number, rest: number): number {
  let at = start;
  let left = rest;
  for (; left >= 255; left -= 255) out[at++] = 255;
  out[at++] = left;
  return at;
}

function read32(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
