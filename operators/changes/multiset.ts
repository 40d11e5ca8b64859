/** Values that were added and not yet taken out, in their order: plain values, for state. */

import { placeIn } from './order.ts';

/** Equal items stand once, with how often they are there. */
export interface Multiset<T> {
  items: T[];
  counts: number[];
  size: number;
}

export type Compare<T> = (a: T, b: T) => number;

export function multiset<T>(): Multiset<T> {
  return { items: [], counts: [], size: 0 };
}

/** @param sign 1 adds the item, -1 takes it out. False: it was not there. */
export function putInto<T>(set: Multiset<T>, item: T, sign: 1 | -1, compare: Compare<T>): boolean {
  const { items, counts } = set;
  const at = placeIn(items, item, compare);
  const isThere = at < items.length && compare(items[at] as T, item) === 0;
  if (!isThere) {
    if (sign < 0) return false;
    items.splice(at, 0, item);
    counts.splice(at, 0, 1);
  } else if ((counts[at] as number) + sign === 0) {
    items.splice(at, 1);
    counts.splice(at, 1);
  } else counts[at] = (counts[at] as number) + sign;
  set.size += sign;
  return true;
}

/** The item of this rank, from 0; undefined: there are not so many. */
export function itemAt<T>({ items, counts }: Multiset<T>, rank: number): T | undefined {
  let rest = rank;
  for (let at = 0; at < items.length; at++) {
    rest -= counts[at] as number;
    if (rest < 0) return items[at];
  }
  return undefined;
}

/** The first items, each as often as it is there. */
export function firstItems<T>({ items, counts }: Multiset<T>, most: number): T[] {
  const first: T[] = [];
  for (let at = 0; at < items.length && first.length < most; at++) {
    for (let n = counts[at] as number; n > 0 && first.length < most; n--) first.push(items[at] as T);
  }
  return first;
}
