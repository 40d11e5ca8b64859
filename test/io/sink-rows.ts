/** A sink with both ends open, for tests: rows in, epoch by epoch, without a job. */

import { type AnyRow, createMemory, type SchemaFields, SlabAllocator, schema } from '../../core/index.ts';
import type { Sink } from '../../io/sink.ts';
import { OpenSink } from '../../runtime/driver/open-sink.ts';

let names = 0;

/** Opens the sink, writes the rows as one epoch, commits it, and closes the sink. */
export async function writeRows<F extends SchemaFields>(sink: Sink, fields: F, rows: readonly AnyRow[], { units = 1 } = {}): Promise<void> {
  const slabs = new SlabAllocator(createMemory(256 << 20));
  const open = await OpenSink.open(sink, { schema: schema(fields), slabs, name: `rows-${names++}`, guarantee: 'at-least-once' });
  try {
    for (let unit = 0; unit < units; unit++) {
      await open.write(
        { epoch: 1, shard: unit },
        rows.filter((_, i) => i % units === unit),
      );
    }
    await open.writer.commit(1);
  } finally {
    await open.close();
  }
}
