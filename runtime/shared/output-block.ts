/**
 * A block of output: what a worker hands over for a sink, and where it belongs among all blocks of an epoch. The fields are listed here
 * once: messages.ts carries them in this order.
 */

/** All are u32. */
export const OUTPUT_BLOCK_FIELDS = [
  'sink',
  // Where it belongs: 0 for a scan, 1 + n for exchange n; the partition (of all sources) or the group of shards; the chunk (scan), 0 for
  // shards; the number of the block within its unit.
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

/** Puts the blocks of an epoch into the order in which they are written, which no thread decides. Sorts `blocks` itself and returns it. */
export function orderBlocks(blocks: OutputBlock[]): OutputBlock[] {
  return blocks.sort((a, b) => a.stage - b.stage || a.unit - b.unit || a.unitSequence - b.unitSequence || a.order - b.order);
}
