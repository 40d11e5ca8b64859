/**
 * How the rows of a table go into a sink.
 *
 *   upsert    new rows; a row that goes is a record of its key without a value, where the sink has such
 *   retract   old rows and new ones, with a column `retracted`
 *   append    new rows only
 *
 * Without the option: a table that is kept up as changes goes as `upsert` into a sink whose key is the
 * table's, else as `retract`. Running aggregates, and windows with emit('update') or emit('revise'), put out
 * new rows, behind row functions, too.
 */

import { MillraceError, shown } from '../../core/index.ts';
import type { Sink } from '../../io/index.ts';
import type { Node } from '../plan/index.ts';
import { factsNode, newRowsNode } from './table-nodes.ts';
import { changesOf, type TableTraits, tableOf } from './tables.ts';

/** @throws MillraceError ERR_MILLRACE_PIPELINE when the rows cannot go there so */
export function sinkNode(node: Node, sink: Sink): Node {
  const table = tableOf(node);
  const { changelog = 'auto' } = sink;
  if (table === undefined) {
    if (changelog !== 'retract') return node;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The sink ${sink.name} has changelog: 'retract', and the rows are facts: none is taken back. Leave it out.`,
    );
  }
  switch (changelog) {
    case 'append':
      return newRowsNode(node);
    case 'retract':
      return factsNode(node, `changelog: 'retract'`);
    case 'upsert':
      return upserts(node, table, sink);
    case 'auto':
      if (table.form === 'values') return node;
      return hasKeyOf(table, sink) ? changesOf(node) : factsNode(node, 'The sink of a table');
  }
}

function upserts(node: Node, table: TableTraits, sink: Sink): Node {
  const { keys } = table;
  if (sink.upsertKey !== undefined && !hasKeyOf(table, sink)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The sink ${sink.name} has changelog: 'upsert' and the key ${sink.upsertKey.join(', ')}, but rows of the table replace each other by ${keys?.join(', ') ?? 'columns that they no longer have'}. Give these as its key${keys === undefined ? ': keep the columns in map() and select()' : `: ${shown([...keys])}`}; or take changelog: 'retract'.`,
    );
  }
  if (!table.canDelete) return node;
  if (sink.upsertKey !== undefined) return changesOf(node);
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `The sink ${sink.name} has changelog: 'upsert', but cannot delete, and rows of the table may go. Take changelog: 'retract' (a column says which rows are taken back) or 'append' (new rows only); or kafka.sink or log.sink with the table's key.`,
  );
}

function hasKeyOf({ keys }: TableTraits, { upsertKey }: Sink): boolean {
  return keys !== undefined && upsertKey !== undefined && keys.length === upsertKey.length && keys.every((name) => upsertKey.includes(name));
}
