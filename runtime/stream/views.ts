/**
 * What `as(name)` shows. A running aggregate is read where it is. Of anything else that has one row for each
 * key, or one latest row, an operator is put behind it that keeps these rows for the view alone
 * (operators/view/row-view.ts).
 *
 *   a table            its rows: by its keys, without those that went
 *   windows            the row of the latest window of each key: with emit('update') the open one
 *   process, countWindow, ...   the row of each key that came out last
 */

import { deserialize, serialize } from 'node:v8';
import { type AnyRow, MillraceError, SIGN, shown, withoutSign } from '../../core/index.ts';
import { planRowView, type RowBytes, type RowViewRequest } from '../../operators/index.ts';
import type { ExchangeNode, Graph, Node } from '../plan/index.ts';
import { isWindowEnd, presentTime } from './event-time.ts';
import { changesOf, tableOf, withoutKey } from './tables.ts';

/** Structured clone: all values that a row can have, as they are. */
const BYTES: RowBytes = { write: serialize, read: deserialize };

/**
 * Names the rows of a node, to view them by.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it has none that can be viewed, or the name is taken
 */
export function nameView({ name: pipeline, views }: Graph, node: Node, name: string): void {
  if (typeof name !== 'string' || name === '') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `as() got the name ${shown(name)}. Give a text that is not empty: .count().as('counts').`);
  }
  const viewed = node.kind === 'exchange' && node.operator.isViewable ? node : keptRows(node, name);
  if (views.has(name)) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `Two streams of the pipeline ${shown(pipeline)} are named ${shown(name)} with as(). Name each once.`);
  }
  for (const [other, known] of views) {
    if (known === node || known.shows?.node === node)
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `as(${shown(name)}) is called on the stream that is ${shown(other)}. One name is enough.`);
  }
  views.set(name, viewed);
}

/** The node that keeps the rows of another one. */
function keptRows(node: Node, name: string): ExchangeNode {
  const { from, request } = viewOf(node, name);
  const { image, schema, operator } = planRowView({ ...request, bytes: BYTES });
  // The function sees the hidden column of changes.
  const fn = (row: AnyRow, emit: (image: AnyRow) => void): void => emit(image(row));
  const images: Node = { kind: 'rows', schema, parent: from, operation: { kind: 'flatMap', schema, fn, seesSign: true }, isFacts: true };
  return { kind: 'exchange', schema: operator.output, parents: [images], operator, shows: { node, schema: request.rows, bytes: BYTES } };
}

function viewOf(node: Node, name: string): { readonly from: Node; readonly request: Omit<RowViewRequest, 'bytes'> } {
  const rows = withoutSign(node.schema);
  if (node.kind === 'exchange' && node.by !== undefined) {
    if (node.rank !== undefined) throw lists(name);
    const { eventTime } = presentTime(node);
    const keys = node.by;
    const deleted = tableOf(node)?.deleted;
    // A session that was merged into another one is not the latest: that is the other one.
    const from = deleted === undefined ? node : filtered(node, (row) => row[deleted] !== true);
    return { from, request: { rows, keys, time: isWindowEnd(node) ? eventTime : undefined } };
  }
  const table = tableOf(node);
  if (table === undefined) throw facts(name);
  if (table.keys === undefined) throw withoutKey(node.schema);
  if (node.kind === 'exchange' && node.table?.forgetsBy !== undefined) throw forgets(name, node.table.forgetsBy);
  if (!table.canDelete) return { from: node, request: { rows, keys: table.keys } };
  return { from: changesOf(node), request: { rows, keys: table.keys, gone: SIGN } };
}

function filtered(parent: Node, fn: (row: AnyRow) => boolean): Node {
  return { kind: 'rows', schema: parent.schema, parent, operation: { kind: 'filter', fn } };
}

function facts(name: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `as(${shown(name)}) is called on a stream of facts, in which no row replaces another, so there is none to view by a key. Name a table, a window's result or that of process() before any further step; or view the last row of each key: .keyBy('id').table().as(${shown(name)}).`,
  );
}

function lists(name: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `as(${shown(name)}) is called on top() in a window: a window's list may be shorter than the one before it, and would show rows of both. View each window's rows: .keyBy('page', 'windowStart', 'rank').table().as(${shown(name)}), of windows with emit('final'); or the list as one value: aggregate({ rows: collect(...) }).as(${shown(name)}).`,
  );
}

function forgets(name: string, by: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `as(${shown(name)}) is called on a table whose rows go without a word of it: by ${by}. The view would show them for ever. Leave the option out; or say which rows go, in keyBy(...).table({ delete }).`,
  );
}
