/** The ends of rows that have gaps of their own in session windows: a column ahead of the operator, in no result. */

import { nullable, Schema, shown, timestamp } from '../../core/index.ts';
import { type RowOperation, type SessionShape, schemaAfter } from '../../operators/index.ts';
import { GRAPH, type Node, type Upstream } from '../plan/index.ts';
import { windowTime } from './event-time.ts';
import { freeName } from './expressions.ts';

/** The stream with that column, and its name; the stream as it is where all rows have one gap. */
export function withEnds(stream: Upstream, { gapOf }: SessionShape): { readonly from: Upstream; readonly ends: string | undefined } {
  if (gapOf === undefined) return { from: stream, ends: undefined };
  const { eventTime, timeShiftMs } = windowTime(stream);
  const ends = freeName('session end', stream.schema);
  const endOf = (row: Readonly<Record<string, unknown>>): number | null => {
    const time = row[eventTime] as number | null;
    if (time === null) return null;
    const gap: unknown = gapOf(row as never);
    if (!Number.isSafeInteger(gap) || (gap as number) < 1)
      throw new RangeError(`session() has a function that gives ${shown(gap)} for the gap of a row. It must be a whole number of ms, at least 1.`);
    return time + timeShiftMs + (gap as number);
  };
  const operation: RowOperation = {
    kind: 'withColumns',
    schema: new Schema([{ name: ends, type: nullable(timestamp) }]),
    values: [{ fn: endOf }],
    isHidden: true,
  };
  const node: Node = { kind: 'rows', schema: schemaAfter(stream.schema, operation), parent: stream.node, operation };
  return { from: { [GRAPH]: stream[GRAPH], node, schema: node.schema }, ends };
}
