/** A sink that keeps all rows in an array on the coordinator's thread: for tests and small jobs. */

import { type AnyRow, checkOptionNames, MillraceError } from '../core/index.ts';
import { ArrowBlockReader, arrowSinkEncoder } from './arrow-blocks.ts';
import { type Changelog, changelogOf, type Sink } from './sink.ts';

export interface CollectOptions {
  /** How rows of a table come: see {@link Changelog}. Default: as fits the table. */
  readonly changelog?: Changelog;
}

export interface CollectSink<R> extends Sink<R> {
  readonly changelog: Changelog | 'auto';
  /**
   * Rows of the committed epochs, in order of epoch, shard and sequence. A new run starts with an empty
   * array.
   */
  readonly rows: readonly R[];
  /** For the compiler only: the rows of a stream must be these, or have more columns. */
  readonly _takes?: (row: AnyRow extends R ? unknown : R) => void;
}

/** The rows of one stream. A job that gives a `collect()` to several streams opens it once for each. */
class Collected<R> {
  committed = new Map<number, R[]>();
  /** Rows that are not visible; exactly-once, those that were prepared outlive their writer. */
  prepared = new Map<number, R[]>();
  /** How often it was opened. The last writer is the one that counts. */
  writers = 0;

  /** Makes rows of these epochs visible. */
  publish(epochs: Map<number, R[]>, until: number): void {
    for (const [epoch, rows] of epochs) {
      if (epoch > until) continue;
      epochs.delete(epoch);
      this.committed.set(epoch, rows);
    }
  }
}

/**
 * Several streams of a job may go into one: its rows are those of all of them.
 *
 * Exactly-once, it keeps the rows up to the checkpoint that a job resumes from, as long as the process lives:
 * they are in its memory. A job that resumes in another process starts with an empty array there.
 *
 * @example
 * export const result = collect();
 * export default pipeline('p').from(memory([{ a: 1 }])).to(result);
 * // after `await job.done`, on the main thread: result.rows
 */
export function collect<R = AnyRow>(options: CollectOptions = {}): CollectSink<R> {
  checkOptionNames('collect', options, { changelog: true });
  const changelog = changelogOf('collect', options.changelog);
  /** In the order in which a job opens them, which is that of the pipeline. */
  let streams: Collected<R>[] = [];
  let opened = 0;
  /** Of the job that has opened it last. */
  let job: AbortSignal | undefined;
  let flat: R[] | undefined;

  function streamOf(signal: AbortSignal, isExactlyOnce: boolean): Collected<R> {
    if (signal !== job) {
      job = signal;
      opened = 0;
      if (!isExactlyOnce) streams = [];
    }
    flat = undefined;
    streams[opened] ??= new Collected();
    return streams[opened++] as Collected<R>;
  }

  return {
    name: 'collect',
    delivery: 'replayed by epoch',
    changelog,
    get rows() {
      flat ??= streams
        .flatMap(({ committed }) => [...committed])
        .sort(([a], [b]) => a - b)
        .flatMap(([, rows]) => rows);
      return flat;
    },
    check: () => {},
    async open({ schema, guarantee, signal }) {
      const isExactlyOnce = guarantee === 'exactly-once';
      const stream = streamOf(signal, isExactlyOnce);
      const pending = new Map<number, R[]>();
      const reader = new ArrowBlockReader(schema);
      const writer = ++stream.writers;
      const mustBeNewest = (): void => {
        if (isExactlyOnce && writer !== stream.writers) throw new MillraceError('ERR_MILLRACE_FENCED', 'A later run collects these rows now. This one ends.');
      };
      return {
        info: { partitionCount: 1 },
        async recover(checkpoint) {
          mustBeNewest();
          stream.publish(stream.prepared, checkpoint);
          stream.prepared = new Map();
          stream.committed = new Map([...stream.committed].filter(([epoch]) => epoch <= checkpoint));
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
            stream.prepared.set(epoch, rows);
          }
        },
        async commit(epoch) {
          mustBeNewest();
          stream.publish(isExactlyOnce ? stream.prepared : pending, epoch);
          flat = undefined;
        },
        async close() {},
      };
    },
    encoder: arrowSinkEncoder,
  };
}
