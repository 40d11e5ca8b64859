// JSON strings, white space and values that nobody wants: where they end, and whether they are well formed.
//
// Each function takes the place and the end of the record and returns the place behind, or 0: not well formed, or not for
// the kernel. Some bytes behind the end may be read (the caller has made sure that they exist), but they decide
// nothing: a place behind the end is refused by whoever sees it last.

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;
/** Containers inside one another that a bit mask holds. */
const DEPTH_MAX: i32 = 62;

/** Behind white space. */
// @ts-ignore: decorator
@inline
export function space(at: usize, end: usize): usize {
  let p = at;
  while (p < end) {
    const byte = load<u8>(p);
    if (byte > 0x20 || (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09)) break;
    p++;
  }
  return p;
}

// Constants in memory: one load each, where V8 builds a v128 constant anew, by four instructions, at every use.
// @ts-ignore: decorator
@lazy
export const QUOTES = memory.data<u8>([0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22], 16);
// @ts-ignore: decorator
@lazy
export const BACKSLASHES = memory.data<u8>([0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c], 16);
// @ts-ignore: decorator
@lazy
const CONTROLS = memory.data<u8>([0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f], 16);
// @ts-ignore: decorator
@lazy
export const ZEROS = memory.data<u8>([0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30], 16);
// @ts-ignore: decorator
@lazy
const ABOVE_NINE = memory.data<u8>([0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76, 0x76], 16);
// @ts-ignore: decorator
@lazy
export const SPACES = memory.data<u8>([0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20], 16);

/** A bit for each of the 16 bytes that ends or breaks a plain run of string bytes: quote, backslash, control character. */
// @ts-ignore: decorator
@inline
export function stops(chunk: v128): i32 {
  return i8x16.bitmask(
    v128.or(v128.or(i8x16.eq(chunk, v128.load(QUOTES)), i8x16.eq(chunk, v128.load(BACKSLASHES))), i8x16.eq(i8x16.min_u(chunk, v128.load(CONTROLS)), chunk)),
  );
}

/** A bit for each of the 16 bytes that is no digit: its distance from '0', and 118 more, has the top bit. */
// @ts-ignore: decorator
@inline
export function noDigits(chunk: v128): i32 {
  return i8x16.bitmask(i8x16.add_sat_u(i8x16.sub(chunk, v128.load(ZEROS)), v128.load(ABOVE_NINE)));
}

/** The closing quote of a string without escapes whose bytes start at `from`; 0 when it is not one. */
export function plainString(from: usize, end: usize): usize {
  let p = from;
  let high: i32 = 0;
  while (p < end) {
    const chunk = v128.load(p);
    const hits = stops(chunk);
    const highs = i8x16.bitmask(chunk);
    if (hits != 0) {
      const n = ctz(hits);
      p += <usize>n;
      high |= highs & ((1 << n) - 1);
      if (load<u8>(p) != QUOTE || p >= end) return 0;
      return high != 0 && !isUtf8(from, p) ? 0 : p;
    }
    high |= highs;
    p += 16;
  }
  return 0;
}

/** Behind the closing quote of any string whose bytes start at `from`. */
export function skipString(from: usize, end: usize): usize {
  let p = from;
  let high: i32 = 0;
  while (p < end) {
    const chunk = v128.load(p);
    const hits = stops(chunk);
    const highs = i8x16.bitmask(chunk);
    if (hits == 0) {
      high |= highs;
      p += 16;
      continue;
    }
    const n = ctz(hits);
    p += <usize>n;
    high |= highs & ((1 << n) - 1);
    const byte = load<u8>(p);
    if (byte == QUOTE) {
      if (p >= end || (high != 0 && !isUtf8(from, p))) return 0;
      return p + 1;
    }
    if (byte != BACKSLASH) return 0;
    const letter = load<u8>(p + 1);
    if (letter == 0x75) {
      if (hex4(p + 2) < 0) return 0;
      p += 6;
    } else {
      if (escaped(letter) == 0) return 0;
      p += 2;
    }
  }
  return 0;
}

/**
 * Writes the text of a string, escapes resolved, to `target` (room for what is left of the record and 16 bytes more).
 * The string is one that skipString took. Returns the address behind the text.
 */
export function unescape(from: usize, to: usize, target: usize): usize {
  let p = from;
  let out = target;
  while (p < to) {
    const chunk = v128.load(p);
    v128.store(out, chunk);
    const hits = i8x16.bitmask(i8x16.eq(chunk, i8x16.splat(0x5c)));
    const n: usize = hits != 0 ? <usize>ctz(hits) : 16;
    if (p + n >= to) return out + (to - p);
    p += n;
    out += n;
    if (hits == 0) continue;
    const letter = load<u8>(p + 1);
    if (letter != 0x75) {
      store<u8>(out++, escaped(letter));
      p += 2;
      continue;
    }
    let code = hex4(p + 2);
    p += 6;
    if (code >= 0xd800 && code < 0xe000) {
      let low: i32 = 0;
      if (code < 0xdc00 && p + 6 <= to && load<u16>(p) == 0x755c) low = hex4(p + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
      } else code = 0xfffd;
    }
    out = writeCodePoint(out, code);
  }
  return out;
}

function writeCodePoint(at: usize, code: i32): usize {
  if (code < 0x80) {
    store<u8>(at, <u8>code);
    return at + 1;
  }
  if (code < 0x800) {
    store<u8>(at, <u8>(0xc0 | (code >> 6)));
    store<u8>(at + 1, <u8>(0x80 | (code & 0x3f)));
    return at + 2;
  }
  if (code < 0x10000) {
    store<u8>(at, <u8>(0xe0 | (code >> 12)));
    store<u8>(at + 1, <u8>(0x80 | ((code >> 6) & 0x3f)));
    store<u8>(at + 2, <u8>(0x80 | (code & 0x3f)));
    return at + 3;
  }
  store<u8>(at, <u8>(0xf0 | (code >> 18)));
  store<u8>(at + 1, <u8>(0x80 | ((code >> 12) & 0x3f)));
  store<u8>(at + 2, <u8>(0x80 | ((code >> 6) & 0x3f)));
  store<u8>(at + 3, <u8>(0x80 | (code & 0x3f)));
  return at + 4;
}

/** What a backslash and this letter stand for; 0 for none. */
function escaped(letter: u8): u8 {
  switch (letter) {
    case 0x22:
    case 0x5c:
    case 0x2f:
      return letter;
    case 0x62:
      return 8;
    case 0x66:
      return 12;
    case 0x6e:
      return 10;
    case 0x72:
      return 13;
    case 0x74:
      return 9;
    default:
      return 0;
  }
}

function hex4(at: usize): i32 {
  let value: i32 = 0;
  for (let i: usize = 0; i < 4; i++) {
    const byte = <i32>load<u8>(at + i);
    const lower = byte | 0x20;
    let digit: i32 = -1;
    if (byte >= 0x30 && byte <= 0x39) digit = byte - 0x30;
    else if (lower >= 0x61 && lower <= 0x66) digit = lower - 0x57;
    if (digit < 0) return -1;
    value = (value << 4) | digit;
  }
  return value;
}

/** Whether the bytes are well-formed UTF-8. As utf8Fault in io/utf8.ts. */
export function isUtf8(from: usize, to: usize): bool {
  let p = from;
  while (p < to) {
    const lead = <i32>load<u8>(p);
    if (lead < 0x80) {
      p++;
      continue;
    }
    let more: usize = 0;
    if (lead >= 0xc2 && lead < 0xe0) more = 1;
    else if (lead >= 0xe0 && lead < 0xf0) more = 2;
    else if (lead >= 0xf0 && lead < 0xf5) more = 3;
    if (more == 0 || p + more >= to) return false;
    const low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    const second = <i32>load<u8>(p + 1);
    if (second < low || second > high) return false;
    if (more > 1 && (load<u8>(p + 2) & 0xc0) != 0x80) return false;
    if (more > 2 && (load<u8>(p + 3) & 0xc0) != 0x80) return false;
    p += more + 1;
  }
  return true;
}

/** Behind a number. */
export function skipNumber(at: usize, end: usize): usize {
  let p = at;
  if (load<u8>(p) == 0x2d) p++;
  const first = load<u8>(p) - 0x30;
  if (first > 9) return 0;
  const short = ctz(noDigits(v128.load(p)) | 0x10000);
  p = first == 0 ? p + 1 : short < 16 ? p + <usize>short : digits(p, end);
  if (load<u8>(p) == 0x2e) {
    const from = p + 1;
    p = digits(from, end);
    if (p == from) return 0;
  }
  if ((load<u8>(p) | 0x20) == 0x65) {
    let from = p + 1;
    const sign = load<u8>(from);
    if (sign == 0x2d || sign == 0x2b) from++;
    p = digits(from, end);
    if (p == from) return 0;
  }
  return p;
}

// @ts-ignore: decorator
@inline
function digits(at: usize, end: usize): usize {
  let p = at;
  while (p < end && <u8>(load<u8>(p) - 0x30) <= 9) p++;
  return p;
}

/** Behind a value of any kind. */
export function skipValue(at: usize, end: usize): usize {
  let p = at;
  let depth: i32 = 0;
  let objects: u64 = 0;
  while (true) {
    p = space(p, end);
    const byte = load<u8>(p);
    if (byte == 0x7b || byte == 0x5b) {
      if (depth == DEPTH_MAX || p >= end) return 0;
      depth++;
      objects = (objects << 1) | (byte == 0x7b ? 1 : 0);
      p = space(p + 1, end);
      if (load<u8>(p) != byte + 2) {
        if (byte == 0x7b) {
          p = skipKey(p, end);
          if (p == 0) return 0;
        }
        continue;
      }
    } else {
      p = skipScalar(p, end, byte);
      if (p == 0) return 0;
    }
    while (true) {
      if (depth == 0) return p;
      p = space(p, end);
      if (p >= end) return 0;
      const next = load<u8>(p++);
      const isObject = (objects & 1) != 0;
      if (next == 0x2c) {
        if (isObject) {
          p = skipKey(space(p, end), end);
          if (p == 0) return 0;
        }
        break;
      }
      if (next != (isObject ? <u8>0x7d : <u8>0x5d)) return 0;
      objects >>= 1;
      depth--;
    }
  }
  return 0;
}

// @ts-ignore: decorator
@inline
export function skipScalar(p: usize, end: usize, first: u8): usize {
  if (first == QUOTE) return skipString(p + 1, end);
  if (first == 0x2d || <u8>(first - 0x30) <= 9) return skipNumber(p, end);
  const word = load<u32>(p);
  if (word == 0x65757274 || word == 0x6c6c756e) return p + 4; // true, null
  if (word == 0x736c6166 && load<u8>(p + 4) == 0x65) return p + 5; // false
  return 0;
}

function skipKey(at: usize, end: usize): usize {
  if (at >= end || load<u8>(at) != QUOTE) return 0;
  let p = skipString(at + 1, end);
  if (p == 0) return 0;
  p = space(p, end);
  return load<u8>(p) == 0x3a ? p + 1 : 0;
}
