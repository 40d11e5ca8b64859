/**
 * The journal: the decisions behind each epoch that are not in its rows, so that a restart can take them
 * again. One record per epoch: where each partition was cut, which partitions were idle or had ended, and
 * what the clock showed. It holds no row and no state, and knows no thread. See replay.ts for which of its
 * records a restart repeats.
 *
 *   DIR/epochs.journal
 *     millrace journal 2, epochs before 0000000000000013 are acknowledged, 0c1d2e3f
 *     1f2e3d4c {"number":0,"previous":"00000000","pipeline":"clicks",...}     the head
 *     5b6a7988 {"number":1,"previous":"1f2e3d4c","epoch":11,...}              a record: its checksum,
 *                                                                             that of the line before
 *     ...
 *   DIR/job.held    the process that writes it
 *
 * A record is on disk before any output of its epoch goes to a sink. Then, before the output, the first line
 * is overwritten: the epoch is acknowledged. That is not synced, but the next record's sync takes it along.
 * So a reader knows which records must be there. A broken record behind them was torn by a crash, and its
 * epoch counts as never cut, as nothing of it went out. Anything else that is broken, missing, doubled or out
 * of place is damage, and is refused. When there are many records of committed epochs, the others are written
 * to a new file, which replaces the old one.
 */

import { type FileHandle, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32cBytes, MillraceError, shown } from '../../core/index.ts';
import { ProcessLock } from '../../io/index.ts';

export const JOURNAL_FILE = 'epochs.journal';
const FORMAT = 2;
const FIRST_LINE = /^(millrace journal (\d+), epochs before (\d{16}) are acknowledged, )([0-9a-f]{8})$/;
/** The checksum in the head, which has no line before it. */
const NOTHING_BEFORE = '00000000';
/**
 * Records that can be whole behind the acknowledged ones: the current one, and the one before if the first
 * line reached the disk last.
 */
const UNACKNOWLEDGED_MAX = 2;
/** Lines that may be obsolete before the file is rewritten. */
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
  /**
   * Sources, by number, that keep no positions: a restart reads them from their beginning, whatever was
   * committed.
   */
  readonly forgetful: readonly number[];
}

export class Journal {
  readonly path: string;
  /** As found at the start; undefined in a directory without a journal. */
  readonly head: JournalHead | undefined;
  readonly records: readonly JournalRecord[];
  readonly #lock: ProcessLock;
  #file: FileHandle | undefined;
  #now: { head: JournalHead; records: JournalRecord[] } | undefined;
  /** Of the file, as it is on disk: lines behind the first, the checksum of the last of them, and bytes. */
  #lines = 0;
  #previous = NOTHING_BEFORE;
  #size = 0;
  /** The identity of the file. */
  #inode = 0n;
  #queue: Promise<void> = Promise.resolve();

  private constructor(path: string, lock: ProcessLock, head: JournalHead | undefined, records: readonly JournalRecord[]) {
    this.path = path;
    this.#lock = lock;
    this.head = head;
    this.records = records;
  }

  /**
   * Locks the directory and reads what is there. Makes it where it does not exist.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when another job works there, or the file cannot be read;
   *   ERR_MILLRACE_CORRUPT when anything in it is not as it was written
   */
  static async open(dir: string, pipeline: string): Promise<Journal> {
    const path = join(dir, JOURNAL_FILE);
    const lock = await guarded(path, async () => {
      await mkdir(dir, { recursive: true });
      return ProcessLock.take(join(dir, 'job'), `the pipeline ${shown(pipeline)}`, (holder) => inUse(dir, holder));
    });
    try {
      const bytes = await guarded(path, () => readFile(path).catch(missing));
      const { head, records } = bytes === undefined ? { head: undefined, records: [] } : readJournal(path, bytes);
      return new Journal(path, lock, head, records);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Replaces what was there by this head and these records. From here on records are appended. */
  async begin(head: JournalHead, records: readonly JournalRecord[]): Promise<void> {
    this.#now = { head, records: [...records] };
    await this.#rewrite();
  }

  /** Resolves when the record is on disk. Records come in the order of epochs. */
  append(record: JournalRecord, { sync = true }: { readonly sync?: boolean } = {}): Promise<void> {
    void sync;
    const now = this.#begun();
    now.records.push(record);
    return this.#enqueue(async () => {
      const file = this.#file as FileHandle;
      const { text, checksum } = line(record, this.#lines, this.#previous);
      await writeAt(file, text, this.#size);
      await file.datasync();
      this.#size += text.length;
      this.#previous = checksum;
      this.#lines++;
      await writeAt(file, firstLine(record.epoch), 0);
      await this.#mustBeThere();
    });
  }

  /** Resolves when everything appended so far is on disk. */
  sync(): Promise<void> {
    this.#begun();
    return this.#enqueue(async () => {
      await this.#file?.datasync();
    });
  }

  /** The positions of this epoch are committed: its record, and earlier ones, are no longer needed. */
  trim(epoch: number): void {
    const now = this.#begun();
    const last = now.records.findLast((record) => record.epoch <= epoch);
    if (last === undefined) return;
    now.records = now.records.filter((record) => record.epoch > epoch);
    now.head = { ...now.head, base: { epoch: last.epoch, nowMs: last.nowMs, positions: last.positions } };
    if (this.#lines - 1 - now.records.length < TRIM_LINES) return;
    void this.#rewrite();
  }

  /** See {@link JournalHead.forgetful}. */
  forgets(source: number): void {
    const now = this.#begun();
    if (now.head.forgetful.includes(source)) return;
    now.head = { ...now.head, forgetful: [...now.head.forgetful, source] };
    void this.#rewrite();
  }

  /** Waits for what is being written, and unlocks the directory. */
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

  /** Runs one after the other. After a failure none is run, as the content of the file is unknown. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(() => guarded(this.path, work));
    this.#queue = done;
    // Who waits for it, or for the next one, learns of a failure.
    done.catch(() => {});
    return done;
  }

  /** Writes the file anew, as things stand now. What is appended later comes after it. */
  #rewrite(): Promise<void> {
    const { head, records } = this.#begun();
    const values: object[] = [head, ...records];
    return this.#enqueue(async () => {
      await this.#file?.close();
      this.#file = undefined;
      const aside = `${this.path}.new`;
      const texts = [firstLine(records.at(-1)?.epoch ?? head.base.epoch)];
      let previous = NOTHING_BEFORE;
      values.forEach((value, number) => {
        const { text, checksum } = line(value, number, previous);
        texts.push(text);
        previous = checksum;
      });
      const bytes = Buffer.concat(texts);
      const file = await open(aside, 'w');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(aside, this.path);
      await syncFolder(dirname(this.path));
      this.#file = await open(this.path, 'r+');
      this.#inode = (await this.#file.stat({ bigint: true })).ino;
      this.#size = bytes.length;
      this.#lines = values.length;
      this.#previous = previous;
    });
  }

  /** A deleted file can still be written, but nobody will read it. */
  async #mustBeThere(): Promise<void> {
    const there = await stat(this.path, { bigint: true }).catch(missing);
    if (there?.ino === this.#inode) return;
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The journal ${this.path} was ${there === undefined ? 'removed' : 'replaced'} while the job ran. The job ends before anything goes out that a restart could not repeat. Restore the folder, or give another one.`,
    );
  }
}

/**
 * The lines of a journal.
 *
 * @throws MillraceError ERR_MILLRACE_CORRUPT, ERR_MILLRACE_CHECKPOINT
 */
export function readJournal(path: string, bytes: Uint8Array): { head: JournalHead; records: JournalRecord[] } {
  const firstEnd = bytes.indexOf(0x0a);
  const acknowledged = acknowledgedIn(path, bytes.subarray(0, Math.max(firstEnd, 0)));
  const values: object[] = [];
  let previous = NOTHING_BEFORE;
  let brokenAt = -1;
  for (let from = firstEnd + 1; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    const found = end < 0 ? undefined : valueOf(bytes.subarray(from, end));
    if (found === undefined) {
      if (brokenAt < 0) brokenAt = from;
    } else if (brokenAt >= 0) throw corrupt(path, `the line at byte ${brokenAt} is broken, and good ones follow`);
    else if (found.number !== values.length || found.previous !== previous) {
      throw corrupt(path, `the line at byte ${from} is number ${shown(found.number)}, where number ${values.length} belongs behind the line before`);
    } else {
      values.push(found.value);
      previous = found.checksum;
    }
    if (end < 0) break;
    from = end + 1;
  }
  const [head, ...records] = values as [JournalHead | undefined, ...JournalRecord[]];
  // The head is written in one go with its file, and never torn.
  if (head === undefined) throw corrupt(path, 'its head is broken');
  const last = records.at(-1)?.epoch ?? head.base.epoch;
  if (last < acknowledged) {
    throw corrupt(
      path,
      `it ends with epoch ${last}, but the records up to epoch ${acknowledged} had been written${brokenAt < 0 ? '' : `: the line at byte ${brokenAt} is broken`}`,
    );
  }
  if (last > acknowledged + UNACKNOWLEDGED_MAX) throw corrupt(path, `its first line is of epoch ${acknowledged}, but the records go on to epoch ${last}`);
  records.forEach((record, i) => {
    const before = records[i - 1]?.epoch ?? head.base.epoch;
    if (record.epoch !== before + 1) throw corrupt(path, `the record of epoch ${record.epoch} stands behind that of epoch ${before}`);
  });
  return { head, records };
}

/** The last epoch whose record must be there, as the first line says; -1: none. */
function acknowledgedIn(path: string, bytes: Uint8Array): number {
  const text = Buffer.from(bytes).toString('latin1');
  const [, covered = '', format, before, checksum] = FIRST_LINE.exec(text) ?? [];
  const isOld = /^[0-9a-f]{8} \{"format":1,/.test(text);
  if (!isOld && (checksum === undefined || hexOf(Buffer.from(covered)) !== checksum)) throw corrupt(path, 'its first line is broken');
  if (isOld || Number(format) !== FORMAT) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The journal ${path} has the format ${isOld ? 1 : format}; this version reads ${FORMAT}. Start it with the version that wrote it, or give another directory.`,
    );
  }
  return Number(before) - 1;
}

/** `crc32c json`; undefined when it is no such line. */
function valueOf(bytes: Uint8Array): { number: unknown; previous: unknown; checksum: string; value: object } | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const checksum = text.slice(0, 8);
  if (!/^[0-9a-f]{8} \{/.test(text) || checksum !== hexOf(bytes.subarray(9))) return undefined;
  const { number, previous, ...value } = JSON.parse(text.slice(9)) as { number: unknown; previous: unknown };
  return { number, previous, checksum, value };
}

function line(value: object, number: number, previous: string): { text: Buffer; checksum: string } {
  const json = JSON.stringify({ number, previous, ...value });
  const checksum = hexOf(Buffer.from(json));
  return { text: Buffer.from(`${checksum} ${json}\n`), checksum };
}

/** Always of the same length, so that it can be overwritten. */
function firstLine(acknowledged: number): Buffer {
  const covered = `millrace journal ${FORMAT}, epochs before ${String(acknowledged + 1).padStart(16, '0')} are acknowledged, `;
  return Buffer.from(`${covered}${hexOf(Buffer.from(covered))}\n`);
}

function hexOf(bytes: Uint8Array): string {
  return crc32cBytes(bytes).toString(16).padStart(8, '0');
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

function inUse(dir: string, holder: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The checkpoint directory ${dir} is in use by ${holder}. One job a directory: stop that one, or give this one another directory.`,
  );
}

function corrupt(path: string, what: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_CORRUPT',
    `The journal ${path} is damaged: ${what}. Restore the file. Without it the job can go on too (delete it), but what it reads again is then cut and stamped anew.`,
  );
}

/** Turns an error of the file system into one of ours. */
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
  // Windows can neither open nor sync a folder.
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
