/**
 * The nodes that keyed and windowed streams add to the graph: which operator a call of the builder becomes.
 * The classes that a user sees are in stream.ts; the operators are in the room operators.
 */

import { checkOptionNames, type Duration, durationMs, MillraceError, type Schema, shown } from '../../core/index.ts';
import {
  AggregateExchange,
  type AggregateRequest,
  EMPTY_WINDOWS,
  type ExchangeOperator,
  type GivenFeatures,
  hasUserAggregate,
  isRowWindow,
  type JoinSide,
  KeyedExchange,
  type KeyedOperatorPlan,
  type MixedRequest,
  type OverOrder,
  planAggregate,
  planDropDuplicates,
  planEmptyWindows,
  planFold,
  planMixed,
  planMixedAggregate,
  planOver,
  planRowWindow,
  planSession,
  planSessionFold,
  planSorted,
  type RowFold,
  type RowWindowRequest,
  type RowWindowShape,
  rangesApart,
  type WindowSpec,
} from '../../operators/index.ts';
import { ERROR_SCHEMA, type ExchangeNode, lateSchema, type Node, type NodeTable, type Upstream } from '../plan/index.ts';
import { isAddedTime, orderingTime, presentTime, windowTime } from './event-time.ts';
import { withExpressions } from './expressions.ts';
import { withEnds } from './session-ends.ts';
import { isLatestOfEach, mustBeFacts, updatesOf } from './updates.ts';

/** Aggregates by key, running or in windows; with windows that have no rows, where asked for. */
export function aggregateNode(stream: Upstream, keys: readonly string[], aggregates: MixedRequest['aggregates'], window: WindowSpec | undefined): Node {
  const node = ofWindows(aggregationNode(stream, keys, aggregates, window), keys, window);
  if (window?.hasEmpty !== true) return node;
  const counts = Object.keys(aggregates).filter((name) => (aggregates[name] as { readonly name?: unknown }).name === 'count');
  return ofWindows(exchangeNode([node], new KeyedExchange(planEmptyWindows({ input: node.schema, window, counts, keys }))), keys, window);
}

/** The result of windows knows their keys and, where they are of one length, how long they are. */
function ofWindows(node: Node, keys: readonly string[], window: WindowSpec | undefined): Node {
  if (node.kind !== 'exchange' || window === undefined) return node;
  const { shape } = window;
  return 'sizeMs' in shape && !('zone' in shape) ? { ...node, by: keys, windowMs: shape.sizeMs } : { ...node, by: keys };
}

/** Which operator it is depends on the window. */
function aggregationNode(stream: Upstream, keys: readonly string[], aggregates: MixedRequest['aggregates'], window: WindowSpec | undefined): Node {
  const { schema: input } = stream;
  if (typeof aggregates !== 'object' || aggregates === null) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `aggregate() is given ${shown(aggregates)}. Give at least one aggregate by name: aggregate({ rows: count() }).`,
    );
  }
  const computed = withExpressions(stream, aggregates);
  if (computed.stream !== stream) return aggregationNode(computed.stream, keys, computed.aggregates, window);
  const isLatest = window === undefined && isLatestOfEach(stream.node, keys, aggregates);
  if (!isLatest) mustBeFacts(stream.node, window === undefined ? 'aggregate()' : `aggregate() in ${window}`);
  const isMixed = hasUserAggregate(aggregates);
  if (window !== undefined && isRowWindow(window.shape)) {
    const request = { input, keys, aggregates, hasBounds: true, ...orderingTime(stream.node) };
    const evaluation = isMixed ? planMixed(request, false) : planAggregate(request as AggregateRequest);
    return rowWindowNode(stream, keys, evaluation, window, window.shape);
  }
  if (window?.shape.kind === 'session') {
    const { from, ends } = withEnds(stream, window.shape);
    const plan = planSession({ input: from.schema, keys, aggregates, window, ...windowTime(stream) }, ends);
    return keyedNode(from, plan, updatesOf(window), tableIn(keys, window));
  }
  const request = { input, keys, aggregates, ...(window === undefined ? orderingTime(stream.node) : { window, ...windowTime(stream) }) };
  const updates = window === undefined ? 'a running aggregate' : updatesOf(window);
  const table = tableIn(keys, window);
  if (isMixed) return keyedNode(stream, planMixedAggregate(request), updates, table);
  return { ...exchangeNode([stream.node], new AggregateExchange(planAggregate(request as AggregateRequest)), updates, table), latestBy: keys };
}

/** Side outputs are made once per stream. */
const errorNodes = new WeakMap<Node, Node>();
const lateNodes = new WeakMap<Node, Node[]>();

/** The rows that failed on the way to a node. */
export function errorsNode(parent: Node): Node {
  let node = errorNodes.get(parent);
  if (node === undefined) errorNodes.set(parent, (node = { kind: 'errors', schema: ERROR_SCHEMA, parent }));
  return node;
}

/**
 * The rows that were late for a node, on their way to one of its inputs.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when none can be
 */
export function lateNode(result: Node, input: number): Node {
  // Windows without rows have no late ones.
  const parent = result.kind === 'exchange' && result.operator.name === EMPTY_WINDOWS ? (result.parents[0] as Node) : result;
  const known = lateNodes.get(parent) ?? [];
  lateNodes.set(parent, known);
  const rows = timedRows(parent, input);
  if (rows === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      input > 0
        ? 'lateRight is asked of a stream that is no join of two streams by time. Take it of the result of join({ within }), or of a join in windows.'
        : 'late is asked of a stream that has no late rows. Take it of the result of a window of time, of a join by time, or of dropDuplicates({ within }), before any further step: const perMinute = ...window(...).count(); perMinute.late.to(...).',
    );
  }
  known[input] ??= { kind: 'late', schema: lateSchema(rows), parent, input };
  return known[input];
}

/** The rows of an input of a node that may be late for it; undefined: no row ever is. */
function timedRows(node: Node, input: number): Schema | undefined {
  const of = node.kind === 'exchange' ? node.operator.inputs[input] : undefined;
  return of !== undefined && of.eventTime >= 0 ? of.schema : undefined;
}

/** The node of an operator by key. */
function exchangeNode(parents: readonly Node[], operator: ExchangeOperator, updates?: string, table?: NodeTable): ExchangeNode {
  return { kind: 'exchange', schema: operator.output, parents, operator, updates, table };
}

/** The table that the results of a window are, or those without one; undefined: they are facts. */
function tableIn(keys: readonly string[], window: WindowSpec | undefined, more: readonly string[] = []): NodeTable | undefined {
  if (window === undefined) return { keys: [...keys, ...more], form: 'values' };
  if (window.emission === 'final') return undefined;
  const all = new Set([...keys, 'windowStart', 'windowEnd', ...more]);
  return { keys: [...all], form: 'values', deleted: window.shape.kind === 'session' ? 'retracted' : undefined };
}

/** What tells the results of a fold for one key apart. */
function placesOf(fold: RowFold): readonly string[] {
  return fold.kind === 'top' ? ['rank'] : [];
}

/**
 * The node of an operator over the rows of one stream, by key. `updates` is what users call it where its rows
 * replace earlier ones.
 */
export function keyedNode(stream: Upstream, plan: KeyedOperatorPlan, updates?: string, table?: NodeTable): Node {
  return exchangeNode([stream.node], new KeyedExchange(plan), updates, table);
}

/**
 * The node of an operator over the rows of several streams. What an update means is up to its functions.
 *
 * @param keys of the streams
 */
export function connectedNode(streams: readonly Upstream[], keys: readonly string[], operator: ExchangeOperator): Node {
  const parents = streams.map(({ node }) => node);
  const input = (parents[0] as Node).schema;
  const keepsKeys = keys.every((key) => {
    const at = operator.output.indexOf(key);
    return at >= 0 && operator.output.field(at).type.name === input.field(input.indexOf(key)).type.name;
  });
  const node = exchangeNode(parents, operator);
  return keepsKeys ? { ...node, by: keys } : node;
}

/** The node of a fold over a stream in windows. */
export function foldNode(stream: Upstream, keys: readonly string[], fold: RowFold, window: WindowSpec): Node {
  if (window.hasEmpty) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${fold.name} in ${window}: there is no row to give for a window that has none. emptyWindows() is for count() and aggregate().`,
    );
  }
  mustBeFacts(stream.node, `${fold.name} in ${window}`);
  if (isRowWindow(window.shape)) return ofWindows(rowWindowNode(stream, keys, fold, window, window.shape), keys, window);
  const { from, ends } = window.shape.kind === 'session' ? withEnds(stream, window.shape) : { from: stream, ends: undefined };
  const request = { input: from.schema, keys, fold, window, ...windowTime(stream) };
  const plan = window.shape.kind === 'session' ? planSessionFold(request, ends) : planFold(request);
  return ofWindows(keyedNode(from, plan, updatesOf(window), tableIn(keys, window, placesOf(fold))), keys, window);
}

/** The node of a fold over all rows so far. */
export function runningFoldNode(stream: Upstream, keys: readonly string[], fold: RowFold, ttlMs?: number): Node {
  mustBeFacts(stream.node, `${fold.name}()`);
  const plan = planFold({ input: stream.schema, keys, fold, window: undefined, ttlMs, ...presentTime(stream.node) });
  const table = { ...(tableIn(keys, undefined, placesOf(fold)) as NodeTable), forgetsBy: ttlMs === undefined ? undefined : `ttl of ${fold.name}()` };
  return keyedNode(stream, plan, `a running ${fold.name}`, table);
}

/** The node of a join; a table may consist of updates. */
export function joinNode(left: Upstream, right: Upstream, plan: KeyedOperatorPlan): Node {
  if (plan.inputs.some((input) => input.eventTime >= 0)) for (const { node } of [left, right]) mustBeFacts(node, 'join() by time');
  return exchangeNode([left.node, right.node], new KeyedExchange(plan));
}

/** What dropDuplicates() takes. */
export interface DistinctOptions {
  readonly within?: Duration;
  /** A row that is dropped counts as one that passed: `within` goes from the last row of the key. */
  readonly extend?: boolean;
}

/** The node of dropDuplicates. */
export function distinctNode(stream: Upstream, keys: readonly string[], options: DistinctOptions): Node {
  checkOptionNames('dropDuplicates()', options, { within: true, extend: true });
  mustBeFacts(stream.node, 'dropDuplicates()');
  const { within, extend = false } = options;
  if (typeof extend !== 'boolean') throw new MillraceError('ERR_MILLRACE_OPTION', `dropDuplicates extend is ${shown(extend)}. Give true or false.`);
  if (extend && within === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      "dropDuplicates() has extend and no within: without it a key is kept for ever. Give both: { within: '10m', extend: true }.",
    );
  }
  const withinMs = within === undefined ? undefined : durationMs(within, 'dropDuplicates within', 1);
  return keyedNode(stream, planDropDuplicates({ input: stream.schema, keys, withinMs, isExtended: extend, ...presentTime(stream.node) }));
}

/** The node of rows with aggregates over those before them. */
export function overNode(stream: Upstream, keys: readonly string[], given: GivenFeatures, options: OverOptions): Node {
  checkOptionNames('over()', options, { order: true });
  mustBeFacts(stream.node, 'over()');
  const { features, ranges } = rangesApart(given, stream.schema);
  const computed = withExpressions(stream, features);
  const hidden = computed.stream.schema.fields.slice(stream.schema.length).map(({ name }) => name);
  const { node } = computed.stream;
  return keyedNode(
    computed.stream,
    planOver({ input: node.schema, keys, features: computed.aggregates, ranges, hidden, order: options.order, ...presentTime(node) }),
  );
}

/** How `over` goes through the rows of a key. */
export interface OverOptions {
  /**
   * `eventTime`: rows wait until the watermark has passed their time, and see those before them in time; the
   * default where there is event time. `arrival`: rows come as they are read, and see those that came before.
   */
  readonly order?: OverOrder;
}

/** The node of rows in the order of their times. */
export function sortedNode(stream: Upstream, keys: readonly string[]): Node {
  const { eventTime, timeShiftMs } = presentTime(stream.node);
  if (eventTime === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `sorted() goes by event time, and the stream has none, or no longer the column: ${stream.schema}. Put .withWatermark(column, delay) before keyBy(), or name a column that rows have here with .withEventTime(column, { delay }).`,
    );
  }
  mustBeFacts(stream.node, 'sorted()');
  return keyedNode(stream, planSorted({ input: stream.schema, keys, eventTime, timeShiftMs }));
}

/** The node of windows of rows. */
function rowWindowNode(stream: Upstream, keys: readonly string[], evaluation: RowWindowRequest['evaluation'], window: WindowSpec, shape: RowWindowShape): Node {
  return keyedNode(stream, planRowWindow({ input: stream.schema, keys, shape, evaluation, title: String(window), ...presentTime(stream.node) }));
}

/**
 * What a result of whole rows has besides their columns: the keys, and the bounds of its window. These
 * replace the bounds of an earlier window that the rows are results of: the greatest of each minute then
 * becomes that of the hour.
 */
export function columnsBesides(schema: Schema, keys: readonly string[], window: WindowSpec | undefined): readonly string[] {
  if (window === undefined) return keys;
  const bounds = schema.fields.filter(({ name, type }) => (name === 'windowStart' || name === 'windowEnd') && type.name === 'timestamp');
  return [...keys, ...bounds.map(({ name }) => name)];
}

/** One side of a join, as joins.ts takes it. */
export function joinSide(stream: Upstream, keys: readonly string[]): JoinSide {
  const added = stream.schema.fields.map(({ name }) => name).filter((name) => isAddedTime(stream.node, name));
  return { schema: stream.schema, keys, ...presentTime(stream.node), added };
}
