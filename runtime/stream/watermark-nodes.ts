/**
 * The nodes of withWatermark and withProcessingTime: how a stream says when its rows happened. The watermark
 * itself is core/panes/watermark.ts.
 */

import { checkOptionNames, type Duration, durationMs, MillraceError, Schema, shown, timestamp, type WatermarkPolicy } from '../../core/index.ts';
import { schemaAfter } from '../../operators/index.ts';
import type { Node, WatermarkStrategy } from '../plan/index.ts';
import { firstName, hasWatermark, isBehindKeys, presentTime, windowLength } from './event-time.ts';

export interface WatermarkStreamOptions {
  /** After this long without rows a partition no longer holds the watermark back. */
  readonly idle?: Duration;
  /** A row further ahead of the wall clock than this does not push the watermark further. */
  readonly maxSkew?: Duration;
  /**
   * Which partition sets the time. `min` (default): the one that is furthest behind, so that no row of
   * another is late. `max`: the one that is furthest ahead. Where streams meet in a join or a union, `max`
   * applies only if all of them have it.
   */
  readonly policy?: WatermarkPolicy;
}

/** The node of `withWatermark`. */
export function eventTimeNode(node: Node, column: string, delay: Duration, options: WatermarkStreamOptions): Node {
  const { schema } = node;
  checkOptionNames('withWatermark()', options, { idle: true, maxSkew: true, policy: true });
  const columnIndex = timeColumn(schema, column, 'withWatermark');
  if (isBehindKeys(node)) {
    const known = presentTime(node).eventTime;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withWatermark(${shown(column)}) is called behind an operator by key, where rows no longer are in the order of a partition. ${
        known === undefined
          ? `Call it on the stream that comes from the source. What process() emits has event time when its schema keeps the column that was named there; another column is named here with withEventTime(${shown(column)}, { delay }).`
          : `The event time here is ${shown(known)} already: leave withWatermark() out${known === column ? '' : `, or name ${shown(column)} with withEventTime()`}.`
      }`,
    );
  }
  const strategy: WatermarkStrategy = {
    column,
    columnIndex,
    delayMs: durationMs(delay, 'withWatermark delay'),
    idleMs: options.idle === undefined ? undefined : durationMs(options.idle, 'withWatermark idle', 1),
    maxSkewMs: options.maxSkew === undefined ? undefined : durationMs(options.maxSkew, 'withWatermark maxSkew'),
    policy: watermarkPolicy(options.policy),
    isProcessingTime: false,
  };
  return { kind: 'watermark', schema, parent: node, strategy };
}

/** What `withEventTime` takes. */
export interface EventTimeOptions {
  /**
   * How far, at most, the column lies behind the event time that the stream has passed when the row comes. Not
   * needed where it follows: for the event time that the stream has, and for the bounds of windows.
   */
  readonly delay?: Duration;
}

/** The node of `withEventTime`: the rows as they are, with another column as their event time. */
export function namedTimeNode(node: Node, column: string, options: EventTimeOptions): Node {
  const { schema } = node;
  checkOptionNames('withEventTime()', options, { delay: true });
  timeColumn(schema, column, 'withEventTime');
  if (!hasWatermark(node)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withEventTime(${shown(column)}) is called on a stream that no watermark comes with: nothing says how far its time has come. Call withWatermark(${shown(column)}, delay) on the stream that comes from the source.`,
    );
  }
  const isEnd = firstName(node, column) === 'windowEnd';
  const delayMs = options.delay === undefined ? followingDelay(node, column) : durationMs(options.delay, 'withEventTime delay');
  if (delayMs === undefined) {
    const { eventTime } = presentTime(node);
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withEventTime(${shown(column)}) needs a delay: how far the column may lie behind the time that the stream has passed when a row comes${eventTime === undefined ? '' : ` (the event time here is ${shown(eventTime)})`}. Rows further behind are late. Give it: withEventTime(${shown(column)}, { delay: '10s' }).`,
    );
  }
  const operation = { kind: 'select', columns: schema.fields.map(({ name }) => name) } as const;
  return { kind: 'rows', schema: schemaAfter(schema, operation), parent: node, operation, time: { column, shiftMs: isEnd ? -1 : 0, delayMs } };
}

/** How far a column lies behind the event time, where that follows; undefined: it does not. */
function followingDelay(node: Node, column: string): number | undefined {
  const { eventTime } = presentTime(node);
  if (eventTime === column) return 0;
  const length = windowLength(node);
  const isOfWindow = eventTime !== undefined && firstName(node, eventTime) === 'windowEnd';
  return isOfWindow && firstName(node, column) === 'windowStart' ? length : undefined;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when it is no timestamp, or may be null */
function timeColumn(schema: Schema, column: string, what: string): number {
  const at = schema.require(column, what);
  const { type } = schema.field(at);
  if (type.name === 'timestamp' && !type.nullable) return at;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${what} names the column ${shown(column)} of type ${type.name}${type.nullable ? ' or null' : ''}. Event time is a timestamp column without nulls: declare it as timestamp in the schema.`,
  );
}

/** The node of `withProcessingTime`. */
export function processingTimeNode(node: Node, column: string | undefined): Node {
  const { schema } = node;
  const name = column ?? 'processedAt';
  if (typeof name !== 'string' || name === '' || schema.indexOf(name) >= 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withProcessingTime() is to add the column ${shown(name)}, ${schema.indexOf(name) >= 0 ? `which the rows already have: ${schema}` : 'which is no name'}. Name another: withProcessingTime('readAt').`,
    );
  }
  const columns = new Schema([...schema.fields, { name, type: timestamp }]);
  const strategy: WatermarkStrategy = {
    column: name,
    columnIndex: schema.length,
    delayMs: 0,
    idleMs: undefined,
    maxSkewMs: undefined,
    policy: 'min',
    isProcessingTime: true,
  };
  return { kind: 'watermark', schema: columns, parent: node, strategy };
}

function watermarkPolicy(policy: unknown): WatermarkPolicy {
  if (policy === undefined || policy === 'min' || policy === 'max') return policy ?? 'min';
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `withWatermark() has the policy ${shown(policy)}. Give 'min' (the partition that is furthest behind counts) or 'max' (the one that is furthest ahead).`,
  );
}
