/** A sink that keeps all rows in an array on the coordinator's thread: for tests and small jobs. */

import type { AnyRow } from '../core/index.ts';
import { ArrowBlockReader, arrowSinkEncoder } from './arrow-blocks.ts';
import type { Sink } from './sink.ts';

export interface CollectSink<R> extends Sink<R> {
  /**
   * Rows of the committed epochs, in order of epoch, shard and sequence. A new run starts with an empty
   * array.
   */
  readonly rows: readonly R[];
}

/**
 * @example
 * export const result = collect();
 * export default pipeline('p').from(memory([{ a: 1 }])).to(result);
 * // after `await job.done`, on the main thread: result.rows
 */
export function collect<R = AnyRow>(): CollectSink<R> {
  let committed = new Map<number, R[]>();
  let flat: R[] | undefined;
  return {
    name: 'collect',
    get rows() {
      flat ??= [...committed.entries()].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows);
      return flat;
    },
    check: () => {},
    async open({ schema }) {
      committed = new Map();
      flat = undefined;
      const pending = new Map<number, R[]>();
      const reader = new ArrowBlockReader(schema);
      return {
        info: { partitionCount: 1 },
        async write(block) {
          let rows = pending.get(block.epoch);
          if (rows === undefined) pending.set(block.epoch, (rows = []));
          for (const batch of reader.read(block)) for (const row of batch.toRows()) rows.push(row as R);
        },
        async commit(epoch) {
          const rows = pending.get(epoch);
          if (rows === undefined) return;
          pending.delete(epoch);
          committed.set(epoch, rows);
          flat = undefined;
        },
        async close() {},
      };
    },
    encoder: arrowSinkEncoder,
  };
}
