/** Rows through a sink of ours, as a job runs it: the worker's encoder and the coordinator's writer, here on one thread. */

import type { Sink, SinkBlock } from '../../io/sink.ts';
import { batches, ROWS_MADE, SCHEMA } from './rows.ts';

/** Blocks under way, as the epochs of a job bound them. */
const BLOCKS_MAX = 16;

/** Resolves with the seconds of CPU that it took, without making the rows. */
export async function ours(sink: Sink, rowCount: number): Promise<number> {
  const { slabs, batches: made } = batches();
  sink.check(SCHEMA);
  const writer = await sink.open({ schema: SCHEMA, pipeline: 'bench', signal: new AbortController().signal });
  const under = new Set<Promise<void>>();
  let unit = 0;
  const encoder = sink.encoder({
    memory: slabs.memory,
    slabs,
    schema: SCHEMA,
    info: writer.info,
    position: () => ({ epoch: 0, shard: 0 }),
    block(partition, rows, slab, byteLength) {
      const block: SinkBlock = { epoch: 0, unit: unit++ % 4, partition, rowCount: rows, bytes: slabs.memory.u8.subarray(slab, slab + byteLength) };
      const written = writer.write(block).then(() => {
        slabs.free(slab);
        under.delete(written);
      });
      under.add(written);
    },
  });
  const before = process.cpuUsage();
  for (let done = 0; done < rowCount; done += ROWS_MADE) {
    for (const batch of made) {
      encoder.write(batch);
      while (under.size >= BLOCKS_MAX) await Promise.race(under);
    }
  }
  encoder.flush();
  await Promise.all(under);
  await writer.commit(0);
  const { user, system } = process.cpuUsage(before);
  await writer.close();
  return (user + system) / 1e6;
}
