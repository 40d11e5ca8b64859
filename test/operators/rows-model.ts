/**
 * What row operations must give, by plain JavaScript over row objects: nothing here is shared with the code under test
 * but Batch.toRows, which reads the input.
 */

import type { AnyRow, Batch } from '../../core/index.ts';
import {
  BatchBuilder,
  binary,
  bool,
  createMemory,
  type DataType,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  type Schema,
  SlabAllocator,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { ColumnValue } from '../../operators/rows/operation.ts';
import { planRows, type RowOperation, type RowPlanOptions } from '../../operators/rows/rows.ts';

export const TYPES: readonly DataType[] = [
  bool,
  i8,
  i16,
  i32,
  u32,
  i64,
  f32,
  f64,
  utf8,
  binary,
  timestamp,
  nullable(f64),
  nullable(i32),
  nullable(utf8),
  nullable(bool),
  nullable(i64),
  nullable(timestamp),
  nullable(binary),
];

export const MODES: readonly (readonly [string, RowPlanOptions])[] = [
  ['expressions', {}],
  ['closures', { expressions: false }],
  ['interpreted', { codeGeneration: false }],
];

export const slabs = new SlabAllocator(createMemory(64 << 20));

export interface Outcome {
  readonly rows: AnyRow[];
  readonly origins: number[];
  readonly failed: number[];
}

export function batchOf(schema: Schema, rows: readonly AnyRow[], capacity = Math.max(8, rows.length)): { batch: Batch; release: () => void } {
  const builder = new BatchBuilder(slabs, schema, capacity);
  for (const row of rows) builder.appendRow(row);
  return { batch: builder.finish(), release: () => builder.release() };
}

/** Runs the operations; columns that are not read are blanked, so that a plan that forgets one is found out. */
export function outcome(
  batch: Batch,
  operations: readonly RowOperation[],
  options: RowPlanOptions = {},
  needed: readonly number[] | 'all' = 'all',
  batchRows = 64,
): Outcome {
  const plan = planRows(batch.schema, operations, needed, options);
  const failed: number[] = [];
  const program = plan.instantiate({ memory: batch.memory, slabs, batchRows, onError: (_error, row) => (failed.push(row), 'skip') });
  const blank = {
    ...batch,
    columns: batch.columns.map((column, c) => (plan.columnsRead.includes(c) ? column : { type: column.type, data: 0, offsets: 0, validity: 0 })),
  };
  const seen = operations.length === 0 ? batch : (Object.setPrototypeOf(blank, Object.getPrototypeOf(batch)) as Batch);
  const rows: AnyRow[] = [];
  const origins: number[] = [];
  program.run(seen, (out) => {
    for (let row = 0; row < out.rowCount; row++) {
      const columns = needed === 'all' ? out.schema.fields.map((_, c) => c) : needed;
      rows.push(Object.fromEntries(columns.map((c) => [out.schema.field(c).name, out.value(c, row)])));
      origins.push(program.originOf(row));
    }
  });
  program.release();
  return { rows, origins, failed };
}

/** The model. A row whose function throws, or whose result does not fit, is left out. */
export function expected(batch: Batch, operations: readonly RowOperation[]): Outcome {
  let rows: { row: AnyRow; origin: number }[] = batch.toRows().map((row, origin) => ({ row, origin }));
  const failed: number[] = [];
  for (const operation of operations) {
    const next: typeof rows = [];
    for (const { row, origin } of rows) {
      const produced: AnyRow[] = [];
      try {
        if (operation.kind === 'filter') {
          if (operation.fn({ ...row })) produced.push(row);
        } else if (operation.kind === 'map') produced.push(stored(operation.schema, operation.fn({ ...row })));
        else if (operation.kind === 'keyBy') {
          const added = stored(operation.schema, operation.fn({ ...row }));
          produced.push(Object.fromEntries([...Object.entries(row), ...Object.entries(added)]));
        } else if (operation.kind === 'withColumns') {
          const { fields } = operation.schema;
          const valueOf = (value: (typeof operation.values)[number]) =>
            value.where === undefined || value.where({ ...row }) ? ('fn' in value ? value.fn({ ...row }) : row[value.column]) : null;
          const added = stored(operation.schema, Object.fromEntries(fields.map(({ name }, c) => [name, valueOf(operation.values[c] as ColumnValue)])));
          produced.push(Object.fromEntries([...Object.entries(row), ...Object.entries(added)]));
        } else if (operation.kind === 'rename') {
          produced.push(Object.fromEntries(Object.entries(row).map(([name, value]) => [operation.names.get(name) ?? name, value])));
        } else if (operation.kind === 'flatMap') {
          const returned = operation.fn({ ...row }, (out) => produced.push(stored(operation.schema, out)));
          if (typeof returned === 'object' && returned !== null) for (const out of returned as Iterable<AnyRow>) produced.push(stored(operation.schema, out));
        } else if (operation.kind === 'select') produced.push(Object.fromEntries(operation.columns.map((name) => [name, row[name]])));
      } catch {
        failed.push(origin);
        produced.length = 0;
      }
      for (const out of produced) next.push({ row: out, origin });
    }
    rows = next;
  }
  return { rows: rows.map(({ row }) => row), origins: rows.map(({ origin }) => origin), failed: failed.sort((a, b) => a - b) };
}

const RANGES: Record<string, readonly [number, number]> = { i8: [-128, 127], i16: [-32768, 32767], i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1] };

function stored(schema: Schema, row: AnyRow): AnyRow {
  return Object.fromEntries(
    schema.fields.map(({ name, type }) => {
      const given = Object.hasOwn(row, name) ? row[name] : undefined;
      // A Date is its milliseconds, and an integer that is exact the bigint of the same digits.
      const isWhole = type.name === 'i64' && typeof given === 'number' && Number.isSafeInteger(given);
      const value = type.name === 'timestamp' && given instanceof Date ? given.valueOf() : isWhole ? BigInt(String(given)) : given;
      if (value === null || value === undefined) {
        if (!type.nullable) throw new Error('null');
        return [name, null];
      }
      const wanted =
        type.name === 'bool' ? 'boolean' : type.name === 'utf8' ? 'string' : type.name === 'i64' ? 'bigint' : type.name === 'binary' ? 'object' : 'number';
      if (typeof value !== wanted) throw new Error('type');
      if (type.name === 'utf8') return [name, Buffer.from(value as string, 'utf8').toString('utf8')];
      if (type.name === 'f32') return [name, new Float32Array([value as number])[0]];
      if (type.name === 'timestamp') {
        if (!Number.isSafeInteger(Math.floor(value as number))) throw new Error('timestamp');
        return [name, Number(BigInt(Math.floor(value as number)))];
      }
      if (type.name === 'i64' && ((value as bigint) > 2n ** 63n - 1n || (value as bigint) < -(2n ** 63n))) throw new Error('range');
      const range = RANGES[type.name];
      if (range !== undefined) {
        if (!Number.isInteger(value) || (value as number) < range[0] || (value as number) > range[1]) throw new Error('range');
        return [name, (value as number) === 0 ? 0 : value];
      }
      if (type.name === 'binary') return [name, new Uint8Array(value as Uint8Array)];
      return [name, value];
    }),
  );
}
