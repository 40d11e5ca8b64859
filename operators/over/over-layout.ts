/**
 * Where the operator `over` keeps what: which columns a row is kept with, what each range adds up, and of which
 * of these each result is made. Plain values, the same on every thread.
 *
 *   row of a pane   time (f64) | null bits | one value of 8 bytes per column | one pair of links per ordered unit
 *   record of a key newest time, first and last row (row-panes.ts), number of rows | by range: place of its first
 *                   row, number of rows, its units
 *
 * A unit is what one range of one key knows about one column: a sum, the rows in the order of min. Features that
 * need the same unit share it: mean('x', '1h') and sum('x', '1h') read one sum.
 */

import type { DataType, Schema } from '../../core/index.ts';
import type { Aggregate, AggregateRange } from '../aggregate/index.ts';

/** How a value lies in a row: a f64; the two words of an i64; the number of a text (value-texts.ts), as f64. */
export type LaneKind = 'number' | 'long' | 'text';

/** A column that features read. */
export interface Lane {
  /** Position in the input. */
  readonly column: number;
  readonly type: DataType;
  readonly kind: LaneKind;
  /** Place in a row. */
  readonly at: number;
  /** Its bit among the null bits; -1: never null. */
  readonly nullBit: number;
}

/** Number of values that are not null. */
export const VALID = 0;
/** Their sum (running-sums.ts). */
export const SUM = 1;
/** The sum of their squares. */
export const SQUARES = 2;
/** Rows in an order, linked, the one that is the result in front (row-order-links.ts). */
export const ORDERED = 3;
/** The value that ORDERED would have in front, where nothing ever leaves. */
export const BEST = 4;
/** How many different values. */
export const DISTINCT = 5;

/** Which row is in front. */
export type Order = 'min' | 'max' | 'first' | 'last';

export interface Unit {
  readonly kind: number;
  readonly lane: Lane;
  /** Place in the record of a key. */
  readonly at: number;
  /** Of ORDERED: place of the links in a row. */
  readonly linkAt: number;
  readonly order: Order;
  /** Of DISTINCT: the number of its table. */
  readonly table: number;
}

/** The rows that some features go over, back from the newest. */
export interface RangeLayout {
  /** +Infinity: no such limit. */
  readonly withinMs: number;
  readonly rows: number;
  /** False: nothing ever leaves. */
  readonly isBounded: boolean;
  /** Place in the record of a key: u32 pane, u32 index, f64 number of rows. */
  readonly at: number;
  readonly units: readonly Unit[];
}

/** What one feature is made of. */
export interface FeatureLayout {
  readonly aggregate: Aggregate;
  readonly type: DataType;
  readonly range: RangeLayout;
  readonly unit: Unit | undefined;
  readonly squares: Unit | undefined;
  /** Counts the values; undefined: every row has one. */
  readonly valid: Unit | undefined;
  /** Position in the output. */
  readonly column: number;
}

export interface OverLayout {
  readonly lanes: readonly Lane[];
  readonly ranges: readonly RangeLayout[];
  readonly features: readonly FeatureLayout[];
  readonly rowBytes: number;
  readonly keyBytes: number;
  /** Number of DISTINCT units. */
  readonly tables: number;
  /** Whether any range is bounded, so that rows are kept. */
  readonly keepsRows: boolean;
  /** Whether something of a key is kept however long it is quiet. */
  readonly isLasting: boolean;
  /** The longest time of a range; 0: none has one. */
  readonly withinMs: number;
}

/** A built-in feature as planned: its aggregate, range and type. */
export interface NamedFeature {
  readonly aggregate: Aggregate;
  readonly range: AggregateRange;
  readonly type: DataType;
  /** Position in the output. */
  readonly column: number;
}

/** Places in the record of a key. */
export const NEWEST = 0;
export const HEAD_PANE = 8;
export const HEAD_INDEX = 12;
export const LAST_PANE = 16;
export const LAST_INDEX = 20;
export const KEPT = 24;
export const HAS_TIMER = 28;
const KEY_HEAD_BYTES = 32;
const RANGE_BYTES = 16;
const UNIT_BYTES = [8, 56, 24, 8, 16, 8] as const;
/** Place of the null bits in a row. */
export const NULL_BITS = 8;

/** @param ownTimes times of the ranges of the user's own features; +Infinity: one has none */
export function overLayout(input: Schema, named: readonly NamedFeature[], ownTimes: readonly number[]): OverLayout {
  const columns = [...new Set(named.flatMap(({ aggregate: { column } }) => (column === undefined ? [] : [input.indexOf(column)])))].sort((a, b) => a - b);
  const nullables = columns.filter((column) => input.field(column).type.nullable);
  const nullBytes = Math.ceil(nullables.length / 64) * 8;
  const lanes = columns.map((column, l): Lane => {
    const { type } = input.field(column);
    return { column, type, kind: laneKind(type), at: NULL_BITS + nullBytes + l * 8, nullBit: nullables.indexOf(column) };
  });
  let rowBytes = NULL_BITS + nullBytes + lanes.length * 8;
  let keyBytes = KEY_HEAD_BYTES;
  let tables = 0;
  const ranges = new Map<string, RangeLayout & { readonly units: Unit[] }>();
  const features = named.map(({ aggregate, range: { rows = Number.POSITIVE_INFINITY, withinMs = Number.POSITIVE_INFINITY }, type, column }): FeatureLayout => {
    const id = `${rows} ${withinMs}`;
    let range = ranges.get(id);
    if (range === undefined) {
      range = { withinMs, rows, isBounded: Math.min(withinMs, rows) !== Number.POSITIVE_INFINITY, at: keyBytes, units: [] };
      keyBytes += RANGE_BYTES;
      ranges.set(id, range);
    }
    const { units, isBounded } = range;
    const unit = (kind: number, lane: Lane, order: Order = 'first'): Unit => {
      const known = units.find((one) => one.kind === kind && one.lane === lane && one.order === order);
      if (known !== undefined) return known;
      const made: Unit = { kind, lane, at: keyBytes, linkAt: kind === ORDERED ? rowBytes : -1, order, table: kind === DISTINCT ? tables++ : -1 };
      keyBytes += UNIT_BYTES[kind] as number;
      if (kind === ORDERED) rowBytes += 8;
      units.push(made);
      return made;
    };
    const lane = lanes.find((one) => aggregate.column !== undefined && one.column === input.indexOf(aggregate.column));
    const base = { aggregate, type, range, column, unit: undefined, squares: undefined, valid: undefined };
    if (lane === undefined) return base;
    const valid = lane.nullBit < 0 ? undefined : unit(VALID, lane);
    switch (aggregate.name) {
      case 'count':
        return { ...base, valid };
      case 'variance':
      case 'stddev':
        return { ...base, valid, unit: unit(SUM, lane), squares: unit(SQUARES, lane) };
      case 'sum':
      case 'mean':
        return { ...base, valid, unit: unit(SUM, lane) };
      case 'countDistinct':
        return { ...base, unit: unit(DISTINCT, lane) };
      case 'collect':
      case 'median':
        return { ...base, unit: unit(ORDERED, lane, 'first') };
      default:
        return { ...base, unit: unit(isBounded ? ORDERED : BEST, lane, aggregate.name as Order) };
    }
  });
  const list = [...ranges.values()];
  const times = [...list.map(({ withinMs }) => withinMs), ...ownTimes];
  return {
    lanes,
    ranges: list,
    features,
    rowBytes,
    keyBytes,
    tables,
    keepsRows: list.some(({ isBounded }) => isBounded),
    isLasting: times.includes(Number.POSITIVE_INFINITY),
    withinMs: Math.max(0, ...times.filter(Number.isFinite)),
  };
}

function laneKind({ name }: DataType): LaneKind {
  return name === 'utf8' || name === 'binary' ? 'text' : name === 'i64' ? 'long' : 'number';
}
