/** Which column of a node's rows says when they happened, if any. Windows, joins and timers go by it. */

import { MillraceError, shown } from '../../core/index.ts';
import { type Node, parentsOf, type Upstream } from '../plan/index.ts';

/** The event time of a stream's rows, where they have one. */
export interface EventTime {
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
}

/** The event time that windows go by. */
export function windowTime(stream: Upstream): { readonly eventTime: string; readonly timeShiftMs: 0 | -1 } {
  const eventTime = eventTimeColumn(stream.node);
  if (eventTime === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'A window needs event time. Call withWatermark(column, delay) before, on the stream that has the time column.',
    );
  }
  if (stream.schema.indexOf(eventTime) < 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The window goes by the event-time column ${shown(eventTime)}, but the rows no longer have it: ${stream.schema}. Keep it in map() and select().`,
    );
  }
  return { eventTime, timeShiftMs: isWindowEnd(stream.node) ? -1 : 0 };
}

/**
 * The event time of a node's rows, where they still have it. A column of that name that is no timestamp is
 * another one.
 */
export function presentTime(node: Node): EventTime {
  const eventTime = eventTimeColumn(node);
  const isPresent = node.schema.fields.some(({ name, type }) => name === eventTime && type.name === 'timestamp');
  return { eventTime: isPresent ? eventTime : undefined, timeShiftMs: isWindowEnd(node) ? -1 : 0 };
}

/** The event time that all of these have in common. */
export function commonTime(nodes: readonly Node[]): EventTime {
  const [first, ...others] = nodes.map(presentTime) as [EventTime, ...EventTime[]];
  const isSame = others.every(({ eventTime, timeShiftMs }) => eventTime === first.eventTime && timeShiftMs === first.timeShiftMs);
  return isSame ? first : { eventTime: undefined, timeShiftMs: 0 };
}

/** A node whose rows keep this event time, where they keep its column. */
export function carriedTime(node: Extract<Node, { kind: 'rows' }>, { eventTime, timeShiftMs }: EventTime): Node {
  if (eventTime === undefined || !node.schema.fields.some(({ name, type }) => name === eventTime && type.name === 'timestamp')) return node;
  return { ...node, time: { column: eventTime, shiftMs: timeShiftMs, delayMs: 0 } };
}

/** The event time that only orders values (first, last), where there is one. */
export function orderingTime(node: Node): { readonly eventTime?: string; readonly timeShiftMs?: 0 | -1 } {
  const { eventTime, timeShiftMs } = presentTime(node);
  return eventTime === undefined ? {} : { eventTime, timeShiftMs };
}

/** The column that says when a row of this node happened; undefined when there is none. */
export function eventTimeColumn(node: Node): string | undefined {
  switch (node.kind) {
    case 'source':
      return undefined;
    case 'watermark':
      return node.strategy.column;
    case 'union': {
      const columns = new Set(node.parents.map(eventTimeColumn));
      return columns.size === 1 ? [...columns][0] : undefined;
    }
    case 'rows': {
      if (node.time !== undefined) return node.time.column;
      const column = eventTimeColumn(node.parent);
      return column !== undefined && node.operation.kind === 'rename' ? (node.operation.names.get(column) ?? column) : column;
    }
    case 'exchange':
      return node.operator.outputTime?.column;
    case 'late': {
      // As they came.
      const { parent } = node;
      const input = parent.kind === 'exchange' ? parent.parents[node.input] : undefined;
      return input === undefined ? undefined : eventTimeColumn(input);
    }
    case 'errors':
      return undefined;
  }
}

/**
 * Whether a column of a node's rows is a time that an operator has added: `joinTime`, or a bound of a window.
 */
export function isAddedTime(node: Node, name: string): boolean {
  const at = node.schema.indexOf(name);
  if (at < 0 || node.schema.field(at).type.name !== 'timestamp') return false;
  switch (node.kind) {
    case 'source':
    case 'late':
    case 'errors':
      return false;
    case 'rows': {
      const names = node.operation.kind === 'rename' ? [...node.operation.names] : [];
      return isAddedTime(node.parent, names.find(([, to]) => to === name)?.[0] ?? name);
    }
    case 'watermark':
      return isAddedTime(node.parent, name);
    case 'union':
      return node.parents.every((parent) => isAddedTime(parent, name));
    case 'exchange':
      return node.parents.every((parent) => parent.schema.indexOf(name) < 0) || node.parents.some((parent) => isAddedTime(parent, name));
  }
}

/**
 * Whether the rows of a node have come through an operator by key, and are no longer those of a partition of
 * a source.
 */
export function isBehindKeys(node: Node): boolean {
  if (node.kind === 'rows' || node.kind === 'watermark') return isBehindKeys(node.parent);
  return node.kind === 'union' ? node.parents.some(isBehindKeys) : node.kind !== 'source';
}

/** Whether the event time of this node's rows is the end of their window. */
export function isWindowEnd(node: Node): boolean {
  if (node.kind === 'exchange') return node.operator.outputTime?.shiftMs === -1;
  if (node.kind === 'rows') return node.time === undefined ? isWindowEnd(node.parent) : node.time.shiftMs === -1;
  if (node.kind !== 'union') return false;
  const [first, ...others] = node.parents.map(isWindowEnd);
  if (eventTimeColumn(node) === undefined || others.every((other) => other === first)) return first === true;
  const column = shown(eventTimeColumn(node));
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `union() of streams by the event time ${column}: of one it is the end of a window, which stands for the last millisecond before it, and of the other a time as it is. Make a time of the first: .withColumns({ at: [timestamp, (r) => r.windowEnd - 1] }).withEventTime('at', { delay: 0 }), under the name that it has in the other.`,
  );
}

/** The watermark of a node's rows: there is one somewhere above. */
export function hasWatermark(node: Node): boolean {
  return node.kind === 'watermark' || parentsOf(node).some(hasWatermark);
}

/** The name that a column had where it was made, before it was renamed. */
export function firstName(node: Node, name: string): string {
  if (node.kind === 'watermark') return firstName(node.parent, name);
  if (node.kind !== 'rows') return name;
  const names = node.operation.kind === 'rename' ? [...node.operation.names] : [];
  return firstName(node.parent, names.find(([, to]) => to === name)?.[0] ?? name);
}

/** The greatest length of the windows that a node's rows are results of; undefined: they are none, or it is unknown. */
export function windowLength(node: Node): number | undefined {
  if (node.kind === 'exchange') return node.windowMs;
  return node.kind === 'rows' ? windowLength(node.parent) : undefined;
}
