/**
 * The order of values in tables, as that of min and max: numbers with NaN last, texts by their UTF-8 bytes. That of
 * lists means nothing, but is the same everywhere.
 */

import { comparable } from '../../core/index.ts';

/** Less than 0: `a` comes before `b`. Null comes before everything. */
export function compareValues(a: unknown, b: unknown): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  if (typeof a === 'string') return compareTexts(a, b as string);
  if (Array.isArray(a)) return compareTexts(comparable(a) as string, comparable(b) as string);
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array);
  if (typeof a === 'number') {
    if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1;
    if (Number.isNaN(b)) return -1;
  }
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}

export function compareAll(a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < a.length; i++) {
    const order = compareValues(a[i], b[i]);
    if (order !== 0) return order;
  }
  return 0;
}

/** By code points, which is the order of the bytes. */
function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    // Surrogates stand for code points beyond all others.
    const [isBeyond, isOther] = [x >= 0xd800 && x <= 0xdfff, y >= 0xd800 && y <= 0xdfff];
    return isBeyond === isOther ? x - y : isBeyond ? 1 : -1;
  }
  return a.length - b.length;
}

/** Where `item` is, or belongs, in a sorted list: behind those before it, in front of its equals. */
export function placeIn<T>(list: readonly T[], item: T, compare: (a: T, b: T) => number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(list[middle] as T, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
