/**
 * Tables: streams whose rows replace earlier ones of their key. Their rows go along in one of two forms.
 *
 *   values    the new row of each key, as running aggregates and windows with emit('update') put it out
 *   changes   the old row, taken back, directly before the new one; a hidden column says which (core/changes.ts)
 *
 * Values are cheaper, and enough for sinks and for the latest row of a key. What counts or joins the rows of a
 * table needs changes: {@link changesOf} makes them. It puts an operator that keeps the last row of each key
 * behind the one that puts out values, and does the row functions between once more behind it. So a row that
 * no longer passes a filter is taken back.
 */

import { kindText, MillraceError, type Schema, SIGN, withoutSign, withSign } from '../../core/index.ts';
import { carriedColumns, KeyedExchange, type KeyedOperatorPlan, planTable, type RowOperation, schemaAfter } from '../../operators/index.ts';
import type { Node } from '../plan/index.ts';
import { isWindowEnd } from './event-time.ts';

export interface TableTraits {
  /** Columns by which a new row replaces an old one; undefined: they are no longer there. */
  readonly keys: readonly string[] | undefined;
  readonly form: 'values' | 'changes';
  /** Whether rows may go without another one in their place. */
  readonly canDelete: boolean;
  /** Of values: a bool column that is true in a row that takes back another one. */
  readonly deleted: string | undefined;
}

/** What kind of table the rows of a node are; undefined: they are facts. */
export function tableOf(node: Node): TableTraits | undefined {
  switch (node.kind) {
    case 'source':
    case 'late':
    case 'errors':
      return undefined;
    case 'watermark':
      return tableOf(node.parent);
    case 'rows': {
      const table = node.isFacts === true ? undefined : tableOf(node.parent);
      return table === undefined ? undefined : afterRows(table, node.operation, node.parent.schema);
    }
    case 'union': {
      const tables = node.parents.map(tableOf).filter((table) => table !== undefined);
      const [first] = tables;
      if (first === undefined) return undefined;
      return { keys: undefined, form: first.form, canDelete: true, deleted: tables.find(({ deleted }) => deleted !== undefined)?.deleted };
    }
    case 'exchange': {
      if (node.table !== undefined) {
        const { keys, form, deleted } = node.table;
        return { keys, form, canDelete: form === 'changes' || deleted !== undefined, deleted };
      }
      // A join with a table does not change what a row is, but may leave it out.
      const left = node.operator.name === 'table join' ? tableOf(node.parents[0] as Node) : undefined;
      return left === undefined ? undefined : { ...left, canDelete: true };
    }
  }
}

function afterRows(table: TableTraits, operation: RowOperation, before: Schema): TableTraits {
  const { keys, deleted } = table;
  const renamed = (to: (name: string) => string | undefined): TableTraits => {
    const now = keys?.map(to);
    return { ...table, keys: now?.every((name) => name !== undefined) ? now : undefined, deleted: deleted === undefined ? undefined : to(deleted) };
  };
  switch (operation.kind) {
    case 'filter':
      return { ...table, canDelete: true };
    case 'select':
      return renamed((name) => (operation.columns.includes(name) ? name : undefined));
    case 'rename':
      return renamed((name) => operation.names.get(name) ?? name);
    case 'keyBy':
    case 'withColumns':
    case 'enrich':
      return renamed((name) => (operation.schema.indexOf(name) < 0 ? name : undefined));
    case 'map': {
      const carried = carriedColumns(operation.fn);
      const isSame = (from: string, to: string): boolean => {
        const [a, b] = [before.indexOf(from), operation.schema.indexOf(to)];
        return a >= 0 && b >= 0 && kindText(before.field(a).type) === kindText(operation.schema.field(b).type);
      };
      return renamed((name) => {
        const to = carried.get(name);
        return to !== undefined && isSame(name, to) ? to : undefined;
      });
    }
    default:
      return { ...table, keys: undefined, canDelete: true, deleted: undefined };
  }
}

/**
 * The node of a row function; over changes it carries the hidden column.
 *
 * @param repeats the node of the same function over values
 */
export function rowsNode(parent: Node, operation: RowOperation, repeats?: Node): Node {
  const plain = (from: Node, of: RowOperation): Node => ({ kind: 'rows', schema: schemaAfter(from.schema, of), parent: from, operation: of, repeats });
  if (tableOf(parent)?.form !== 'changes') return plain(parent, operation);
  const lastly = (from: Node, schema: Schema): Node => {
    const columns = [...withoutSign(schema).fields.map(({ name }) => name), SIGN];
    return plain(from, { kind: 'select', columns });
  };
  switch (operation.kind) {
    case 'filter':
    case 'rename':
      return plain(parent, operation);
    case 'select':
      return plain(parent, { kind: 'select', columns: [...operation.columns, SIGN] });
    case 'keyBy':
    case 'withColumns': {
      const widened = plain(parent, operation);
      return lastly(widened, widened.schema);
    }
    case 'map':
      return lastly(plain(parent, { kind: 'keyBy', schema: operation.schema, fn: operation.fn }), operation.schema);
    case 'flatMap':
      return plain(parent, { kind: 'flatMap', schema: withSign(operation.schema), fn: signed(operation.fn), seesSign: true });
    case 'enrich':
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        'enrich() is between a table and what needs its changes: what it finds for a row that is taken back may not be what it found for it before. Call it before the table is made, or behind .changes().',
      );
    case 'mapBatches':
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        'mapBatches() is between a table and what needs its changes, and a batch does not say which of its rows are taken back. Take filter(), map(), withColumns() or flatMap() there, or call .changes() before it.',
      );
  }
}

type FlatMap = Extract<RowOperation, { kind: 'flatMap' }>['fn'];

/** What it makes of a row comes and goes with the row. */
function signed(fn: FlatMap): FlatMap {
  return (row: Record<string, unknown>, emit) => {
    const { [SIGN]: sign, ...rest } = row;
    const withIt = (made: unknown): never => ({ ...(made as object), [SIGN]: sign }) as never;
    const returned = fn(rest, (made) => emit(withIt(made)));
    return returned === undefined || returned === null ? returned : Array.from(returned as Iterable<unknown>, withIt);
  };
}

const changes = new WeakMap<Node, Node>();

/** The rows of a table as changes. Made once per node, so that a fork shares them. */
export function changesOf(node: Node): Node {
  const table = tableOf(node);
  if (table?.form === 'changes') return node;
  let made = changes.get(node);
  if (made === undefined) changes.set(node, (made = makeChanges(node, table)));
  return made;
}

function makeChanges(node: Node, table: TableTraits | undefined): Node {
  // What has no sign is there.
  if (table === undefined) {
    const operation: RowOperation = {
      kind: 'withColumns',
      schema: withSign(node.schema).select([SIGN], 'table'),
      values: [{ fn: () => false }],
      isHidden: true,
    };
    return { kind: 'rows', schema: withSign(node.schema), parent: node, operation };
  }
  switch (node.kind) {
    case 'rows':
      return rowsNode(changesOf(node.parent), node.operation, node);
    case 'watermark':
      return changesOf(withoutTime(node));
    case 'union': {
      const parents = node.parents.map(changesOf);
      return { kind: 'union', schema: (parents[0] as Node).schema, parents };
    }
    default: {
      const { keys, deleted } = table;
      if (keys === undefined) throw withoutKey(node.schema);
      if (node.kind === 'exchange' && node.table?.forgetsBy !== undefined) throw forgets(node.table.forgetsBy);
      const windowEnd = isWindowEnd(node) && keys.includes('windowEnd') ? 'windowEnd' : undefined;
      return changesNode([node], planTable({ input: node.schema, keys, deleted, keepsDeleted: true, windowEnd }), 'a table', keys);
    }
  }
}

/** The node of an operator that puts out changes of the table of these keys. */
export function changesNode(parents: readonly Node[], plan: KeyedOperatorPlan, updates: string, keys: readonly string[]): Node {
  const operator = new KeyedExchange(plan);
  return { kind: 'exchange', schema: operator.output, parents, operator, updates, table: { keys, form: 'changes' } };
}

function forgets(by: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `A table is to be kept up whose rows go without a word of it: by ${by}. What is made of it would count them for ever. Leave the option out; or say which rows go, in keyBy(...).table({ delete }).`,
  );
}

export function withoutKey(schema: Schema): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `A table is to be kept up whose rows no longer have its key: ${withoutSign(schema)}. Keep the key columns as they are in map() and select().`,
  );
}

function withoutTime(node: Extract<Node, { kind: 'watermark' }>): Node {
  if (!node.strategy.isProcessingTime) return node.parent;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    'withProcessingTime() is between a table and what needs its changes: the time of a row would be another one when it is taken back. Call .changes() before it.',
  );
}
