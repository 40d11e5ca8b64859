/**
 * The journal: what decisions each epoch came from that are not in its rows, so that a restart can take them again. One
 * record an epoch: where each partition was cut, which partitions were idle or had ended, and what the clock showed. It
 * holds no row and no state, and it knows no thread; which of its records a restart repeats is told by replay.ts.
 *
 *   DIR/epochs.journal    a head, then a record a line, each with a checksum in front:  1f2e3d4c {"epoch":12,...}
 *   DIR/lock              the process that writes it
 *
 * A record is on disk before any output of its epoch goes to a sink. One is written, and synced, after the other: so only
 * the last line can be torn by a crash, and then it is as if its epoch had never been cut. Records of committed epochs go
 * when there are many of them: the rest is written to a new file, which takes the place of the old.
 */

import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32cBytes, MillraceError, shown } from '../../core/index.ts';
import { DirectoryLock } from './directory-lock.ts';

export const JOURNAL_FILE = 'epochs.journal';
const FORMAT = 1;
/** Lines that may go before the file is written anew. */
const TRIM_LINES = 1_000;

/** Where something begins or ends: positions by source, by partition. */
export type Positions = readonly (readonly number[])[];

/** One epoch. States are those of control.ts. */
export interface JournalRecord {
  readonly epoch: number;
  /** The clock when the epoch took its first row in: what its rows are stamped with. */
  readonly startMs: number;
  /** The clock when it was cut. */
  readonly nowMs: number;
  /** Positions behind its rows. */
  readonly positions: Positions;
  readonly states: readonly (readonly number[])[];
}

export interface JournalHead {
  readonly pipeline: string;
  readonly sources: readonly string[];
  /** The epoch in front of the first record: when it was cut, and where. */
  readonly base: { readonly epoch: number; readonly nowMs: number; readonly positions: Positions };
  /** Sources, by number, that keep no positions: a restart begins at their beginning, whatever was committed. */
  readonly forgetful: readonly number[];
}

export class Journal {
  readonly path: string;
  /** As they were found; undefined in a directory that has no journal. */
  readonly head: JournalHead | undefined;
  readonly records: readonly JournalRecord[];
  readonly #lock: DirectoryLock;
  #file: FileHandle | undefined;
  #now: { head: JournalHead; records: JournalRecord[] } | undefined;
  #lines = 0;
  #queue: Promise<void> = Promise.resolve();

  private constructor(path: string, lock: DirectoryLock, head: JournalHead | undefined, records: readonly JournalRecord[]) {
    this.path = path;
    this.#lock = lock;
    this.head = head;
    this.records = records;
  }

  /**
   * Locks the directory (made where it does not exist) and reads what is there.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when another job works there, or the file cannot be read; ERR_MILLRACE_CORRUPT when
   * a line in the middle of it is broken
   */
  static async open(dir: string, pipeline: string): Promise<Journal> {
    const path = join(dir, JOURNAL_FILE);
    const lock = await guarded(path, async () => {
      await mkdir(dir, { recursive: true });
      return DirectoryLock.take(dir, pipeline);
    });
    try {
      const bytes = await guarded(path, () => readFile(path).catch(missing));
      const { head, records } = bytes === undefined ? { head: undefined, records: [] } : parse(path, bytes);
      return new Journal(path, lock, head, records);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** From here on records are appended: behind this head and these records, which take the place of what was there. */
  async begin(head: JournalHead, records: readonly JournalRecord[]): Promise<void> {
    this.#now = { head, records: [...records] };
    await this.#rewrite();
  }

  /** Resolves when the record is on disk. Records come in the order of epochs. */
  append(record: JournalRecord): Promise<void> {
    const now = this.#begun();
    now.records.push(record);
    return this.#enqueue(async () => {
      await (this.#file as FileHandle).appendFile(line(record));
      await (this.#file as FileHandle).datasync();
      this.#lines++;
    });
  }

  /** The positions of this epoch are committed: its record, and those before, are needed no more. */
  trim(epoch: number): void {
    const now = this.#begun();
    const last = now.records.findLast((record) => record.epoch <= epoch);
    if (last === undefined) return;
    now.records = now.records.filter((record) => record.epoch > epoch);
    now.head = { ...now.head, base: { epoch: last.epoch, nowMs: last.nowMs, positions: last.positions } };
    if (this.#lines - now.records.length < TRIM_LINES) return;
    void this.#rewrite();
  }

  /** See {@link JournalHead.forgetful}. */
  forgets(source: number): void {
    const now = this.#begun();
    if (now.head.forgetful.includes(source)) return;
    now.head = { ...now.head, forgetful: [...now.head.forgetful, source] };
    void this.#rewrite();
  }

  /** Waits for what is being written, and lets the directory go. */
  async close(): Promise<void> {
    await this.#queue.catch(() => {});
    await this.#file?.close();
    this.#file = undefined;
    await this.#lock.release();
  }

  #begun(): { head: JournalHead; records: JournalRecord[] } {
    if (this.#now === undefined) throw new Error('a journal is written before it has begun');
    return this.#now;
  }

  /** One after the other. Behind one that failed none is done: what is in the file is no longer known. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(() => guarded(this.path, work));
    this.#queue = done;
    // Whoever waits for it, or for the next one, learns of a failure.
    done.catch(() => {});
    return done;
  }

  /** The file anew, as things stand now: what is appended later comes behind. */
  #rewrite(): Promise<void> {
    const { head, records } = this.#begun();
    const text = [line({ format: FORMAT, ...head }), ...records.map(line)].join('');
    const lines = records.length;
    return this.#enqueue(async () => {
      await this.#file?.close();
      this.#file = undefined;
      const aside = `${this.path}.new`;
      const file = await open(aside, 'w');
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(aside, this.path);
      await syncFolder(dirname(this.path));
      this.#file = await open(this.path, 'a');
      this.#lines = lines;
    });
  }
}

/**
 * The lines of a journal. What stands behind the last good line is dropped, unless another good one follows.
 *
 * @throws MillraceError ERR_MILLRACE_CORRUPT, ERR_MILLRACE_CHECKPOINT
 */
function parse(path: string, bytes: Uint8Array): { head: JournalHead; records: JournalRecord[] } {
  const values: unknown[] = [];
  let brokenAt = -1;
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    const value = end < 0 ? undefined : valueOf(bytes.subarray(from, end));
    if (value === undefined) {
      if (brokenAt < 0) brokenAt = from;
    } else if (brokenAt >= 0) throw corrupt(path, `the line at byte ${brokenAt} is broken, and good ones follow`);
    else values.push(value);
    if (end < 0) break;
    from = end + 1;
  }
  const [head, ...records] = values as [(JournalHead & { format: unknown }) | undefined, ...JournalRecord[]];
  // The head is written in one go with its file, and never torn.
  if (head === undefined) throw corrupt(path, 'its first line is broken');
  const { format, ...rest } = head;
  if (format !== FORMAT) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The journal ${path} has the format ${shown(format)}; this version reads ${FORMAT}. Start it with the version that wrote it, or give another directory.`,
    );
  }
  records.forEach((record, i) => {
    const before = records[i - 1]?.epoch ?? rest.base.epoch;
    if (record.epoch !== before + 1) throw corrupt(path, `the record of epoch ${record.epoch} stands behind that of epoch ${before}`);
  });
  return { head: rest, records };
}

/** `crc32c json`; undefined when it is no such line. */
function valueOf(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  if (!/^[0-9a-f]{8} \{/.test(text) || Number.parseInt(text.slice(0, 8), 16) !== crc32cBytes(bytes, 9)) return undefined;
  return JSON.parse(text.slice(9)) as unknown;
}

function line(value: object): string {
  const json = JSON.stringify(value);
  return `${crc32cBytes(Buffer.from(json)).toString(16).padStart(8, '0')} ${json}\n`;
}

function corrupt(path: string, what: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_CORRUPT',
    `The journal ${path} is damaged: ${what}. Restore the file. Without it the job can go on too (delete it), but what it reads again is then cut and stamped anew.`,
  );
}

/** An error of the file system becomes one of ours. */
async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause;
    throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The journal ${path} cannot be read or written: ${(cause as Error).message}.`, { cause });
  }
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}

/** Makes the names in a folder durable. */
async function syncFolder(dir: string): Promise<void> {
  // On Windows a folder can be neither opened nor synced.
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
