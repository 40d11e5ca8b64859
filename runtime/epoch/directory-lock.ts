/**
 * One job a directory: a file that names the process that works in it. A process that was killed leaves its file behind, but
 * not the lock: who comes next sees that the process is gone. It guards against mistakes, not against malice.
 */

import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { MillraceError, shown } from '../../core/index.ts';

const NAME = 'lock';
const ATTEMPTS = 5;

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly pipeline: string;
}

/** Locks that this process holds: its own id in a file may also be of an earlier process that had it, in a container always. */
const held = new Set<string>();

export class DirectoryLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * @param dir a folder that exists
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT naming the process that works in the folder
   */
  static async take(dir: string, pipeline: string): Promise<DirectoryLock> {
    const path = resolve(join(dir, NAME));
    const mine = `${path}.${process.pid}`;
    await writeFile(mine, `${JSON.stringify({ pid: process.pid, host: hostname(), pipeline } satisfies Owner)}\n`);
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        try {
          // Made whole or not at all: a lock can always be read.
          await link(mine, path);
          held.add(path);
          return new DirectoryLock(path);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const text = await readFile(path, 'utf8').catch(() => undefined);
        if (text === undefined) continue;
        const owner = ownerOf(text);
        if (owner === undefined || isAlive(owner, path)) throw inUse(dir, path, owner);
        await removeStale(path, text);
      }
      throw inUse(dir, path, undefined);
    } finally {
      await unlink(mine).catch(() => {});
    }
  }

  async release(): Promise<void> {
    held.delete(this.#path);
    await unlink(this.#path).catch(() => {});
  }
}

function inUse(dir: string, path: string, owner: Owner | undefined): MillraceError {
  const who = owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host}, which runs the pipeline ${shown(owner.pipeline)}`;
  return new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The checkpoint directory ${dir} is in use by ${who}. One job a directory: stop that one, or give this one another directory. If it is gone for sure, delete ${path}.`,
  );
}

/** Takes the lock of a dead process away. Where somebody else did so before, and has the lock by now, it is given back. */
async function removeStale(path: string, text: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== text) await link(aside, path);
    await unlink(aside);
  } catch {
    // It has been taken away meanwhile: the next attempt will see.
  }
}

function ownerOf(text: string): Owner | undefined {
  try {
    const { pid, host, pipeline } = JSON.parse(text) as Partial<Owner>;
    return Number.isSafeInteger(pid) && typeof host === 'string' && typeof pipeline === 'string' ? { pid: pid as number, host, pipeline } : undefined;
  } catch {
    return undefined;
  }
}

/** A process of another machine cannot be asked: it counts as alive. */
function isAlive({ pid, host }: Owner, path: string): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return held.has(path);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
