/**
 * A block of output: what a worker hands over for a sink, and where it belongs among all blocks of an epoch.
 * Only this file lists the fields; messages.ts carries them in this order.
 */

/** All are u32. */
export const OUTPUT_BLOCK_FIELDS = [
  'sink',
  // Where it belongs: 0 for a scan, 1 + n for exchange n; the partition (of all sources) or the group of
  // shards; the chunk (scan), 0 for shards; the number of the block within its unit.
  'stage',
  'unit',
  'unitSequence',
  'order',
  // What is in it: for which partition of the sink, rows, and the slab.
  'outputPartition',
  'rows',
  'address',
  'bytes',
] as const;

/** One block, as a worker announced it. */
export type OutputBlock = Readonly<Record<(typeof OUTPUT_BLOCK_FIELDS)[number], number>>;

/**
 * Sorts `blocks` in place into the order in which an epoch is written, which no thread decides. Returns it.
 */
export function orderBlocks(blocks: OutputBlock[]): OutputBlock[] {
  return blocks.sort((a, b) => a.stage - b.stage || a.unit - b.unit || a.unitSequence - b.unitSequence || a.order - b.order);
}
