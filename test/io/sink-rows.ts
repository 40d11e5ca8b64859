/** A sink with both ends open, for tests: rows in, epoch by epoch, without a job; and rows of every type. */

import {
  type AnyRow,
  binary,
  bool,
  createMemory,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  type SchemaFields,
  SlabAllocator,
  schema,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { Sink } from '../../io/sink.ts';
import { OpenSink } from '../../runtime/driver/open-sink.ts';

let names = 0;

/** Opens the sink, writes the rows as one epoch, commits it, and closes the sink. */
export async function writeRows<F extends SchemaFields>(sink: Sink, fields: F, rows: readonly AnyRow[], { units = 1 } = {}): Promise<void> {
  const slabs = new SlabAllocator(createMemory(256 << 20));
  const open = await OpenSink.open(sink, { schema: schema(fields), slabs, name: `rows-${names++}`, guarantee: 'at-least-once' });
  try {
    for (let unit = 0; unit < units; unit++) {
      await open.write(
        { epoch: 1, shard: unit },
        rows.filter((_, i) => i % units === unit),
      );
    }
    await open.writer.commit(1);
  } finally {
    await open.close();
  }
}

/** Writes rows and returns what was refused. */
export async function writeRefused<F extends SchemaFields>(sink: Sink, fields: F, rows: readonly AnyRow[], units = 1): Promise<string[]> {
  const refused: string[] = [];
  const listening: Sink = { ...sink, open: (context) => sink.open({ ...context, refused: ({ message }) => void refused.push(message) }) };
  await writeRows(listening, fields, rows, { units });
  return refused;
}

export const EVERY_TYPE = {
  id: utf8,
  flag: nullable(bool),
  tiny: nullable(i8),
  small: nullable(i16),
  int: nullable(i32),
  unsigned: nullable(u32),
  long: nullable(i64),
  single: nullable(f32),
  double: nullable(f64),
  text: nullable(utf8),
  bytes: nullable(binary),
  at: nullable(timestamp),
};

const NULLS = { flag: null, tiny: null, small: null, int: null, unsigned: null, long: null, single: null, double: null, text: null, bytes: null, at: null };
const LOW = {
  flag: false,
  tiny: -128,
  small: -32_768,
  int: -2_147_483_648,
  unsigned: 0,
  long: -9_223_372_036_854_775_808n,
  single: -1.5,
  double: Number.MIN_VALUE,
  text: '',
  bytes: new Uint8Array(0),
  at: -1,
};
const HIGH = {
  flag: true,
  tiny: 127,
  small: 32_767,
  int: 2_147_483_647,
  unsigned: 4_294_967_295,
  long: 9_223_372_036_854_775_807n,
  single: 0.5,
  double: 1.7976931348623157e308,
  text: `"quoted" \\ \n\r\t \u2028 🐟 ${'ü'.repeat(10_000)}`,
  bytes: new Uint8Array([0, 255, 10]),
  at: 253_402_300_799_999,
};

/** Rows of EVERY_TYPE: nulls, the least and the greatest values, odd text. `high`: what a system takes in another way. */
export function oddRows(high: { readonly id: string } & Partial<Record<keyof typeof EVERY_TYPE, unknown>>) {
  return [
    { id: 'nulls', ...NULLS },
    { id: 'low', ...LOW },
    { ...HIGH, ...high },
  ] as const;
}
