/**
 * Aggregates of expressions, and with conditions: `sum((r) => r.price * r.count)`, `count({ where })`. What they
 * read is computed into columns ahead of the operator, in the same loop as the row functions before it. A row
 * for which a condition does not hold has null there, which aggregates leave out. These columns are in no
 * result, and not in late rows.
 */

import { bool, f64, nullable, Schema, utf8 } from '../../core/index.ts';
import { type AggregateRequest, type ColumnValue, type RowOperation, schemaAfter } from '../../operators/index.ts';
import { GRAPH, type Node, type Upstream } from '../plan/index.ts';

type Type = Schema['fields'][number]['type'];

/** An aggregate, of a user or built in, as far as it matters here. */
interface OverRows {
  readonly name: string;
  readonly column?: string | undefined;
  readonly of?: ((row: unknown) => unknown) | undefined;
  readonly where?: ((row: unknown) => unknown) | undefined;
}

/** The same aggregates of columns that the stream has then. */
export function withExpressions<A extends AggregateRequest['aggregates'] | Readonly<Record<string, unknown>>>(
  stream: Upstream,
  aggregates: A,
): { readonly stream: Upstream; readonly aggregates: A } {
  const fields: { name: string; type: Type }[] = [];
  const values: ColumnValue[] = [];
  const named = Object.entries(aggregates).map(([name, given]): [string, unknown] => {
    const aggregate = given as OverRows;
    const { of, where, column } = aggregate;
    if (typeof of !== 'function' && typeof where !== 'function') return [name, given];
    const hidden = freeName(name, stream.schema);
    if (of === undefined) {
      const at = stream.schema.require(column as string, `${aggregate.name}()`);
      fields.push({ name: hidden, type: nullableOf(stream.schema.field(at).type) });
      values.push({ column: column as string, where: where as NonNullable<typeof where> });
    } else {
      const type: Type = aggregate.name === 'count' ? bool : aggregate.name === 'collect' ? utf8 : f64;
      fields.push({ name: hidden, type: where === undefined ? type : nullable(type) });
      values.push({ fn: aggregate.name === 'collect' ? jsonMaker(of) : of, where });
    }
    return [name, Object.freeze({ ...aggregate, column: hidden, of: undefined, where: undefined })];
  });
  if (fields.length === 0) return { stream, aggregates };
  const operation: RowOperation = { kind: 'withColumns', schema: new Schema(fields), values, isHidden: true };
  const node: Node = { kind: 'rows', schema: schemaAfter(stream.schema, operation), parent: stream.node, operation };
  return { stream: { [GRAPH]: stream[GRAPH], node, schema: node.schema }, aggregates: Object.fromEntries(named) as A };
}

/** Late rows without the columns that were computed for aggregates. */
export function withoutHidden(late: Node): Node {
  let from = late.kind === 'late' && late.parent.kind === 'exchange' ? late.parent.parents[late.input] : undefined;
  const hidden = new Set<string>();
  while (from?.kind === 'rows' && from.operation.kind === 'withColumns' && from.operation.isHidden === true) {
    for (const { name } of from.operation.schema.fields) hidden.add(name);
    from = from.parent;
  }
  if (hidden.size === 0) return late;
  const columns = late.schema.fields.flatMap(({ name }) => (hidden.has(name) ? [] : [name]));
  return { kind: 'rows', schema: late.schema.select(columns, 'late'), parent: late, operation: { kind: 'select', columns } };
}

/** i64 with all its digits, bytes in base64, NaN and infinities as null: as the json codec writes them. */
function jsonMaker(of: (row: unknown) => unknown): (row: unknown) => string {
  return (row) => jsonText(of(row));
}

function jsonText(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'));
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (typeof value !== 'object' || value === null || value instanceof Date) return JSON.stringify(value) ?? 'null';
  return `{${Object.entries(value)
    .map(([name, one]) => `${JSON.stringify(name)}:${jsonText(one)}`)
    .join(',')}}`;
}

/** As it stands in messages and in the plan: `[total]` for the aggregate `total`. */
/** A name in brackets that no column has. */
export function freeName(name: string, schema: Schema): string {
  let free = `[${name}]`;
  while (schema.indexOf(free) >= 0) free = `[${free}]`;
  return free;
}

function nullableOf(type: Type): typeof type {
  return type.nullable ? type : nullable(type);
}
