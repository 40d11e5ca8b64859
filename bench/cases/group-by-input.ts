/**
 * The frozen input of the group-by cases: ids and values in two files, from which every engine makes its own
 * columns. Also the key for each id and key kind, and the reference: arrays indexed by id.
 *
 * Keys are spread over their type's range (a bijection of the id), so that no engine can index by them.
 * Values are eighths below 1,000. So all sums are exact in an f64, in any order, and a digest must match to
 * the bit.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRng } from '../../core/index.ts';
import type { Digest, Input } from '../harness.ts';

export type KeyKind = 'u32' | 'i64' | 'utf8' | 'utf8+i32';

/** What a group-by case asks: SUM, COUNT, MIN and MAX of the values by key. */
export interface GroupByQuestion {
  readonly kind: KeyKind;
  readonly keyCount: number;
  /** The table starts small and grows. */
  readonly isGrowing: boolean;
}

const VALUE_STEPS = 8_000;
const WEIGHT = 997;
/** Ids per text, in the two-column key. */
export const TEXTS_OF_PAIR = 10_000;

export interface Rows {
  readonly ids: Uint32Array;
  readonly values: Float64Array;
}

export function writeRows({ dir, size }: Input, keyCount: number): void {
  const rng = seededRng(20);
  const ids = new Uint32Array(size);
  const values = new Float64Array(size);
  for (let row = 0; row < size; row++) {
    ids[row] = rng.int(keyCount);
    values[row] = rng.int(VALUE_STEPS) / 8;
  }
  writeFileSync(join(dir, 'ids.u32'), ids);
  writeFileSync(join(dir, 'values.f64'), values);
}

export function readRows({ dir }: Input): Rows {
  // A separate Buffer begins at a multiple of 8.
  const ids = readFileSync(join(dir, 'ids.u32'));
  const values = readFileSync(join(dir, 'values.f64'));
  return { ids: new Uint32Array(ids.buffer, ids.byteOffset, ids.length / 4), values: new Float64Array(values.buffer, values.byteOffset, values.length / 8) };
}

/** u32 key, and the low half of the i64 key. */
export const wordOf = (id: number): number => scattered(id);
/** The high half of the i64 key: 31 bits. */
export const highOf = (id: number): number => scattered(id ^ 0x5bd1_e995) >>> 1;
/** 2 to 26 bytes, 16 on average for a million ids; one in ten is longer than 24. */
export const textOf = (id: number): string => `u${id}${'x'.repeat(id % 20)}`;
export const pairOf = (id: number): { text: string; number: number } => ({ text: textOf(id % TEXTS_OF_PAIR), number: Math.floor(id / TEXTS_OF_PAIR) });

/** What a key weighs in the digest, from the key as an engine returns it. */
export const weightOfWord = (key: number): number => key % WEIGHT;
export const weightOfLong = (high: number, low: number): number => ((high % WEIGHT) * (4_294_967_296 % WEIGHT) + (low % WEIGHT)) % WEIGHT;
export const weightOfText = (byteLength: number, secondByte: number): number => byteLength * 16 + secondByte - 48;

/** A bijection of the 32-bit words: the finalizer of MurmurHash3. */
function scattered(id: number): number {
  let h = Math.imul(id ^ (id >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function weightOfId(kind: KeyKind, id: number): number {
  if (kind === 'u32') return weightOfWord(wordOf(id));
  if (kind === 'i64') return weightOfLong(highOf(id), wordOf(id));
  if (kind === 'utf8') return textWeight(textOf(id));
  const { text, number } = pairOf(id);
  return textWeight(text) + number;
}
const textWeight = (text: string): number => weightOfText(text.length, text.charCodeAt(1));

/**
 * The digest of all groups: their number, and the sums of their counts, sums, minima and maxima, plain and
 * weighted by key. The weights reveal right values under wrong keys.
 */
export class GroupDigest {
  readonly numbers = new Float64Array(9);

  add(weight: number, count: number, sum: number, min: number, max: number): void {
    const n = this.numbers;
    n[0] = (n[0] as number) + 1;
    n[1] = (n[1] as number) + count;
    n[2] = (n[2] as number) + sum;
    n[3] = (n[3] as number) + min;
    n[4] = (n[4] as number) + max;
    n[5] = (n[5] as number) + weight * count;
    n[6] = (n[6] as number) + weight * sum;
    n[7] = (n[7] as number) + weight * min;
    n[8] = (n[8] as number) + weight * max;
  }

  digest(): Digest {
    return [...this.numbers];
  }
}

/** The right answer, by arrays indexed by id. */
export function groupByReference(input: Input, { kind, keyCount }: GroupByQuestion): Digest {
  const { ids, values } = readRows(input);
  const counts = new Float64Array(keyCount);
  const sums = new Float64Array(keyCount);
  const mins = new Float64Array(keyCount).fill(Number.POSITIVE_INFINITY);
  const maxs = new Float64Array(keyCount).fill(Number.NEGATIVE_INFINITY);
  for (let row = 0; row < ids.length; row++) {
    const id = ids[row] as number;
    const value = values[row] as number;
    counts[id] = (counts[id] as number) + 1;
    sums[id] = (sums[id] as number) + value;
    mins[id] = Math.min(mins[id] as number, value);
    maxs[id] = Math.max(maxs[id] as number, value);
  }
  const digest = new GroupDigest();
  for (let id = 0; id < keyCount; id++) {
    if (counts[id] !== 0) digest.add(weightOfId(kind, id), counts[id] as number, sums[id] as number, mins[id] as number, maxs[id] as number);
  }
  return digest.digest();
}
