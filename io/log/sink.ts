/**
 * The embedded log as a sink: appends record batches to the segments of a topic's partitions.
 *
 * At-least-once: when `commit` has resolved, everything written before is on disk (fdatasync). Blocks become
 * visible to readers as they are written, before the commit. After a crash in the middle of an epoch some of
 * its blocks are there, and the epoch is written once more. The next start cuts off a torn end. It does not
 * cut off damage: the log is refused then.
 *
 * Exactly-once: blocks are appended in the same way, but readers stop at the stable offsets of the topic
 * (stable-offsets.ts), which `commit` moves, for all partitions by one write. `prepare` syncs the segments and
 * notes where they end, so that `recover` can tell what a checkpoint has, and cut off the rest.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkOptionNames, MillraceError, shown, shownPath, withoutSign } from '../../core/index.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import { type Deposed, ProcessLock } from '../process-lock.ts';
import { recordSinkEncoder } from '../record-batch/index.ts';
import { type Changelog, type ChangelogSink, changelogOf, type SinkBlock, type SinkContext, type SinkInfo, type SinkWriter, upsertKeyOf } from '../sink.ts';
import { dirPath, fileError, listPartitions, listSegments, lockPath, partitionPath, topicId, topicIdPath, topicPath } from './layout.ts';
import { PartitionWriter } from './partition-writer.ts';
import { syncDir } from './positions.ts';
import { type CheckpointEnds, keptName, StableWriter } from './stable-offsets.ts';

export interface LogSinkOptions {
  /** Folder of the topics; created if it does not exist. */
  readonly dir: string | URL;
  readonly topic: string;
  readonly value: Codec;
  /** Column, or columns, that give the record's key, which decides its partition. */
  readonly key?: string | readonly string[];
  /** Partitions of a new topic, 1 to 4096. Default 4. An existing topic must have this many, if given. */
  readonly partitions?: number;
  /** Time of the records: `now` (default), or a timestamp column. */
  readonly timestamp?: 'now' | (string & {});
  /**
   * How rows of a table are written: see {@link Changelog}. Default: `upsert` where the key is the table's, so
   * that a row that goes becomes a record without a value; else as fits the table.
   */
  readonly changelog?: Changelog;
  /** A segment is closed before it exceeds this size. Default 256 MiB. */
  readonly segmentBytes?: number;
}

const PARTITIONS = 4;
const PARTITIONS_MAX = 4_096;
const SEGMENT_BYTES = 256 << 20;
/** No broker limits the size here. */
const BATCH_BYTES_MAX = 16 << 20;

/**
 * @throws MillraceError ERR_MILLRACE_OPTION for an invalid option. `open` rejects with ERR_MILLRACE_FILE when
 * the folder cannot be written, or another writer has the topic, and with ERR_MILLRACE_CORRUPT when the last
 * segment of a partition is damaged.
 */
export function logSink(options: LogSinkOptions): ChangelogSink {
  checkOptionNames('log.sink', options, {
    dir: true,
    topic: true,
    value: true,
    key: true,
    partitions: true,
    timestamp: true,
    changelog: true,
    segmentBytes: true,
  });
  const { topic, value, partitions, segmentBytes = SEGMENT_BYTES } = options;
  const dir = dirPath(options.dir);
  topicPath(dir, topic);
  mustBeCodec('log.sink', value);
  if (partitions !== undefined && !(Number.isSafeInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `The log sink of ${shown(topic)} has ${shown(partitions)} partitions; it can have 1 to ${PARTITIONS_MAX}.`);
  }
  if (!(segmentBytes > 0))
    throw new MillraceError('ERR_MILLRACE_OPTION', `The log sink of ${shown(topic)} has segments of ${shown(segmentBytes)} bytes; give a number above 0.`);
  return {
    name: `log ${topic}`,
    delivery: 'replayed by epoch',
    changelog: changelogOf('log.sink', options.changelog),
    upsertKey: upsertKeyOf('log.sink', options),
    place: `the topic ${topic} of the log in ${shownPath(resolve(dir))}`,
    check(schema) {
      for (const key of [options.key ?? []].flat()) schema.require(key, `The key of the log sink ${topic}`);
      if (options.timestamp !== undefined && options.timestamp !== 'now') schema.require(options.timestamp, `The timestamp of the log sink ${topic}`);
    },
    open: async ({ schema, pipeline, guarantee, deposed, signal, waiting }) => {
      const schemaId = await value.prepare?.({ topic, schema: withoutSign(schema), signal, ...(waiting && { waiting }) });
      return LogWriter.open(dir, topic, { partitions, segmentBytes, user: `the pipeline ${shown(pipeline)}`, pipeline, guarantee, deposed, schemaId });
    },
    encoder: (context) =>
      recordSinkEncoder(context, {
        codec: value,
        ...(options.key === undefined ? {} : { key: options.key }),
        ...(options.timestamp === undefined ? {} : { timestamp: options.timestamp }),
        batchBytesMax: BATCH_BYTES_MAX,
      }),
  };
}

export interface LogWriterOptions {
  readonly partitions?: number | undefined;
  readonly segmentBytes?: number | undefined;
  /** Who writes, for messages. */
  readonly user?: string;
  /** Whose checkpoints are committed, exactly-once. */
  readonly pipeline?: string;
  /** See SinkContext. What it has open is not written to any more. */
  readonly deposed?: Deposed | undefined;
  /** Default: at-least-once. */
  readonly guarantee?: SinkContext['guarantee'] | undefined;
  /** See SinkInfo. */
  readonly schemaId?: number | undefined;
}

/** Writes record batches to a topic. One per topic at a time, over all processes. */
export class LogWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #path: string;
  readonly #dirs: readonly string[];
  readonly #segmentBytes: number;
  readonly #lock: ProcessLock;
  readonly #stable: StableWriter;
  /** Another process may have the files open that are there: it goes on in new ones. */
  readonly #isAnew: boolean;
  /** Exactly-once: the pipeline. */
  readonly #owner: string | undefined;
  /** Exactly-once: none before `recover`. */
  #partitions: readonly PartitionWriter[] = [];

  private constructor(
    path: string,
    dirs: readonly string[],
    segmentBytes: number,
    lock: ProcessLock,
    stable: StableWriter,
    owner: string | undefined,
    isAnew: boolean,
    schemaId: number | undefined,
  ) {
    this.#isAnew = isAnew;
    this.#path = path;
    this.#dirs = dirs;
    this.#segmentBytes = segmentBytes;
    this.#lock = lock;
    this.#stable = stable;
    this.#owner = owner;
    this.info = { partitionCount: dirs.length, ...(schemaId !== undefined && { schemaId }) };
  }

  static async open(dir: string, topic: string, options: LogWriterOptions = {}): Promise<LogWriter> {
    const { partitions, segmentBytes = SEGMENT_BYTES, user = 'a writer of its own', pipeline = '', guarantee, deposed, schemaId } = options;
    const path = topicPath(dir, topic);
    const existing = await madePartitions(path);
    if (existing > 0 && partitions !== undefined && partitions !== existing) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `The topic ${shown(topic)} in ${dir} has ${existing} partitions, not ${partitions}. Leave the option out, or write to another topic.`,
      );
    }
    try {
      await mkdir(path, { recursive: true });
    } catch (cause) {
      throw fileError('cannot make the folder', path, cause);
    }
    const lock = await takeLock(dir, topic, user, deposed);
    let writer: LogWriter | undefined;
    try {
      const count = existing || (partitions ?? PARTITIONS);
      const dirs = Array.from({ length: count }, (_, partition) => partitionPath(dir, topic, partition));
      if (existing === 0) await makePartitions(path, dirs);
      const stable = await StableWriter.open(path, dirs.length, deposed !== undefined);
      writer = new LogWriter(
        path,
        dirs,
        segmentBytes,
        lock,
        stable,
        guarantee === 'exactly-once' ? keptName(pipeline) : undefined,
        deposed !== undefined,
        schemaId,
      );
      if (guarantee !== 'exactly-once') await writer.#takeAll();
      return writer;
    } catch (cause) {
      if (writer === undefined) await lock.release();
      else await writer.close();
      throw fileError('cannot be opened for writing in', path, cause);
    }
  }

  write(block: SinkBlock): Promise<void> {
    const partition = this.#partitions[block.partition];
    if (partition === undefined) {
      return Promise.reject(
        new MillraceError(
          'ERR_MILLRACE_SINK',
          this.#partitions.length === 0
            ? `A block for ${this.#path} came before recover(): the log does not know yet where to append it.`
            : `A block is for partition ${block.partition}, but the topic has ${this.#partitions.length}.`,
        ),
      );
    }
    return partition.append(block.bytes);
  }

  async recover(checkpoint: number): Promise<void> {
    const owner = this.#owner;
    if (owner === undefined) throw new MillraceError('ERR_MILLRACE_SINK', `The log in ${this.#path} was not opened for exactly-once.`);
    const state = this.#stable.state;
    const generation = (state?.generation ?? 0) + 1;
    let { committed = null, prepared = null } = state ?? {};
    if (state !== undefined && state.pipeline !== owner) {
      if (prepared !== null) throw this.#undecided(state.pipeline, prepared.checkpoint);
      // Its rows stay, and ours come behind them. Its numbers mean nothing here.
      if (committed !== null) committed = { checkpoint, ends: committed.ends };
    }
    if (committed !== null && committed.checkpoint > checkpoint) throw this.#isBehind(checkpoint, committed.checkpoint);
    if (prepared !== null && prepared.checkpoint <= checkpoint) committed = prepared;
    prepared = null;
    if (committed === null) {
      // What was written at-least-once is visible, and stays so.
      const partitions = await this.#openPartitions();
      for (const partition of partitions) await partition.sync();
      committed = { checkpoint, ends: partitions.map(({ nextOffset }) => nextOffset) };
      await this.#stable.write({ generation, pipeline: owner, committed, prepared });
    } else {
      await this.#stable.write({ generation, pipeline: owner, committed, prepared });
      await this.#openPartitions(committed.ends);
    }
  }

  async prepare(checkpoint: number): Promise<void> {
    await this.#mustBeOurs();
    const { committed, prepared } = this.#settled;
    if (prepared !== null && prepared.checkpoint !== checkpoint) {
      throw new MillraceError(
        'ERR_MILLRACE_SINK',
        `Checkpoint ${checkpoint} is prepared in ${this.#path} before checkpoint ${prepared.checkpoint} was committed.`,
      );
    }
    const ends = this.ends;
    await Promise.all(this.#partitions.map((partition) => partition.sync()));
    if (ends.every((end, partition) => end === (prepared ?? committed).ends[partition])) return;
    if (checkpoint <= committed.checkpoint) {
      throw new MillraceError('ERR_MILLRACE_SINK', `Rows came to ${this.#path} for checkpoint ${checkpoint}, which was committed without them.`);
    }
    await this.#stable.write({ prepared: { checkpoint, ends } });
  }

  async commit(epoch: number): Promise<void> {
    await this.#mustBeOurs();
    if (this.#owner === undefined) {
      await Promise.all(this.#partitions.map((partition) => partition.sync()));
      return;
    }
    const { prepared } = this.#settled;
    if (prepared !== null && prepared.checkpoint <= epoch) await this.#stable.write({ committed: prepared, prepared: null });
  }

  async close(): Promise<void> {
    try {
      for (const partition of this.#partitions) await partition.close();
      await this.#stable.close();
    } finally {
      await this.#lock.release();
    }
  }

  /** Another process may have taken over while this one was stopped. */
  async #mustBeOurs(): Promise<void> {
    const other = await this.#lock.otherHolder();
    if (other === undefined) return;
    throw new MillraceError('ERR_MILLRACE_FENCED', `The log in ${this.#path} is written by ${other} now. This process ends, and writes nothing more.`);
  }

  /** Offset after the last record, by partition. */
  get ends(): number[] {
    return this.#partitions.map((partition) => partition.nextOffset);
  }

  /** The state after `recover`. */
  get #settled(): { committed: CheckpointEnds; prepared: CheckpointEnds | null } {
    const { committed = null, prepared = null } = this.#stable.state ?? {};
    if (committed === null || this.#partitions.length === 0) {
      throw new MillraceError('ERR_MILLRACE_SINK', `The log in ${this.#path} is to prepare or commit a checkpoint before recover() was called.`);
    }
    return { committed, prepared };
  }

  /**
   * At-least-once behind exactly-once: what was prepared may have been decided, so it stays. What is behind
   * that no checkpoint has; it comes again, and goes. From then on there is no limit for readers.
   */
  async #takeAll(): Promise<void> {
    const state = this.#stable.state;
    const committed = state?.prepared ?? state?.committed ?? null;
    if (state === undefined || committed === null) {
      await this.#openPartitions();
      return;
    }
    await this.#stable.write({ generation: state.generation + 1, committed, prepared: null });
    await this.#openPartitions(committed.ends);
    await this.#stable.write({ generation: state.generation + 2, committed: null });
  }

  /** @param ends drops everything from there on */
  async #openPartitions(ends?: readonly number[]): Promise<readonly PartitionWriter[]> {
    const opened: PartitionWriter[] = [];
    try {
      for (const [partition, dir] of this.#dirs.entries()) {
        opened.push(await PartitionWriter.open(dir, this.#segmentBytes, ends?.[partition], this.#isAnew));
      }
    } catch (error) {
      for (const partition of opened) await partition.close();
      throw error;
    }
    this.#partitions = opened;
    return opened;
  }

  #undecided(pipeline: string, checkpoint: number): MillraceError {
    return new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The pipeline ${shown(pipeline)} has rows in ${this.#path} for its checkpoint ${checkpoint}, and ended before it could say whether they count. Start that pipeline once more, exactly-once: it settles them. Or write to another topic.`,
    );
  }

  #isBehind(checkpoint: number, committed: number): MillraceError {
    const from = checkpoint < 0 ? 'from nothing' : `from checkpoint ${checkpoint}`;
    return new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `${this.#path} has rows of this pipeline up to checkpoint ${committed}, which readers may have seen. The job resumes ${from}, so rows would come twice. Restore the newer checkpoint, or write to another topic, or move the topic's folder away.`,
    );
  }
}

/**
 * How many partitions the topic has. 0: none, or a crash interrupted their making. All folders are there before
 * the first segment is.
 */
async function madePartitions(path: string): Promise<number> {
  const count = await listPartitions(path);
  for (let partition = 0; partition < count; partition++) if ((await listSegments(join(path, `partition-${partition}`))).length > 0) return count;
  return 0;
}

async function makePartitions(path: string, dirs: readonly string[]): Promise<void> {
  const left = await listPartitions(path);
  // Only empty folders can be removed in this way.
  for (let partition = left - 1; partition >= dirs.length; partition--) await rmdir(join(path, `partition-${partition}`));
  for (const dir of dirs) await mkdir(dir, { recursive: true });
  // Making it was begun, or it is empty.
  if ((await topicId(path)) === undefined) {
    const file = await open(topicIdPath(path), 'w');
    try {
      await file.writeFile(`${randomUUID()}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncDir(path);
}

async function takeLock(dir: string, topic: string, user: string, deposed: Deposed | undefined): Promise<ProcessLock> {
  try {
    const refused = (holder: string) =>
      new MillraceError(
        'ERR_MILLRACE_FILE',
        `The topic ${shown(topic)} is being written by ${holder}. One writer at a time: stop it, or write to another topic.`,
      );
    return await ProcessLock.take(lockPath(dir, topic), user, refused, deposed);
  } catch (cause) {
    throw fileError('cannot be locked in', topicPath(dir, topic), cause);
  }
}
