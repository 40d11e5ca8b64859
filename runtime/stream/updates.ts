/**
 * Which streams consist of updates, and what may be done with them. Running aggregates, `reduce` and `top`
 * without a window, and windows with emit('update') or emit('revise') give a new value for a key whenever an
 * epoch changes it: rows that replace others. Counting them or adding them up, as if they were facts, would
 * give numbers that depend on where epochs were cut. So that is refused when the pipeline is made.
 *
 * Row functions and sinks take updates and pass them on. A table (the right of a join without times) is made
 * of them. In process() it is up to the user's function what an update means. The latest update of each key
 * is its value, so `last` of them is allowed, too.
 */

import { MillraceError } from '../../core/index.ts';
import type { WindowSpec } from '../../operators/index.ts';
import type { Node } from '../plan/index.ts';

/** The name of a window's results where they are updates; undefined: they are facts. */
export function updatesOf(window: WindowSpec): string | undefined {
  return window.emission === 'final' ? undefined : `a window with emit('${window.emission}')`;
}

/** The operator whose updates the rows of a node are, as users call it; undefined: they are facts. */
export function updatesFrom(node: Node): string | undefined {
  switch (node.kind) {
    case 'source':
    case 'late':
    case 'errors':
      return undefined;
    case 'rows':
      return node.isFacts === true ? undefined : updatesFrom(node.parent);
    case 'watermark':
      return updatesFrom(node.parent);
    case 'union':
      return node.parents.map(updatesFrom).find((name) => name !== undefined);
    case 'exchange':
      if (node.updates !== undefined) return node.updates;
      // A join with a table does not change what a row is.
      return node.operator.name === 'table join' ? updatesFrom(node.parents[0] as Node) : undefined;
  }
}

/**
 * @param what the operator that takes the rows of `node` for facts, as users call it
 * @throws MillraceError ERR_MILLRACE_PIPELINE when they are updates
 */
export function mustBeFacts(node: Node, what: string): void {
  const from = updatesFrom(node);
  if (from === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${what} stands behind ${from}, whose rows are updates: each replaces an earlier one of its key, and how many there are depends on where epochs are cut. Put a window with emit('final') in the place of ${from}, whose results come once; or take its changes as facts, with .changes(), where the old row and the new one both come; or aggregate the rows before it by the key that is wanted here. aggregate(), count(), top(), reduce() with remove and join() take a table as it is, behind groupBy().`,
  );
}

/**
 * Whether these aggregates of updates are the latest of each key: `last`, by keys that tell the keys of the
 * updates apart. The last update is the same, however often updates come.
 */
export function isLatestOfEach(node: Node, keys: readonly string[], aggregates: Readonly<Record<string, unknown>>): boolean {
  if (node.kind === 'rows') {
    const names = node.operation.kind === 'rename' ? [...node.operation.names] : [];
    const before = keys.map((key) => names.find(([, to]) => to === key)?.[0] ?? key);
    return isLatestOfEach(node.parent, before, aggregates);
  }
  if (node.kind !== 'exchange' || node.latestBy === undefined) return false;
  const hasKeys = node.latestBy.every((key) => keys.includes(key));
  return hasKeys && Object.values(aggregates).every((of) => (of as { name?: unknown }).name === 'last' && (of as { by?: unknown }).by === undefined);
}
