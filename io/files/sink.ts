/**
 * Text files out, one row per line. Each epoch has a file of its own, `PREFIX-EPOCH-PART.EXT`. It is written
 * under a hidden name, made durable, and renamed when the epoch is committed, so a visible file is complete.
 * One sink at a time may use the names of a prefix and an ending.
 *
 * At-least-once: an epoch that comes again (after a failure) writes the same names again, and replaces its
 * files.
 *
 * Exactly-once: `prepare` syncs the files and gives them a second hidden name, `commit` the visible one.
 *
 *   .part-0000000007-00000.jsonl.tmp  -->  .part-0000000007-00000.jsonl.prepared  -->  part-0000000007-...
 *
 * So the names say what `recover(n)` has to do: prepared files of epochs up to n become visible, all other
 * hidden ones go. A commit that a crash cut short, with some files renamed and some not, is finished there.
 */

import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkOptionNames, MillraceError, type Schema, shown, shownPath } from '../../core/index.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import { lineSinkEncoder } from '../line-encoder.ts';
import { ProcessLock } from '../process-lock.ts';
import { type Changelog, type ChangelogSink, changelogOf, type Sink, type SinkBlock, type SinkWriter } from '../sink.ts';

export interface FilesSinkOptions {
  /**
   * How rows of a table are written: see {@link Changelog}. Files take no table without it.
   */
  readonly changelog?: Changelog;
  /** The folder. It is created if it does not exist. */
  readonly dir: string;
  /** How a line is written: `json()`, `csv()`, `text()`. */
  readonly value: Codec;
  /**
   * First part of the names: letters, digits, `_`, `.`, `=`, `-`, not beginning with a dot. Default `part`.
   */
  readonly prefix?: string;
  /** Last part of the names. Default by codec: `jsonl`, `csv`, `txt`. */
  readonly ext?: string;
  /** One file per epoch (`one`, the default), or one per epoch and shard. */
  readonly parts?: 'one' | 'shard';
}

const NAME = /^[A-Za-z0-9_=][A-Za-z0-9_.=-]*$/;
const EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['json', 'jsonl'],
  ['csv', 'csv'],
]);
const TEMPORARY = '.tmp';
const PREPARED = '.prepared';

/**
 * @example files.sink({ dir: './out', value: json() }) // out/part-0000000001-00000.jsonl, ...
 * @throws MillraceError ERR_MILLRACE_OPTION for a name that could leave the folder, ERR_MILLRACE_PIPELINE for
 * a codec that writes no lines. The job fails with ERR_MILLRACE_FILE when the folder or a file cannot be
 * written.
 */
export function filesSink(options: FilesSinkOptions & { readonly changelog: Changelog }): ChangelogSink;
export function filesSink(options: FilesSinkOptions): Sink;
export function filesSink(options: FilesSinkOptions): Sink {
  checkOptionNames('files.sink', options, { dir: true, value: true, prefix: true, ext: true, parts: true, changelog: true });
  const { dir, value, prefix = 'part', ext = EXTENSIONS.get(value?.name) ?? 'txt', parts = 'one' } = options;
  mustBeCodec('files.sink', value);
  if (typeof dir !== 'string' || dir === '')
    throw new MillraceError('ERR_MILLRACE_OPTION', `files.sink: dir is ${shownPath(dir)}; it must be the path of a folder.`);
  for (const [option, name] of [
    ['prefix', prefix],
    ['ext', ext],
  ] as const) {
    if (typeof name !== 'string' || !NAME.test(name) || name.length > 100) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `files.sink: ${option} is ${shown(name)}; use letters, digits, "_", "=", "-" and ".", with no "." or "-" in front.`,
      );
    }
  }
  if (parts !== 'one' && parts !== 'shard')
    throw new MillraceError('ERR_MILLRACE_OPTION', `files.sink: parts is ${shown(parts)}; it must be 'one' or 'shard'.`);
  return {
    name: `files ${dir}`,
    delivery: 'replayed by epoch',
    ...(options.changelog === undefined ? {} : { changelog: changelogOf('files.sink', options.changelog) }),
    place: `the files ${prefix}-*.${ext} in ${shownPath(resolve(dir))}`,
    check(_schema: Schema): void {
      if (value.name === 'arrow')
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'files.sink writes lines, which the arrow codec does not. Use json(), csv() or text().');
    },
    async open({ pipeline, guarantee, deposed }) {
      const root = resolve(dir);
      try {
        await mkdir(root, { recursive: true });
        const refused = (holder: string) =>
          new MillraceError(
            'ERR_MILLRACE_FILE',
            `The files ${prefix}-*.${ext} in ${shown(root)} are being written by ${holder}. One sink at a time: stop it, or give another dir or prefix.`,
          );
        const lock = await ProcessLock.take(join(root, `.${prefix}.${ext}`), `the pipeline ${shown(pipeline)}`, refused, deposed);
        try {
          const writer = new FilesWriter(root, prefix, ext, parts, guarantee === 'exactly-once', lock);
          if (guarantee !== 'exactly-once') await writer.takeAll();
          return writer;
        } catch (error) {
          await lock.release();
          throw error;
        }
      } catch (cause) {
        throw fileError(`The folder ${shownPath(root)} cannot be written to`, cause);
      }
    },
    encoder: (context) => lineSinkEncoder(context, value),
  };
}

/**
 * A file that is being written. `end` is where the next block goes. `write` places each block when it is
 * called, so blocks keep the order of the calls.
 */
interface Part {
  readonly name: string;
  readonly temporary: string;
  readonly file: Promise<FileHandle>;
  end: number;
}

interface OurFile {
  readonly epoch: number;
  /** Its name when it is visible. */
  readonly name: string;
  /** Its name now. */
  readonly hidden: string;
}

class FilesWriter implements SinkWriter {
  readonly info = { partitionCount: 1 };
  readonly #dir: string;
  readonly #prefix: string;
  readonly #ext: string;
  readonly #parts: 'one' | 'shard';
  readonly #lock: ProcessLock;
  readonly #isExactlyOnce: boolean;
  #isRecovered = false;
  /** By epoch, then by part. */
  readonly #open = new Map<number, Map<number, Part>>();
  /** Names of prepared files, by epoch. */
  readonly #prepared = new Map<number, Set<string>>();
  #preparedUntil = -1;
  /**
   * At-least-once: our files that were in the folder at opening, by epoch. An epoch that comes again replaces
   * all of its files.
   */
  readonly #found = new Map<number, string[]>();

  constructor(dir: string, prefix: string, ext: string, parts: 'one' | 'shard', isExactlyOnce: boolean, lock: ProcessLock) {
    this.#lock = lock;
    this.#dir = dir;
    this.#prefix = prefix;
    this.#ext = ext;
    this.#parts = parts;
    this.#isExactlyOnce = isExactlyOnce;
  }

  /**
   * At-least-once, at opening: what a dead run did not finish goes. What one prepared, exactly-once, may have
   * been decided: it becomes visible.
   */
  async takeAll(): Promise<void> {
    const { visible, prepared, temporary } = await this.#list();
    for (const { hidden } of temporary) await rm(join(this.#dir, hidden));
    for (const { name, hidden } of prepared) await rename(join(this.#dir, hidden), join(this.#dir, name));
    for (const { epoch, name } of new Map([...visible, ...prepared].map((file) => [file.name, file])).values()) {
      const found = this.#found.get(epoch);
      if (found) found.push(name);
      else this.#found.set(epoch, [name]);
    }
  }

  async recover(checkpoint: number): Promise<void> {
    const { visible, prepared, temporary } = await this.#list();
    const behind = visible.filter(({ epoch }) => epoch > checkpoint).map(({ name }) => name);
    if (behind.length > 0 && checkpoint < 0) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The job resumes from nothing, but ${shown(this.#dir)} has ${behind.length} files of an earlier run (${behind[0]}), which its own would be mixed with. Move them away, or give another dir or prefix.`,
      );
    }
    try {
      for (const { hidden } of temporary) await rm(join(this.#dir, hidden));
      for (const { epoch, hidden } of prepared) if (epoch > checkpoint) await rm(join(this.#dir, hidden));
      if (behind.length > 0) {
        process.emitWarning(
          `${shown(this.#dir)} has ${behind.length} files behind checkpoint ${checkpoint}, which were not written exactly-once (${behind[0]}). They are removed; their rows come again.`,
          'MillraceWarning',
        );
        for (const name of behind) await rm(join(this.#dir, name));
      }
      // A file that is visible was committed whole. Its twin is of a process that woke up when it was deposed.
      const committed = new Set(visible.map(({ name }) => name));
      for (const { epoch, name, hidden } of prepared) {
        if (epoch > checkpoint) continue;
        if (committed.has(name)) await rm(join(this.#dir, hidden));
        else await rename(join(this.#dir, hidden), join(this.#dir, name));
      }
    } catch (cause) {
      throw fileError(`The folder ${shownPath(this.#dir)} cannot be brought to checkpoint ${checkpoint}`, cause);
    }
    await this.#syncFolder();
    this.#preparedUntil = checkpoint;
    this.#isRecovered = true;
  }

  async write({ epoch, unit, bytes }: SinkBlock): Promise<void> {
    if (this.#isExactlyOnce) {
      if (!this.#isRecovered) throw new MillraceError('ERR_MILLRACE_SINK', `A block for ${shown(this.#dir)} came before recover().`);
      if (epoch <= this.#preparedUntil) {
        throw new MillraceError(
          'ERR_MILLRACE_SINK',
          `A block for ${shown(this.#dir)} is of epoch ${epoch}, but epochs up to ${this.#preparedUntil} are closed.`,
        );
      }
    }
    const part = this.#part(epoch, this.#parts === 'shard' ? unit : 0);
    const position = part.end;
    part.end += bytes.length;
    try {
      const file = await part.file;
      for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    } catch (cause) {
      throw fileError(`The file ${shownPath(part.temporary)} cannot be written`, cause);
    }
  }

  async prepare(checkpoint: number): Promise<void> {
    await this.#mustBeOurs();
    this.#preparedUntil = Math.max(this.#preparedUntil, checkpoint);
    const epochs = [...this.#open.keys()].filter((epoch) => epoch <= checkpoint);
    await Promise.all(
      epochs.map(async (epoch) => {
        const parts = this.#open.get(epoch) as Map<number, Part>;
        this.#open.delete(epoch);
        const prepared = new Set<string>();
        this.#prepared.set(epoch, prepared);
        for (const part of parts.values()) {
          await this.#finish(part, `.${part.name}${PREPARED}`);
          prepared.add(part.name);
        }
      }),
    );
    if (epochs.length > 0) await this.#syncFolder();
  }

  async commit(epoch: number): Promise<void> {
    await this.#mustBeOurs();
    return this.#isExactlyOnce ? this.#commitPrepared(epoch) : this.#commitEpoch(epoch);
  }

  /** Removes what was not committed, and not prepared. */
  async close(): Promise<void> {
    const parts = [...this.#open.values()].flatMap((of) => [...of.values()]);
    this.#open.clear();
    await Promise.all(
      parts.map(async (part) => {
        const file = await part.file.catch(() => undefined);
        await file?.close();
        await rm(part.temporary, { force: true });
      }),
    );
    await this.#lock.release();
  }

  async #commitPrepared(checkpoint: number): Promise<void> {
    const epochs = [...this.#prepared.keys()].filter((epoch) => epoch <= checkpoint).sort((a, b) => a - b);
    for (const epoch of epochs) {
      const names = this.#prepared.get(epoch) as Set<string>;
      for (const name of names) {
        try {
          await rename(join(this.#dir, `.${name}${PREPARED}`), join(this.#dir, name));
        } catch (cause) {
          throw fileError(`The file ${shownPath(join(this.#dir, name))} cannot be put in place`, cause);
        }
        names.delete(name);
      }
      this.#prepared.delete(epoch);
    }
    if (epochs.length > 0) await this.#syncFolder();
  }

  async #commitEpoch(epoch: number): Promise<void> {
    const parts = this.#open.get(epoch);
    if (parts === undefined) return;
    this.#open.delete(epoch);
    const stale = new Set(this.#found.get(epoch));
    this.#found.delete(epoch);
    for (const part of parts.values()) {
      await this.#finish(part, part.name);
      stale.delete(part.name);
    }
    // Files of shards that had no rows this time.
    for (const name of stale) await rm(join(this.#dir, name), { force: true });
    await this.#syncFolder();
  }

  /** Another process may have taken over while this one was stopped. */
  async #mustBeOurs(): Promise<void> {
    const other = await this.#lock.otherHolder();
    if (other === undefined) return;
    throw new MillraceError(
      'ERR_MILLRACE_FENCED',
      `The files ${this.#prefix}-*.${this.#ext} in ${shown(this.#dir)} are written by ${other} now. This process ends, and writes nothing more.`,
    );
  }

  /** Makes a part durable under its next name. */
  async #finish(part: Part, name: string): Promise<void> {
    try {
      const file = await part.file;
      await file.sync();
      await file.close();
      await rename(part.temporary, join(this.#dir, name));
    } catch (cause) {
      throw fileError(`The file ${shownPath(join(this.#dir, name))} cannot be put in place`, cause);
    }
  }

  /** Our files in the folder, in the order of their names. */
  async #list(): Promise<{ visible: OurFile[]; prepared: OurFile[]; temporary: OurFile[] }> {
    const files = { visible: [] as OurFile[], prepared: [] as OurFile[], temporary: [] as OurFile[] };
    for (const hidden of (await readdir(this.#dir)).sort()) {
      const ending = [TEMPORARY, PREPARED].find((ending) => hidden.startsWith('.') && hidden.endsWith(ending));
      const name = ending === undefined ? hidden : hidden.slice(1, -ending.length);
      const epoch = epochIn(name, this.#prefix, this.#ext);
      if (epoch === undefined) continue;
      files[ending === undefined ? 'visible' : ending === PREPARED ? 'prepared' : 'temporary'].push({ epoch, name, hidden });
    }
    return files;
  }

  #part(epoch: number, number: number): Part {
    let parts = this.#open.get(epoch);
    if (parts === undefined) this.#open.set(epoch, (parts = new Map()));
    let part = parts.get(number);
    if (part === undefined) {
      const name = `${this.#prefix}-${String(epoch).padStart(10, '0')}-${String(number).padStart(5, '0')}.${this.#ext}`;
      const temporary = join(this.#dir, `.${name}${TEMPORARY}`);
      // wx: never writes through a link that someone else put there.
      const file = rm(temporary, { force: true }).then(() => open(temporary, 'wx'));
      file.catch(() => {}); // the error reaches whoever awaits it
      part = { name, temporary, file, end: 0 };
      parts.set(number, part);
    }
    return part;
  }

  async #syncFolder(): Promise<void> {
    try {
      const folder = await open(this.#dir, 'r');
      await folder.sync().finally(() => folder.close());
    } catch (cause) {
      // Windows opens no folders; a rename is durable there without it.
      if (process.platform !== 'win32') throw fileError(`The folder ${shownPath(this.#dir)} cannot be made durable`, cause);
    }
  }
}

/** The epoch of one of our files; undefined for any other file. */
function epochIn(name: string, prefix: string, ext: string): number | undefined {
  if (!name.startsWith(`${prefix}-`) || !name.endsWith(`.${ext}`)) return undefined;
  const epoch = /^(\d{10,})-\d{5}$/.exec(name.slice(prefix.length + 1, name.length - ext.length - 1))?.[1];
  return epoch === undefined ? undefined : Number(epoch);
}

function fileError(what: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError('ERR_MILLRACE_FILE', `${what}: ${(cause as Error).message}.`, { cause });
}
