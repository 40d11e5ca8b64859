/**
 * `process` of keyed and connected streams: the functions that it takes, and the nodes that it becomes. The
 * operator is operators/keyed/process.ts.
 */

import {
  bool,
  checkOptionNames,
  type Duration,
  durationMs,
  MillraceError,
  type RowOf,
  type Schema,
  type SchemaFields,
  shown,
  schema as toSchema,
} from '../../core/index.ts';
import { columnOfOutput, KeyedExchange, type ProcessContext, type ProcessInput, type ProcessOrder, planProcess } from '../../operators/index.ts';
import type { Node, Upstream } from '../plan/index.ts';
import { mustBeFunction } from './arguments.ts';
import { carriedTime, commonTime, type EventTime, presentTime } from './event-time.ts';
import { connectedNode } from './nodes.ts';

/** Columns of further results, by the name of the result. */
export type OutputFields = Readonly<Record<string, SchemaFields>>;
/** Their rows. */
export type OutputRowsOf<X extends OutputFields> = { readonly [N in keyof X]: RowOf<X[N]> };

/** What functions of process see: see ProcessContext. */
export type ContextOf<K, O extends SchemaFields, S, X extends OutputFields> = ProcessContext<S, K, RowOf<O>, OutputRowsOf<X>>;

/**
 * What process() takes besides the functions for rows. K: key columns, O: schema of the rows out, S: state of a
 * key, X: further results, M: the order of rows and timers.
 */
export interface ProcessBase<K, O extends SchemaFields, S, X extends OutputFields, M extends ProcessOrder> {
  /** The columns of the rows that `emit` takes. */
  readonly schema: O;
  /**
   * Further results, by name: `emit('alerts', row)` gives a row to one, and `.outputs.alerts` of the result is
   * its stream.
   *
   * @example outputs: { alerts: { user: utf8, why: utf8 } }
   */
  readonly outputs?: X;
  /** Makes the state of a key that has none. */
  readonly state?: () => S;
  /**
   * `arrival` (default): rows as they are read, timers at the end of each epoch. `eventTime`: rows are held
   * until the watermark has passed them. They and the timers then come in the order of their times, and the
   * results are the same wherever epochs are cut. Rows behind the watermark are late.
   */
  readonly order?: M;
  /** A timer's time has come. */
  onTimer?(time: number, ctx: ContextOf<K, O, S, X>): void;
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

/** What process() of one stream takes. R: rows in. */
export interface ProcessOptions<R, K, O extends SchemaFields, S, X extends OutputFields = Record<never, never>, M extends ProcessOrder = ProcessOrder>
  extends ProcessBase<K, O, S, X, M> {
  onRow(row: R, ctx: ContextOf<K, O, S, X>): void;
}

/** The same of two connected streams, which share the state of each key. */
export interface ConnectedOptions<R, R2, K, O extends SchemaFields, S, X extends OutputFields, M extends ProcessOrder> extends ProcessBase<K, O, S, X, M> {
  onLeft(row: R, ctx: ContextOf<K, O, S, X>): void;
  onRight(row: R2, ctx: ContextOf<K, O, S, X>): void;
}

/** The same of three and more. */
export interface ManyOptions<Rs extends readonly unknown[], K, O extends SchemaFields, S, X extends OutputFields, M extends ProcessOrder>
  extends ProcessBase<K, O, S, X, M> {
  /** A function for the rows of each stream, in the order in which they are connected. */
  readonly on: { readonly [I in keyof Rs]: (row: Rs[I], ctx: ContextOf<K, O, S, X>) => void };
}

/** What functions see beside a table that every shard holds. V: its keys, T: its rows. */
export type TableContext<K, O extends SchemaFields, S, X extends OutputFields, V, T> = ContextOf<K, O, S, X> & {
  /**
   * The latest row of each key of the table, for all keys: as of the end of the epoch, or, with `order:
   * 'eventTime'`, as of the time of the row or timer. Read-only.
   */
  readonly table: ReadonlyMap<V, Readonly<T>>;
};

/** What process() of a stream and a broadcast table takes. */
export interface TableOptions<R, K, O extends SchemaFields, S, X extends OutputFields, V, T, M extends ProcessOrder>
  extends Omit<ProcessBase<K, O, S, X, M>, 'onTimer'> {
  onRow(row: R, ctx: TableContext<K, O, S, X, V, T>): void;
  /** A timer's time has come. */
  onTimer?(time: number, ctx: TableContext<K, O, S, X, V, T>): void;
  /** A bool column of the table: a row with true in it takes its key out. */
  readonly deleted?: { [C in keyof T]: boolean extends T[C] ? C : never }[keyof T] & string;
}

/** One of the streams. */
export interface ProcessStream {
  readonly stream: Upstream;
  readonly keys: readonly string[];
  readonly isTable: boolean;
}

/** Any options that process() is given. */
export interface AnyProcessOptions extends ProcessBase<unknown, SchemaFields, unknown, OutputFields, ProcessOrder> {
  readonly onRow?: unknown;
  readonly onLeft?: unknown;
  readonly onRight?: unknown;
  readonly on?: unknown;
  readonly deleted?: string | undefined;
}

const BASE = { schema: true, outputs: true, state: true, order: true, onTimer: true, ttl: true, version: true, migrate: true } as const;

/** What process() has become. */
export interface Processed {
  readonly exchange: Node;
  /** The main result. */
  readonly node: Node;
  /** Further results, by name. */
  readonly outputs: ReadonlyMap<string, Node>;
}

/**
 * The nodes of user-defined functions over the rows of each key.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION or ERR_MILLRACE_PIPELINE for what cannot be
 */
export function processNodes(streams: readonly ProcessStream[], options: AnyProcessOptions): Processed {
  const functions = rowFunctions(streams, options);
  const { schema, outputs = {}, state, onTimer, ttl, version = 1, migrate, order = 'arrival', deleted } = options;
  if (state !== undefined) mustBeFunction(state, 'process state');
  if (onTimer !== undefined) mustBeFunction(onTimer, 'process onTimer');
  if (migrate !== undefined) mustBeFunction(migrate, 'process migrate');
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `process version is ${shown(version)}. Give a whole number from 1 on.`);
  }
  if (order !== 'arrival' && order !== 'eventTime') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `process() has order: ${shown(order)}. Give 'arrival' (rows as they are read, the default) or 'eventTime' (rows and timers by their times).`,
    );
  }
  const plan = planProcess({
    inputs: streams.map(({ stream: { node }, keys, isTable }): ProcessInput => {
      if (!isTable) return { schema: node.schema, keys, ...presentTime(node) };
      return { schema: node.schema, keys, ...presentTime(node), isTable, deleted: deletedColumn(node.schema, deleted) };
    }),
    output: toSchema(schema),
    outputs: outputSchemas(outputs),
    order,
    state,
    onRow: functions.map((fn) => fn && ((row, context) => fn(row, context))),
    onTimer: onTimer === undefined ? undefined : (time, context) => onTimer(time, context as never),
    ttlMs: ttl === undefined ? undefined : durationMs(ttl, 'process ttl', 1),
    version,
    migrate: migrate === undefined ? undefined : (from, fromVersion) => migrate(from, fromVersion),
  });
  const exchange = connectedNode(
    streams.map(({ stream }) => stream),
    (streams[0] as ProcessStream).keys,
    new KeyedExchange(plan),
  );
  const time = commonTime(streams.filter(({ isTable }) => !isTable).map(({ stream }) => stream.node));
  return { exchange, ...outputNodes(exchange, options, time) };
}

/** By input; none for a table. Other options are refused by name. */
function rowFunctions(streams: readonly ProcessStream[], options: AnyProcessOptions): readonly (((row: unknown, ctx: unknown) => unknown) | undefined)[] {
  const named = options as unknown as Readonly<Record<string, unknown>>;
  const hasTable = streams.some(({ isTable }) => isTable);
  const given = (fn: unknown, name: string): ((row: unknown, ctx: unknown) => unknown) => {
    mustBeFunction(fn, `process ${name}`);
    return fn as (row: unknown, ctx: unknown) => unknown;
  };
  // As methods of the options, which they may ask for.
  const method = (name: 'onRow' | 'onLeft' | 'onRight') => {
    given(options?.[name], name);
    return (row: unknown, ctx: unknown) => (named as Record<string, (row: unknown, ctx: unknown) => unknown>)[name]?.(row, ctx);
  };
  if (hasTable) {
    checkOptionNames('process() beside a table', named, { ...BASE, onRow: true, deleted: true });
    return [method('onRow'), undefined];
  }
  if (streams.length === 1) {
    checkOptionNames('process()', named, { ...BASE, onRow: true });
    return [method('onRow')];
  }
  if (streams.length === 2) {
    checkOptionNames('process() of two streams', named, { ...BASE, onLeft: true, onRight: true });
    return [method('onLeft'), method('onRight')];
  }
  checkOptionNames(`process() of ${streams.length} streams`, named, { ...BASE, on: true });
  const { on } = options;
  if (!Array.isArray(on) || on.length !== streams.length) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `process() of ${streams.length} streams has on: ${shown(on)}. Give a function for each of them, in their order: on: [(row, ctx) => { ... }, ...].`,
    );
  }
  return on.map((fn, input) => given(fn, `on[${input}]`));
}

function deletedColumn(schema: Schema, deleted: string | undefined): string | undefined {
  if (deleted === undefined) return undefined;
  const { type } = schema.field(schema.require(deleted, 'process deleted'));
  if (type.name === bool.name) return deleted;
  throw new MillraceError('ERR_MILLRACE_PIPELINE', `process() has deleted: ${shown(deleted)}, a column of ${type.name}. It must be bool: make one with map().`);
}

function outputSchemas(outputs: unknown): Readonly<Record<string, Schema>> {
  const example = 'outputs: { alerts: { user: utf8 } }';
  if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs)) {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `process() has outputs: ${shown(outputs)}. Give the columns of each by its name: ${example}.`);
  }
  return Object.fromEntries(
    Object.entries(outputs as Record<string, unknown>).map(([name, fields]) => {
      if (typeof fields !== 'object' || fields === null || Object.keys(fields).length === 0) {
        throw new MillraceError('ERR_MILLRACE_PIPELINE', `process() has ${shown(fields)} for the output ${shown(name)}. Give its columns: ${example}.`);
      }
      return [name, toSchema(fields as SchemaFields)];
    }),
  );
}

/**
 * The streams of several results of one operator: the main one, and the others by name.
 *
 * @param time the event time that rows keep which keep its column
 */
function outputNodes(exchange: Node, { schema, outputs = {} }: AnyProcessOptions, time: EventTime): Pick<Processed, 'node' | 'outputs'> {
  const names = Object.keys(outputs);
  if (names.length === 0) return { node: exchange, outputs: new Map() };
  const take = (number: number, columns: Schema, nameOf: (column: string) => string): Node => {
    const fn = (row: Record<string, unknown>): boolean => row['[output]'] === number;
    const taken: Node = { kind: 'rows', schema: exchange.schema, parent: exchange, operation: { kind: 'filter', fn } };
    const own = columns.fields.map(({ name }) => nameOf(name));
    const selected: Node = { kind: 'rows', schema: exchange.schema.select(own, 'outputs'), parent: taken, operation: { kind: 'select', columns: own } };
    if (number === 0) return selected;
    const renames = new Map(columns.fields.map(({ name }) => [nameOf(name), name]));
    return carriedTime({ kind: 'rows', schema: columns, parent: selected, operation: { kind: 'rename', names: renames } }, time);
  };
  const named = names.map((output, i) => [output, take(i + 1, toSchema(outputs[output] as SchemaFields), (column) => columnOfOutput(output, column))] as const);
  return { node: take(0, toSchema(schema), (column) => column), outputs: new Map(named) };
}
