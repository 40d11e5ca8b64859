/**
 * The directory of a job's checkpoints: manifests, segments and the journal, under one lock.
 *
 *   DIR/checkpoint-00000003-0000000000000120.manifest    checkpoint 120, written by run 3
 *   DIR/segment-00000003-001-0000000007.redo             what workers write (see names.ts)
 *   DIR/epochs.journal                                   see runtime/epoch/journal.ts
 *   DIR/job.held                                         the process that has it
 *
 * `write` makes a checkpoint, in this order. A crash between two of the steps leaves the checkpoint before.
 *
 *   the segments it names are synced, then their names;
 *   the journal is synced; the manifest is written aside and synced     (these three at the same time)
 *   -> the manifest gets its name -> the name is synced
 *
 * Segments are appended to by other threads. What a manifest names must have been written when `write` is
 * called. All of this is for the main thread: nothing here blocks.
 */

import { assert, MillraceError, shown } from '../../core/index.ts';
import type { ProcessLock } from '../../io/index.ts';
import { type Disk, type LockOptions, lockFolder, NodeDisk } from '../disk/index.ts';
import { Journal } from '../epoch/index.ts';
import { segmentNamed } from '../state-log/index.ts';
import { type Damage, type Found, findCheckpoints, greatestRun, lineOf } from './found.ts';
import type { CheckpointId, Manifest } from './manifest.ts';
import { encodeManifest } from './manifest-text.ts';
import { isStrayManifest, manifestName, parseManifestName, RUN_MAX, segmentPath, TEMPORARY } from './names.ts';

export interface OpenOptions extends LockOptions {
  /** Called when the directory is locked, before anything in it is looked at. */
  locked?(disk: Disk, lock: ProcessLock): Promise<void>;
}

export class CheckpointDir {
  readonly dir: string;
  /** In the same directory, under the same lock. `close` closes both. */
  readonly journal: Journal;
  /** Of this process: greater than that of any manifest or segment found. */
  readonly run: number;
  /** As found at the start, newest first. */
  readonly damaged: readonly Damage[];
  readonly #disk: Disk;
  readonly #lock: ProcessLock | undefined;
  /** Newest first. */
  #candidates: Manifest[];
  /** Segments of this run, by name: their size at their last sync. */
  readonly #synced = new Map<string, number>();
  #queue: Promise<unknown> = Promise.resolve();
  /** After this nobody knows what is on disk. */
  #failure: MillraceError | undefined;
  #isClosed = false;

  private constructor(disk: Disk, lock: ProcessLock | undefined, journal: Journal, { files, manifests, damaged }: Found) {
    this.dir = disk.dir;
    this.#disk = disk;
    this.#lock = lock;
    this.journal = journal;
    this.run = greatestRun(files) + 1;
    this.damaged = damaged;
    this.#candidates = lineOf(manifests);
    this.#keepDecisions();
  }

  /**
   * Makes the directory where it does not exist, locks it and reads what is there.
   *
   * @param warn gets a sentence about each manifest that is damaged
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when another process has it, when it is another pipeline's, or
   *   when it was written by a later version; ERR_MILLRACE_CORRUPT when there were checkpoints and none is
   *   whole, or when the journal is damaged; the reason of `options.wait` when that aborts
   */
  static async open(dir: string, pipeline: string, warn: (message: string) => void, options: OpenOptions = {}): Promise<CheckpointDir> {
    let lock: ProcessLock;
    try {
      lock = await lockFolder(dir, pipeline, options);
    } catch (error) {
      throw options.wait?.aborted === true ? error : failed(dir, 'cannot be opened', '', error);
    }
    try {
      const disk = new NodeDisk(dir);
      await options.locked?.(disk, lock);
      return await CheckpointDir.on(disk, pipeline, warn, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Like `open`, on any disk.
   *
   * @param lock to give back at the end
   */
  static async on(disk: Disk, pipeline: string, warn: (message: string) => void, lock?: ProcessLock): Promise<CheckpointDir> {
    const journal = await Journal.on(disk);
    const found = await findCheckpoints(disk).catch((error) => {
      throw failed(disk.dir, 'cannot be read', '', error);
    });
    mustBeOf(disk.dir, pipeline, found.manifests);
    const dir = new CheckpointDir(disk, lock, journal, found);
    if (dir.run > RUN_MAX)
      throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The checkpoint directory ${disk.dir} has seen ${RUN_MAX} runs. Give another directory.`);
    dir.#warnOfDamage(warn);
    return dir;
  }

  /** Checkpoints that the job can go on from, newest first. Those written here are among them. */
  candidates(): readonly Manifest[] {
    return this.#candidates;
  }

  /** Where a segment is. */
  path(segmentName: string): string {
    return segmentPath(this.dir, segmentName);
  }

  /** Names of the segments that are there, in order. */
  async segments(): Promise<readonly string[]> {
    const files = await this.#disk.list().catch((error) => {
      throw failed(this.dir, 'cannot be read', '', error);
    });
    return files.map(({ name }) => name).filter((name) => segmentNamed(name) !== undefined);
  }

  /**
   * Makes a checkpoint durable: its segments, the journal, and the manifest.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT. The checkpoint before stays as it is. The job may try again
   *   when the disk was full. After other errors it can only end.
   */
  write(manifest: Manifest): Promise<void> {
    const newest = this.#candidates[0];
    assert(manifest.run === this.run, `a manifest of run ${manifest.run} in run ${this.run}`);
    assert(newest === undefined || manifest.checkpoint >= newest.checkpoint || newest.run < this.run, 'checkpoints are written in order');
    return this.#enqueue(`checkpoint ${manifest.checkpoint} cannot be written`, async () => {
      const bytes = encodeManifest(manifest);
      await this.#mustBeOurs();
      const name = manifestName(manifest);
      const aside = `${name}${TEMPORARY}`;
      // Three at a time, as Node has four threads for files, and sinks want one of them.
      await allOf([
        this.#syncSegments(manifest),
        this.journal.hasBegun ? this.#orEnd(() => this.journal.sync()) : undefined,
        this.#disk.create(aside, bytes).then(() => this.#disk.sync(aside)),
      ]).catch(async (error) => {
        // If something is left of it, the next prune removes it.
        await this.#disk.remove(aside).catch(() => {});
        throw error;
      });
      await this.#mustBeOurs();
      await this.#orEnd(async () => {
        await this.#disk.rename(aside, name);
        await this.#disk.syncNames();
      });
      this.#candidates = [manifest, ...this.#candidates.filter((one) => !isSame(one, manifest))];
      this.#keepDecisions();
    });
  }

  /**
   * Removes all manifests but the newest `keep` ones, segments that none of these names, and what crashes left
   * behind. Of the segments of this run those stay that may still be written, or named by the next manifest.
   */
  prune(keep: number): Promise<void> {
    assert(Number.isInteger(keep) && keep > 0, `to keep ${keep} checkpoints`);
    return this.#enqueue('old checkpoints cannot be removed', async () => {
      await this.#mustBeOurs();
      const kept = this.#candidates.slice(0, keep);
      const files = (await this.#disk.list()).map(({ name }) => name);
      const isFull = kept.length === keep;
      // Until there are enough, what is damaged stays for whoever can mend it.
      const old = files.filter((name) => {
        const id = parseManifestName(name);
        if (id === undefined) return isStrayManifest(name);
        return !kept.some((one) => isSame(one, id)) && (isFull || !this.damaged.some(({ file }) => file === name));
      });
      const stays = files.filter((name) => parseManifestName(name) !== undefined && !old.includes(name)).length;
      const obsolete = stays > kept.length ? [] : files.filter((name) => this.#isObsolete(name, kept));
      if (old.length + obsolete.length === 0) return;
      for (const name of old) await this.#disk.remove(name);
      // A manifest without its segments would look like damage.
      await this.#disk.syncNames();
      this.#candidates = kept;
      this.#keepDecisions();
      for (const name of obsolete) {
        await this.#disk.remove(name);
        this.#synced.delete(name);
      }
    });
  }

  /** Waits for what is being written, and unlocks the directory. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#queue;
    await this.journal.close();
    await this.#disk.close();
    await this.#lock?.release();
  }

  /** Makes durable what other threads have appended to the segments that a manifest names. */
  async #syncSegments(manifest: Manifest): Promise<void> {
    const sizes = new Map((await this.#disk.list()).map(({ name, bytes }) => [name, bytes]));
    const grown = manifest.segments.filter(({ name }) => {
      if (!sizes.has(name)) throw this.#end(this.#gone(name, manifest));
      // Those of earlier runs were synced for the manifest that this run began from.
      return segmentNamed(name)?.run === this.run && this.#synced.get(name) !== sizes.get(name);
    });
    const areNamesNew = grown.some(({ name }) => !this.#synced.has(name));
    for (const { name } of grown) {
      await this.#orEnd(() => this.#disk.sync(name));
      this.#synced.set(name, sizes.get(name) as number);
    }
    if (areNamesNew) await this.#orEnd(() => this.#disk.syncNames());
  }

  #gone(name: string, { checkpoint }: Manifest): MillraceError {
    return new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The segment ${this.path(name)} was removed while the job ran: checkpoint ${checkpoint} cannot be written. ${STAYS}`,
    );
  }

  /**
   * Whether no checkpoint will name a segment any more. A writer's segments come one after the other, so those
   * in front of one that the newest manifest names are closed, and what they hold is named by it, or never.
   */
  #isObsolete(name: string, kept: readonly Manifest[]): boolean {
    const id = segmentNamed(name);
    if (id === undefined || kept.some(({ segments }) => segments.some((one) => one.name === name))) return false;
    if (id.run !== this.run) return true;
    return (
      kept[0]?.segments.some((one) => {
        const named = segmentNamed(one.name);
        return named?.run === id.run && named.worker === id.worker && named.from > id.from;
      }) === true
    );
  }

  /** The journal keeps what a restart from the oldest checkpoint would need. */
  #keepDecisions(): void {
    const oldest = this.#candidates.at(-1);
    if (oldest !== undefined) this.journal.keepBehind(oldest.checkpoint);
  }

  #warnOfDamage(warn: (message: string) => void): void {
    const [newest] = this.#candidates;
    const texts = this.damaged.map(({ file, reason }) => `${file} (${reason})`);
    if (newest === undefined && texts.length > 0) {
      throw new MillraceError(
        'ERR_MILLRACE_CORRUPT',
        `None of the checkpoints in ${this.dir} is whole: ${texts.join(', ')}. Restore the files. To begin without what was counted so far, give another directory.`,
      );
    }
    this.damaged.forEach(({ file }, i) => {
      const id = parseManifestName(file) as CheckpointId;
      const isNeeded = newest !== undefined && order(id, newest) > 0;
      warn(
        `A checkpoint in ${this.dir} is damaged: ${texts[i]}. ${
          isNeeded
            ? `The one before it is taken, checkpoint ${newest.checkpoint}: what came in behind that is read and computed again.`
            : `It is not needed now, as checkpoint ${newest?.checkpoint} is newer and whole.`
        }`,
      );
    });
  }

  /** Somebody may have deleted the directory, or the lock, and another process may have it by now. */
  async #mustBeOurs(): Promise<void> {
    if (this.#lock === undefined || (await this.#lock.isHeld())) return;
    throw this.#end(
      new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The checkpoint directory ${this.dir} was removed, replaced, or taken by another process while the job ran: ${this.#lock.path} is no longer of this process. The job ends, so that two do not write the same. Restore the folder, or give another one.`,
      ),
    );
  }

  /** Runs one after the other. */
  #enqueue(what: string, work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed) throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The checkpoint directory ${this.dir} is closed: ${what}.`);
      try {
        await work();
      } catch (error) {
        throw failed(this.dir, what, STAYS, error);
      }
    });
    this.#queue = done.catch(() => {});
    return done;
  }

  /** After a failure of this work nothing is written any more: what is on disk is unknown. */
  async #orEnd(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // Whoever has the directory now may have removed the file.
      await this.#mustBeOurs();
      throw this.#end(failed(this.dir, 'cannot be written', STAYS, error));
    }
  }

  #end(failure: MillraceError): MillraceError {
    this.#failure ??= failure;
    return failure;
  }
}

const STAYS = 'The checkpoint before stays as it is: a restart goes on from it, and nothing that was committed is lost.';

/** Waits for all of them, whatever fails, so that nothing goes on behind an error. */
async function allOf(works: readonly (Promise<void> | undefined)[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function isSame(a: CheckpointId, b: CheckpointId): boolean {
  return a.run === b.run && a.checkpoint === b.checkpoint;
}

function order(a: CheckpointId, b: CheckpointId): number {
  return a.run - b.run || a.checkpoint - b.checkpoint;
}

function mustBeOf(dir: string, pipeline: string, manifests: readonly Manifest[]): void {
  const other = manifests.find(({ plan }) => plan.plan.pipeline !== pipeline);
  if (other === undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The checkpoints in ${dir} are of the pipeline ${shown(other.plan.plan.pipeline)}, not of ${shown(pipeline)}. Give each pipeline a directory of its own.`,
  );
}

/** What the system says, by its code, and what to do about it. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full. Free some space.',
  EDQUOT: 'The quota is used up. Free some space.',
  EIO: 'The disk has failed. Check it, or give a directory on another one.',
  EROFS: 'It cannot be written to. Mount it for writing, or give another directory.',
  EACCES: 'This process may not use it. Change its permissions, or give another directory.',
  EPERM: 'This process may not use it. Change its permissions, or give another directory.',
  ENOENT: 'It was removed. Restore the folder, or give another one.',
  ENOTDIR: 'Something else has its name. Give another directory.',
  EEXIST: 'Something else has its name. Give another directory.',
};

function failed(dir: string, what: string, then: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const advice = ADVICE[code ?? ''] ?? 'See whether the folder is in order, or give another one.';
  return new MillraceError('ERR_MILLRACE_CHECKPOINT', `In the checkpoint directory ${dir}: ${what} (${message}). ${advice}${then === '' ? '' : ` ${then}`}`, {
    cause,
  });
}
