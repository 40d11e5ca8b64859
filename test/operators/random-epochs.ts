// Random rows of one stream, cut into chunks of three partitions and into epochs, with a clock. Not a test.

import type { AnyRow } from '../../core/index.ts';
import { fc } from '../seed.ts';
import type { KeyedEpoch } from './keyed-harness.ts';

export const PARTITIONS = 3;

/** One to six epochs of at most four chunks; each partition's offsets ascend, and the clock goes on by up to 200 ms an epoch. */
export function randomEpochs(row: fc.Arbitrary<AnyRow>, chunkRowsMax: number): fc.Arbitrary<KeyedEpoch[]> {
  const chunk = fc.record({ partition: fc.integer({ min: 0, max: PARTITIONS - 1 }), rows: fc.array(row, { maxLength: chunkRowsMax }) });
  const epoch = fc.record({ chunks: fc.array(chunk, { maxLength: 4 }), stepMs: fc.integer({ min: 0, max: 200 }) });
  return fc.array(epoch, { minLength: 1, maxLength: 6 }).map((cuts) => {
    const offsets = Array<number>(PARTITIONS).fill(0);
    let nowMs = 1_000;
    return cuts.map(({ chunks, stepMs }): KeyedEpoch => {
      nowMs += stepMs;
      return {
        nowMs,
        chunks: chunks.map(({ partition, rows }) => {
          const first = offsets[partition] as number;
          offsets[partition] = first + rows.length;
          return { partition, first, rows };
        }),
      };
    });
  });
}
