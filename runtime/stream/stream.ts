/**
 * Streams as a user writes them: plain, by key, and in windows. They are in one file because each makes the
 * others. They add nodes to the graph of the pipeline and check it as it grows. So a wrong pipeline fails
 * where it is written, before a thread starts. They run nothing; plan/planner.ts makes stages of the graph.
 *
 * Row types travel along: `filter((r) => r.ms > 0)` compiles only if there is a numeric column `ms`.
 */

import {
  type AnyRow,
  type Batch,
  type BatchBuilder,
  type ColumnName,
  type ColumnOrStruct,
  checkOptionNames,
  type Duration,
  durationMs,
  i32,
  MillraceError,
  type OmitColumns,
  type PickColumns,
  type RowOf,
  type Schema,
  type SchemaFields,
  shown,
  schema as toSchema,
  withoutSign,
} from '../../core/index.ts';
import { type BatchCallbackOptions, type ChangelogSink, forEachBatch, type Sink, stdout } from '../../io/index.ts';
import {
  type AggregatesOf,
  count,
  type JoinType,
  type OverFeaturesOf,
  type ProcessOrder,
  type RowFold,
  type RowOperation,
  reduceFold,
  type WindowShape,
  WindowSpec,
} from '../../operators/index.ts';
import { type ErrorRow, GRAPH, type Graph, type Node, type PipelineLike, type Upstream } from '../plan/index.ts';
import { columnsOf, mustBeFunction, mustHaveColumns, newColumns, newNames } from './arguments.ts';
import { type EnrichOptions, enrichOperation } from './enrich.ts';
import { type Exploded, explodeOperation, type ListColumn } from './explode.ts';
import { withoutHidden } from './expressions.ts';
import {
  type AnyJoinOptions,
  type AsOfJoinOptions,
  type IntervalJoinOptions,
  type Joinable,
  type Joined,
  type JoinOptions,
  planJoin,
  type TableJoinOptions,
} from './joins.ts';
import {
  aggregateNode,
  columnsBesides,
  type DistinctOptions,
  distinctNode,
  errorsNode,
  foldNode,
  joinNode,
  joinSide,
  lateNode,
  type OverOptions,
  overNode,
  runningFoldNode,
  sortedNode,
} from './nodes.ts';
import {
  type AnyProcessOptions,
  type ConnectedOptions,
  type ManyOptions,
  type OutputFields,
  type ProcessOptions,
  type ProcessStream,
  processNodes,
  type TableOptions,
} from './process.ts';
import type { LateRow, LateRowsOf, OrNull, Renamed, Results, Simplify, TimeColumn, WindowBounds } from './row-types.ts';
import { type SampleOptions, sampler } from './sample.ts';
import { tableJoinNode } from './table-joins.ts';
import { factsNode, type LastRowOptions, tableAggregateNode, tableNode, tableReduceNode, tableTopNode, unionNode } from './table-nodes.ts';
import { sinkNode } from './table-sinks.ts';
import { rowsNode, tableOf } from './tables.ts';
import { type Ranked, type TopOptions, topNode } from './top.ts';
import { mustBeFacts } from './updates.ts';
import { nameView } from './views.ts';
import { type EventTimeOptions, eventTimeNode, namedTimeNode, processingTimeNode, type WatermarkStreamOptions } from './watermark-nodes.ts';

/**
 * A stream of rows of type R. Immutable: each call gives a new stream, and using one stream twice forks it.
 */
export class Stream<R, L = never, LR = never> implements PipelineLike {
  readonly [GRAPH]: Graph;
  readonly node: Node;
  /** The operator that this is the result of, where rows may have been late for one. */
  readonly #madeBy: Node;

  constructor(graph: Graph, node: Node, madeBy: Node = node) {
    this[GRAPH] = graph;
    this.node = node;
    this.#madeBy = madeBy;
  }

  /**
   * The rows that came too late for the operator that this stream is the result of: a window, a join by time,
   * dropDuplicates, sorted, or process in the order of event time. They are as they came to it, with `source`, `partition` and `offset`. The ledger
   * counts them all the same.
   *
   * @throws MillraceError ERR_MILLRACE_PIPELINE when no row can be late for this stream
   */
  get late(): LateRowsOf<L, Stream<LateRow<L>>> {
    return new Stream(this[GRAPH], withoutHidden(lateNode(this.#madeBy, 0))) as never;
  }

  /**
   * Of a join by time: the rows of the other stream that came too late. {@link late} has those of this one.
   */
  get lateRight(): LateRowsOf<LR, Stream<LateRow<LR>>> {
    return new Stream(this[GRAPH], withoutHidden(lateNode(this.#madeBy, 1))) as never;
  }

  /**
   * The rows that failed on the way here: those that the source could not decode, those for which a row
   * function threw, and those for which a function of the operator by key threw that made the rows here. Where
   * it is used, such a row does not end the job. It is left out, counted in the ledger, and comes here; state,
   * timers and results are as if it had never come, which costs a copy of the state for each call of such a
   * function. Where a timer or a result failed, its key comes, without a place.
   */
  get errors(): Stream<ErrorRow> {
    return new Stream(this[GRAPH], errorsNode(this.node));
  }

  /** The columns of this stream. */
  get schema(): Schema {
    return withoutSign(this.node.schema);
  }

  /** Keeps the rows for which `fn` returns a truthy value. */
  filter(fn: (row: R) => unknown): Stream<R> {
    mustBeFunction(fn, 'filter');
    return this.#rows({ kind: 'filter', fn });
  }

  /** One row out for each row in. `schema` names and types the columns of the new rows. */
  map<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): Stream<Simplify<RowOf<S>>> {
    mustHaveColumns(schema, fn, 'map', '(r) => ({ page: r.page, ms: r.ms })');
    const columns = toSchema(schema);
    return this.#rows({ kind: 'map', schema: columns, fn });
  }

  /**
   * Any number of rows out for each row in: first those for which `fn` calls `emit`, then those that it
   * returns, as an array or another iterable.
   *
   * @example .flatMap({ word: utf8 }, (r) => r.text.split(' ').map((word) => ({ word })))
   */
  flatMap<S extends SchemaFields>(
    schema: S,
    // biome-ignore lint/suspicious/noConfusingVoidType: a function that only emits returns nothing
    fn: (row: R, emit: (row: RowOf<S>) => void) => Iterable<RowOf<S>> | void | null | undefined,
  ): Stream<Simplify<RowOf<S>>> {
    mustHaveColumns(schema, fn, 'flatMap', '(r) => [{ page: r.page, ms: r.ms }]');
    const columns = toSchema(schema);
    return this.#rows({ kind: 'flatMap', schema: columns, fn: fn as (row: unknown, emit: (row: AnyRow) => void) => unknown });
  }

  /**
   * A row for each element of a list, which has the element in the list's place. A list that is null or empty
   * gives no row.
   *
   * @example orders.explode('items').keyBy('items.sku').aggregate({ n: sum('items.n') })
   * @throws MillraceError ERR_MILLRACE_PIPELINE for a column that holds no list
   */
  explode<C extends ColumnName<R>>(column: C & ListColumn<R, C>): Stream<Exploded<R, C>> {
    return this.#rows(explodeOperation(this.schema, column));
  }

  /** The vectorised escape hatch: whole batches, columns as typed memory. */
  mapBatches<S extends SchemaFields>(schema: S, fn: (batch: Batch, out: BatchBuilder) => void): Stream<Simplify<RowOf<S>>> {
    mustHaveColumns(schema, fn, 'mapBatches', '(batch, out) => { ... }');
    const columns = toSchema(schema);
    return this.#rows({ kind: 'mapBatches', schema: columns, fn });
  }

  /** The named columns only, in this order. */
  select<K extends ColumnOrStruct<R>>(...columns: K[]): Stream<Simplify<PickColumns<R, K>>> {
    return this.#rows({ kind: 'select', columns: columnsOf(this.schema, columns) });
  }

  /** All columns but the named ones. */
  drop<K extends ColumnOrStruct<R>>(...columns: K[]): Stream<Simplify<OmitColumns<R, K>>> {
    const dropped = columnsOf(this.schema, columns);
    for (const column of dropped) this.schema.require(column, 'drop');
    const kept = this.schema.fields.map((field) => field.name).filter((name) => !dropped.includes(name));
    return this.#rows({ kind: 'select', columns: kept });
  }

  /**
   * All columns, and these besides; one of a name that is there replaces it. Each function sees the row as it
   * came, without the new columns.
   *
   * @example .withColumns({ total: [f64, (r) => r.price * r.count], page: [utf8, (r) => r.page.toLowerCase()] })
   */
  withColumns<S extends SchemaFields>(
    columns: {
      readonly [P in keyof S]: readonly [type: S[P], fn: (row: R) => NoInfer<RowOf<S>[P & keyof RowOf<S>]>];
    },
  ): Stream<Simplify<Omit<R, keyof S> & RowOf<S>>> {
    const operation: RowOperation = { kind: 'withColumns', ...newColumns(columns, this.schema) };
    return this.#rows(operation);
  }

  /**
   * The same columns, some under other names. The event time goes along.
   *
   * @example .rename({ ts: 'at', usr: 'user' })
   */
  rename<const M extends { readonly [P in ColumnOrStruct<R>]?: string }>(
    names: { readonly [P in keyof M]: P extends ColumnOrStruct<R> ? M[P] : never },
  ): Stream<Renamed<R, M>> {
    const operation: RowOperation = { kind: 'rename', names: newNames(names, this.schema) };
    return this.#rows(operation);
  }

  /**
   * All columns, and those of `schema`, which an asynchronous function looks up: in a database, a service, a
   * cache. Rows stay in their order; what is behind a row waits for its answer, and an epoch ends when its last
   * answer is there. Calls run in the worker threads, `concurrency` at a time in each.
   *
   * A call that throws, or takes longer than `timeout`, is made again `retries` times; then the row fails, as
   * one for which another function throws: see {@link errors}. After a restart rows that are read again are
   * looked up again.
   *
   * @example .enrich({ country: utf8 }, async (r, { signal }) => ({ country: await lookUp(r.ip, signal) }), { cache: { by: 'ip' } })
   * @throws MillraceError ERR_MILLRACE_OPTION
   */
  enrich<S extends SchemaFields>(
    schema: S,
    fn: (row: R, context: { readonly signal: AbortSignal }) => Promise<RowOf<S> | null | undefined> | RowOf<S> | null | undefined,
    options: EnrichOptions<R> = {},
  ): Stream<Simplify<Omit<R, keyof S> & RowOf<S>>> {
    mustHaveColumns(schema, fn, 'enrich', 'async (r, { signal }) => ({ country: await lookUp(r.ip, signal) })');
    return this.#rows(enrichOperation(toSchema(schema), fn, options as EnrichOptions, this.schema));
  }

  /** Calls `fn` with each row that passes, in the worker threads: for a look at what is there. */
  peek(fn: (row: R) => void): Stream<R> {
    mustBeFunction(fn, 'peek');
    return this.#rows({
      kind: 'filter',
      fn: (row: R) => {
        fn(row);
        return true;
      },
    });
  }

  /**
   * A share of the rows, for trying out: those whose values (or the values of the columns `by`) have a low
   * hash. Rows that are alike go together, and the same ones come again in a replay: `by: 'user'` keeps all
   * rows of a share of the users.
   *
   * @param share from 0 to 1
   * @throws MillraceError ERR_MILLRACE_OPTION
   */
  sample(share: number, options: SampleOptions<R> = {}): Stream<R> {
    return this.#rows({ kind: 'filter', fn: sampler(share, options as SampleOptions, this.schema) });
  }

  /**
   * The first `n` rows of the job, in the order in which they are read; with more than one partition, whichever
   * come first. The job goes on without them. All rows go to one place to be counted: for trying out.
   */
  limit(n: number): Stream<R> {
    if (!(Number.isSafeInteger(n) && n >= 0)) throw new MillraceError('ERR_MILLRACE_OPTION', `limit() got ${shown(n)}; it takes a whole number of rows.`);
    const columns = Object.fromEntries(this.schema.fields.map(({ name, type }) => [name, type]));
    const place = '[limit]';
    return this.keyBy({ [place]: i32 }, () => ({ [place]: 0 }) as never).process({
      schema: columns,
      state: () => ({ rows: 0 }),
      onRow(row, ctx) {
        if (ctx.state.rows >= n) return;
        ctx.state.rows++;
        const { [place]: _, ...rest } = row as Record<string, unknown>;
        ctx.emit(rest as never);
      },
    }) as unknown as Stream<R>;
  }

  /** The columns of this stream, for people: their names, their types, and whether they can be null. */
  describe(): readonly { readonly name: string; readonly type: string; readonly nullable: boolean }[] {
    return this.schema.fields.map(({ name, type }) => ({ name, type: type.name, nullable: type.nullable }));
  }

  /** The rows of both streams, which must have the same columns; their order may differ. */
  union(other: Stream<R>): Stream<R> {
    if (!(other instanceof Stream))
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `union() got ${shown(other)}, which is no stream. Pass one of this pipeline.`);
    const names = this.schema.fields.map(({ name }) => name);
    if (names.length === other.schema.length && names.every((name) => other.schema.indexOf(name) >= 0) && !this.schema.equals(other.schema)) {
      const ordered = other.schema.select(names, 'union');
      if (this.schema.equals(ordered)) return this.union(other.#rows<R>({ kind: 'select', columns: names }));
    }
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
    return streamOf<R>(this[GRAPH], unionNode(this.node, other.node));
  }

  /**
   * Event time: `column` says when a row happened, and rows come at most `delay` behind the newest one of
   * their partition. The watermark is the minimum over partitions of (newest - delay); windows close when it
   * passes them.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION for an option that does not exist; ERR_MILLRACE_PIPELINE when
   *   the column is no timestamp, or the stream is the result of an operator by key: windows, joins by time,
   *   and process() whose schema keeps the column, have event time already
   */
  withWatermark(column: TimeColumn<R>, delay: Duration, options: WatermarkStreamOptions = {}): Stream<R> {
    return streamOf<R>(this[GRAPH], eventTimeNode(this.node, column, delay, options));
  }

  /**
   * Names another column as the event time, behind any operator: for windows, joins and timers from here on.
   * The watermark is that of the stream, less `delay`: how far the column may lie behind the time that the
   * stream has passed when a row comes. Rows further behind are late. `windowEnd` stands for the last
   * millisecond of its window, here as everywhere.
   *
   * @example perMinute.withColumns({ at: [timestamp, (r) => r.windowEnd - 1] }).withEventTime('at', { delay: 0 })
   * @throws MillraceError ERR_MILLRACE_PIPELINE when the column is no timestamp, the stream has no watermark,
   *   or a delay is needed: it is not for the event time that the stream has, nor for `windowStart` of windows
   *   of one length
   */
  withEventTime(column: TimeColumn<R>, options: EventTimeOptions = {}): Stream<R> {
    return new Stream<R>(this[GRAPH], namedTimeNode(this.node, column, options));
  }

  /**
   * Processing time: each row gets a column that says when it was taken in, by the clock at the start of its
   * epoch. This is its event time from here on, for windows, sessions, joins, dropDuplicates and timers. The
   * watermark is the clock at the end of each epoch. So nothing is ever late, and windows also close while no
   * rows come.
   *
   * With a checkpoint directory a restart stamps the rows that it reads again as they were. Without one it
   * stamps them anew: rows of windows that were sent, but not committed, count once more in later windows.
   *
   * @param column name of the new column, of type timestamp
   */
  withProcessingTime<C extends string = 'processedAt'>(column?: C): Stream<Simplify<R & { readonly [P in C]: number }>> {
    return streamOf(this[GRAPH], processingTimeNode(this.node, column));
  }

  /** Rows of equal values in these columns belong together: aggregates and windows go by key. */
  keyBy<K extends ColumnName<R>>(...columns: K[]): KeyedStream<R, Simplify<PickColumns<R, K>>>;
  /** The same with computed keys: `fn` returns the columns of `schema`, which the rows have from here on. */
  keyBy<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): KeyedStream<Simplify<R & RowOf<S>>, Simplify<RowOf<S>>>;
  /** Both: columns that are there, then computed ones. */
  keyBy<K extends ColumnName<R>, S extends SchemaFields>(
    ...columns: [...columns: K[], schema: S, fn: (row: R) => RowOf<S>]
  ): KeyedStream<Simplify<R & RowOf<S>>, Simplify<PickColumns<R, K> & RowOf<S>>>;
  keyBy(...args: unknown[]): unknown {
    if (typeof args[0] === 'function') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        'keyBy() takes the columns first, and then the function: keyBy({ host: utf8 }, (r) => ({ host: new URL(r.url).host })). A column that is there is named: keyBy("page").',
      );
    }
    const present = args.slice(0, -2);
    const fn = args.at(-1);
    if (typeof fn !== 'function') {
      if (args.length === 0)
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'keyBy() names no column. Name at least one, or use windowAll() for windows over all rows.');
      this.schema.select(args as string[], 'keyBy');
      return keyedStreamOf(this, args as string[]);
    }
    this.schema.select(present as string[], 'keyBy');
    const keys = toSchema(args.at(-2) as SchemaFields);
    if (keys.length === 0) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        'keyBy() has a schema without columns. Name at least one: keyBy({ host: utf8 }, (r) => ({ host: ... })).',
      );
    }
    const widened = this.#rows<unknown>({ kind: 'keyBy', schema: keys, fn: fn as (row: unknown) => AnyRow });
    return keyedStreamOf(widened, [...(present as string[]), ...keys.fields.map((field) => field.name)]);
  }

  /**
   * Running aggregates over all rows so far, with no key: each epoch with rows emits one row. Rows are combined where
   * they are read, so that little travels.
   */
  aggregate<A extends AggregatesOf<R>>(aggregates: A): Table<unknown, Simplify<Results<A, R>>> {
    return asTable(this[GRAPH], aggregateNode(this, [], aggregates, undefined));
  }

  /** Rows so far: `aggregate({ count: count() })`. */
  count(): Table<unknown, { readonly count: number }> {
    return asTable(this[GRAPH], aggregateNode(this, [], { count: count() }, undefined));
  }

  /**
   * Windows over all rows, with no key. All rows of a window meet in one place: for small results of large
   * streams.
   */
  windowAll<E extends boolean = false, T extends boolean = boolean>(window: WindowSpec<WindowShape, E, T, R>): WindowedStream<R, unknown, E, T> {
    return new WindowedStream<R, unknown, E, T>(this, [], window);
  }

  /** Writes the stream to a sink. Returns the stream, so that it can be the module's default export. */
  to(sink: Sink & { readonly _takes?: (row: R) => void }): this {
    if (typeof sink?.open !== 'function' || typeof sink.encoder !== 'function') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `to() got ${shown(sink)}, which is no sink. Pass kafka.sink(...), log.sink(...), files.sink(...), stdout(), collect() or a Sink of your own.`,
      );
    }
    const parent = sinkNode(this.node, sink);
    sink.check(withoutSign(parent.schema));
    this[GRAPH].sinks.push({ parent, sink });
    return this;
  }

  /**
   * Names the rows of this stream, so that they can be read while the job runs: `job.view(name)`. Of a table the
   * rows by its key, behind row functions, too; of windows, before any further step, the latest of each key; of
   * process, whose rows have its key, the last that came out of each key. Running aggregates are read where they
   * are, of all else the rows are kept once more. Returns the stream; a pipeline that is only viewed needs no sink.
   *
   * @example orders.keyBy('id').table({ delete: (r) => r.done }).as('open')
   * @throws MillraceError ERR_MILLRACE_PIPELINE when no row replaces another, or the name is taken
   */
  as(name: string): this {
    nameView(this[GRAPH], this.node, name);
    return this;
  }

  /** Prints the stream as tables, at most `rows` rows per epoch. */
  print(options: { rows?: number } = {}): this {
    checkOptionNames('print()', options, { rows: true });
    return this.to(stdout(options));
  }

  /**
   * Calls `fn` with each batch, in the worker that made it. After a failure it may see rows again; a job that
   * is exactly-once takes it only with `{ delivery: 'idempotent' }`, which promises that this does no harm.
   */
  forEachBatch(fn: (batch: Batch, place: { epoch: number; shard: number }) => void, options: BatchCallbackOptions = {}): this {
    mustBeFunction(fn, 'forEachBatch');
    return this.to(forEachBatch(fn, options));
  }

  #rows<T>(operation: RowOperation): Stream<T> {
    return streamOf<T>(this[GRAPH], rowsNode(this.node, operation));
  }
}

/**
 * A stream whose rows replace earlier ones of their key: running aggregates, windows with emit('update') or
 * emit('revise'), {@link KeyedStream.table}, and what is made of these. K is the type of the key columns. What
 * is made of a table by groupBy() is kept up as rows are replaced and go.
 *
 * A table goes into sinks that say how they take one; what takes facts takes {@link changes}.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the methods are those of Stream, with the types that they have here
export class Table<K, R, L = never> extends (Stream as unknown as TableBase)<R, L> {
  /** For the type checker only. */
  declare readonly _key?: K;

  /**
   * The rows of the table by other columns: what is made of them is kept up as rows are replaced, go, and move
   * from group to group.
   *
   * @example users.keyBy('id').table().groupBy('region').count()
   */
  groupBy<C extends ColumnName<R>>(...columns: C[]): KeyedTable<R, Simplify<PickColumns<R, C>>>;
  groupBy<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): KeyedTable<Simplify<R & RowOf<S>>, Simplify<RowOf<S>>>;
  groupBy<C extends ColumnName<R>, S extends SchemaFields>(
    ...args: [...columns: C[], schema: S, fn: (row: R) => RowOf<S>]
  ): KeyedTable<Simplify<R & RowOf<S>>, Simplify<PickColumns<R, C> & RowOf<S>>>;
  groupBy(...args: unknown[]): unknown {
    return (this.keyBy as (...args: unknown[]) => unknown)(...args);
  }

  /** Aggregates of all rows that are there. */
  aggregate<A extends AggregatesOf<R>>(aggregates: A): Table<unknown, Simplify<Results<A, R>>> {
    return asTable(this[GRAPH], tableAggregateNode(this, [], aggregates));
  }

  /** The number of rows that are there. */
  count(): Table<unknown, { readonly count: number }> {
    return asTable(this[GRAPH], tableAggregateNode(this, [], { count: count() }));
  }

  /**
   * The changes of the table as facts: its columns and `retracted`. Where a row is replaced the old one comes
   * with true, directly before the new one; a row that goes comes with true alone.
   */
  changes(): Stream<Simplify<Omit<R, 'retracted'> & { readonly retracted: boolean }>> {
    return new Stream(this[GRAPH], factsNode(this.node));
  }
}

/** What a table has of a stream as it is. A table is no stream of facts, and the compiler takes it for none. */
type TableBase = new <R, L>(graph: Graph, node: Node) => Pick<Stream<R, L>, typeof GRAPH | 'node' | 'schema' | 'errors'>;

/** What gives a table again. */
export interface Table<K, R, L = never> {
  /** The rows that came too late for the window whose results these are. */
  readonly late: LateRowsOf<L, Stream<LateRow<L>>>;
  /** The rows for which `fn` returns a truthy value. One that no longer passes goes from the table. */
  filter(fn: (row: R) => unknown): Table<K, R>;
  map<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): Table<K, Simplify<RowOf<S>>>;
  flatMap<S extends SchemaFields>(
    schema: S,
    // biome-ignore lint/suspicious/noConfusingVoidType: a function that only emits returns nothing
    fn: (row: R, emit: (row: RowOf<S>) => void) => Iterable<RowOf<S>> | void | null | undefined,
  ): Table<unknown, Simplify<RowOf<S>>>;
  mapBatches<S extends SchemaFields>(schema: S, fn: (batch: Batch, out: BatchBuilder) => void): Table<unknown, Simplify<RowOf<S>>>;
  select<C extends ColumnName<R>>(...columns: C[]): Table<K, Simplify<PickColumns<R, C>>>;
  drop<C extends ColumnName<R>>(...columns: C[]): Table<K, Simplify<OmitColumns<R, C>>>;
  withColumns<S extends SchemaFields>(
    columns: {
      readonly [P in keyof S]: readonly [type: S[P], fn: (row: R) => NoInfer<RowOf<S>[P & keyof RowOf<S>]>];
    },
  ): Table<K, Simplify<Omit<R, keyof S> & RowOf<S>>>;
  rename<const M extends { readonly [P in ColumnOrStruct<R>]?: string }>(
    names: M & { readonly [P in Exclude<keyof M, ColumnOrStruct<R>>]: never },
  ): Table<K, Renamed<R, M>>;
  union(other: Stream<R> | Table<never, R> | Table<unknown, R>): Table<unknown, R>;
  /** The same as {@link groupBy}. */
  keyBy<C extends ColumnName<R>>(...columns: C[]): KeyedTable<R, Simplify<PickColumns<R, C>>>;
  keyBy<S extends SchemaFields>(schema: S, fn: (row: R) => RowOf<S>): KeyedTable<Simplify<R & RowOf<S>>, Simplify<RowOf<S>>>;
  keyBy<C extends ColumnName<R>, S extends SchemaFields>(
    ...args: [...columns: C[], schema: S, fn: (row: R) => RowOf<S>]
  ): KeyedTable<Simplify<R & RowOf<S>>, Simplify<PickColumns<R, C> & RowOf<S>>>;
  /** Writes the table to a sink that says how: see its option `changelog`. */
  to(sink: ChangelogSink): this;
  as(name: string): this;
  print(options?: { rows?: number }): this;
  forEachBatch(fn: (batch: Batch, place: { epoch: number; shard: number }) => void, options?: BatchCallbackOptions): this;
}

/** The stream of a node: a table where its rows replace earlier ones. */
function streamOf<R, L = never, LR = never>(graph: Graph, node: Node): Stream<R, L, LR> {
  return (tableOf(node) === undefined ? new Stream(graph, node) : new Table(graph, node)) as unknown as Stream<R, L, LR>;
}

/** The same for a node whose rows do. */
function asTable<K, R, L = never>(graph: Graph, node: Node): Table<K, R, L> {
  return streamOf(graph, node) as unknown as Table<K, R, L>;
}

function keyedStreamOf(stream: Upstream, keys: readonly string[]): KeyedRows<unknown, unknown> {
  return tableOf(stream.node) === undefined ? new KeyedStream(stream, keys) : new KeyedTable(stream, keys);
}

/** A stream whose rows belong together by key. K is the type of the key columns. */
export class KeyedStream<R, K> {
  readonly #stream: Upstream;
  readonly #keys: readonly string[];

  constructor(stream: Upstream, keys: readonly string[]) {
    this.#stream = stream;
    this.#keys = keys;
  }

  /** Windows by key. They need event time: call withWatermark() first. */
  window<T extends boolean = boolean>(window: WindowSpec<WindowShape, boolean, T, R>): WindowedStream<R, K, false, T> {
    return new WindowedStream<R, K, false, T>(this.#stream, this.#keys, window);
  }

  /**
   * Running aggregates by key, over all rows so far. Each epoch emits the keys that changed, with their new
   * values.
   */
  aggregate<A extends AggregatesOf<R>>(aggregates: A): Table<K, Simplify<K & Results<A, R>>> {
    return asTable(this.#stream[GRAPH], aggregateNode(this.#stream, this.#keys, aggregates, undefined));
  }

  /**
   * Each row with aggregates over the rows of its key up to itself: of a time, of a number of rows, or of all so
   * far. Results have all columns of the row, then these. A range stands behind the column, or beside the
   * aggregate: `sum('amount', '1h')`, `mean('amount', { rows: 5 })`, `[count({ where }), '1m']`. A time `'1h'` is
   * the rows with times in (t - 1h, t].
   *
   * With event time rows come out in the order of their times, once the watermark has passed them: the same in a
   * replay as live. `{ order: 'arrival' }` does not wait, and goes by the order in which rows are read. Late
   * rows are in `.late`.
   *
   * @example
   * payments.keyBy('card').over({ n1: count('1m'), sum60: sum('amount', '1h'), last5: mean('amount', { rows: 5 }) })
   */
  over<F extends OverFeaturesOf<R>>(features: F, options: OverOptions = {}): Stream<Simplify<R & Results<F, R>>, R> {
    return new Stream(this.#stream[GRAPH], overNode(this.#stream, this.#keys, features, options));
  }

  /**
   * A function of your own over the rows of each key, in order, with state and timers. Results are the rows
   * that `ctx.emit` gets. Rows of a key come in the order (source, partition, offset) of each epoch. Timers
   * fire after the epoch's rows, so a row may be newer than a timer that is due: compare the row's time with
   * `ctx.watermark` where it matters. Late rows come, too. State is JavaScript values that structured clone
   * can copy. While there is any, no position is committed.
   *
   * With `order: 'eventTime'` rows and timers come in the order of their times instead, wherever epochs are
   * cut: reading years in one go then gives what was given live. Rows wait for the watermark; those behind it
   * are late, and in `.late`.
   *
   * @example
   * .keyBy('user').process({
   *   schema: { user: utf8, clicks: f64 },
   *   state: () => ({ clicks: 0 }),
   *   onRow(row, ctx) {
   *     if (ctx.state.clicks++ === 0) ctx.timer(ctx.time + 60_000);
   *   },
   *   onTimer(time, ctx) {
   *     ctx.emit({ user: ctx.key.user, clicks: ctx.state.clicks });
   *     ctx.clear();
   *   },
   * })
   */
  process<O extends SchemaFields, S = undefined, X extends OutputFields = Record<never, never>, T extends ProcessOrder = 'arrival'>(
    functions: ProcessOptions<R, K, O, S, X, T>,
  ): ProcessedStream<Simplify<RowOf<O>>, X, T extends 'eventTime' ? R : never> {
    return new ProcessedStream([this.processed()], functions as unknown as AnyProcessOptions);
  }

  /**
   * This stream beside others, for `process`: their rows share the state of their key. Key columns are paired
   * by position, and have the names that they have here.
   *
   * With a broadcast table, functions read all of its rows in `ctx.table`.
   *
   * @example
   * orders.keyBy('order').connect(payments.keyBy('order')).process({
   *   schema: { order: utf8, waited: f64 },
   *   order: 'eventTime',
   *   state: () => ({ at: 0 }),
   *   onLeft: (row, ctx) => void (ctx.state.at = ctx.time),
   *   onRight: (row, ctx) => ctx.emit({ order: ctx.key.order, waited: ctx.time - ctx.state.at }),
   * })
   */
  connect<T, KT>(table: BroadcastTable<T, KT>): StreamWithTable<R, K, T, KT>;
  connect<R2, K2>(other: Joinable<K, K2, KeyedRows<R2, K2>> & KeyedRows<R2, K2>): ConnectedStreams<R, R2, K>;
  connect<Ss extends readonly AnyKeyedStream[]>(...others: Ss): ManyStreams<[R, ...RowsOf<Ss>], K>;
  connect(...others: unknown[]): unknown {
    if (others.length === 1 && others[0] instanceof BroadcastTable) {
      const table = this.#ofOnePipeline(others[0].table, 'connect()').processed(true);
      if (table.keys.length !== 1) {
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `connect() got a broadcast table by (${table.keys.join(', ')}). Its rows are found by one value: key it by one column, or make one of several: keyBy({ id: utf8 }, (r) => ({ id: ... })).`,
        );
      }
      return new StreamWithTable([this.processed(), table]);
    }
    if (others.length === 0)
      throw new MillraceError('ERR_MILLRACE_PIPELINE', "connect() got no stream. Give at least one: a.keyBy('id').connect(b.keyBy('id')).");
    const streams = [this.processed(), ...others.map((other) => this.#ofOnePipeline(other, 'connect()').processed())];
    return streams.length === 2 ? new ConnectedStreams(streams) : new ManyStreams(streams);
  }

  /** @internal one stream of process. */
  processed(isTable = false): ProcessStream {
    // What an update means is up to the functions; but they are not told which rows are taken back.
    if (tableOf(this.#stream.node)?.form === 'changes') mustBeFacts(this.#stream.node, 'process()');
    return { stream: this.#stream, keys: this.#keys, isTable };
  }

  /**
   * The rows of each key in the order of event time: each is held until the watermark has passed it. Rows of
   * one time come in the order (source, partition, offset). Rows behind the watermark are late.
   *
   * @example clicks.keyBy('user').sorted()
   */
  sorted(): Stream<R, R> {
    return new Stream(this.#stream[GRAPH], sortedNode(this.#stream, this.#keys));
  }

  /**
   * The rows of each key so far as one: `fn` makes one row of two. Each epoch emits the keys that changed. A
   * result has the key columns of its key, and the other columns from `fn`.
   *
   * @param options.ttl drops the value of a key that has had no row for this long: in event time where there
   *   is one
   * @example .keyBy('user').reduce((a, b) => ({ user: a.user, spent: a.spent + b.spent }))
   */
  reduce(fn: (a: R, b: R) => R, options: { readonly ttl?: Duration } = {}): Table<K, R> {
    mustBeFunction(fn, 'reduce');
    checkOptionNames('reduce()', options, { ttl: true });
    const ttlMs = options.ttl === undefined ? undefined : durationMs(options.ttl, 'reduce ttl', 1);
    const fold = reduceFold(this.#stream.schema, this.#keys, fn as never, undefined) as RowFold;
    return asTable(this.#stream[GRAPH], runningFoldNode(this.#stream, this.#keys, fold, ttlMs));
  }

  /**
   * The `n` rows of each key with the greatest values of a column so far, or the first ones by several columns, with
   * their `rank` from 1. Each epoch emits the whole list of each key whose list changed: a sink for it
   * overwrites by key and rank.
   *
   * @example .keyBy('page').top(10, { by: ['n desc', 'route'] })
   */
  top<A extends string = 'rank'>(n: number, options: TopOptions<R, A>): Table<K & { readonly [P in A]: number }, Simplify<Ranked<R, A>>> {
    return asTable(this.#stream[GRAPH], topNode(this.#stream, this.#keys, n, options, undefined));
  }

  /**
   * The first row of each key; other rows of the key are dropped. With `within` only those are dropped whose
   * event time is less than that away from a row that passed. Without event time the clock of the epoch
   * counts. With `extend` rows that are dropped count, too: a key passes again once it has paused for `within`.
   */
  dropDuplicates(options: DistinctOptions = {}): Stream<R, R> {
    return new Stream(this.#stream[GRAPH], distinctNode(this.#stream, this.#keys, options));
  }

  /**
   * Rows of this stream and of `other` with equal keys whose event times lie near each other: `other`'s
   * within `before` and `after` of this one's. Results have the key columns (under this stream's names),
   * `joinTime` (the later of both times, which is their event time), this stream's other columns, then the
   * other's; where a name is taken, with a suffix.
   *
   * A row without a match (type left, right, full) comes out when the watermark says that none can come.
   * State is the rows of `before + after` of event time.
   *
   * @example orders.keyBy('order').join(payments.keyBy('order'), { within: [0, '10m'], type: 'left' })
   */
  join<R2, K2, T extends JoinType = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedStream<R2, K2>> & KeyedStream<R2, K2>,
    options: IntervalJoinOptions<T, S>,
  ): Stream<Joined<R, K, R2, K2, T, S, { readonly joinTime: number }>, R, R2>;
  /**
   * With `asOf: 'eventTime'` each row of this stream meets the row of the other that was valid at its time: the
   * latest one of its key up to then. The result is the same wherever epochs are cut, live and when all is read
   * again. Rows wait until the watermark of both has passed them, so a stream with few rows needs `idle`; rows
   * behind the watermark are late.
   *
   * @example orders.keyBy('currency').join(rates.keyBy('currency'), { asOf: 'eventTime', type: 'left' })
   */
  join<R2, K2, T extends 'inner' | 'left' = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedRows<R2, K2> | BroadcastTable<R2, K2>> & (KeyedRows<R2, K2> | BroadcastTable<R2, K2>),
    options: AsOfJoinOptions<R2, T, S>,
  ): Stream<Joined<R, K, R2, K2, T, S, unknown>, R, R2>;
  /**
   * Without `within` the other stream is a table: the latest row of each key. Each row of this stream meets
   * the row that its key has there at the end of the epoch. Type `left` keeps rows that meet none. The table
   * is held for ever.
   *
   * @example clicks.keyBy('user').join(users.keyBy('id'), { type: 'left' })
   */
  join<R2, K2, T extends 'inner' | 'left' = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedRows<R2, K2> | BroadcastTable<R2, K2>> & (KeyedRows<R2, K2> | BroadcastTable<R2, K2>),
    options?: TableJoinOptions<R2, T, S>,
  ): Stream<Joined<R, K, R2, K2, T, S, unknown>>;
  join(other: unknown, options?: AnyJoinOptions): unknown {
    return this.joinIn(undefined, other, options);
  }

  /** @internal join, in a window where there is one. */
  joinIn<T, L = never, LR = never>(window: WindowSpec | undefined, table: unknown, options: AnyJoinOptions | undefined): Stream<T, L, LR> {
    const isBroadcast = table instanceof BroadcastTable;
    const other = this.#ofOnePipeline(isBroadcast ? table.table : table, 'join()');
    const graph = this.#stream[GRAPH];
    if (window === undefined && options?.within === undefined && (options as { readonly asOf?: unknown } | undefined)?.asOf === undefined) {
      const made = tableJoinNode({ stream: this.#stream, keys: this.#keys }, { stream: other.#stream, keys: other.#keys }, isBroadcast, options);
      if (made !== undefined) return streamOf(graph, made);
    }
    const plan = planJoin(joinSide(this.#stream, this.#keys), joinSide(other.#stream, other.#keys), window, options, isBroadcast);
    return streamOf<T, L, LR>(graph, joinNode(this.#stream, other.#stream, plan));
  }

  /** Rows so far by key: `aggregate({ count: count() })`. */
  count(): Table<K, Simplify<K & { readonly count: number }>> {
    return asTable(this.#stream[GRAPH], aggregateNode(this.#stream, this.#keys, { count: count() }, undefined));
  }

  #ofOnePipeline(other: unknown, what: string): KeyedStream<unknown, unknown> {
    const call = what.slice(0, -2);
    if (!(other instanceof KeyedStream)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `${what} got ${shown(other)}, which is no keyed stream. Call keyBy() on it first: a.keyBy('id').${call}(b.keyBy('id'), ...).`,
      );
    }
    const graph = this.#stream[GRAPH];
    if (other.#stream[GRAPH] === graph) return other;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${what} got a stream of the pipeline ${shown(other.#stream[GRAPH].name)}, not of ${shown(graph.name)}. Start both with from() of one pipeline: const p = pipeline('name').`,
    );
  }

  /**
   * The last row of each key, as a table. The order is that of rows of a key: (source, partition, offset) in
   * each epoch.
   *
   * @param options.delete rows that take their key out of the table, such as the tombstones of a compacted topic
   * @example users.keyBy('id').table({ delete: (r) => r.closed }).groupBy('region').count()
   */
  table(options: LastRowOptions<R> = {}): Table<K, R> {
    return asTable(this.#stream[GRAPH], tableNode(this.#stream, this.#keys, options as LastRowOptions<never>));
  }
}

/**
 * The rows of a table by some columns. What is made of it is a table that is kept up: the old value of a row is
 * taken out of its group, and the new one goes into its own.
 */
export class KeyedTable<R, K> extends (KeyedStream as unknown as KeyedTableBase)<R, K> {
  readonly #stream: Upstream;
  readonly #keys: readonly string[];

  constructor(stream: Upstream, keys: readonly string[]) {
    super(stream, keys);
    this.#stream = stream;
    this.#keys = keys;
  }

  /** Aggregates of the rows that are there. Those from which no row can be taken out are refused. */
  aggregate<A extends AggregatesOf<R>>(aggregates: A): Table<K, Simplify<K & Results<A, R>>> {
    return asTable(this.#stream[GRAPH], tableAggregateNode(this.#stream, this.#keys, aggregates));
  }

  /** The rows that are there: `aggregate({ count: count() })`. */
  count(): Table<K, Simplify<K & { readonly count: number }>> {
    return asTable(this.#stream[GRAPH], tableAggregateNode(this.#stream, this.#keys, { count: count() }));
  }

  /**
   * The rows that are there as one, by key. `remove` takes a row out again: remove(fn(a, b), b) must be a.
   *
   * @example table.groupBy('region').reduce((a, b) => ({ ...a, n: a.n + b.n }), { remove: (a, b) => ({ ...a, n: a.n - b.n }) })
   */
  reduce(fn: (a: R, b: R) => R, options: { readonly remove?: (a: R, b: R) => R; readonly ttl?: never } = {}): Table<K, R> {
    return asTable(this.#stream[GRAPH], tableReduceNode(this.#stream, this.#keys, fn, options));
  }

  /**
   * The `n` rows of each key with the greatest values of a column, of those that are there. All rows are kept,
   * so that others move up. Of equal values the row with the lesser other values comes first.
   */
  top<A extends string = 'rank'>(n: number, options: TopOptions<R, A>): Table<K & { readonly [P in A]: number }, Simplify<Ranked<R, A>>> {
    return asTable(this.#stream[GRAPH], tableTopNode(this.#stream, this.#keys, n, options as unknown as TopOptions<never, string>));
  }

  /**
   * Rows of both tables with equal keys, kept up as either changes: by the key of both, or by a column that is
   * the key of the other.
   *
   * @example users.groupBy('region').join(regions.groupBy('id'), { type: 'left' })
   */
  join<R2, K2, T extends JoinType = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedTable<R2, K2>> & KeyedTable<R2, K2>,
    options?: JoinOptions<T, S>,
  ): Table<unknown, Joined<R, K, R2, K2, T, S, unknown>>;
  /** Where the other is a stream, the row that it has last for the key at the end of the epoch. */
  join<R2, K2, T extends 'inner' | 'left' = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedRows<R2, K2> | BroadcastTable<R2, K2>> & (KeyedRows<R2, K2> | BroadcastTable<R2, K2>),
    options?: TableJoinOptions<R2, T, S>,
  ): Table<unknown, Joined<R, K, R2, K2, T, S, unknown>>;
  join(other: unknown, options?: AnyJoinOptions): unknown {
    return this.joinIn(undefined, other, options);
  }

  /** @internal */
  table(): never {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', 'table() is called on a table. Use it as it is: .groupBy(...) groups its rows.');
  }
}

/** What it has of a keyed stream as it is. Those of windows, and of times, take facts. */
type KeyedTableBase = new <R, K>(stream: Upstream, keys: readonly string[]) => Pick<KeyedStream<R, K>, 'process' | 'connect' | 'processed' | 'joinIn'>;

/** The result of process. X: the columns of its further results, by name. */
export class ProcessedStream<R, X extends OutputFields = Record<never, never>, L = never, LR = never> extends Stream<R, L, LR> {
  readonly #outputs: ReadonlyMap<string, Node>;

  constructor(streams: readonly ProcessStream[], options: AnyProcessOptions) {
    const { exchange, node, outputs } = processNodes(streams, options);
    super((streams[0] as ProcessStream).stream[GRAPH], node, exchange);
    this.#outputs = outputs;
  }

  /** The streams of its `outputs`: of the rows that `emit` gets with their names. */
  get outputs(): { readonly [N in keyof X]: Stream<Simplify<RowOf<X[N]>>> } {
    return Object.fromEntries([...this.#outputs].map(([name, node]) => [name, new Stream(this[GRAPH], node)])) as never;
  }
}

/** Two streams whose rows share state by key. */
export class ConnectedStreams<R, R2, K> {
  readonly #streams: readonly ProcessStream[];

  constructor(streams: readonly ProcessStream[]) {
    this.#streams = streams;
  }

  /**
   * Functions of your own over the rows of both: `onLeft` and `onRight`, in the order in which rows are read,
   * all of one source in an epoch before those of the next; with `order: 'eventTime'` by time, the left first
   * where times are equal. All else is as for one stream.
   */
  process<O extends SchemaFields, S = undefined, X extends OutputFields = Record<never, never>, T extends ProcessOrder = 'arrival'>(
    functions: ConnectedOptions<R, R2, K, O, S, X, T>,
  ): ProcessedStream<Simplify<RowOf<O>>, X, T extends 'eventTime' ? R : never, T extends 'eventTime' ? R2 : never> {
    return new ProcessedStream(this.#streams, functions as unknown as AnyProcessOptions);
  }
}

/** Three and more streams whose rows share state by key. Rs: their rows. */
export class ManyStreams<Rs extends readonly unknown[], K> {
  readonly #streams: readonly ProcessStream[];

  constructor(streams: readonly ProcessStream[]) {
    this.#streams = streams;
  }

  /** As for two, with a function for each stream in `on`, in the order of the streams. */
  process<O extends SchemaFields, S = undefined, X extends OutputFields = Record<never, never>, T extends ProcessOrder = 'arrival'>(
    functions: ManyOptions<Rs, K, O, S, X, T>,
  ): ProcessedStream<Simplify<RowOf<O>>, X, T extends 'eventTime' ? Rs[0] : never> {
    return new ProcessedStream(this.#streams, functions as unknown as AnyProcessOptions);
  }
}

/** A stream by key, and a table that every shard holds whole. T: rows of the table, KT: its key. */
export class StreamWithTable<R, K, T, KT> {
  readonly #streams: readonly ProcessStream[];

  constructor(streams: readonly ProcessStream[]) {
    this.#streams = streams;
  }

  /**
   * Functions of your own over the rows of the stream, which read the table in `ctx.table`: as it is at the end
   * of the epoch, the same on every shard, or with `order: 'eventTime'` as it was at the time of the row. The
   * table's sources are read first.
   *
   * @example
   * events.keyBy('user').connect(broadcast(rules.keyBy('id'))).process({
   *   schema: { user: utf8, rule: utf8 },
   *   onRow(row, ctx) {
   *     for (const [id, rule] of ctx.table) if (row.amount > rule.limit) ctx.emit({ user: row.user, rule: id });
   *   },
   * })
   */
  process<O extends SchemaFields, S = undefined, X extends OutputFields = Record<never, never>, M extends ProcessOrder = 'arrival'>(
    functions: TableOptions<R, K, O, S, X, KT[keyof KT], T, M>,
  ): ProcessedStream<Simplify<RowOf<O>>, X, M extends 'eventTime' ? R : never, M extends 'eventTime' ? T : never> {
    return new ProcessedStream(this.#streams, functions as unknown as AnyProcessOptions);
  }
}

/** A stream by key, of facts or of a table. */
export type KeyedRows<R, K> = KeyedStream<R, K> | KeyedTable<R, K>;

/** A keyed stream of any rows. */
export interface AnyKeyedStream {
  /** @internal */
  processed(isTable?: boolean): ProcessStream;
}

/** The rows of several keyed streams. */
type RowsOf<Ss extends readonly unknown[]> = { [I in keyof Ss]: Ss[I] extends KeyedRows<infer R, infer _> ? R : never };

/** A table that every shard holds whole. Made by {@link broadcast}. */
export class BroadcastTable<R, K> {
  readonly table: KeyedRows<R, K>;

  constructor(table: KeyedRows<R, K>) {
    this.table = table;
  }
}

/**
 * Reads a keyed stream as a table that goes to every shard, for `join`: the rows that are joined with it are
 * then spread evenly, whatever their keys. For small tables: it is held 64 times.
 *
 * @example orders.keyBy('country').join(broadcast(countries.keyBy('code')), { type: 'left' })
 */
export function broadcast<R, K>(table: KeyedRows<R, K>): BroadcastTable<R, K> {
  if (!((table as unknown) instanceof KeyedStream)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `broadcast() got ${shown(table)}, which is no keyed stream. Call keyBy() on it first: broadcast(countries.keyBy('code')).`,
    );
  }
  return new BroadcastTable(table);
}

/** Results of windows: a table, where they replace earlier ones. */
export type Windowed<T, K, R, L> = [T] extends [true] ? Table<K & WindowBounds, R, L> : Stream<R, L>;

/**
 * A stream in windows. Result rows carry the key columns, windowStart and windowEnd (ms), and the aggregates.
 * E: windows without rows come out, too, and their aggregates are null. T: results are a table.
 */
export class WindowedStream<R, K, E extends boolean = false, T extends boolean = boolean> {
  readonly #stream: Upstream;
  readonly #keys: readonly string[];
  readonly #window: WindowSpec;

  constructor(stream: Upstream, keys: readonly string[], window: WindowSpec<WindowShape, boolean, T, never>) {
    if (!(window instanceof WindowSpec)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `A window is given as ${shown(window)}, which is none. Make one: tumbling('1m'), sliding('1m', '10s'), session('30s'), countWindow(100), cumulative('1h', '1m') or globalWindow().`,
      );
    }
    this.#stream = stream;
    this.#keys = keys;
    this.#window = window as WindowSpec;
  }

  aggregate<A extends AggregatesOf<R>>(aggregates: A): Windowed<T, K, Simplify<K & WindowBounds & OrNull<Results<A, R>, E>>, R> {
    return streamOf(this.#stream[GRAPH], aggregateNode(this.#stream, this.#keys, aggregates, this.#window)) as never;
  }

  /**
   * The rows of a window as one, by key: `fn` makes one row of two. `inverse` takes a row out again:
   * inverse(fn(a, b), b) must be a. With it a sliding window gets from one result to the next by what enters
   * and what leaves, however long it is.
   *
   * @example
   * .window(sliding('1h', '1m'))
   * .reduce((a, b) => ({ ...a, ms: a.ms + b.ms }), { inverse: (a, b) => ({ ...a, ms: a.ms - b.ms }) })
   */
  reduce(fn: (a: R, b: R) => R, options: { readonly inverse?: (a: R, b: R) => R } = {}): Windowed<T, K, Simplify<R & WindowBounds>, R> {
    mustBeFunction(fn, 'reduce');
    checkOptionNames('reduce() in a window', options, { inverse: true });
    if (options.inverse !== undefined) mustBeFunction(options.inverse, 'inverse of reduce');
    const { schema } = this.#stream;
    const fold = reduceFold(schema, columnsBesides(schema, this.#keys, this.#window), fn as never, options.inverse as never) as RowFold;
    return streamOf(this.#stream[GRAPH], foldNode(this.#stream, this.#keys, fold, this.#window)) as never;
  }

  /** The `n` rows of each key with the greatest values of a column, or the first ones by several, with their `rank` from 1. */
  top<A extends string = 'rank'>(
    n: number,
    options: TopOptions<R, A>,
  ): Windowed<T, K & { readonly [P in A]: number }, Simplify<Ranked<R & WindowBounds, A>>, R> {
    return streamOf(this.#stream[GRAPH], topNode(this.#stream, this.#keys, n, options, this.#window)) as never;
  }

  /**
   * Rows of this stream and of `other` with equal keys in the same window, when it closes. Results have the
   * key columns, windowStart and windowEnd, this stream's other columns, then the other's; where a name is
   * taken, with a suffix.
   *
   * @example clicks.keyBy('user').window(tumbling('1m')).join(views.keyBy('user'), { type: 'full' })
   */
  join<R2, K2, T extends JoinType = 'inner', S extends string = '_right'>(
    other: Joinable<K, K2, KeyedStream<R2, K2>> & KeyedStream<R2, K2>,
    options?: JoinOptions<T, S>,
  ): Stream<Joined<R, K, R2, K2, T, S, WindowBounds>, R, R2> {
    return new KeyedStream<R, K>(this.#stream, this.#keys).joinIn(this.#window, other, options);
  }

  /** Rows per window: `aggregate({ count: count() })`. */
  count(): Windowed<T, K, Simplify<K & WindowBounds & { readonly count: number }>, R> {
    return streamOf(this.#stream[GRAPH], aggregateNode(this.#stream, this.#keys, { count: count() }, this.#window)) as never;
  }
}

/** Why keys are needed where every shard holds the other side. */
const BY_KEY =
  ' With broadcast(...), too: state, timers and the order of rows are those of a key. Where any will do, take one that spreads the rows: .keyBy({ part: u32 }, (r) => ({ part: r.id % 64 })).';

/**
 * A plain stream is asked for what needs keys, or a window over all rows. The compiler refuses it; plain
 * JavaScript gets this.
 */
for (const name of ['window', 'reduce', 'process', 'connect', 'sorted', 'top', 'over', 'dropDuplicates', 'join', 'table']) {
  Object.defineProperty(Stream.prototype, name, {
    value() {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `${name}() is called on a stream without keys. Call keyBy('column').${name}(...)${['process', 'connect', 'sorted', 'over', 'dropDuplicates', 'join', 'table'].includes(name) ? '' : ', or for windows over all rows windowAll(tumbling("1m"))'} first.${name === 'connect' || name === 'join' ? BY_KEY : ''}`,
      );
    },
  });
}
