/**
 * `process` of keyed streams: the functions that it takes, and the node that it becomes. The operator is
 * operators/keyed/process.ts.
 */

import { checkOptionNames, type Duration, durationMs, type RowOf, type SchemaFields, schema as toSchema } from '../../core/index.ts';
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
}

/** The node of user-defined functions over the rows of each key. */
export function processNode<R, K, O extends SchemaFields, S>(stream: Upstream, keys: readonly string[], functions: ProcessOptions<R, K, O, S>): Node {
  checkOptionNames('process()', functions, { schema: true, state: true, onRow: true, onTimer: true, ttl: true });
  const { schema, state, onRow, onTimer, ttl } = functions;
  mustBeFunction(onRow, 'process onRow');
  if (state !== undefined) mustBeFunction(state, 'process state');
  if (onTimer !== undefined) mustBeFunction(onTimer, 'process onTimer');
  const { node } = stream;
  const plan = planProcess({
    input: node.schema,
    keys,
    output: toSchema(schema),
    state,
    onRow: (row, context) => onRow(row as R, context as never),
    onTimer: onTimer === undefined ? undefined : (time, context) => onTimer(time, context as never),
    ttlMs: ttl === undefined ? undefined : durationMs(ttl, 'process ttl', 1),
    ...presentTime(node),
  });
  return keyedNode(stream, plan);
}
