/** The nodes that tables add to the graph: what makes one, what is made of one, and how it leaves. */

import { bool, checkOptionNames, MillraceError, nullable, Schema, SIGN, shown, withoutSign } from '../../core/index.ts';
import {
  aggregateFold,
  type ChangeFold,
  changeReduceFold,
  changeTopFold,
  type JoinColumns,
  type JoinSide,
  planOrderedChanges,
  planTable,
  planTableGroups,
  planTablesJoin,
  type RowOperation,
  schemaAfter,
} from '../../operators/index.ts';
import { type ExchangeNode, GRAPH, type Graph, type Node, type Upstream } from '../plan/index.ts';
import { mustBeFunction } from './arguments.ts';
import { withExpressions } from './expressions.ts';
import type { AnyJoinOptions } from './joins.ts';
import { aggregateNode } from './nodes.ts';
import { changesNode, changesOf, tableOf } from './tables.ts';
import { type TopOptions, topRequest } from './top.ts';
import { isLatestOfEach, mustBeFacts } from './updates.ts';

export interface LastRowOptions<R> {
  /** Rows for which it returns a truthy value take their key out of the table. */
  readonly delete?: (row: R) => unknown;
}

/** The node of the last row of each key. */
export function tableNode(stream: Upstream, keys: readonly string[], options: LastRowOptions<never>): Node {
  checkOptionNames('table()', options, { delete: true });
  mustBeFacts(stream.node, 'table()');
  const { delete: isGone } = options;
  if (isGone === undefined)
    return changesNode([stream.node], planTable({ input: stream.schema, keys, deleted: undefined, keepsDeleted: true }), 'a table', keys);
  mustBeFunction(isGone, 'delete of table');
  let deleted = '[deleted]';
  while (stream.schema.indexOf(deleted) >= 0) deleted = `[${deleted}]`;
  const operation: RowOperation = {
    kind: 'withColumns',
    schema: new Schema([{ name: deleted, type: nullable(bool) }]),
    values: [{ fn: () => true, where: isGone as (row: unknown) => unknown }],
    isHidden: true,
  };
  const marked: Node = { kind: 'rows', schema: schemaAfter(stream.schema, operation), parent: stream.node, operation };
  return changesNode([marked], planTable({ input: marked.schema, keys, deleted, keepsDeleted: false }), 'a table', keys);
}

/** The node of aggregates over the rows of a table that are there. */
export function tableAggregateNode(stream: Upstream, keys: readonly string[], aggregates: Parameters<typeof aggregateNode>[2]): Node {
  if (typeof aggregates !== 'object' || aggregates === null || isLatestOfEach(stream.node, keys, aggregates))
    return aggregateNode(stream, keys, aggregates, undefined);
  const computed = withExpressions(changed(stream), aggregates);
  return groupsNode(computed.stream, keys, aggregateFold(computed.stream.schema, keys, computed.aggregates) as ChangeFold, 'an aggregate of a table');
}

/** The node of the greatest rows of each group of a table. */
export function tableTopNode(stream: Upstream, keys: readonly string[], n: number, options: TopOptions<never, string>): Node {
  const { by, order, ties, as, replaced } = topRequest(stream, keys, options);
  if (ties !== 'row') {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `top() of a table has ties: ${shown(ties)}. Its rows replace each other by their rank, so each has one of its own: leave ties out.`,
    );
  }
  const from = changed(stream);
  const fold = changeTopFold({ input: from.schema, keys: [...keys, ...replaced], n, by, order, as }) as ChangeFold;
  return { ...(groupsNode(from, keys, fold, 'a top of a table', [as]) as ExchangeNode), rank: as };
}

/** The node of a reduce whose function has an inverse. */
export function tableReduceNode(stream: Upstream, keys: readonly string[], fn: unknown, options: { readonly remove?: unknown }): Node {
  mustBeFunction(fn, 'reduce');
  checkOptionNames('reduce() of a table', options, { remove: true });
  if (options.remove === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'reduce() stands behind a table, whose rows are replaced and go, and it has no remove. Give it one, which takes a row out again: reduce(add, { remove: (a, b) => ({ ...a, ms: a.ms - b.ms }) }).',
    );
  }
  mustBeFunction(options.remove, 'remove of reduce');
  const from = changed(stream);
  return groupsNode(from, keys, changeReduceFold(from.schema, keys, fn as never, options.remove as never) as ChangeFold, 'a reduce of a table');
}

/** The node of a join of two tables that is kept up as either changes. */
export function tablesJoinNode(left: Upstream, right: Upstream, sides: readonly [JoinSide, JoinSide], options: AnyJoinOptions = {}): Node {
  checkOptionNames('join() of two tables', options, { type: true, suffix: true, within: true, deleted: true, table: true, asOf: true });
  for (const name of ['within', 'deleted', 'table', 'asOf'] as const) {
    if (options[name] === undefined) continue;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() of two tables has ${name}: ${shown(options[name])}. It is kept up as both change, with no time and nothing to load first: leave ${name} out.`,
    );
  }
  const { type = 'inner', suffix = '_right' } = options;
  const [one, two] = sides;
  let columns: JoinColumns | undefined;
  const plan = planTablesJoin({
    left: one,
    right: two,
    type,
    suffix,
    keyOf(made) {
      columns = made;
      return joinKey(made, [one, two], [tableOf(left.node)?.keys, tableOf(right.node)?.keys]).natural;
    },
  });
  const key = joinKey(columns as JoinColumns, sides, [tableOf(left.node)?.keys, tableOf(right.node)?.keys]);
  const joined = changesNode([changesOf(left.node), changesOf(right.node)], plan, 'a join of tables', key.natural ?? []);
  if (key.natural === undefined) return { ...(joined as Extract<Node, { kind: 'exchange' }>), table: { keys: undefined, form: 'changes' } };
  return key.settled === undefined ? joined : changesNode([joined], planOrderedChanges(joined.schema, key.settled), 'a join of tables', key.settled);
}

interface JoinKey {
  /** What tells the rows of the result apart, as they come; undefined: nothing that is known. */
  readonly natural: readonly string[] | undefined;
  /** Fewer columns that tell them apart, once the changes have been put in order. */
  readonly settled: readonly string[] | undefined;
}

/**
 * The key of a join's result: that of the side of which each row meets one row at most, where there is such a
 * side and all rows are of it.
 */
function joinKey(columns: JoinColumns, sides: readonly JoinSide[], keys: readonly (readonly string[] | undefined)[]): JoinKey {
  const [left, right] = keys;
  if (left === undefined || right === undefined) return { natural: undefined, settled: undefined };
  const nameOf = (side: 0 | 1, name: string): string => {
    const { schema, keys: joinedBy } = sides[side] as JoinSide;
    const k = joinedBy.indexOf(name);
    if (k >= 0) return columns.output.field(columns.keysTo[k] as number).name;
    const { values, to } = columns.sides[side];
    return columns.output.field(to[values.indexOf(schema.indexOf(name))] as number).name;
  };
  const joined = columns.keysTo.map((to) => columns.output.field(to).name);
  const lefts = left.map((name) => nameOf(0, name));
  const rights = right.map((name) => nameOf(1, name));
  const natural = [...new Set([...joined, ...lefts, ...rights])];
  // Of each side: whether there is one row for a key of the join.
  const [isOneLeft, isOneRight] = [lefts, rights].map((names) => names.every((name) => joined.includes(name)));
  const { type } = columns;
  if (isOneLeft && isOneRight) return { natural: joined, settled: undefined };
  if (isOneRight && (type === 'inner' || type === 'left')) return { natural, settled: lefts };
  if (isOneLeft && (type === 'inner' || type === 'right')) return { natural, settled: rights };
  return { natural, settled: undefined };
}

/** The node of a table's changes as facts. */
export function factsNode(node: Node, what = '.changes()'): Node {
  const deleted = tableOf(node)?.deleted;
  let from = changesOf(node);
  if (deleted !== undefined)
    from = selected(
      from,
      from.schema.fields.map(({ name }) => name).filter((name) => name !== deleted),
    );
  if (from.schema.indexOf('retracted') >= 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${what} adds a column "retracted", which the rows have already: ${withoutSign(from.schema)}. Rename theirs: .rename({ retracted: 'wasRetracted' }).`,
    );
  }
  const operation: RowOperation = { kind: 'rename', names: new Map([[SIGN, 'retracted']]) };
  return { kind: 'rows', schema: schemaAfter(from.schema, operation), parent: from, operation, isFacts: true };
}

/** The node of a table's new rows alone. */
export function newRowsNode(node: Node): Node {
  const table = tableOf(node);
  if (table?.form !== 'changes') {
    const { deleted } = table ?? {};
    return deleted === undefined ? node : filtered(node, (row) => !row[deleted]);
  }
  // The hidden column is seen by nobody's function, but by its name.
  const shownAs = '[old]';
  const operation: RowOperation = { kind: 'rename', names: new Map([[SIGN, shownAs]]) };
  const named: Node = { kind: 'rows', schema: schemaAfter(node.schema, operation), parent: node, operation, isFacts: true };
  return selected(
    filtered(named, (row) => !row['[old]']),
    withoutSign(node.schema).fields.map(({ name }) => name),
  );
}

/** The nodes of both as a union: as changes where one of them is. */
export function unionNode(a: Node, b: Node): Node {
  const isChanges = tableOf(a)?.form === 'changes' || tableOf(b)?.form === 'changes';
  const parents = isChanges ? [changesOf(a), changesOf(b)] : [a, b];
  return { kind: 'union', schema: (parents[0] as Node).schema, parents };
}

function selected(parent: Node, columns: readonly string[]): Node {
  return { kind: 'rows', schema: parent.schema.select(columns, 'table'), parent, operation: { kind: 'select', columns } };
}

function filtered(parent: Node, fn: (row: Record<string, unknown>) => unknown): Node {
  return { kind: 'rows', schema: parent.schema, parent, operation: { kind: 'filter', fn } };
}

function changed(stream: Upstream): Upstream {
  return upstream(stream[GRAPH], changesOf(stream.node));
}

export function upstream(graph: Graph, node: Node): Upstream {
  return { [GRAPH]: graph, node, schema: node.schema };
}

function groupsNode(stream: Upstream, keys: readonly string[], fold: ChangeFold, updates: string, more: readonly string[] = []): Node {
  return changesNode([stream.node], planTableGroups({ input: stream.schema, keys, fold }), updates, [...keys, ...more]);
}
