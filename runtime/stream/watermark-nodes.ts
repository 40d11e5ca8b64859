/**
 * The nodes of withWatermark and withProcessingTime: how a stream says when its rows happened. The watermark
 * itself is core/panes/watermark.ts.
 */

import { checkOptionNames, type Duration, durationMs, MillraceError, Schema, shown, timestamp, type WatermarkPolicy } from '../../core/index.ts';
import type { Node, WatermarkStrategy } from '../plan/index.ts';
import { isBehindKeys, presentTime } from './event-time.ts';

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
  const columnIndex = schema.require(column, 'withWatermark');
  const { type } = schema.field(columnIndex);
  if (type.name !== 'timestamp' || type.nullable) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withWatermark names the column ${shown(column)} of type ${type.name}${type.nullable ? ' or null' : ''}. Event time is a timestamp column without nulls: declare it as timestamp in the schema.`,
    );
  }
  if (isBehindKeys(node)) {
    const known = presentTime(node).eventTime;
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `withWatermark(${shown(column)}) is called behind an operator by key, where rows no longer are in the order of a partition. ${
        known === undefined
          ? 'Call it on the stream that comes from the source. What process() emits has event time when its schema keeps the column that was named there.'
          : `The event time here is ${shown(known)} already: leave withWatermark() out.`
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
