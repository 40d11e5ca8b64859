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
 *
 * Where checkpoints decide what goes out, records need not be on disk before the checkpoint's manifest is.
 * They are appended without a sync, and a sync follows before the manifest. Such a file has format 3. Its
 * first line tells up to where records were synced. A crash may have lost any of those behind, not only the
 * last: what follows the first broken line there counts as never written.
 */

import { join } from 'node:path';
import { crc32cBytes, MillraceError, shown } from '../../core/index.ts';
import type { ProcessLock } from '../../io/index.ts';
import { type Disk, lockFolder, NodeDisk } from '../disk/index.ts';

export const JOURNAL_FILE = 'epochs.journal';
/** Where a new file is written, before it replaces the old one. */
const ASIDE = `${JOURNAL_FILE}.new`;
/** Each record is synced before the next one is appended. */
const FORMAT_SYNCED = 2;
/** Records may be appended before those in front are synced. */
const FORMAT_UNSYNCED = 3;
type Format = typeof FORMAT_SYNCED | typeof FORMAT_UNSYNCED;
const FIRST_LINE = /^(millrace journal (\d+), epochs before (\d{16}) are acknowledged, )([0-9a-f]{8})$/;
/** The checksum in the head, which has no line before it. */
const NOTHING_BEFORE = '00000000';
/**
 * Records that can be whole behind the acknowledged ones in format 2: the current one, and the one before if
 * the first line reached the disk last.
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
}

export class Journal {
  readonly path: string;
  /** As found at the start; undefined in a directory without a journal. */
  readonly head: JournalHead | undefined;
  readonly records: readonly JournalRecord[];
  readonly #disk: Disk;
  /** Undefined: it is another's. */
  readonly #lock: ProcessLock | undefined;
  #now: { head: JournalHead; records: JournalRecord[] } | undefined;
  /** Of the file that is written: its format, once what is queued is done. */
  #format: Format = FORMAT_SYNCED;
  /** Of the file, as it is on disk: lines behind the first, the checksum of the last of them, and bytes. */
  #lines = 0;
  #previous = NOTHING_BEFORE;
  #size = 0;
  /** The last epoch that is in the file. */
  #written = -1;
  #isSynced = true;
  #keptBehind = Number.POSITIVE_INFINITY;
  #queue: Promise<void> = Promise.resolve();

  private constructor(disk: Disk, lock: ProcessLock | undefined, head: JournalHead | undefined, records: readonly JournalRecord[]) {
    this.path = join(disk.dir, JOURNAL_FILE);
    this.#disk = disk;
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
    const lock = await guarded(join(dir, JOURNAL_FILE), () => lockFolder(dir, pipeline));
    try {
      return await Journal.on(new NodeDisk(dir), lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Reads what is on a disk.
   *
   * @param lock to give back at the end; undefined: the caller holds it for longer
   * @throws as {@link Journal.open}
   */
  static async on(disk: Disk, lock?: ProcessLock): Promise<Journal> {
    const path = join(disk.dir, JOURNAL_FILE);
    const bytes = await guarded(path, () => disk.read(JOURNAL_FILE, Number.POSITIVE_INFINITY));
    const { head, records } = bytes === undefined ? { head: undefined, records: [] } : readJournal(path, bytes);
    return new Journal(disk, lock, head, records);
  }

  get hasBegun(): boolean {
    return this.#now !== undefined;
  }

  /** Replaces what was there by this head and these records. From here on records are appended. */
  async begin(head: JournalHead, records: readonly JournalRecord[]): Promise<void> {
    this.#now = { head, records: [...records] };
    await this.#rewrite();
  }

  /**
   * Resolves when the record is on disk, or, without `sync`, in the file. Records come in the order of epochs.
   */
  append(record: JournalRecord, { sync = true }: { readonly sync?: boolean } = {}): Promise<void> {
    const now = this.#begun();
    if (!sync && this.#format === FORMAT_SYNCED) {
      this.#format = FORMAT_UNSYNCED;
      void this.#rewrite();
    }
    now.records.push(record);
    return this.#enqueue(async () => {
      const { text, checksum } = line(record, this.#lines, this.#previous);
      await this.#disk.writeAt(JOURNAL_FILE, text, this.#size);
      this.#size += text.length;
      this.#previous = checksum;
      this.#lines++;
      this.#written = record.epoch;
      this.#isSynced = false;
      if (sync) await this.#sync();
    });
  }

  /** Resolves when everything that was appended so far is on disk. */
  sync(): Promise<void> {
    this.#begun();
    return this.#enqueue(() => this.#sync());
  }

  /**
   * From now on `trim` keeps records behind this epoch: checkpoints may yet be restored that need them.
   */
  keepBehind(epoch: number): void {
    this.#keptBehind = epoch;
  }

  /** The positions of this epoch are committed: its record, and earlier ones, are no longer needed. */
  trim(epoch: number): void {
    const now = this.#begun();
    const until = Math.min(epoch, this.#keptBehind);
    const last = now.records.findLast((record) => record.epoch <= until);
    if (last === undefined) return;
    now.records = now.records.filter((record) => record.epoch > until);
    now.head = { ...now.head, base: { epoch: last.epoch, nowMs: last.nowMs, positions: last.positions } };
    if (this.#lines - 1 - now.records.length < TRIM_LINES) return;
    void this.#rewrite();
  }

  /** Waits for what is being written, and unlocks the directory if the lock is its own. */
  async close(): Promise<void> {
    await this.#queue.catch(() => {});
    await this.#disk.release(JOURNAL_FILE);
    await this.#lock?.release();
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

  async #sync(): Promise<void> {
    if (!this.#isSynced) {
      await this.#disk.sync(JOURNAL_FILE);
      await this.#disk.writeAt(JOURNAL_FILE, firstLine(this.#format, this.#written), 0);
      this.#isSynced = true;
    }
    await this.#mustBeThere();
  }

  /** The file as it would be written anew now: what is kept beside a checkpoint somewhere else. */
  image(): Uint8Array {
    const { head, records } = this.#begun();
    return contentOf(this.#format, head, records).bytes;
  }

  /** Writes the file anew, as things stand now. What is appended later comes after it. */
  #rewrite(): Promise<void> {
    const { head, records: all } = this.#begun();
    const records = [...all];
    const last = records.at(-1)?.epoch ?? head.base.epoch;
    return this.#enqueue(async () => {
      const { bytes, previous } = contentOf(this.#format, head, records);
      await this.#disk.create(ASIDE, bytes);
      await this.#disk.sync(ASIDE);
      await this.#disk.rename(ASIDE, JOURNAL_FILE);
      await this.#disk.hold(JOURNAL_FILE);
      await this.#disk.syncNames();
      this.#size = bytes.length;
      this.#lines = 1 + records.length;
      this.#previous = previous;
      this.#written = last;
      this.#isSynced = true;
    });
  }

  /** A deleted file can still be written, but nobody will read it. */
  async #mustBeThere(): Promise<void> {
    const fate = await this.#disk.fate(JOURNAL_FILE);
    if (fate === 'there') return;
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The journal ${this.path} was ${fate} while the job ran. The job ends before anything goes out that a restart could not repeat. Restore the folder, or give another one.`,
    );
  }
}

/** A whole file, and the checksum of its last line. */
function contentOf(format: Format, head: JournalHead, records: readonly JournalRecord[]): { bytes: Buffer; previous: string } {
  const texts = [firstLine(format, records.at(-1)?.epoch ?? head.base.epoch)];
  let previous = NOTHING_BEFORE;
  [head, ...records].forEach((value, number) => {
    const { text, checksum } = line(value, number, previous);
    texts.push(text);
    previous = checksum;
  });
  return { bytes: Buffer.concat(texts), previous };
}

/**
 * The lines of a journal.
 *
 * @throws MillraceError ERR_MILLRACE_CORRUPT, ERR_MILLRACE_CHECKPOINT
 */
export function readJournal(path: string, bytes: Uint8Array): { head: JournalHead; records: JournalRecord[] } {
  const firstEnd = bytes.indexOf(0x0a);
  const { format, acknowledged } = firstLineOf(path, bytes.subarray(0, Math.max(firstEnd, 0)));
  const values: object[] = [];
  let previous = NOTHING_BEFORE;
  let brokenAt = -1;
  for (let from = firstEnd + 1; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    const found = end < 0 ? undefined : valueOf(bytes.subarray(from, end));
    if (found === undefined) {
      if (brokenAt < 0) brokenAt = from;
    } else if (brokenAt >= 0) {
      // Behind what was synced, a crash may keep a line and lose one in front of it.
      if (format === FORMAT_UNSYNCED) break;
      throw corrupt(path, `the line at byte ${brokenAt} is broken, and good ones follow`);
    } else if (found.number !== values.length || found.previous !== previous) {
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
  if (format === FORMAT_SYNCED && last > acknowledged + UNACKNOWLEDGED_MAX)
    throw corrupt(path, `its first line is of epoch ${acknowledged}, but the records go on to epoch ${last}`);
  records.forEach((record, i) => {
    const before = records[i - 1]?.epoch ?? head.base.epoch;
    if (record.epoch !== before + 1) throw corrupt(path, `the record of epoch ${record.epoch} stands behind that of epoch ${before}`);
  });
  return { head, records };
}

/** The format, and the last epoch whose record must be there; -1: none. */
function firstLineOf(path: string, bytes: Uint8Array): { format: Format; acknowledged: number } {
  const text = Buffer.from(bytes).toString('latin1');
  const [, covered = '', format, before, checksum] = FIRST_LINE.exec(text) ?? [];
  const isOld = /^[0-9a-f]{8} \{"format":1,/.test(text);
  if (!isOld && (checksum === undefined || hexOf(Buffer.from(covered)) !== checksum)) throw corrupt(path, 'its first line is broken');
  if (isOld || (Number(format) !== FORMAT_SYNCED && Number(format) !== FORMAT_UNSYNCED)) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The journal ${path} has the format ${isOld ? 1 : format}; this version reads ${FORMAT_SYNCED} and ${FORMAT_UNSYNCED}. Start it with the version that wrote it, or give another directory.`,
    );
  }
  return { format: Number(format) as Format, acknowledged: Number(before) - 1 };
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
function firstLine(format: Format, acknowledged: number): Buffer {
  const covered = `millrace journal ${format}, epochs before ${String(acknowledged + 1).padStart(16, '0')} are acknowledged, `;
  return Buffer.from(`${covered}${hexOf(Buffer.from(covered))}\n`);
}

function hexOf(bytes: Uint8Array): string {
  return crc32cBytes(bytes).toString(16).padStart(8, '0');
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
