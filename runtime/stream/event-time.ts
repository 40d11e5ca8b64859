/** Which column of a node's rows says when they happened, if any. Windows, joins and timers go by it. */

import { MillraceError, shown } from '../../core/index.ts';
import type { Node, Upstream } from '../plan/index.ts';

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
export function presentTime(node: Node): { readonly eventTime: string | undefined; readonly timeShiftMs: 0 | -1 } {
  const eventTime = eventTimeColumn(node);
  const isPresent = node.schema.fields.some(({ name, type }) => name === eventTime && type.name === 'timestamp');
  return { eventTime: isPresent ? eventTime : undefined, timeShiftMs: isWindowEnd(node) ? -1 : 0 };
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
  if (node.kind === 'rows') return isWindowEnd(node.parent);
  return node.kind === 'union' && node.parents.every(isWindowEnd);
}
