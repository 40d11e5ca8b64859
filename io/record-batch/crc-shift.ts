/**
 * How a CRC32C changes when bytes in front of many others change. A CRC is linear: for texts of one length,
 * crc(a) ^ crc(b) depends on a ^ b alone. Bytes behind the change multiply it by x^8 each, modulo the CRC's
 * polynomial. So the cost is that of a few multiplications, whatever the length.
 *
 *   crc(new head, tail) = crc(old head, tail) ^ crcShifted(crc(old head) ^ crc(new head), tail length)
 *
 * Method: zlib's crc32_combine (Mark Adler), with Castagnoli's polynomial.
 */

const POLYNOMIAL = 0x82f63b78;
/** The highest bit: x^0 in the reflected order of bits. */
const ONE = 0x8000_0000;
/** x^(8 * 2^k) for k from 0 to 31. */
const POWERS = makePowers();

/** @param difference crc(old) ^ crc(new) of the changed bytes, with `bytes` unchanged bytes behind them */
export function crcShifted(difference: number, bytes: number): number {
  let product = difference | 0;
  for (let k = 0, rest = bytes; rest > 0; k++, rest >>>= 1) {
    if ((rest & 1) === 1) product = multiplied(POWERS[k] as number, product);
  }
  return product;
}

/** a * b modulo the polynomial, reflected. */
function multiplied(a: number, b: number): number {
  let product = 0;
  let term = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= term;
    term = (term & 1) === 1 ? (term >>> 1) ^ POLYNOMIAL : term >>> 1;
  }
  return product;
}

function makePowers(): Int32Array {
  const powers = new Int32Array(32);
  // x^8: bit 8 from the top.
  powers[0] = ONE >>> 8;
  for (let k = 1; k < powers.length; k++) powers[k] = multiplied(powers[k - 1] as number, powers[k - 1] as number);
  return powers;
}
