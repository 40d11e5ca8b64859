// Decimal to double, exactly: Eisel-Lemire over the table of powers of five that io/json/program.ts lays out.
// Lemire, "Number Parsing at a Gigabyte per Second", Software: Practice and Experience 51(8), 2021.

const EXACT_MANTISSA: u64 = 1 << 53;
const FIVE_MIN: i32 = -342;
const FIVE_MAX: i32 = 308;
const FIVES: usize = 192;

/** The double nearest to mantissa * 10^exponent (ties to even). `mantissa` is exact. */
export function decimalToDouble(mantissa: u64, exponent: i32, powers: usize): f64 {
  if (mantissa <= EXACT_MANTISSA) {
    if (exponent == 0) return <f64><i64>mantissa;
    // Both are exact doubles, so the one operation rounds correctly (Clinger 1990).
    if (exponent < 0 && exponent >= -22) return <f64><i64>mantissa / load<f64>(powers + (<usize>-exponent << 3));
    if (exponent > 0 && exponent <= 22) return <f64><i64>mantissa * load<f64>(powers + (<usize>exponent << 3));
  }
  return eiselLemire(mantissa, exponent, powers);
}

function eiselLemire(mantissa: u64, exponent: i32, powers: usize): f64 {
  if (mantissa == 0 || exponent < FIVE_MIN) return 0;
  if (exponent > FIVE_MAX) return Infinity;
  const zeros = clz(mantissa);
  const w = mantissa << zeros;
  const five = powers + FIVES + (<usize>(exponent - FIVE_MIN) << 4);
  const fiveHigh = load<u64>(five);
  let low = w * fiveHigh;
  let high = multiplyHigh(w, fiveHigh);
  if ((high & 0x1ff) == 0x1ff) {
    // The low half of the power may carry into the bits that count.
    const more = multiplyHigh(w, load<u64>(five + 8));
    low += more;
    if (more > low) high++;
  }
  const upper = <i32>(high >> 63);
  const shift: u64 = <u64>(upper + 64 - 52 - 3);
  let bits = high >> shift;
  let power = (((152170 + 65536) * exponent) >> 16) + 63 + upper - <i32>zeros + 1023;
  if (power <= 0) {
    // Subnormal.
    if (-power + 1 >= 64) return 0;
    bits >>= <u64>(-power + 1);
    bits = (bits + (bits & 1)) >> 1;
    return reinterpret<f64>(bits);
  }
  // Halfway between two doubles: to the even one.
  if (low <= 1 && exponent >= -4 && exponent <= 23 && (bits & 3) == 1 && bits << shift == high) bits &= ~(<u64>1);
  bits = (bits + (bits & 1)) >> 1;
  if (bits >= (<u64>2 << 52)) {
    bits = <u64>1 << 52;
    power++;
  }
  if (power >= 0x7ff) return Infinity;
  return reinterpret<f64>((bits & ~(<u64>1 << 52)) | (<u64>power << 52));
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
