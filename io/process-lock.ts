/**
 * One process at a time: a lock that is a folder with one file in it, named for its owner. It guards against
 * mistakes, not against malice. A killed process leaves its file behind, but not the lock: the next process
 * sees that the owner is gone.
 *
 *   writer.held/                                the lock; absent while nobody has it
 *     4711_982731_1f0c..._ab12..._host.json     pid, start time, boot, nonce, host; inside: the owner's name
 *
 * Every change is one rename of a name that is never used twice. The file system renames atomically:
 *
 *   free -> mine       a folder made aside takes the name; that fails over a folder with a file in it
 *   dead one's -> mine the dead owner's file takes my name; the second to try finds no such file
 *   mine -> free       the folder takes a name aside, and is deleted there
 *
 * So a stale observation does no harm: to move a file, a process has to name its owner. Where /proc tells
 * when a process started, a reused process id is recognized. Elsewhere the message says where to look.
 *
 * A lock may be a lease as well: its owner renews it, by the time of its file. Who has waited long enough
 * without seeing that time change may depose the owner, who may be stopped and wake up later. `mayWrite` tells
 * him then. Clocks are not compared: the waiting one measures by his own.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { MillraceError } from '../core/index.ts';

const ATTEMPTS = 1_000;
const OWNER = /^(\d+)_(\d*)_([0-9a-f]*)_([0-9a-f]{16})_([A-Za-z0-9%._~!*'()-]*)\.json$/;

interface Owner {
  readonly pid: number;
  /** When the process started, in ticks since the machine did; empty where that is unknown. */
  readonly started: string;
  /** Identifies this run of the machine; empty where there is no such id. */
  readonly boot: string;
  readonly nonce: string;
  readonly host: string;
}

/**
 * Nonces of the locks that this process holds, over all copies of this module: for where /proc does not tell
 * the start of a process.
 */
const HELD: unique symbol = Symbol.for('millrace.process-lock.held') as never;
const held: Set<string> = ((globalThis as { [HELD]?: Set<string> })[HELD] ??= new Set());

/**
 * An owner who has been deposed, though he may be alive: locks of this process for the same user count as
 * free.
 */
export interface Deposed {
  /** The name of his file in the lock that was a lease. */
  readonly name: string;
  readonly user: string;
  /** For messages: `process 4711, for the pipeline "clicks" (...)`. */
  readonly holder: string;
  /** Only the lock in which his file has this name. Default: all of his process for this user. */
  readonly exactly?: boolean;
}

/** What can be seen of a lease from outside. */
export interface LeaseSign {
  readonly name: string;
  readonly user: string;
  /** How often it is renewed, ms. */
  readonly everyMs: number;
  /** Another value each time that it was. */
  readonly renewed: bigint;
}

export class ProcessLock {
  /** The folder that is the lock. */
  readonly path: string;
  readonly #user: string;
  #everyMs = 0;
  #renewedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Name of our file in it. */
  readonly #name: string;
  readonly #nonce: string;

  private constructor(path: string, name: string, nonce: string, user: string) {
    this.path = path;
    this.#user = user;
    this.#name = name;
    this.#nonce = nonce;
  }

  /**
   * @param path of the lock, in a folder that exists; `.held` is added
   * @param user what the owner is called in messages: 'the pipeline "clicks"'
   * @param deposed whose locks for the same user count as free
   * @returns the lock, or its holder: a text that follows "in use by"
   * @throws what the file system throws
   */
  static async tryTake(path: string, user: string, deposed?: Deposed): Promise<ProcessLock | string> {
    const lock = `${resolve(path)}.held`;
    const me = nameOf({ ...self(), nonce: randomBytes(8).toString('hex') });
    const aside = `${lock}.${me}.new`;
    const { nonce } = ownerOf(me) as Owner;
    const before = (await readdir(lock).catch(missing))?.[0];
    const ownerBefore = before === undefined ? undefined : ownerOf(before);
    if (before !== undefined && !(await isFree(lock, before, ownerBefore, deposed))) return await describe(lock, before, ownerBefore);
    await mkdir(aside);
    // Added before the lock exists: nobody in this process may take it for an earlier one's.
    held.add(nonce);
    let isMine = false;
    try {
      await writeFile(join(aside, me), `${JSON.stringify({ user })}\n`);
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (await renamed(aside, lock)) isMine = true;
        else {
          const name = (await readdir(lock).catch(missing))?.[0];
          // It is being taken or given back: a folder is never without a file for long.
          if (name === undefined) continue;
          const owner = ownerOf(name);
          if (!(await isFree(lock, name, owner, deposed))) return await describe(lock, name, owner);
          isMine = await renamed(join(lock, name), join(lock, me));
          if (isMine) await writeFile(join(lock, me), `${JSON.stringify({ user })}\n`);
        }
        if (isMine) {
          await sweep(lock);
          return new ProcessLock(lock, me, nonce, user);
        }
      }
      return `other processes, which come and go (${lock})`;
    } finally {
      if (!isMine) held.delete(nonce);
      await rm(aside, { recursive: true, force: true });
    }
  }

  /** Like {@link tryTake}, but a lock in use is an error. */
  static async take(path: string, user: string, refused: (holder: string) => MillraceError, deposed?: Deposed): Promise<ProcessLock> {
    const lock = await ProcessLock.tryTake(path, user, deposed);
    if (typeof lock === 'string') throw refused(lock);
    return lock;
  }

  /** Identifies this lock and this process: the name of its file. */
  get name(): string {
    return this.#name;
  }

  /** Whether it is still this process's. Somebody may have deleted it, or the folder that it is in. */
  async isHeld(): Promise<boolean> {
    return held.has(this.#nonce) && ((await readdir(this.path).catch(missing)) ?? []).includes(this.#name);
  }

  /** What can be seen of whoever has it; undefined: nobody has, or he does not renew it. */
  static async leaseOf(path: string): Promise<LeaseSign | undefined> {
    const lock = `${resolve(path)}.held`;
    const name = (await readdir(lock).catch(missing))?.[0];
    if (name === undefined || ownerOf(name) === undefined) return undefined;
    try {
      const { mtimeNs } = await stat(join(lock, name), { bigint: true });
      const { user, everyMs } = JSON.parse(await readFile(join(lock, name), 'utf8')) as { user?: unknown; everyMs?: unknown };
      return typeof everyMs === 'number' && typeof user === 'string' ? { name, user, everyMs, renewed: mtimeNs } : undefined;
    } catch {
      // It has been given back meanwhile, or is being written right now.
      return undefined;
    }
  }

  /**
   * Makes it a lease: renews it from now on.
   *
   * @param lost called once, when it is somebody else's
   */
  async renewEvery(everyMs: number, lost: () => void): Promise<void> {
    this.#everyMs = everyMs;
    this.#renewedAtMs = performance.now();
    // Without `w`: where it is somebody else's, nothing is made.
    await writeFile(join(this.path, this.#name), `${JSON.stringify({ user: this.#user, everyMs })}\n`, { flag: 'r+' }).catch(missing);
    this.#timer = setInterval(() => void this.#renew().then((isOurs) => isOurs || lost()), everyMs);
    this.#timer.unref();
  }

  /**
   * Whether this process may write what the lock guards. It is asked right before each write; the disk is
   * asked only when the lease was not renewed for long.
   */
  async mayWrite(): Promise<boolean> {
    if (!held.has(this.#nonce)) return false;
    return performance.now() - this.#renewedAtMs < 2 * this.#everyMs || this.#renew();
  }

  /** @returns whether it is still ours. A disk that fails says nothing about that. */
  async #renew(): Promise<boolean> {
    const startMs = performance.now();
    const now = new Date();
    try {
      await utimes(join(this.path, this.#name), now, now);
      this.#renewedAtMs = startMs;
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return true;
    }
    clearInterval(this.#timer);
    return !held.has(this.#nonce);
  }

  /** Who has it now, in words. undefined: nobody, or this process. */
  async otherHolder(): Promise<string | undefined> {
    const name = (await readdir(this.path).catch(missing))?.[0];
    return name === undefined || name === this.#name ? undefined : await describe(this.path, name, ownerOf(name));
  }

  /** Never rejects: a lock that cannot be given back belongs to a process that ends soon. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    if (!held.has(this.#nonce)) return;
    const aside = `${this.path}.${this.#name}.old`;
    try {
      // Somebody may have deleted it, and another process may hold it by now.
      if ((await readdir(this.path)).includes(this.#name)) {
        await rename(this.path, aside);
        await rm(aside, { recursive: true, force: true });
      }
    } catch {
      // Its folder was removed.
    }
    held.delete(this.#nonce);
  }
}

/** Whether the process that had a lock of this name is gone. One of another machine cannot be asked: it is not. */
export function isProcessGone(name: string): boolean {
  const owner = ownerOf(name);
  return owner !== undefined && !isAlive(owner);
}

/** Whether locks of these names are of the same process. */
export function isSameProcess(name: string, other: string): boolean {
  const [a, b] = [ownerOf(name), ownerOf(other)];
  return a !== undefined && b !== undefined && a.pid === b.pid && a.started === b.started && a.boot === b.boot && a.host === b.host;
}

/** Whether a lock may be taken from its owner: he is gone, or deposed. Nobody is deposed within one process. */
async function isFree(lock: string, name: string, owner: Owner | undefined, deposed: Deposed | undefined): Promise<boolean> {
  if (owner === undefined) return false;
  if (!isAlive(owner)) return true;
  if (deposed === undefined || held.has(owner.nonce)) return false;
  if (deposed.exactly === true && name !== deposed.name) return false;
  return isSameProcess(name, deposed.name) && (await userOf(lock, name)) === deposed.user;
}

async function userOf(lock: string, name: string): Promise<string | undefined> {
  try {
    return String((JSON.parse(await readFile(join(lock, name), 'utf8')) as { user: unknown }).user);
  } catch {
    return undefined;
  }
}

/** Whether the rename was done. False: the target exists, or there is nothing to move. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    // Windows says EPERM or EACCES where a folder is in the way.
    if (['EEXIST', 'ENOTEMPTY', 'ENOENT', 'EPERM', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      if ((error as NodeJS.ErrnoException).code !== 'EACCES' || process.platform === 'win32') return false;
    }
    throw error;
  }
}

/** Removes what killed processes left aside. Only the holder of the lock calls it. */
async function sweep(lock: string): Promise<void> {
  const prefix = `${basename(lock)}.`;
  for (const name of await readdir(dirname(lock))) {
    if (!name.startsWith(prefix) || !/\.(new|old)$/.test(name)) continue;
    const owner = ownerOf(name.slice(prefix.length, -'.new'.length));
    if (owner !== undefined && !isAlive(owner)) await rm(join(dirname(lock), name), { recursive: true, force: true }).catch(() => {});
  }
}

async function describe(lock: string, name: string, owner: Owner | undefined): Promise<string> {
  if (owner === undefined) return `whatever wrote ${join(lock, name)}. If that is no lock, delete it`;
  const text = await readFile(join(lock, name), 'utf8').catch(() => '');
  let user = '';
  try {
    user = `, for ${String((JSON.parse(text) as { user: unknown }).user)}`;
  } catch {
    // It has been given back meanwhile, or is being written right now.
  }
  const where = owner.host === hostname() ? '' : ` on ${owner.host}`;
  const who = owner.pid === process.pid && where === '' ? `this process (${owner.pid})` : `process ${owner.pid}${where}`;
  const hint =
    where !== ''
      ? ` A process of another machine cannot be asked: if it is gone, delete ${lock}.`
      : owner.started === ''
        ? ` If process ${owner.pid} is another program, which got the id later, delete ${lock}.`
        : '';
  return `${who}${user} (${lock}).${hint}`.replace(/\.$/, '');
}

function nameOf({ pid, started, boot, nonce, host }: Owner): string {
  return `${pid}_${started}_${boot}_${nonce}_${encodeURIComponent(host).slice(0, 120)}.json`;
}

function ownerOf(name: string): Owner | undefined {
  const [, pid, started, boot, nonce, host] = OWNER.exec(name) ?? [];
  return pid === undefined
    ? undefined
    : { pid: Number(pid), started: started as string, boot: boot as string, nonce: nonce as string, host: decoded(host as string) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function self(): Omit<Owner, 'nonce'> {
  return { pid: process.pid, started: statOf(process.pid)?.started ?? '', boot: bootId(), host: hostname() };
}

function isAlive({ pid, started, boot, nonce, host }: Owner): boolean {
  if (held.has(nonce)) return true;
  if (encodeURIComponent(host).slice(0, 120) !== encodeURIComponent(hostname()).slice(0, 120)) return true;
  if (boot !== bootId()) return false;
  if (started === '') return pid !== process.pid && isThere(pid);
  const stat = statOf(pid);
  if (stat === undefined) return isThere(pid);
  return stat.started === started && !stat.isZombie;
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * What Linux says about a process: proc_pid_stat(5), fields 3 and 22. The name before them may hold any
 * character.
 */
function statOf(pid: number): { started: string; isZombie: boolean } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const started = fields[18];
    return started !== undefined && /^\d+$/.test(started) ? { started, isZombie: state === 'Z' || state === 'X' } : undefined;
  } catch {
    return undefined;
  }
}

let boot: string | undefined;

function bootId(): string {
  if (boot === undefined) {
    const read = () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replace(/[^0-9a-f]/g, '');
    try {
      boot = read();
      // Sandboxes that make up a new id for every reader say nothing.
      if (boot !== read()) boot = '';
    } catch {
      boot = '';
    }
  }
  return boot;
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
