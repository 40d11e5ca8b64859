/**
 * A folder of this machine as a store. A file is written under a hidden name, made durable, and renamed:
 *
 *   .part-0000000007-00000.jsonl.tmp  -->  .part-0000000007-00000.jsonl.prepared  -->  part-0000000007-...
 *
 * One writer at a time may use the names of a sink. A lock in the folder says who.
 */

import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MillraceError, shown, shownPath } from '../../core/index.ts';
import { ProcessLock } from '../process-lock.ts';
import type { FileAside, FileState, Store, StoreContext, StoredFile } from '../store/index.ts';

const TEMPORARY = '.tmp';
const SEALED = '.prepared';

/**
 * @param root an absolute path; the folder is made if it is not there
 * @throws MillraceError ERR_MILLRACE_FILE when the folder cannot be written to, or another process writes the same files
 */
export async function openLocalStore(root: string, context: StoreContext): Promise<Store> {
  try {
    await mkdir(root, { recursive: true });
    const refused = (holder: string) =>
      new MillraceError('ERR_MILLRACE_FILE', `${context.files} are being written by ${holder}. One sink at a time: stop it, or give another dir or prefix.`);
    const lock = await ProcessLock.take(join(root, context.lock), context.user, refused, context.deposed);
    return new LocalStore(root, context.isDeep, lock);
  } catch (cause) {
    throw fileError(`The folder ${shownPath(root)} cannot be written to`, cause);
  }
}

class LocalStore implements Store {
  readonly place: string;
  readonly #root: string;
  readonly #isDeep: boolean;
  readonly #lock: ProcessLock;
  /** Folders in which names have changed since they were last made durable. */
  readonly #changed = new Set<string>();

  constructor(root: string, isDeep: boolean, lock: ProcessLock) {
    this.place = shown(root);
    this.#root = root;
    this.#isDeep = isDeep;
    this.#lock = lock;
  }

  putAside(name: string): FileAside {
    const path = join(this.#root, name);
    return new LocalFile(hidden(path, TEMPORARY), hidden(path, SEALED), (from, to) => this.#rename(from, to), this.#root);
  }

  async finalise(name: string, visible: string): Promise<string> {
    await this.#rename(hidden(join(this.#root, name), SEALED), join(this.#root, visible));
    return visible;
  }

  async list(): Promise<StoredFile[]> {
    const files: StoredFile[] = [];
    const walk = async (folder: string, prefix: string): Promise<void> => {
      const entries = await readdir(folder, { withFileTypes: true });
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const { name } = entry;
        if (entry.isDirectory()) {
          if (this.#isDeep && !name.startsWith('.')) await walk(join(folder, name), `${prefix}${name}/`);
          continue;
        }
        const state = stateOf(name);
        const ending = state === 'aside' ? TEMPORARY : SEALED;
        files.push({ name: `${prefix}${state === 'visible' ? name : name.slice(1, -ending.length)}`, state });
      }
    };
    try {
      await walk(this.#root, '');
    } catch (cause) {
      throw fileError(`The folder ${shownPath(this.#root)} cannot be listed`, cause);
    }
    return files;
  }

  async remove({ name, state }: StoredFile): Promise<void> {
    const path = join(this.#root, name);
    try {
      await rm(state === 'visible' ? path : hidden(path, state === 'aside' ? TEMPORARY : SEALED), { force: true });
    } catch (cause) {
      throw fileError(`The file ${shownPath(path)} cannot be removed`, cause);
    }
    this.#changed.add(dirname(path));
  }

  async settle(): Promise<void> {
    const folders = this.#changed.size === 0 ? [this.#root] : [...this.#changed];
    this.#changed.clear();
    for (const folder of folders) {
      // Names of folders are in those above.
      for (let path = folder; ; path = dirname(path)) {
        await syncFolder(path);
        if (path === this.#root || !this.#isDeep) break;
      }
    }
  }

  otherWriter(): Promise<string | undefined> {
    return this.#lock.otherHolder();
  }

  async close(): Promise<void> {
    await this.#lock.release();
  }

  async #rename(from: string, to: string): Promise<void> {
    try {
      await rename(from, to);
    } catch (cause) {
      throw fileError(`The file ${shownPath(to)} cannot be put in place`, cause);
    }
    this.#changed.add(dirname(to));
  }
}

/** `write` places bytes when it is called, so they keep the order of the calls. */
class LocalFile implements FileAside {
  readonly #temporary: string;
  readonly #sealed: string;
  readonly #rename: (from: string, to: string) => Promise<void>;
  readonly #root: string;
  readonly #file: Promise<FileHandle>;
  #end = 0;

  constructor(temporary: string, sealed: string, rename: (from: string, to: string) => Promise<void>, root: string) {
    this.#temporary = temporary;
    this.#sealed = sealed;
    this.#rename = rename;
    this.#root = root;
    this.#file = this.#open();
    this.#file.catch(() => {}); // the error reaches whoever awaits it
  }

  async write(bytes: Uint8Array): Promise<void> {
    const position = this.#end;
    this.#end += bytes.length;
    try {
      const file = await this.#file;
      for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    } catch (cause) {
      throw fileError(`The file ${shownPath(this.#temporary)} cannot be written`, cause);
    }
  }

  async seal(): Promise<void> {
    await this.#sync();
    await this.#rename(this.#temporary, this.#sealed);
  }

  async publish(visible: string): Promise<void> {
    await this.#sync();
    await this.#rename(this.#temporary, join(this.#root, visible));
  }

  async discard(): Promise<void> {
    const file = await this.#file.catch(() => undefined);
    await file?.close();
    await rm(this.#temporary, { force: true });
  }

  async #open(): Promise<FileHandle> {
    const folder = dirname(this.#temporary);
    if (folder !== this.#root) await mkdir(folder, { recursive: true });
    await rm(this.#temporary, { force: true });
    // wx: never writes through a link that someone else put there.
    return await open(this.#temporary, 'wx');
  }

  async #sync(): Promise<void> {
    try {
      const file = await this.#file;
      await file.sync();
      await file.close();
    } catch (cause) {
      throw fileError(`The file ${shownPath(this.#temporary)} cannot be put in place`, cause);
    }
  }
}

function hidden(path: string, ending: string): string {
  return join(dirname(path), `.${basename(path)}${ending}`);
}

function stateOf(name: string): FileState {
  if (!name.startsWith('.')) return 'visible';
  return name.endsWith(TEMPORARY) ? 'aside' : name.endsWith(SEALED) ? 'sealed' : 'visible';
}

async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    await folder.sync().finally(() => folder.close());
  } catch (cause) {
    // Windows opens no folders; a rename is durable there without it.
    if (process.platform !== 'win32') throw fileError(`The folder ${shownPath(path)} cannot be made durable`, cause);
  }
}

function fileError(what: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError('ERR_MILLRACE_FILE', `${what}: ${(cause as Error).message}.`, { cause });
}
