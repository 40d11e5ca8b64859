/** Topics of an embedded log, written for a test: values as they are, record by record. */

import { BatchBuilder, createMemory, SlabAllocator, schema, utf8 } from '../../core/index.ts';
import { log, text } from '../../io/index.ts';

const ROWS_A_BATCH = 100;

/** Appends `values` to a topic, spread over its partitions in runs of 100. */
export async function writeTopic(dir: string, topic: string, partitions: number, values: readonly string[], epoch = 0): Promise<void> {
  const sink = log.sink({ dir, topic, value: text(), partitions });
  const columns = schema({ value: utf8 });
  const writer = await sink.open({ schema: columns, pipeline: 'test', signal: new AbortController().signal });
  const memory = createMemory(64 << 20);
  const slabs = new SlabAllocator(memory);
  let turn = 0;
  const pending: Promise<void>[] = [];
  const encoder = sink.encoder({
    memory,
    slabs,
    schema: columns,
    info: writer.info,
    position: () => ({ epoch, shard: 0 }),
    block: (_partition, rowCount, slab, byteLength) => {
      pending.push(writer.write({ epoch, unit: 0, partition: turn++ % partitions, rowCount, bytes: memory.u8.slice(slab, slab + byteLength) }));
      slabs.free(slab);
    },
  });
  const builder = new BatchBuilder(slabs, columns, ROWS_A_BATCH);
  for (let from = 0; from < values.length; from += ROWS_A_BATCH) {
    builder.reset();
    for (const value of values.slice(from, from + ROWS_A_BATCH)) builder.appendRow({ value });
    encoder.write(builder.finish());
    encoder.flush();
  }
  await Promise.all(pending);
  await writer.commit(epoch);
  await writer.close();
}

/** Appends whole record batches as they are to a new topic. Their base offsets are set; nothing else of them is looked at. */
export async function writeBatches(
  dir: string,
  topic: string,
  partitions: number,
  batches: readonly { readonly partition: number; readonly bytes: Uint8Array }[],
): Promise<void> {
  const sink = log.sink({ dir, topic, value: text(), partitions });
  const writer = await sink.open({ schema: schema({ value: utf8 }), pipeline: 'test', signal: new AbortController().signal });
  try {
    for (const { partition, bytes } of batches) await writer.write({ epoch: 0, unit: 0, partition, rowCount: 0, bytes });
    await writer.commit(0);
  } finally {
    await writer.close();
  }
}
