/**
 * Finished values that are made of several accumulators, or of a sketch: variance, rate, quantile, and the
 * texts of topK and collect. One tile of groups goes into one result column.
 */

import {
  type Accumulator,
  type BatchBuilder,
  type ColumnSpace,
  type DataType,
  eachListed,
  eachUnordered,
  eachValue,
  type GroupTable,
  holdsJson,
  quantileAt,
  readText,
  type SharedMemory,
  type SlotLayout,
  takenOff,
  varianceOf,
} from '../../core/index.ts';
import type { ResultColumn } from './result-columns.ts';

/**
 * Writes a result whose form is neither `value` nor `mean` to a column, from row `row`.
 *
 * @param windowMs length of the window
 * @param scratch room for two f64 per group
 */
export function writeForm(
  table: GroupTable,
  slots: number,
  count: number,
  result: ResultColumn,
  out: BatchBuilder,
  column: number,
  row: number,
  windowMs: number,
  scratch: number,
): void {
  const { memory } = out;
  const space = out.columns[column] as ColumnSpace;
  const { offset, accumulator } = table.layout.accumulators[result.accumulator] as SlotLayout['accumulators'][number];
  const values = (space.data >>> 3) + row;
  const { f64, u32 } = memory;
  switch (result.form) {
    case 'variance':
    case 'stddev':
      writeVariance(table, slots, count, result, space, row, scratch);
      return;
    case 'rate':
      table.gatherF64(slots, count, result.accumulator, scratch);
      for (let i = 0; i < count; i++) f64[values + i] = (f64[(scratch >>> 3) + i] as number) / (windowMs / 1_000);
      break;
    case 'median':
      for (let i = 0; i < count; i++) f64[values + i] = medianOf(listed(memory, accumulator, (u32[(slots >>> 2) + i] as number) + offset));
      break;
    case 'quantile': {
      const { q = 0, error = 0 } = result.aggregate.parameters;
      for (let i = 0; i < count; i++) f64[values + i] = quantileAt(memory, (u32[(slots >>> 2) + i] as number) + offset, q, error);
      break;
    }
    default: {
      const text = result.form === 'topK' ? topText : listText;
      const { k = 0, max = 0, isJson } = result.aggregate.parameters;
      if (result.form !== 'topK' && (isJson === 1 || holdsJson(accumulator.input))) {
        for (let i = 0; i < count; i++) out.setValue(column, row + i, listText(memory, accumulator, (u32[(slots >>> 2) + i] as number) + offset, max, String));
        return;
      }
      for (let i = 0; i < count; i++) {
        out.setValue(column, row + i, text(memory, accumulator, (u32[(slots >>> 2) + i] as number) + offset, result.form === 'topK' ? k : max));
      }
      return;
    }
  }
  if (result.validBy < 0) return;
  table.gatherF64(slots, count, result.validBy, scratch);
  for (let i = 0; i < count; i++) if (f64[(scratch >>> 3) + i] === 0) setNull(memory, space, row + i);
}

function writeVariance(table: GroupTable, slots: number, count: number, result: ResultColumn, space: ColumnSpace, row: number, scratch: number): void {
  const { memory, layout } = table;
  const { f64, u32 } = memory;
  const sum = layout.accumulators[result.accumulator] as SlotLayout['accumulators'][number];
  const squares = layout.accumulators[result.squares] as SlotLayout['accumulators'][number];
  const isLong = sum.accumulator.lane === 'i64';
  const taken = result.aggregate.parameters.population === 1 ? 0 : 1;
  table.gatherF64(slots, count, result.validBy, scratch);
  for (let i = 0; i < count; i++) {
    const n = f64[(scratch >>> 3) + i] as number;
    const at = (space.data >>> 3) + row + i;
    if (n <= taken) {
      f64[at] = 0;
      setNull(memory, space, row + i);
      continue;
    }
    const slot = u32[(slots >>> 2) + i] as number;
    const variance = varianceOf(memory, n, slot + sum.offset, isLong, slot + squares.offset, n - taken);
    f64[at] = result.form === 'variance' ? variance : Math.sqrt(variance);
  }
}

function setNull({ u8 }: SharedMemory, { validity }: ColumnSpace, row: number): void {
  u8[validity + (row >>> 3)] = (u8[validity + (row >>> 3)] as number) & ~(1 << (row & 7));
}

function listed(memory: SharedMemory, of: Accumulator, field: number): Float64Array {
  const values: number[] = [];
  eachUnordered(memory, field, (start, length) => values.push(Number(valueAt(memory, of.input as DataType, start, length))));
  return Float64Array.from(values);
}

/** Of values that it sorts; NaN is the greatest. NaN of none. */
export function medianOf(values: Float64Array): number {
  if (values.length === 0) return Number.NaN;
  values.sort();
  const upper = values[values.length >>> 1] as number;
  if (values.length % 2 === 1) return upper;
  const lower = values[(values.length >>> 1) - 1] as number;
  const sum = lower + upper;
  return Number.isFinite(sum) || !Number.isFinite(lower) || !Number.isFinite(upper) ? sum / 2 : lower / 2 + upper / 2;
}

function listText(memory: SharedMemory, of: Accumulator, field: number, max: number, json: (value: Value) => string = jsonOf): string {
  const values: string[] = [];
  eachListed(memory, of, field, max, (start, length) => values.push(json(valueAt(memory, of.input as DataType, start, length))));
  return `[${values.join(',')}]`;
}

function topText(memory: SharedMemory, of: Accumulator, field: number, k: number): string {
  const found: { readonly value: Value; readonly count: number }[] = [];
  eachValue(memory, field, (start, length, count) => found.push({ value: valueAt(memory, of.input as DataType, start, length), count }));
  found.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
  const error = takenOff(memory, field);
  return `[${found
    .slice(0, k)
    .map(({ value, count }) => `{"value":${holdsJson(of.input) ? String(value) : jsonOf(value)},"count":${count},"error":${error}}`)
    .join(',')}]`;
}

type Value = string | number | bigint | boolean;

/** A value as an accumulator keeps it: the bytes of a text, an i64, or an f64. */
function valueAt(memory: SharedMemory, type: DataType, start: number, length: number): Value {
  switch (type.name) {
    case 'utf8':
      return readText(memory, start, start + length);
    case 'i64':
      return memory.i64[start >>> 3] as bigint;
    case 'timestamp':
      return Number(memory.i64[start >>> 3]);
    case 'bool':
      return memory.f64[start >>> 3] === 1;
    default:
      return memory.f64[start >>> 3] as number;
  }
}

/** An i64 with all its digits; NaN and infinities as null. */
function jsonOf(value: Value): string {
  return typeof value === 'bigint' ? value.toString() : JSON.stringify(value);
}
