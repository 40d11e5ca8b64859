/**
 * The pipeline builder: what a user writes. It builds a graph of nodes and checks it as it grows, so that a wrong
 * pipeline fails where it is written, before a thread starts. It runs nothing; plan.ts turns the graph into stages.
 *
 * Row types travel along: `filter((r) => r.ms > 0)` compiles only if there is a numeric column `ms`.
 */

import {
  type AnyRow,
  type Batch,
  type BatchBuilder,
  type Duration,
  durationMs,
  i32,
  i64,
  MillraceError,
  type RowOf,
  type Schema,
  type SchemaFields,
  shown,
  schema as toSchema,
  utf8,
} from '../core/index.ts';
import { forEachBatch, type Sink, type Source, stdout } from '../io/index.ts';
import {
  type Aggregate,
  type AggregatePlan,
  type AggregatesOf,
  count,
  planAggregate,
  type ResultOf,
  type RowOperation,
  type WindowSpec,
} from '../operators/index.ts';
import { LATE_COLUMNS } from './flow.ts';

/** Nodes of the graph. `schema` is that of the rows that leave the node. */
export type Node =
  | { readonly kind: 'source'; readonly schema: Schema; readonly source: Source }
  | { readonly kind: 'rows'; readonly schema: Schema; readonly parent: Node; readonly operation: RowOperation }
  | { readonly kind: 'watermark'; readonly schema: Schema; readonly parent: Node; readonly strategy: WatermarkStrategy }
  | { readonly kind: 'union'; readonly schema: Schema; readonly parents: readonly Node[] }
  | { readonly kind: 'aggregate'; readonly schema: Schema; readonly parent: Node; readonly plan: AggregatePlan }
  /** The rows that came too late for the aggregate. */
  | { readonly kind: 'late'; readonly schema: Schema; readonly parent: Node };

export interface WatermarkStrategy {
  readonly column: string;
  /** Position of the column in the schema of the node. */
  readonly columnIndex: number;
  readonly delayMs: number;
  /** After this long without rows, while we are asking for more, a partition no longer holds the watermark back. */
  readonly idleMs: number | undefined;
  /** How far one row may push the watermark ahead of the wall clock. */
  readonly maxSkewMs: number | undefined;
}

export interface SinkNode {
  readonly parent: Node;
  readonly sink: Sink;
}

/** All nodes that lead to a sink, of one pipeline. */
export class Graph {
  readonly name: string;
  readonly sinks: SinkNode[] = [];

  constructor(name: string) {
    if (typeof name !== 'string' || name === '') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `A pipeline is named ${shown(name)}. Give it a name that is a text and not empty: pipeline('clicks-per-page').`,
      );
    }
    this.name = name;
  }
}

const GRAPH = Symbol.for('millrace.graph');

/** What a pipeline module exports by default: any stream of the pipeline, or the pipeline itself. */
export interface PipelineLike {
  readonly [GRAPH]: Graph;
}

/** The graph behind a module's default export, or undefined when it is no pipeline. */
export function graphOf(value: unknown): Graph | undefined {
  return typeof value === 'object' && value !== null ? (value as Partial<PipelineLike>)[GRAPH] : undefined;
}

/** Starts a pipeline. The name stands in messages, in progress, and in what is committed: keep it. */
export function pipeline(name: string): Pipeline {
  return new Pipeline(new Graph(name));
}

export class Pipeline implements PipelineLike {
  readonly [GRAPH]: Graph;

  constructor(graph: Graph) {
    this[GRAPH] = graph;
  }

  /** The rows of a source. */
  from<R>(source: Source<R>): Stream<R> {
    if (typeof source?.open !== 'function' || typeof source.decoder !== 'function') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `from() got ${shown(source)}, which is no source. Pass kafka.source(...), log.source(...), generator(...), memory(...), files.source(...) or a Source of your own.`,
      );
    }
    return new Stream<R>(this[GRAPH], { kind: 'source', schema: source.schema, source });
  }
}

/** The schema that a map or flatMap may be given: column names with types. */
type Simplify<T> = { [K in keyof T]: T[K] };

/** A stream of rows of type R. Immutable: each call gives a new stream, and using one stream twice forks it. */
export class Stream<R> implements PipelineLike {
  readonly [GRAPH]: Graph;
  readonly node: Node;

  constructor(graph: Graph, node: Node) {
    this[GRAPH] = graph;
    this.node = node;
  }

  /** The columns of this stream. */
  get schema(): Schema {
    return this.node.schema;
  }

  /** Keeps the rows for which `fn` gives a truthy value. */
  filter(fn: (row: R) => unknown): Stream<R> {
    mustBeFunction(fn, 'filter');
    return this.#rows(this.schema, { kind: 'filter', fn });
  }

  /** One row out for each row in. `schema` names and types the columns of the new rows. */
  map<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): Stream<Simplify<RowOf<S>>> {
    mustBeFunction(fn, 'map');
    const columns = toSchema(schema);
    return this.#rows(columns, { kind: 'map', schema: columns, fn });
  }

  /** Any number of rows out for each row in: call `emit` for each. */
  flatMap<S extends SchemaFields>(schema: S, fn: (row: R, emit: (row: RowOf<S>) => void) => void): Stream<Simplify<RowOf<S>>> {
    mustBeFunction(fn, 'flatMap');
    const columns = toSchema(schema);
    return this.#rows(columns, { kind: 'flatMap', schema: columns, fn: fn as (row: unknown, emit: (row: AnyRow) => void) => void });
  }

  /** The vectorised escape hatch: whole batches, columns as typed memory. */
  mapBatches<S extends SchemaFields>(schema: S, fn: (batch: Batch, out: BatchBuilder) => void): Stream<Simplify<RowOf<S>>> {
    mustBeFunction(fn, 'mapBatches');
    const columns = toSchema(schema);
    return this.#rows(columns, { kind: 'mapBatches', schema: columns, fn });
  }

  /** The named columns only, in this order. */
  select<K extends keyof R & string>(...columns: K[]): Stream<Simplify<Pick<R, K>>> {
    return this.#rows(this.schema.select(columns, 'select'), { kind: 'select', columns });
  }

  /** All columns but the named ones. */
  drop<K extends keyof R & string>(...columns: K[]): Stream<Simplify<Omit<R, K>>> {
    for (const column of columns) this.schema.require(column, 'drop');
    const kept = this.schema.fields.map((field) => field.name).filter((name) => !(columns as string[]).includes(name));
    return this.#rows(this.schema.select(kept, 'drop'), { kind: 'select', columns: kept });
  }

  /** The rows of both streams, which must have the same columns. */
  union(other: Stream<R>): Stream<R> {
    if (!this.schema.equals(other.schema)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `union() needs the same columns on both sides: here ${this.schema}, there ${other.schema}. Use map() or select() first.`,
      );
    }
    if (other[GRAPH] !== this[GRAPH]) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `union() got a stream of the pipeline ${shown(other[GRAPH].name)}, not of ${shown(this[GRAPH].name)}. Start both with from() of one pipeline: const p = pipeline('name').`,
      );
    }
    return new Stream<R>(this[GRAPH], { kind: 'union', schema: this.schema, parents: [this.node, other.node] });
  }

  /**
   * Event time: `column` says when a row happened, and rows come at most `delay` behind the newest one of their
   * partition. The watermark is the minimum over partitions of (newest - delay); windows close when it passes them.
   *
   * @param options.idle after this long without rows a partition no longer holds the watermark back
   * @param options.maxSkew a row further ahead of the wall clock than this does not push the watermark further
   */
  withWatermark(column: keyof R & string, delay: Duration, options: { idle?: Duration; maxSkew?: Duration } = {}): Stream<R> {
    const columnIndex = this.schema.require(column, 'withWatermark');
    const { type } = this.schema.field(columnIndex);
    if (type.name !== 'timestamp' || type.nullable) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `withWatermark names the column ${shown(column)} of type ${type.name}${type.nullable ? ' or null' : ''}. Event time is a timestamp column without nulls: declare it as timestamp in the schema.`,
      );
    }
    const strategy: WatermarkStrategy = {
      column,
      columnIndex,
      delayMs: durationMs(delay, 'withWatermark delay'),
      idleMs: options.idle === undefined ? undefined : durationMs(options.idle, 'withWatermark idle', 1),
      maxSkewMs: options.maxSkew === undefined ? undefined : durationMs(options.maxSkew, 'withWatermark maxSkew'),
    };
    return new Stream<R>(this[GRAPH], { kind: 'watermark', schema: this.schema, parent: this.node, strategy });
  }

  /** Rows of equal values in these columns belong together: aggregates and windows go by key. */
  keyBy<K extends keyof R & string>(...columns: K[]): KeyedStream<R, Simplify<Pick<R, K>>>;
  /** The same with computed keys: `fn` gives the columns of `schema`, which the rows carry from here on. */
  keyBy<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): KeyedStream<Simplify<R & RowOf<S>>, Simplify<RowOf<S>>>;
  keyBy(...args: unknown[]): KeyedStream<never, never> {
    if (typeof args[1] !== 'function') {
      if (args.length === 0)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'keyBy() names no column. Name at least one, or use windowAll() for windows over all rows.');
      this.schema.select(args as string[], 'keyBy');
      return new KeyedStream(this, args as string[]) as KeyedStream<never, never>;
    }
    const keys = toSchema(args[0] as SchemaFields);
    const fn = args[1] as (row: unknown) => AnyRow;
    const columns = toSchema(Object.fromEntries([...this.schema.fields, ...keys.fields].map((field) => [field.name, field.type])));
    const widened = this.#rows<unknown>(columns, { kind: 'map', schema: columns, fn: (row: AnyRow) => ({ ...row, ...fn(row) }) });
    return new KeyedStream(
      widened,
      keys.fields.map((field) => field.name),
    ) as KeyedStream<never, never>;
  }

  /** Windows over all rows, with no key. All rows of a window meet in one place: for small results of large streams. */
  windowAll(window: WindowSpec): WindowedStream<R, unknown> {
    return new WindowedStream<R, unknown>(this, [], window);
  }

  /** Writes the stream to a sink. Gives the stream back, so that it can be the module's default export. */
  to(sink: Sink): this {
    if (typeof sink?.open !== 'function' || typeof sink.encoder !== 'function') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `to() got ${shown(sink)}, which is no sink. Pass kafka.sink(...), log.sink(...), files.sink(...), stdout(), collect() or a Sink of your own.`,
      );
    }
    sink.check(this.schema);
    this[GRAPH].sinks.push({ parent: this.node, sink });
    return this;
  }

  /** Prints the stream as tables, at most `rows` rows an epoch. */
  print(options: { rows?: number } = {}): this {
    return this.to(stdout(options));
  }

  /** Calls `fn` with each batch, in the worker that made it. */
  forEachBatch(fn: (batch: Batch, place: { epoch: number; shard: number }) => void): this {
    mustBeFunction(fn, 'forEachBatch');
    return this.to(forEachBatch(fn));
  }

  #rows<T>(schema: Schema, operation: RowOperation): Stream<T> {
    return new Stream<T>(this[GRAPH], { kind: 'rows', schema, parent: this.node, operation });
  }
}

type Results<A, R> = { readonly [P in keyof A]: ResultOf<A[P], R> };
interface WindowBounds {
  readonly windowStart: number;
  readonly windowEnd: number;
}

/** What an aggregation is put on: a stream, whatever its rows. */
interface Upstream extends PipelineLike {
  readonly node: Node;
  readonly schema: Schema;
}

/** A stream whose rows belong together by key. K is the type of the key columns. */
export class KeyedStream<R, K> {
  readonly #stream: Upstream;
  readonly #keys: readonly string[];

  constructor(stream: Upstream, keys: readonly string[]) {
    this.#stream = stream;
    this.#keys = keys;
  }

  /** Windows by key. Needs event time: call withWatermark() before. */
  window(window: WindowSpec): WindowedStream<R, K> {
    return new WindowedStream<R, K>(this.#stream, this.#keys, window);
  }

  /** Running aggregates by key, over all rows so far. Each epoch emits the keys that changed, with their new values. */
  aggregate<A extends AggregatesOf<R>>(aggregates: A): Stream<Simplify<K & Results<A, R>>> {
    return aggregateNode(this.#stream, this.#keys, aggregates, undefined);
  }

  /** Rows so far by key: `aggregate({ count: count() })`. */
  count(): Stream<Simplify<K & { readonly count: number }>> {
    return aggregateNode(this.#stream, this.#keys, { count: count() }, undefined);
  }
}

/** A stream in windows. Result rows carry the key columns, windowStart and windowEnd (ms), and the aggregates. */
export class WindowedStream<R, K> {
  readonly #stream: Upstream;
  readonly #keys: readonly string[];
  readonly #window: WindowSpec;

  constructor(stream: Upstream, keys: readonly string[], window: WindowSpec) {
    this.#stream = stream;
    this.#keys = keys;
    this.#window = window;
  }

  aggregate<A extends AggregatesOf<R>>(aggregates: A): WindowResults<Simplify<K & WindowBounds & Results<A, R>>, R> {
    return this.#results(aggregates);
  }

  /** Rows a window: `aggregate({ count: count() })`. */
  count(): WindowResults<Simplify<K & WindowBounds & { readonly count: number }>, R> {
    return this.#results({ count: count() });
  }

  #results<T>(aggregates: Readonly<Record<string, Aggregate>>): WindowResults<T, R> {
    const stream = aggregateNode<T>(this.#stream, this.#keys, aggregates, this.#window);
    return new WindowResults<T, R>(stream[GRAPH], stream.node as Extract<Node, { kind: 'aggregate' }>);
  }
}

/** What a late row has besides its own columns: the name of its source, the partition and the offset there. */
export interface LateOrigin {
  readonly lateSource: string;
  readonly latePartition: number;
  readonly lateOffset: bigint;
}

/** The results of windows, and the rows that came too late for them. */
export class WindowResults<T, R> extends Stream<T> {
  readonly #aggregate: Extract<Node, { kind: 'aggregate' }>;
  #late: Node | undefined;

  constructor(graph: Graph, node: Extract<Node, { kind: 'aggregate' }>) {
    super(graph, node);
    this.#aggregate = node;
  }

  /** The rows that came when all their windows were closed, with their coordinates. They count in no result. */
  get late(): Stream<Simplify<R & LateOrigin>> {
    this.#late ??= { kind: 'late', schema: lateSchema(this.#aggregate.plan.input), parent: this.#aggregate };
    return new Stream(this[GRAPH], this.#late);
  }
}

function lateSchema(input: Schema): Schema {
  for (const name of LATE_COLUMNS) {
    if (input.indexOf(name) >= 0)
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `A late row carries a column ${shown(name)}, which the stream has already. Rename that of the stream.`);
  }
  return toSchema(
    Object.fromEntries([...input.fields.map(({ name, type }) => [name, type]), ['lateSource', utf8], ['latePartition', i32], ['lateOffset', i64]]),
  );
}

function aggregateNode<T>(
  stream: Upstream,
  keys: readonly string[],
  aggregates: Readonly<Record<string, Aggregate>>,
  window: WindowSpec | undefined,
): Stream<T> {
  const known = eventTimeColumn(stream.node);
  // Without a window it only orders values, and may be gone.
  const eventTime = window === undefined && known !== undefined && stream.schema.indexOf(known) < 0 ? undefined : known;
  if (window !== undefined && eventTime === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'A window needs event time. Call withWatermark(column, delay) before, on the stream that has the time column.',
    );
  }
  if (eventTime !== undefined && stream.schema.indexOf(eventTime) < 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The window goes by the event-time column ${shown(eventTime)}, but the rows no longer have it: ${stream.schema}. Keep it in map() and select().`,
    );
  }
  const plan = planAggregate({
    input: stream.schema,
    keys,
    aggregates,
    ...(window === undefined ? {} : { window }),
    ...(eventTime === undefined ? {} : { eventTime, timeShiftMs: isWindowEnd(stream.node) ? -1 : 0 }),
  });
  return new Stream<T>(stream[GRAPH], { kind: 'aggregate', schema: plan.output, parent: stream.node, plan });
}

/** The column that says when a row of this node happened; undefined when nothing said so. */
function eventTimeColumn(node: Node): string | undefined {
  switch (node.kind) {
    case 'source':
      return undefined;
    case 'watermark':
      return node.strategy.column;
    case 'union': {
      const columns = new Set(node.parents.map(eventTimeColumn));
      return columns.size === 1 ? [...columns][0] : undefined;
    }
    case 'rows':
      return eventTimeColumn(node.parent);
    case 'late':
      return undefined;
    case 'aggregate':
      return node.plan.window === undefined ? undefined : 'windowEnd';
  }
}

/** Whether the event time of this node's rows is the end of the window that they are the result of. */
function isWindowEnd(node: Node): boolean {
  if (node.kind === 'aggregate') return true;
  if (node.kind === 'rows') return isWindowEnd(node.parent);
  return node.kind === 'union' && node.parents.every(isWindowEnd);
}

function mustBeFunction(fn: unknown, what: string): void {
  if (typeof fn !== 'function') throw new MillraceError('ERR_MILLRACE_PIPELINE', `${what}() got ${shown(fn)} where a function is needed.`);
}
