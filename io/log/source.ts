/**
 * The embedded log as a source: reads the segments of a topic's partitions and hands over record batches as
 * they are in the file. The workers find the records, with the decoder that Kafka's source uses.
 *
 * Each partition has one loop, which waits for the disk, for credit, or for growth. Per batch the coordinator
 * looks at a header; records cost it nothing. Broken bytes with good batches after them go to the decoder as
 * they are. It reports them, and reading continues after them.
 */

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { type Codec, type CodedSource, mustBeCodec, mustNotBeHeaded } from '../codec.ts';
import { type Deposed, ProcessLock } from '../process-lock.ts';
import { baseOffsetAt, FRAME_DAMAGED, nextOffsetAt, recordBatchDecoder, recordFrameRows } from '../record-batch/index.ts';
import type { CommittedPosition, Offset, PartitionLag, SourceContext, SourceReader } from '../source.ts';
import { type Gap, PartitionCursor, visibleEnds } from './cursor.ts';
import { dirPath, fileError, groupPath, listPartitions, listSegments, listTopics, partitionPath, topicId, topicPath } from './layout.ts';
import { readPositions, writePositions } from './positions.ts';
import { StableReader } from './stable-offsets.ts';

export interface LogSourceOptions<R = unknown> {
  /** Folder of the topics. */
  readonly dir: string | URL;
  readonly topic: string;
  /** Positions are committed under this name. Without one, every start reads from the beginning. */
  readonly group?: string;
  /** What the values of the records are: `json({...})`, `arrow(...)`, `text()`, `raw()`. */
  readonly value: Codec<R>;
  /**
   * Most bytes that one record batch may decompress to. A larger one is `corrupt` in the ledger, with its
   * size. Default: a quarter of a worker's share of the memory, rounded down to a power of two, from 1 to 64
   * MiB. All workers together may take half of the memory.
   */
  readonly decompressedBytesMax?: number;
  /** Refuse to run unless the topic has this many partitions. */
  readonly partitions?: number;
}

const IDLE_MS = 25;
/** The buffers of many partitions together stay below the size of a Kafka fetch. */
const READ_BYTES = 1 << 20;
const READ_BYTES_ALL = 32 << 20;
const READ_BYTES_MIN = 1 << 16;

/**
 * @throws MillraceError ERR_MILLRACE_OPTION for an invalid dir, topic or group, ERR_MILLRACE_PIPELINE for a
 * codec without a schema. `open` rejects with ERR_MILLRACE_TOPIC when the topic does not exist,
 * ERR_MILLRACE_FILE when it cannot be read or another job uses the group, ERR_MILLRACE_CHECKPOINT when the
 * group's positions do not fit the topic.
 */
export function logSource<R>(options: LogSourceOptions<R>): CodedSource<R> {
  checkOptionNames('log.source', options, { dir: true, topic: true, group: true, value: true, partitions: true, decompressedBytesMax: true });
  const { topic, group, value } = options;
  const dir = dirPath(options.dir);
  topicPath(dir, topic);
  mustBeCodec('log.source', value);
  mustNotBeHeaded('log.source', value);
  if (group !== undefined) groupPath(dir, topic, group);
  const { decompressedBytesMax } = options;
  if (decompressedBytesMax !== undefined && !(Number.isInteger(decompressedBytesMax) && decompressedBytesMax >= 1 && decompressedBytesMax < 2 ** 31)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `log ${topic}: decompressedBytesMax is ${shown(decompressedBytesMax)}; it has to be a whole number from 1 to ${2 ** 31 - 1}.`,
    );
  }
  if (value?.schema === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The log source of ${shown(topic)} has no schema to decode to. Give value a codec with one: json({ page: utf8, ms: f64 }).`,
    );
  }
  return {
    name: `log ${topic}`,
    schema: value.schema,
    bounded: false,
    codec: value,
    ...recordFrameRows(value),
    open: (context) => LogReader.open(context, dir, options),
    lag: () => lagOf(dir, topic, group),
    decoder: (context) => recordBatchDecoder(context, value, options),
  };
}

async function lagOf(dir: string, topic: string, group: string | undefined): Promise<PartitionLag[]> {
  if (group === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `log ${topic}: the source has no group, so only its job knows how far it is. Give log.source a group, or see /metrics of the job.`,
    );
  }
  const partitionCount = await partitionsOf(dir, topic);
  const committed = await readPositions(groupPath(dir, topic, group));
  const stable = new StableReader(topicPath(dir, topic));
  const ends = await visibleEnds(dir, topic, partitionCount, stable).finally(() => stable.close());
  return Promise.all(
    ends.map(async (end, partition) => {
      const [first = 0] = await listSegments(partitionPath(dir, topic, partition));
      return { partition, first, committed: committed.get(partition)?.offset, end };
    }),
  );
}

/** @throws MillraceError ERR_MILLRACE_TOPIC */
async function partitionsOf(dir: string, topic: string): Promise<number> {
  const partitionCount = await listPartitions(topicPath(dir, topic));
  if (partitionCount > 0) return partitionCount;
  const topics = await listTopics(dir);
  throw new MillraceError(
    'ERR_MILLRACE_TOPIC',
    `There is no topic ${shown(topic)} in ${dir}; ${topics.length === 0 ? 'there are no topics at all' : `there are: ${topics.join(', ')}`}. Check topic and dir, or write the topic first.`,
  );
}

class LogReader implements SourceReader {
  readonly partitionCount: number;
  readonly identity: readonly string[];
  readonly #context: SourceContext;
  readonly #dir: string;
  readonly #topic: string;
  readonly #stable: StableReader;
  readonly #groupPath: string | undefined;
  readonly #lock: ProcessLock | undefined;
  /** Contents of the group's file. */
  readonly #committed: Map<number, CommittedPosition>;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #aborted: Promise<void>;
  #loops: Promise<unknown> = Promise.resolve();
  #commits: Promise<void> = Promise.resolve();

  private constructor(
    context: SourceContext,
    dir: string,
    topic: string,
    path: string | undefined,
    lock: ProcessLock | undefined,
    partitionCount: number,
    committed: Map<number, CommittedPosition>,
    id: string | undefined,
  ) {
    this.identity = id === undefined ? [] : [id];
    this.#context = context;
    this.#dir = dir;
    this.#topic = topic;
    this.#stable = new StableReader(topicPath(dir, topic));
    this.#groupPath = path;
    this.#lock = lock;
    this.#committed = committed;
    this.partitionCount = partitionCount;
    this.#signal = AbortSignal.any([context.signal, this.#closed.signal]);
    this.#aborted = new Promise((resolve) => {
      if (this.#signal.aborted) resolve();
      else this.#signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  static async open(context: SourceContext, dir: string, options: LogSourceOptions): Promise<LogReader> {
    const { topic, group, partitions } = options;
    const partitionCount = await partitionsOf(dir, topic);
    if (partitions !== undefined && partitions !== partitionCount) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `The topic ${shown(topic)} in ${dir} has ${partitionCount} partitions, not ${shown(partitions)}. Leave the option out, or correct it.`,
      );
    }
    const id = await topicId(topicPath(dir, topic));
    const known = context.identity?.[0];
    if (known !== undefined && id !== undefined && known !== id) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The topic ${shown(topic)} in ${dir} was made anew since the checkpoint was made, so the positions in it mean nothing. Restore the topic; or begin anew, with another checkpoint, and another group.`,
      );
    }
    const path = group === undefined ? undefined : groupPath(dir, topic, group);
    const lock = path === undefined ? undefined : await lockGroup(path, topic, group as string, context.deposed);
    try {
      const committed = path === undefined ? new Map<number, CommittedPosition>() : await readPositions(path);
      for (const partition of committed.keys()) {
        if (partition >= partitionCount)
          throw new MillraceError(
            'ERR_MILLRACE_CHECKPOINT',
            `The group ${shown(group)} has a position in partition ${partition} of ${shown(topic)}, which has ${partitionCount}: the topic was replaced. Delete ${path} to read it from its beginning.`,
          );
      }
      return new LogReader(context, dir, topic, path, lock, partitionCount, committed, id);
    } catch (error) {
      await lock?.release();
      throw error;
    }
  }

  async positions(): Promise<CommittedPosition[]> {
    const positions: CommittedPosition[] = [];
    for (let partition = 0; partition < this.partitionCount; partition++) {
      const known = this.#committed.get(partition);
      const [first = 0] = await listSegments(partitionPath(this.#dir, this.#topic, partition));
      positions.push({ partition, offset: this.#context.from?.get(partition) ?? known?.offset ?? first, metadata: known?.metadata ?? '' });
    }
    return positions;
  }

  start(): void {
    this.#loops = this.#start().catch((error) => {
      if (!this.#signal.aborted) this.#context.fail(error);
    });
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    const path = this.#groupPath;
    if (path === undefined) return;
    for (const position of positions) this.#committed.set(position.partition, position);
    // A write includes what was requested before it starts. A failed write does not affect later ones.
    const written = this.#commits.then(() => writePositions(path, this.#committed));
    this.#commits = written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#loops;
    await this.#commits;
    await this.#stable.close();
    await this.#lock?.release();
  }

  async #start(): Promise<void> {
    const positions = await this.positions();
    const ends = await visibleEnds(this.#dir, this.#topic, this.partitionCount, this.#stable);
    await Promise.all(positions.map(({ partition, offset }) => this.#read(partition, offset, ends[partition] as Offset)));
  }

  /** Resolves with credit, or when the reader ends. */
  async #credit(partition: number): Promise<void> {
    await Promise.race([this.#context.credit(partition), this.#aborted]);
  }

  /** Damage goes to the decoder, which puts it into the ledger. */
  async #report(partition: number, gap: Gap, start: Offset): Promise<void> {
    if (gap.next <= start) return;
    const hasCredit = this.#context.emit(partition, gap.bytes, Math.max(gap.first, start), gap.next, FRAME_DAMAGED, Number.POSITIVE_INFINITY);
    if (!hasCredit) await this.#credit(partition);
  }

  /** Reads one partition from an offset to its end as it was at the start (drain), or forever. */
  async #read(partition: number, start: Offset, end: Offset): Promise<void> {
    const context = this.#context;
    const signal = this.#signal;
    const dir = partitionPath(this.#dir, this.#topic, partition);
    if (start > end) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `Reading of partition ${partition} of ${shown(this.#topic)} is to start at offset ${start}, but the log ends at ${end}: the topic was replaced, or its end was lost. Delete the group's positions to read it from its beginning.`,
      );
    }
    context.high(partition, end);
    const limit = context.drain ? end : Number.POSITIVE_INFINITY;
    const cursor = new PartitionCursor(dir, start, end, {
      readBytes: Math.max(READ_BYTES_MIN, Math.min(READ_BYTES, READ_BYTES_ALL / this.partitionCount)),
      ...(context.drain ? {} : { follow: { stable: this.#stable, partition } }),
    });
    try {
      while (!signal.aborted && cursor.next < limit) {
        const isMore = await cursor.fill();
        if (signal.aborted) return;
        const missing = cursor.takeMissing();
        if (missing !== undefined) await this.#report(partition, missing, start);
        for (let batch = cursor.take(); batch !== undefined; batch = cursor.take()) {
          const first = baseOffsetAt(batch, 0);
          const next = nextOffsetAt(batch, 0);
          if (next <= start) continue;
          if (first >= limit) break;
          if (!context.emit(partition, batch, Math.max(first, start), next, 0, start)) {
            await this.#credit(partition);
            if (signal.aborted) return;
          }
        }
        if (cursor.next >= limit) break;
        context.high(partition, cursor.high);
        if (isMore) continue;
        const gap = await cursor.advance();
        if (gap !== undefined) {
          await this.#report(partition, gap, start);
        } else if (cursor.isAtEnd) {
          if (context.drain)
            throw new MillraceError(
              'ERR_MILLRACE_CORRUPT',
              `Partition ${partition} of ${shown(this.#topic)} ended at ${end} when reading began, but now ends at ${cursor.next}. Was the log cut off meanwhile?`,
            );
          await sleep(IDLE_MS, undefined, { signal });
        }
      }
      if (!signal.aborted) {
        context.high(partition, end);
        context.end(partition);
      }
    } finally {
      await cursor.close();
    }
  }
}

/** One job per group: two would each commit what the other has not read. */
async function lockGroup(path: string, topic: string, group: string, deposed: Deposed | undefined): Promise<ProcessLock> {
  const user = `the group ${shown(group)}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const refused = (holder: string) =>
      new MillraceError(
        'ERR_MILLRACE_FILE',
        `The group ${shown(group)} of the topic ${shown(topic)} is in use by ${holder}. One source a group: stop that job, or take another group.`,
      );
    return await ProcessLock.take(path, user, refused, deposed && { ...deposed, user });
  } catch (cause) {
    throw fileError('cannot lock the group', path, cause);
  }
}
