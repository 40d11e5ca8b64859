/**
 * Which streams consist of updates, and what may be done with them. Running aggregates, `reduce` and `top` without a window, and
 * windows with emit('update') or emit('revise') give a new value for a key as often as epochs change it: rows that replace
 * others. Who takes them for facts, and counts or adds them up, gets numbers that depend on where epochs were cut. So that is
 * refused when the pipeline is made.
 *
 * Row functions and sinks take updates, and give them on; a table (the right of a join without times) is made of them; process()
 * leaves it to the user's function what an update means. The latest update of each key is its value: `last` of them is taken, too.
 */

import { MillraceError } from '../../core/index.ts';
import type { WindowSpec } from '../../operators/index.ts';
import type { Node } from '../plan/graph.ts';

/** What a window's results are called where they are updates; undefined: they are facts. */
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
    case 'watermark':
      return updatesFrom(node.parent);
    case 'union':
      return node.parents.map(updatesFrom).find((name) => name !== undefined);
    case 'aggregate':
      return node.plan.window === undefined ? 'a running aggregate' : updatesOf(node.plan.window);
    case 'keyed':
      if (node.updates !== undefined) return node.updates;
      // A row that is joined with a table is what it was before.
      return node.plan.name === 'table join' ? updatesFrom(node.parents[0] as Node) : undefined;
  }
}

/**
 * @param what takes the rows of `node` for facts, as users call it
 * @throws MillraceError ERR_MILLRACE_PIPELINE when they are updates
 */
export function mustBeFacts(node: Node, what: string): void {
  const from = updatesFrom(node);
  if (from === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${what} stands behind ${from}, whose rows are updates: each replaces an earlier one of its key, and how many there are depends on where epochs are cut. Put a window with emit('final') in the place of ${from}, whose results come once; or aggregate the rows before it by the key that is wanted here; or say in process() what an update means.`,
  );
}

/**
 * Whether these aggregates of updates are the latest of each key: `last`, by keys that tell the updates' own apart. However often updates
 * come, the last one is the same.
 */
export function isLatestOfEach(node: Node, keys: readonly string[], aggregates: Readonly<Record<string, unknown>>): boolean {
  if (node.kind === 'rows') return isLatestOfEach(node.parent, keys, aggregates);
  if (node.kind !== 'aggregate') return false;
  const { plan } = node;
  const hasKeys = plan.keys.every((key) => keys.includes(plan.input.field(key).name));
  return hasKeys && Object.values(aggregates).every((of) => (of as { name?: unknown }).name === 'last' && (of as { by?: unknown }).by === undefined);
}
