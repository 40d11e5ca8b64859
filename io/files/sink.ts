/**
 * Text files out, one row per line. Each epoch has a file of its own, `PREFIX-EPOCH-PART.EXT`. It is written
 * under a hidden name, made durable, and renamed when the epoch is committed, so a visible file is complete.
 * An epoch that comes again (after a failure) writes the same names again, so nothing is doubled. One sink at
 * a time may use the names of a prefix and an ending.
 */

import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkOptionNames, MillraceError, type Schema, shown, shownPath } from '../../core/index.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import { lineSinkEncoder } from '../line-encoder.ts';
import { ProcessLock } from '../process-lock.ts';
import type { Sink, SinkBlock, SinkWriter } from '../sink.ts';

export interface FilesSinkOptions {
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

/**
 * @example files.sink({ dir: './out', value: json() }) // out/part-0000000001-00000.jsonl, ...
 * @throws MillraceError ERR_MILLRACE_OPTION for a name that could leave the folder, ERR_MILLRACE_PIPELINE for
 * a codec that writes no lines. The job fails with ERR_MILLRACE_FILE when the folder or a file cannot be
 * written.
 */
export function filesSink(options: FilesSinkOptions): Sink {
  checkOptionNames('files.sink', options, { dir: true, value: true, prefix: true, ext: true, parts: true });
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
    check(_schema: Schema): void {
      if (value.name === 'arrow')
        throw new MillraceError('ERR_MILLRACE_PIPELINE', 'files.sink writes lines, which the arrow codec does not. Use json(), csv() or text().');
    },
    async open({ pipeline }) {
      const root = resolve(dir);
      try {
        await mkdir(root, { recursive: true });
        const lock = await ProcessLock.take(join(root, `.${prefix}.${ext}`), `the pipeline ${shown(pipeline)}`, (holder) => {
          return new MillraceError(
            'ERR_MILLRACE_FILE',
            `The files ${prefix}-*.${ext} in ${shown(root)} are being written by ${holder}. One sink at a time: stop it, or give another dir or prefix.`,
          );
        });
        try {
          const names = await readdir(root);
          // A dead run never committed these.
          const isOurs = (name: string) =>
            name.startsWith('.') && name.endsWith(TEMPORARY) && epochIn(name.slice(1, -TEMPORARY.length), prefix, ext) !== undefined;
          await Promise.all(names.filter(isOurs).map((name) => rm(join(root, name))));
          return new FilesWriter(root, prefix, ext, parts, names, lock);
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

class FilesWriter implements SinkWriter {
  readonly info = { partitionCount: 1 };
  readonly #dir: string;
  readonly #prefix: string;
  readonly #ext: string;
  readonly #parts: 'one' | 'shard';
  readonly #lock: ProcessLock;
  /** By epoch, then by part. */
  readonly #open = new Map<number, Map<number, Part>>();
  /**
   * Our files that were in the folder at opening, by epoch. An epoch that comes again replaces all of its
   * files.
   */
  readonly #found = new Map<number, string[]>();

  constructor(dir: string, prefix: string, ext: string, parts: 'one' | 'shard', names: readonly string[], lock: ProcessLock) {
    this.#lock = lock;
    this.#dir = dir;
    this.#prefix = prefix;
    this.#ext = ext;
    this.#parts = parts;
    for (const name of names) {
      const epoch = epochIn(name, prefix, ext);
      if (epoch === undefined) continue;
      const found = this.#found.get(epoch);
      if (found) found.push(name);
      else this.#found.set(epoch, [name]);
    }
  }

  async write({ epoch, unit, bytes }: SinkBlock): Promise<void> {
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

  async commit(epoch: number): Promise<void> {
    const parts = this.#open.get(epoch);
    if (parts === undefined) return;
    this.#open.delete(epoch);
    const stale = new Set(this.#found.get(epoch));
    this.#found.delete(epoch);
    for (const part of parts.values()) {
      try {
        const file = await part.file;
        await file.sync();
        await file.close();
        await rename(part.temporary, join(this.#dir, part.name));
      } catch (cause) {
        throw fileError(`The file ${shownPath(join(this.#dir, part.name))} cannot be put in place`, cause);
      }
      stale.delete(part.name);
    }
    // Files of shards that had no rows this time.
    for (const name of stale) await rm(join(this.#dir, name), { force: true });
    await this.#syncFolder();
  }

  /** Removes what was not committed. */
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
