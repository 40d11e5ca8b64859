/** log.sink and files.sink as the crash tests use them: rows of text in two partitions, and what readers see. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { files, log } from '../../io/index.ts';
import { json } from '../../io/json.ts';
import { logTopics, readLog } from '../../io/log/index.ts';
import type { Sink } from '../../io/sink.ts';
import { kafkaBatch, kafkaDecode } from './record-batch-harness.ts';

/** One kind of sink: how it is made, what a block of one row is, and what its readers see, by partition. */
export interface SinkKind {
  readonly name: string;
  /** All rows of a checkpoint become visible by one step. */
  readonly isAtomic: boolean;
  sink(dir: string): Sink;
  block(row: string): Promise<Uint8Array>;
  read(dir: string): Promise<string[][]>;
}

export const KINDS: readonly SinkKind[] = [
  {
    name: 'log.sink',
    isAtomic: true,
    // Segments of two or three rows: they roll within an epoch, and checkpoints begin in a new one or not.
    sink: (dir) => log.sink({ dir, topic: 't', partitions: 2, value: json(), segmentBytes: 260 }),
    block: async (row) => {
      const bytes = await kafkaBatch([{ key: null, value: Buffer.from(row), timestamp: 0 }]);
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      return shared;
    },
    async read(dir) {
      const rows: string[][] = [[], []];
      if (!(await logTopics(dir)).includes('t')) return rows;
      for await (const { partition, bytes } of readLog(dir, 't'))
        for (const { value } of (await kafkaDecode(bytes)).records) rows[partition]?.push(String(value));
      return rows;
    },
  },
  {
    name: 'files.sink',
    isAtomic: false,
    sink: (dir) => files.sink({ dir, value: json(), parts: 'shard' }),
    block: async (row) => Buffer.from(`${row}\n`),
    async read(dir) {
      const rows: string[][] = [[], []];
      for (const name of existsSync(dir) ? readdirSync(dir).sort() : []) {
        const part = /^part-\d{10}-0000(\d)\.jsonl$/.exec(name)?.[1];
        if (part !== undefined) rows[Number(part)]?.push(...readFileSync(join(dir, name), 'utf8').split('\n').slice(0, -1));
      }
      return rows;
    },
  },
];
