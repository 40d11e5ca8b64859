/**
 * What KeyWindows knows, as values without addresses. The rows of each key are kept as they are, and the numbers
 * that depend on the way they came about (sums). The rest is made again of the rows: which row is in front, how
 * often a value is there.
 */

import type { SharedMemory } from '../../core/index.ts';
import type { KeyIndex } from '../by-key/index.ts';
import type { KeyWindows } from './key-windows.ts';
import { BEST, DISTINCT, KEPT, type Lane, NEWEST, ORDERED, type OverLayout, SQUARES, SUM, type Unit } from './over-layout.ts';
import { SQUARES_NUMBERS, SUM_NUMBERS } from './running-sums.ts';

interface KeyState {
  readonly hash: number;
  /** The record of the key, as by-key/row-image.ts has it. */
  readonly key: Uint8Array;
  readonly newest: number;
  /** By range: number of rows. */
  readonly counts: readonly number[];
  /** The numbers of the units that are not made again of the rows. */
  readonly numbers: Float64Array;
  /** The rows that are kept, without links. */
  readonly rows: Uint8Array;
}

export interface WindowsSnapshot {
  readonly keys: readonly KeyState[];
  /** Rows and values have the place of a text here. */
  readonly texts: readonly Uint8Array[];
  /** By DISTINCT unit where nothing leaves: key (its place in `keys`), two words of a value; and so on. */
  readonly values: readonly (readonly number[])[];
}

/** The numbers of a unit that are kept, and where. */
function keptNumbers(layout: OverLayout): { readonly unit: Unit; readonly count: number }[] {
  return layout.ranges.flatMap(({ units, isBounded }) =>
    units.flatMap((unit) => {
      const { kind } = unit;
      const count = kind === SUM ? SUM_NUMBERS : kind === SQUARES ? SQUARES_NUMBERS : kind === BEST ? 2 : kind === ORDERED || isBounded ? 0 : 1;
      return count === 0 ? [] : [{ unit, count }];
    }),
  );
}

/** Bytes of a row before its links. */
function plainBytes({ lanes, rowBytes }: OverLayout): number {
  const last = lanes.at(-1);
  return last === undefined ? rowBytes : last.at + 8;
}

export function snapshotOf({ u8, u32, f64 }: SharedMemory, keys: KeyIndex, keysHeld: readonly number[], windows: KeyWindows): WindowsSnapshot {
  const { layout, records, texts } = windows;
  const kept = keptNumbers(layout);
  const length = kept.reduce((sum, { count }) => sum + count, 0);
  const bytes = plainBytes(layout);
  const textLanes = layout.lanes.filter(({ kind }) => kind === 'text');
  const list: Uint8Array[] = [];
  const places = new Map<number, number>();
  const placeOf = (text: number): number => {
    const known = places.get(text);
    if (known !== undefined) return known;
    places.set(text, list.length);
    return list.push(u8.slice(texts.start(text), texts.start(text) + texts.length(text))) - 1;
  };
  const states = keysHeld.map((key): KeyState => {
    const of = records.at(key);
    const numbers = new Float64Array(length);
    let at = 0;
    for (const { unit, count } of kept) {
      const from = (of + unit.at) >>> 3;
      new Uint32Array(numbers.buffer, at * 8, count * 2).set(u32.subarray(from * 2, from * 2 + count * 2));
      if (unit.kind === BEST && unit.lane.kind === 'text' && f64[from + 1] === 1) numbers[at] = placeOf(f64[from] as number);
      at += count;
    }
    const rows = new Uint8Array((u32[(of + KEPT) >>> 2] as number) * bytes);
    const values = new Float64Array(rows.buffer);
    let row = 0;
    windows.eachRow(key, (from) => {
      rows.set(u8.subarray(from, from + bytes), row);
      for (const lane of textLanes) {
        if (!windows.values.isNull(from, lane)) values[(row + lane.at) >>> 3] = placeOf(f64[(from + lane.at) >>> 3] as number);
      }
      row += bytes;
    });
    return {
      hash: keys.hashOf(key),
      key: keys.copyOut(key),
      newest: f64[(of + NEWEST) >>> 3] as number,
      counts: layout.ranges.map((range) => f64[(of + range.at + 8) >>> 3] as number),
      numbers,
      rows,
    };
  });
  const placeOfKey = new Map(keysHeld.map((key, place) => [key, place]));
  const values = unboundedDistinct(layout).map((unit) => valuesOf(windows, unit, placeOfKey, placeOf));
  return { keys: states, texts: list, values };
}

/** The values of all keys in an order that does not depend on where they lie. */
function valuesOf({ units, texts }: KeyWindows, { table, lane }: Unit, keys: ReadonlyMap<number, number>, placeOf: (text: number) => number): number[] {
  const found: (readonly [key: number, low: number, high: number])[] = [];
  units.counts[table]?.each((key, low, high) => found.push([keys.get(key) as number, low, high]));
  const isText = lane.kind === 'text';
  found.sort((a, b) => a[0] - b[0] || (isText ? texts.compare(numberOf(a[1], a[2]), numberOf(b[1], b[2])) : a[2] - b[2] || a[1] - b[1]));
  return found.flatMap(([key, low, high]) => [key, ...(isText ? wordsOf(placeOf(numberOf(low, high))) : [low, high])]);
}

/** @param open makes the record of a key, and gives its number */
export function restoreInto({ u8, u32, f64 }: SharedMemory, keys: KeyIndex, windows: KeyWindows, from: WindowsSnapshot, open: (key: number) => void): void {
  const { layout, records, texts, units } = windows;
  const kept = keptNumbers(layout);
  const bytes = plainBytes(layout);
  const textLanes = layout.lanes.filter(({ kind }) => kind === 'text');
  const numbers = from.texts.map((bytes) => texts.internBytes(bytes));
  const here = (text: number): number => numbers[text] as number;
  const opened = from.keys.map((state): number => {
    const key = keys.internRecord(state.key, state.hash);
    open(key);
    const of = records.at(key);
    f64[(of + NEWEST) >>> 3] = state.newest;
    for (let at = 0; at < state.rows.length; at += bytes) {
      windows.restoreRow(key, (row) => {
        u8.set(state.rows.subarray(at, at + bytes), row);
        for (const lane of textLanes) restoreText(row, lane);
      });
    }
    layout.ranges.forEach((range, r) => {
      if (range.isBounded) windows.restoreRange(key, range, state.counts[r] as number);
      else f64[(of + range.at + 8) >>> 3] = state.counts[r] as number;
    });
    let at = 0;
    for (const { unit, count } of kept) {
      const to = (of + unit.at) >>> 3;
      const words = new Uint32Array(state.numbers.buffer, state.numbers.byteOffset + at * 8, count * 2);
      u32.set(words, to * 2);
      if (unit.kind === BEST && unit.lane.kind === 'text' && f64[to + 1] === 1) {
        f64[to] = here(f64[to] as number);
        texts.retain(f64[to] as number);
      }
      at += count;
    }
    return key;
  });
  function restoreText(row: number, lane: Lane): void {
    if (windows.values.isNull(row, lane)) return;
    const text = here(f64[(row + lane.at) >>> 3] as number);
    f64[(row + lane.at) >>> 3] = text;
    texts.retain(text);
  }
  unboundedDistinct(layout).forEach(({ table, lane }, u) => {
    const list = from.values[u] as readonly number[];
    for (let i = 0; i < list.length; i += 3) {
      let [low, high] = [list[i + 1] as number, list[i + 2] as number];
      if (lane.kind === 'text') {
        const text = here(numberOf(low, high));
        texts.retain(text);
        [low, high] = wordsOf(text);
      }
      units.counts[table]?.add(opened[list[i] as number] as number, low, high);
    }
  });
  // Whoever needs a text has it by now.
  for (const text of numbers) texts.release(text);
}

function unboundedDistinct(layout: OverLayout): Unit[] {
  return layout.ranges.flatMap(({ units, isBounded }) => (isBounded ? [] : units.filter(({ kind }) => kind === DISTINCT)));
}

const number = new Float64Array(1);
const words = new Uint32Array(number.buffer);

function numberOf(low: number, high: number): number {
  words[0] = low;
  words[1] = high;
  return number[0] as number;
}

function wordsOf(value: number): [number, number] {
  number[0] = value;
  return [words[0] as number, words[1] as number];
}
