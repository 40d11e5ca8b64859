/** Joins in which a side is a table: with its changes where rows of it may go. */

import { MillraceError, SIGN, shown } from '../../core/index.ts';
import type { Node, Upstream } from '../plan/index.ts';
import { GRAPH } from '../plan/index.ts';
import { type AnyJoinOptions, planJoin } from './joins.ts';
import { joinNode, joinSide } from './nodes.ts';
import { tableNode, tablesJoinNode, upstream } from './table-nodes.ts';
import { changesOf, tableOf } from './tables.ts';

/** One stream of a join, and its keys. */
interface Side {
  readonly stream: Upstream;
  readonly keys: readonly string[];
}

/** The node of a join without times. Undefined: no changes are needed, and planJoin has it. */
export function tableJoinNode(left: Side, right: Side, isBroadcast: boolean, options: AnyJoinOptions = {}): Node | undefined {
  const [mine, theirs] = [tableOf(left.stream.node), tableOf(right.stream.node)];
  if (mine?.form === 'changes' && isBroadcast) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'join() of a table that is kept up with broadcast(): each row of it must meet the other side again when that changes. Leave broadcast() out, or take .changes() of the left.',
    );
  }
  if (mine !== undefined && theirs !== undefined && !isBroadcast) return ofTables(left, right, options);
  if (mine?.form === 'changes') {
    const { stream, keys } = right;
    return ofTables(left, { stream: upstream(stream[GRAPH], tableNode(stream, keys, {})), keys }, options);
  }
  if (theirs === undefined || !(theirs.form === 'changes' || theirs.canDelete)) return undefined;
  const isByKey = theirs.keys !== undefined && sameNames(theirs.keys, right.keys);
  if (!isByKey && theirs.form === 'values') return undefined;
  if (!isByKey) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() of a stream with a table by ${right.keys.join(', ')}, and the key of the table is ${theirs.keys?.join(', ') ?? 'not known'}: a row would have to meet many. Join by the key of the table.`,
    );
  }
  if (options.deleted !== undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() has deleted: ${shown(options.deleted)}, and the right is a table, which tells itself what is gone. Leave deleted out.`,
    );
  }
  const changes = upstream(right.stream[GRAPH], changesOf(right.stream.node));
  const plan = planJoin(joinSide(left.stream, left.keys), joinSide(changes, right.keys), undefined, { ...options, deleted: SIGN }, isBroadcast);
  const joined = joinNode(left.stream, changes, plan);
  const columns = joined.schema.fields.flatMap(({ name }) => (name === SIGN ? [] : [name]));
  return { kind: 'rows', schema: joined.schema.select(columns, 'join'), parent: joined, operation: { kind: 'select', columns } };
}

function ofTables(left: Side, right: Side, options: AnyJoinOptions): Node {
  return tablesJoinNode(left.stream, right.stream, [joinSide(left.stream, left.keys), joinSide(right.stream, right.keys)], options);
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
