/** A sink that keeps all rows in an array on the coordinator's thread: for tests and small jobs. */

import { type AnyRow, MillraceError } from '../core/index.ts';
import { ArrowBlockReader, arrowSinkEncoder } from './arrow-blocks.ts';
import type { Sink } from './sink.ts';

export interface CollectSink<R> extends Sink<R> {
  /**
   * Rows of the committed epochs, in order of epoch, shard and sequence. A new run starts with an empty
   * array.
   */
  readonly rows: readonly R[];
}

/** So that each has a name of its own. */
let made = 0;

/**
 * Takes one stream. The rows of two go in through `a.union(b)`, or into an array each.
 *
 * Exactly-once, it keeps the rows up to the checkpoint that a job resumes from, as long as the process lives:
 * they are in its memory. A job that resumes in another process starts with an empty array there.
 *
 * @example
 * export const result = collect();
 * export default pipeline('p').from(memory([{ a: 1 }])).to(result);
 * // after `await job.done`, on the main thread: result.rows
 */
export function collect<R = AnyRow>(): CollectSink<R> {
  const place = `collect() number ${++made}`;
  let committed = new Map<number, R[]>();
  /** Rows that are not visible; exactly-once, those that were prepared outlive their writer. */
  let prepared = new Map<number, R[]>();
  let flat: R[] | undefined;
  let writers = 0;

  function publish(epochs: Map<number, R[]>, until: number): void {
    for (const [epoch, rows] of epochs) {
      if (epoch > until) continue;
      epochs.delete(epoch);
      committed.set(epoch, rows);
      flat = undefined;
    }
  }

  return {
    name: 'collect',
    delivery: 'replayed by epoch',
    place,
    get rows() {
      flat ??= [...committed.entries()].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows);
      return flat;
    },
    check: () => {},
    async open({ schema, guarantee }) {
      const isExactlyOnce = guarantee === 'exactly-once';
      if (!isExactlyOnce) {
        committed = new Map();
        prepared = new Map();
        flat = undefined;
      }
      const pending = new Map<number, R[]>();
      const reader = new ArrowBlockReader(schema);
      const writer = ++writers;
      const mustBeNewest = (): void => {
        if (isExactlyOnce && writer !== writers) throw new MillraceError('ERR_MILLRACE_FENCED', 'A later run collects these rows now. This one ends.');
      };
      return {
        info: { partitionCount: 1 },
        async recover(checkpoint) {
          mustBeNewest();
          publish(prepared, checkpoint);
          prepared = new Map();
          committed = new Map([...committed].filter(([epoch]) => epoch <= checkpoint));
          flat = undefined;
        },
        async write(block) {
          mustBeNewest();
          let rows = pending.get(block.epoch);
          if (rows === undefined) pending.set(block.epoch, (rows = []));
          for (const batch of reader.read(block)) for (const row of batch.toRows()) rows.push(row as R);
        },
        async prepare(checkpoint) {
          mustBeNewest();
          for (const [epoch, rows] of pending) {
            if (epoch > checkpoint) continue;
            pending.delete(epoch);
            prepared.set(epoch, rows);
          }
        },
        async commit(epoch) {
          mustBeNewest();
          if (isExactlyOnce) publish(prepared, epoch);
          else publish(pending, epoch);
        },
        async close() {},
      };
    },
    encoder: arrowSinkEncoder,
  };
}
