// A double as JavaScript prints it: the fewest digits that give it back, the nearest of those to it.
// Giulietti, "The Schubfach way to render doubles", 2020; the arithmetic follows the reference code of A. Bolz (Drachennest).

const HIDDEN: u64 = 1 << 52;
const POWER_MIN: i32 = -292;

/**
 * Writes a positive, finite double at `at`; the address behind it (at most 25 bytes further).
 *
 * @param powers table of 10^-292 to 10^324, 128 bits each, high half first, rounded up (powersOfTen in io/json/encode.ts)
 */
export function writeShortest(at: usize, value: f64, powers: usize): usize {
  const bits = reinterpret<u64>(value);
  const fraction = bits & (HIDDEN - 1);
  const biased = <i32>(bits >> 52);
  const c = biased != 0 ? fraction | HIDDEN : fraction;
  const q = biased != 0 ? biased - 1075 : -1074;
  // A bound of the interval belongs to it when the significand is even: then the reader rounds to this double.
  const open: u64 = c & 1;
  const isCloser = fraction == 0 && biased > 1;
  const k = (q * 1_262_611 - (isCloser ? 524_031 : 0)) >> 22;
  const h: u64 = <u64>(q + ((-k * 1_741_647) >> 19) + 1);
  const power = powers + (<usize>(-k - POWER_MIN) << 4);
  const high = load<u64>(power);
  const low = load<u64>(power + 8);
  const lower = roundToOdd(high, low, (4 * c - 2 + (isCloser ? 1 : 0)) << h) + open;
  const middle = roundToOdd(high, low, (4 * c) << h);
  const upper = roundToOdd(high, low, (4 * c + 2) << h) - open;
  const s = middle / 4;
  if (s >= 10) {
    const tens = s / 10;
    const isBelow = lower <= 40 * tens;
    const isAbove = 40 * tens + 40 <= upper;
    if (isBelow != isAbove) return writeParts(at, tens + (isAbove ? 1 : 0), k + 1);
  }
  const isBelow = lower <= 4 * s;
  const isAbove = 4 * s + 4 <= upper;
  if (isBelow != isAbove) return writeParts(at, s + (isAbove ? 1 : 0), k);
  const half = 4 * s + 2;
  return writeParts(at, s + (middle > half || (middle == half && (s & 1) != 0) ? 1 : 0), k);
}

/** The top 64 bits of the product, the lowest set when anything below is lost. */
// @ts-ignore: decorator
@inline
function roundToOdd(high: u64, low: u64, factor: u64): u64 {
  const carry = multiplyHigh(low, factor);
  const y = high * factor + carry;
  const top = multiplyHigh(high, factor) + (y < carry ? 1 : 0);
  return top | (y > 1 ? 1 : 0);
}

/** digits * 10^exponent in the form of Number.prototype.toString (ECMA-262, Number::toString). */
function writeParts(at: usize, digits: u64, exponent: i32): usize {
  let value = digits;
  let power = exponent;
  for (let tenth = value / 10; tenth * 10 == value; tenth = value / 10) {
    value = tenth;
    power++;
  }
  const count = digitCount(value);
  const point = count + power;
  if (power >= 0 && point <= 21) {
    storeDigits(at, value, count);
    for (let i = count; i < point; i++) store<u8>(at + <usize>i, 0x30);
    return at + <usize>point;
  }
  if (point > 0 && point <= 21) {
    // Digits one place further right, then those in front of the point back.
    storeDigits(at + 1, value, count);
    for (let i = 0; i < point; i++) store<u8>(at + <usize>i, load<u8>(at + <usize>i + 1));
    store<u8>(at + <usize>point, 0x2e);
    return at + <usize>count + 1;
  }
  if (point > -6 && point <= 0) {
    store<u16>(at, 0x2e30);
    for (let i = 0; i < -point; i++) store<u8>(at + 2 + <usize>i, 0x30);
    storeDigits(at + 2 + <usize>-point, value, count);
    return at + 2 + <usize>(count - point);
  }
  storeDigits(at + 1, value, count);
  store<u8>(at, load<u8>(at + 1));
  let p = at + 1;
  if (count > 1) {
    store<u8>(p, 0x2e);
    p += <usize>count;
  }
  store<u8>(p++, 0x65);
  let shown = point - 1;
  store<u8>(p++, shown < 0 ? 0x2d : 0x2b);
  if (shown < 0) shown = -shown;
  const width = digitCount(<u64>shown);
  storeDigits(p, <u64>shown, width);
  return p + <usize>width;
}

/** Decimal digits of an unsigned number; the address behind them. */
// @ts-ignore: decorator
@inline
export function writeDigits(at: usize, value: u64): usize {
  const count = digitCount(value);
  storeDigits(at, value, count);
  return at + <usize>count;
}

function digitCount(value: u64): i32 {
  let count = 1;
  let limit: u64 = 10;
  while (count < 19 && value >= limit) {
    count++;
    limit *= 10;
  }
  return count == 19 && value >= 10_000_000_000_000_000_000 ? 20 : count;
}

function storeDigits(at: usize, value: u64, count: i32): void {
  let p = at + <usize>count;
  let rest = value;
  while (rest > 0xffff_ffff) {
    const next = rest / 100;
    p -= 2;
    storePair(p, <u32>(rest - next * 100));
    rest = next;
  }
  let small = <u32>rest;
  while (p >= at + 2) {
    const next = small / 100;
    p -= 2;
    storePair(p, small - next * 100);
    small = next;
  }
  if (p > at) store<u8>(at, 0x30 + <u8>small);
}

/** Two digits. */
// @ts-ignore: decorator
@inline
function storePair(at: usize, pair: u32): void {
  const tens = (pair * 103) >> 10;
  store<u16>(at, <u16>(0x3030 + tens + ((pair - tens * 10) << 8)));
}

// @ts-ignore: decorator
@inline
function multiplyHigh(a: u64, b: u64): u64 {
  const aLow = a & 0xffff_ffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffff_ffff;
  const bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffff_ffff);
  return aHigh * bHigh + (middle >> 32) + (other >> 32);
}
