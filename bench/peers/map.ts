/**
 * JavaScript as one would carefully write it: a Map from the key to an index, and one typed array per
 * aggregate. i64 keys are BigInts. Strings are made from their bytes row by row, as a program that reads
 * messages must do.
 */

import { GroupDigest, highOf, type KeyKind, pairOf, readRows, textOf, weightOfLong, weightOfText, weightOfWord, wordOf } from '../cases/group-by-input.ts';
import type { Contest, Entry, Input } from '../harness.ts';

type Key = number | bigint | string;

export function mapGroupBy(kind: KeyKind): Entry {
  return { start: (input) => contestOf(kind, input) };
}

function contestOf(kind: KeyKind, input: Input): Contest {
  const { ids, values } = readRows(input);
  const rowCount = ids.length;
  const keyAt = keysOf(kind, ids);
  let groups = new Map<Key, number>();
  let counts = new Float64Array();
  let sums = counts;
  let mins = counts;
  let maxs = counts;
  const grow = (): void => {
    const room = Math.max(1_024, counts.length * 2);
    const larger = (of: Float64Array, rest: number): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(room).fill(rest, of.length);
      to.set(of);
      return to;
    };
    counts = larger(counts, 0);
    sums = larger(sums, 0);
    mins = larger(mins, Number.POSITIVE_INFINITY);
    maxs = larger(maxs, Number.NEGATIVE_INFINITY);
  };
  const update = (from: number, to: number): void => {
    for (let row = from; row < to; row++) {
      const key = keyAt(row);
      let group = groups.get(key);
      if (group === undefined) {
        group = groups.size;
        groups.set(key, group);
        if (group === counts.length) grow();
      }
      const value = values[row] as number;
      counts[group] = (counts[group] as number) + 1;
      sums[group] = (sums[group] as number) + value;
      if (value < (mins[group] as number)) mins[group] = value;
      if (value > (maxs[group] as number)) maxs[group] = value;
    }
  };
  const read = (): number => {
    let total = 0;
    for (const group of groups.values()) total += (counts[group] as number) + (sums[group] as number) + (mins[group] as number) + (maxs[group] as number);
    return total;
  };
  return {
    units: rowCount,
    before() {
      groups = new Map();
      counts = sums = mins = maxs = new Float64Array();
    },
    run() {
      for (let from = 0; from < rowCount; from += 8_192) update(from, Math.min(rowCount, from + 8_192));
      if (Number.isNaN(read())) throw new Error('bench: a value is no number');
    },
    digest() {
      const digest = new GroupDigest();
      for (const [key, group] of groups)
        digest.add(weightOf(key), counts[group] as number, sums[group] as number, mins[group] as number, maxs[group] as number);
      return digest.digest();
    },
  };
}

/** How a row's key is read from the columns that the other engines have too. */
function keysOf(kind: KeyKind, ids: Uint32Array): (row: number) => Key {
  if (kind === 'u32') {
    const words = ids.map(wordOf);
    return (row) => words[row] as number;
  }
  if (kind === 'i64') {
    const longs = new BigInt64Array(ids.length);
    const halves = new Uint32Array(longs.buffer);
    ids.forEach((id, row) => {
      halves[row * 2] = wordOf(id);
      halves[row * 2 + 1] = highOf(id);
    });
    return (row) => longs[row] as bigint;
  }
  const text = (id: number): string => (kind === 'utf8' ? textOf(id) : pairOf(id).text);
  const offsets = new Uint32Array(ids.length + 1);
  ids.forEach((id, row) => {
    offsets[row + 1] = (offsets[row] as number) + text(id).length;
  });
  const bytes = Buffer.alloc(offsets[ids.length] as number);
  ids.forEach((id, row) => bytes.write(text(id), offsets[row] as number, 'latin1'));
  if (kind === 'utf8') return (row) => bytes.toString('latin1', offsets[row] as number, offsets[row + 1] as number);
  const numbers = Int32Array.from(ids, (id) => pairOf(id).number);
  return (row) => `${bytes.toString('latin1', offsets[row] as number, offsets[row + 1] as number)} ${numbers[row]}`;
}

function weightOf(key: Key): number {
  if (typeof key === 'number') return weightOfWord(key);
  if (typeof key === 'bigint') return weightOfLong(Number(key >> 32n), Number(key & 0xffff_ffffn));
  const space = key.indexOf(' ');
  const textLength = space < 0 ? key.length : space;
  return weightOfText(textLength, key.charCodeAt(1)) + (space < 0 ? 0 : Number(key.slice(space + 1)));
}
