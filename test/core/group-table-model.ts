/** The model that group tables are tested against: a Map of arrays of rows, and columns made of JavaScript values. */

import { type Batch, BatchBuilder, type DataType, type GroupTable, nullable, Schema, type SlabAllocator, type TypeName } from '../../core/index.ts';

export type Value = unknown;
export interface ModelSpec {
  readonly keyTypes: readonly DataType[];
  /** One per accumulator: its name, and the type of its input. */
  readonly aggregates: readonly { readonly name: 'count' | 'countValid' | 'sum' | 'min' | 'max'; readonly type: DataType }[];
}
/** A row: the key values, then one input value per aggregate. */
export type ModelRow = readonly Value[];

export function columnsOf(slabs: SlabAllocator, types: readonly DataType[], rows: readonly ModelRow[]): { batch: Batch; release(): void } {
  const builder = new BatchBuilder(slabs, new Schema(types.map((type, c) => ({ name: `c${c}`, type }))), Math.max(8, rows.length));
  rows.forEach((row, r) => {
    types.forEach((_, c) => builder.setValue(c, r, row[c]));
  });
  return { batch: builder.finish(rows.length), release: () => builder.release() };
}

/** A text that is the same for equal keys only. */
export function keyText(key: readonly Value[]): string {
  // String(-0) is '0'.
  return key
    .map((value) => `${typeof value}:${value instanceof Uint8Array ? Buffer.from(value).toString('hex') : `${String(value).length} ${String(value)}`}`)
    .join('|');
}

/** Float values as a column of that type holds them. */
export function stored(type: DataType, value: Value): Value {
  return type.name === 'f32' && typeof value === 'number' ? Math.fround(value) : value;
}

function isGreater(a: Value, b: Value): boolean {
  if (Number.isNaN(a)) return !Number.isNaN(b);
  return !Number.isNaN(b) && (a as number) > (b as number);
}

/** What an aggregate of these inputs is, or undefined where no input has a value (and the aggregate is no count). */
export function aggregateOf(name: string, type: DataType, inputs: readonly Value[]): Value {
  const valid = inputs.filter((value) => value !== null);
  if (name === 'count') return BigInt(inputs.length);
  if (name === 'countValid') return BigInt(valid.length);
  if (valid.length === 0) return undefined;
  if (name === 'sum') {
    const isLong = type.name === 'i64' || type.name === 'timestamp';
    if (isLong) return valid.reduce((sum: bigint, value) => sum + BigInt(value as bigint), 0n);
    return valid.reduce((sum: number, value) => sum + Number(value), 0);
  }
  return valid.reduce((best, value) => ((name === 'min' ? isGreater(best, value) : isGreater(value, best)) ? value : best));
}

export class GroupModel {
  readonly spec: ModelSpec;
  readonly groups = new Map<string, { key: readonly Value[]; inputs: Value[][] }>();

  constructor(spec: ModelSpec) {
    this.spec = spec;
  }

  add(row: ModelRow): void {
    const { keyTypes, aggregates } = this.spec;
    const key = keyTypes.map((type, k) => stored(type, row[k]));
    const text = keyText(key);
    let group = this.groups.get(text);
    if (group === undefined) {
      group = { key, inputs: aggregates.map(() => []) };
      this.groups.set(text, group);
    }
    aggregates.forEach(({ type }, a) => group.inputs[a]?.push(stored(type, row[keyTypes.length + a])));
  }

  /** Group by key text: each aggregate's value as text, '-' where it has none. */
  contents(): Map<string, string> {
    return new Map(
      [...this.groups].map(([text, { inputs }]) => [
        text,
        this.spec.aggregates.map(({ name, type }, a) => valueText(aggregateOf(name, type, inputs[a] as Value[]))).join(' '),
      ]),
    );
  }
}

function valueText(value: Value): string {
  return value === undefined || value === null ? '-' : String(typeof value === 'boolean' ? Number(value) : Object.is(value, -0) ? 0 : value);
}

/** The contents of a table in the form of {@link GroupModel.contents}, read through batches. Sums that have no valid input are '-'. */
export function contentsOf(slabs: SlabAllocator, table: GroupTable, spec: ModelSpec): Map<string, string> {
  const { keyTypes, aggregates } = spec;
  const fields = [
    ...keyTypes.map((type, k) => ({ name: `k${k}`, type })),
    ...table.layout.accumulators.map(({ accumulator }, a) => ({ name: `a${a}`, type: nullable(accumulator.result) })),
  ];
  const contents = new Map<string, string>();
  const out = new BatchBuilder(slabs, new Schema(fields), 1_024);
  table.eachTile((slots, count) => {
    out.reset();
    for (let k = 0; k < keyTypes.length; k++) table.readKeys(slots, count, k, out, k, 0);
    // The accumulators of the spec come first, then a countValid for each, which says where they are null.
    for (let a = 0; a < aggregates.length; a++) {
      const name = aggregates[a]?.name;
      table.readValues(slots, count, a, out, keyTypes.length + a, 0, name === 'count' || name === 'countValid' ? -1 : aggregates.length + a);
    }
    const batch = out.finish(count);
    for (let row = 0; row < count; row++) {
      const text = keyText(keyTypes.map((_, k) => batch.value(k, row)));
      if (contents.has(text)) throw new Error(`the key ${text} is twice in the table`);
      contents.set(text, aggregates.map((_, a) => valueText(batch.value(keyTypes.length + a, row))).join(' '));
    }
  });
  out.release();
  return contents;
}

/** Small pools of values, so that keys meet: with what is hard in each type. */
export const KEY_POOLS: Readonly<Record<TypeName, readonly Value[]>> = {
  bool: [true, false],
  i8: [-128, -1, 0, 1, 127],
  i16: [-32_768, -1, 0, 256, 32_767],
  i32: [-2_147_483_648, -1, 0, 1, 65_536, 2_147_483_647],
  u32: [0, 1, 2, 65_536, 2_147_483_648, 4_294_967_295],
  i64: [0n, 1n, -1n, 4_294_967_296n, 0x7fff_ffff_ffff_ffffn, -0x8000_0000_0000_0000n],
  f32: [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  f64: [0, -0, 0.1, Number.NaN, 5e-324, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  timestamp: [0, -1, 1_700_000_000_000, -62_135_596_800_000],
  utf8: [
    '',
    'a',
    '__proto__',
    'constructor',
    'nineteen bytes long',
    'twenty bytes is this',
    'twenty-one bytes long',
    'twenty-four bytes, so so',
    'twenty-five bytes, so so!',
    'thirty-two bytes are these, yes.',
    'thirty-three bytes are these, yes',
    'é',
    '日本語のキーはバイトで数える',
    'x'.repeat(10_000),
    `${'x'.repeat(9_999)}y`,
    'nul\0',
    'nul',
  ],
  binary: [Uint8Array.of(), Uint8Array.of(0), Uint8Array.of(0, 0), new Uint8Array(40).fill(7), new Uint8Array(40).fill(8)],
};

/** Values that add up exactly in any order. */
export const INPUT_POOLS: Readonly<Record<TypeName, readonly Value[]>> = {
  ...KEY_POOLS,
  i64: [0n, 1n, -1n, 4_294_967_296n, 123_456_789_012_345n, -987_654_321_098_765n],
  f32: [0, -0, 1.5, -2.25, 1_024],
  f64: [0, -0, 1.5, -2.25, 1_048_576.125, 3],
};
