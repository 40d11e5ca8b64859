/**
 * `process` of keyed streams: the functions that it takes, and the node that it becomes. The operator is
 * operators/keyed/process.ts.
 */

import { checkOptionNames, type Duration, durationMs, MillraceError, type RowOf, type SchemaFields, shown, schema as toSchema } from '../../core/index.ts';
import { type ProcessContext, planProcess } from '../../operators/index.ts';
import type { Node, Upstream } from '../plan/index.ts';
import { mustBeFunction } from './arguments.ts';
import { presentTime } from './event-time.ts';
import { keyedNode } from './nodes.ts';

/** What process() takes. R: rows in, K: key columns, O: schema of the rows out, S: state of a key. */
export interface ProcessOptions<R, K, O extends SchemaFields, S> {
  /** The columns of the rows that `emit` takes. */
  readonly schema: O;
  /** Makes the state of a key that has none. */
  readonly state?: () => S;
  onRow(row: R, ctx: ProcessContext<S, K, RowOf<O>>): void;
  /** A timer's time has come. */
  onTimer?(time: number, ctx: ProcessContext<S, K, RowOf<O>>): void;
  /**
   * Drops the state of a key that has had no row for this long: in event time where there is one, else by the
   * clock.
   */
  readonly ttl?: Duration;
  /**
   * Which version of the state this is (default 1), for checkpoints: raise it when what `state` makes becomes
   * something else. State of an earlier version goes through `migrate`; without it, a start is refused.
   */
  readonly version?: number;
  /**
   * Makes the state of a key of one that an earlier version has left. Rows behind that state that are in a
   * checkpoint, too, are then taken in by `onRow` as it is now.
   *
   * @example version: 2, migrate: (old) => ({ count: (old as { n: number }).n, first: null })
   */
  migrate?(state: unknown, fromVersion: number): NoInfer<S>;
}

/** The node of user-defined functions over the rows of each key. */
export function processNode<R, K, O extends SchemaFields, S>(stream: Upstream, keys: readonly string[], functions: ProcessOptions<R, K, O, S>): Node {
  checkOptionNames('process()', functions, { schema: true, state: true, onRow: true, onTimer: true, ttl: true, version: true, migrate: true });
  const { schema, state, onRow, onTimer, ttl, version = 1, migrate } = functions;
  mustBeFunction(onRow, 'process onRow');
  if (state !== undefined) mustBeFunction(state, 'process state');
  if (onTimer !== undefined) mustBeFunction(onTimer, 'process onTimer');
  if (migrate !== undefined) mustBeFunction(migrate, 'process migrate');
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `process version is ${shown(version)}. Give a whole number from 1 on.`);
  }
  const { node } = stream;
  const plan = planProcess({
    input: node.schema,
    keys,
    output: toSchema(schema),
    state,
    onRow: (row, context) => onRow(row as R, context as never),
    onTimer: onTimer === undefined ? undefined : (time, context) => onTimer(time, context as never),
    ttlMs: ttl === undefined ? undefined : durationMs(ttl, 'process ttl', 1),
    version,
    migrate: migrate === undefined ? undefined : (from, fromVersion) => migrate(from, fromVersion),
    ...presentTime(node),
  });
  return keyedNode(stream, plan);
}
