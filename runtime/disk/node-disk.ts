/** A folder of the file system. See disk.ts. */

import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk, DiskFile } from './disk.ts';

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
}

export class NodeDisk implements Disk {
  readonly dir: string;
  readonly #open = new Map<string, OpenFile>();

  constructor(dir: string) {
    this.dir = dir;
  }

  async list(): Promise<readonly DiskFile[]> {
    const entries = await readdir(this.dir, { withFileTypes: true });
    const files = await Promise.all(
      entries
        .filter((entry) => entry.isFile())
        .map(async ({ name }) => {
          const found = await stat(join(this.dir, name)).catch(missing);
          return found === undefined ? [] : [{ name, bytes: found.size }];
        }),
    );
    return files.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async read(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const handle = await open(join(this.dir, name), 'r').catch(missing);
    if (handle === undefined) return undefined;
    try {
      const bytes = Buffer.alloc(Math.min((await handle.stat()).size, bytesMax));
      let done = 0;
      for (let got = -1; done < bytes.length && got !== 0; done += got) got = (await handle.read(bytes, done, bytes.length - done, done)).bytesRead;
      return bytes.subarray(0, done);
    } finally {
      await handle.close();
    }
  }

  async readAt(name: string, position: number, bytesMax: number): Promise<Uint8Array> {
    const { handle } = await this.#keep(name, 'r+');
    const bytes = Buffer.allocUnsafeSlow(bytesMax);
    let done = 0;
    for (let got = -1; done < bytesMax && got !== 0; done += got) got = (await handle.read(bytes, done, bytesMax - done, position + done)).bytesRead;
    return bytes.subarray(0, done);
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    await this.release(name);
    await this.#keep(name, 'w');
    await this.writeAt(name, bytes, 0);
  }

  async writeAt(name: string, bytes: Uint8Array, position: number): Promise<void> {
    const { handle } = await this.#keep(name, 'r+');
    for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }

  async sync(name: string): Promise<void> {
    await (await this.#keep(name, 'r+')).handle.datasync();
  }

  async syncNames(): Promise<void> {
    // Windows can neither open nor sync a folder.
    if (process.platform === 'win32') return;
    const handle = await open(this.dir, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.release(from);
    await this.release(to);
    await rename(join(this.dir, from), join(this.dir, to));
  }

  async remove(name: string): Promise<void> {
    await this.release(name);
    await rm(join(this.dir, name), { force: true });
  }

  async hold(name: string): Promise<void> {
    await this.#keep(name, 'r+');
  }

  async fate(name: string): Promise<'there' | 'removed' | 'replaced'> {
    const there = await stat(join(this.dir, name), { bigint: true }).catch(missing);
    if (there === undefined) return 'removed';
    return there.ino === this.#open.get(name)?.inode ? 'there' : 'replaced';
  }

  async release(name: string): Promise<void> {
    const file = this.#open.get(name);
    this.#open.delete(name);
    await file?.handle.close();
  }

  async close(): Promise<void> {
    for (const name of [...this.#open.keys()]) await this.release(name);
  }

  async #keep(name: string, flags: 'r+' | 'w'): Promise<OpenFile> {
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const handle = await open(join(this.dir, name), flags);
    const file = { handle, inode: (await handle.stat({ bigint: true })).ino };
    this.#open.set(name, file);
    return file;
  }
}

/** For `catch`: what is not there is undefined, other errors stay errors. */
function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
