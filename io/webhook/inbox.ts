/**
 * What was accepted and is not committed: a topic of the embedded log, of one partition. `append` resolves when records
 * are on disk. Requests that come while others are being synced share the next sync. Segments that are committed go
 * after a while.
 */

import { rm, stat } from 'node:fs/promises';
import { LogWriter, logSegments } from '../log/index.ts';
import type { Deposed } from '../process-lock.ts';
import { keyedBatch } from '../record-batch/index.ts';
import type { Offset } from '../source.ts';

export interface InboxOptions {
  readonly dir: string;
  readonly topic: string;
  readonly user: string;
  readonly segmentBytes: number;
  /** Segments whose rows are committed are kept for so long behind their last row. */
  readonly retainMs: number;
  readonly deposed: Deposed | undefined;
}

interface Waiting {
  readonly records: readonly Uint8Array[];
  resolve(): void;
  reject(error: unknown): void;
}

const BATCH_BYTES = 512 * 1_024;
const BATCH_RECORDS = 10_000;
const NO_KEY = new Uint8Array(0);

export class Inbox {
  readonly #writer: LogWriter;
  readonly #options: InboxOptions;
  #waiting: Waiting[] = [];
  #work: Promise<void> | undefined;
  /** Bytes by the offset behind them, of what is not committed. */
  readonly #uncommitted: { readonly next: Offset; readonly bytes: number }[] = [];
  backlogBytes = 0;

  private constructor(writer: LogWriter, options: InboxOptions) {
    this.#writer = writer;
    this.#options = options;
  }

  static async open(options: InboxOptions): Promise<Inbox> {
    const { dir, topic, user, segmentBytes, deposed } = options;
    return new Inbox(await LogWriter.open(dir, topic, { partitions: 1, user, segmentBytes, deposed }), options);
  }

  /** What is there at the start, and read up to this offset. */
  async begin(committed: Offset): Promise<void> {
    const next = this.#writer.ends[0] as Offset;
    if (committed >= next) return;
    let bytes = 0;
    for (const { path } of await this.#segments()) bytes += (await stat(path)).size;
    this.#uncommitted.unshift({ next, bytes });
    this.backlogBytes += bytes;
  }

  /** Resolves when they are on disk. */
  append(records: readonly Uint8Array[]): Promise<void> {
    if (records.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject });
      this.#work ??= this.#drain();
    });
  }

  async committed(offset: Offset): Promise<void> {
    while (this.#uncommitted[0] !== undefined && this.#uncommitted[0].next <= offset) this.backlogBytes -= this.#uncommitted.shift()?.bytes ?? 0;
    const segments = await this.#segments();
    const youngest = Date.now() - this.#options.retainMs;
    for (const [i, { path }] of segments.entries()) {
      const behind = segments[i + 1];
      // The last one is written to.
      if (behind === undefined || behind.first > offset || (await stat(path)).mtimeMs > youngest) break;
      await rm(path, { force: true });
    }
  }

  /** Resolves when what is being appended is on disk. */
  async close(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
    await this.#writer.close();
  }

  async #drain(): Promise<void> {
    // A turn later: what comes together is synced together.
    await undefined;
    while (this.#waiting.length > 0) {
      const taken = this.#waiting;
      this.#waiting = [];
      try {
        const now = Date.now();
        const writes: Promise<void>[] = [];
        let bytes = 0;
        let rows = 0;
        const records = taken.flatMap((one) => one.records);
        for (const run of runsOf(records)) {
          const batch = await keyedBatch(
            run.map((value) => ({ key: NO_KEY, value })),
            now,
            { compress: false },
          );
          bytes += batch.length;
          rows += run.length;
          writes.push(this.#writer.write({ epoch: 0, unit: 0, partition: 0, rowCount: run.length, bytes: batch }));
        }
        await Promise.all(writes);
        await this.#writer.commit(0);
        if (rows > 0) this.#uncommitted.push({ next: this.#writer.ends[0] as Offset, bytes });
        this.backlogBytes += bytes;
        for (const { resolve } of taken) resolve();
      } catch (error) {
        for (const { reject } of taken) reject(error);
      }
    }
    this.#work = undefined;
  }

  #segments(): Promise<{ first: Offset; path: string }[]> {
    return logSegments(this.#options.dir, this.#options.topic, 0);
  }
}

/** Records in runs that are not too large for a batch. */
function* runsOf(records: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let from = 0;
  let bytes = 0;
  for (let to = 0; to < records.length; to++) {
    const size = (records[to] as Uint8Array).length;
    if (to > from && (bytes + size > BATCH_BYTES || to - from >= BATCH_RECORDS)) {
      yield records.slice(from, to);
      from = to;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < records.length) yield records.slice(from);
}
