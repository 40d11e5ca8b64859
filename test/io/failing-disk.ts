/**
 * A disk for a process that dies: real files, and a process that stops at its n-th call of the file system,
 * never to go on. What it leaves behind is copied to a new place, as a kill leaves it (everything that was
 * written) or as a power failure does (only what was synced: names by the folder, content by the file).
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

/** Calls of one process: the n-th, and every later one, is never answered. */
export class DyingProcess {
  readonly callsMax: number;
  /** The last call is a write that gets half of its bytes to the disk. */
  readonly isTorn: boolean;
  calls = 0;
  /** Name of the call that it died in. */
  diedIn: string | undefined;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #files = new Set<fs.promises.FileHandle>();
  #died: () => void = () => {};
  readonly death: Promise<void> = new Promise((resolve) => {
    this.#died = resolve;
  });

  constructor(callsMax = Number.POSITIVE_INFINITY, isTorn = false) {
    this.callsMax = callsMax;
    this.isTorn = isTorn;
  }

  get isDead(): boolean {
    return this.diedIn !== undefined;
  }

  /** Runs something as this process. Resolves when it is done, or dead: then with undefined. */
  async run<T>(work: () => Promise<T>): Promise<T | undefined> {
    const done = processes.run(this, work);
    done.catch(() => {});
    const result = await Promise.race([done, this.death.then(() => undefined)]);
    if (this.isDead) {
      // What the kernel had begun, it ends; then it closes the files.
      await Promise.allSettled(this.#inFlight);
      await Promise.all([...this.#files].map((file) => file.close()));
    }
    return result;
  }

  /** Keeps in mind what the process has begun. */
  async begun<T>(call: Promise<T>): Promise<T> {
    this.#inFlight.add(call);
    try {
      const result = await call;
      if (isFile(result)) this.#files.add(result);
      return this.isDead ? await NEVER : result;
    } finally {
      this.#inFlight.delete(call);
    }
  }

  /** True when the call may be made. */
  admits(call: string): boolean {
    if (this.isDead) return false;
    if (++this.calls < this.callsMax) return true;
    this.diedIn = call;
    this.#died();
    return false;
  }
}

const processes = new AsyncLocalStorage<DyingProcess>();
const NEVER = new Promise<never>(() => {});

function isFile(result: unknown): result is fs.promises.FileHandle {
  return typeof (result as { fd?: unknown } | undefined)?.fd === 'number';
}

/** What is durable: the content of files, and the names in folders, as of their last sync. */
const contents = new Map<string, Buffer>();
const names = new Map<string, Map<string, string>>();

type Call = (...args: never[]) => Promise<unknown>;

const CALLS = ['open', 'rename', 'rm', 'unlink', 'mkdir', 'truncate', 'writeFile', 'readdir', 'readFile', 'stat'] as const;
const CHANGES = new Set(['open', 'rename', 'rm', 'unlink', 'mkdir', 'truncate', 'writeFile']);

/** Replaces the calls of the file system for whatever runs in a DyingProcess. Undone by the function returned. */
export async function failingDisk(dir: string): Promise<() => void> {
  const target = fs.promises as unknown as Record<string, Call>;
  const originals = new Map(CALLS.map((name) => [name, target[name] as Call]));
  for (const [name, original] of originals) {
    target[name] = (...args: never[]) => {
      const process = processes.getStore();
      if (process === undefined) return original.apply(fs.promises, args);
      if (process.isDead) return NEVER;
      const isCounted = CHANGES.has(name) && !String(args[0]).includes('.held') && !(name === 'open' && args[1] === ('r' as never));
      if (isCounted && !process.admits(`${name} ${String(args[0]).slice(dir.length)}`)) return NEVER;
      return process.begun(original.apply(fs.promises, args));
    };
  }
  const probe = await fs.promises.open(join(dir, 'probe'), 'w');
  const prototype = Object.getPrototypeOf(probe) as Record<string, Call>;
  await probe.close();
  await fs.promises.rm(join(dir, 'probe'));
  const methods = new Map(['write', 'writev', 'writeFile', 'datasync', 'sync', 'truncate'].map((name) => [name, prototype[name] as Call]));
  for (const [name, original] of methods) {
    prototype[name] = async function (this: fs.promises.FileHandle, ...args: never[]) {
      const process = processes.getStore();
      if (process === undefined) return original.apply(this, args);
      if (process.isDead) return NEVER;
      if (!process.admits(name)) {
        if (process.isTorn && name.startsWith('write')) tear(this, name, args);
        return NEVER;
      }
      if (name === 'sync' || name === 'datasync') return note(this);
      return process.begun(original.apply(this, args));
    };
  }
  syncBuiltinESMExports();
  return () => {
    for (const [name, original] of originals) target[name] = original;
    for (const [name, original] of methods) prototype[name] = original;
    syncBuiltinESMExports();
  };
}

function tear(file: fs.promises.FileHandle, name: string, args: readonly unknown[]): void {
  if (name === 'write') {
    const [bytes, from, length, position] = args as [Uint8Array, number, number, number];
    fs.writeSync(file.fd, bytes, from, length >> 1, position);
  } else if (name === 'writev') {
    const [views, position] = args as [Uint8Array[], number];
    const bytes = Buffer.concat(views);
    fs.writeSync(file.fd, bytes, 0, bytes.length >> 1, position);
  }
}

/** A file, whatever it is called. A number is used again once its file is gone, but not at the same time. */
function idOf(path: string | number): string {
  const { ino, birthtimeNs } = typeof path === 'number' ? fs.fstatSync(path, { bigint: true }) : fs.statSync(path, { bigint: true });
  return `${ino} ${birthtimeNs}`;
}

const namesIn = (dir: string) => new Map(fs.readdirSync(dir).map((name) => [name, idOf(join(dir, name))]));
const isLock = (name: string) => /\.held(\.|$)/.test(name);

/** A sync. The real one is not needed: this machine does not fail. */
function note(file: fs.promises.FileHandle): void {
  const path = fs.readlinkSync(`/proc/self/fd/${file.fd}`);
  if (fs.fstatSync(file.fd).isDirectory()) names.set(idOf(file.fd), namesIn(path));
  else contents.set(idOf(file.fd), fs.readFileSync(`/proc/self/fd/${file.fd}`));
}

/** Puts what the process leaves behind into a new folder, without its locks. */
export function leftBehind(from: string, to: string, how: 'kill' | 'power failure'): void {
  fs.mkdirSync(to, { recursive: true });
  for (const name of fs.readdirSync(from)) {
    if (isLock(name)) continue;
    const path = join(from, name);
    if (fs.statSync(path).isDirectory()) leftBehind(path, join(to, name), how);
    else if (how === 'kill') fs.copyFileSync(path, join(to, name));
  }
  if (how === 'power failure') {
    for (const [name, id] of names.get(idOf(from)) ?? []) {
      if (!isLock(name) && !fs.statSync(join(to, name), { throwIfNoEntry: false })?.isDirectory()) fs.writeFileSync(join(to, name), contents.get(id) ?? '');
    }
  }
  // The next process finds it on the disk.
  for (const name of fs.readdirSync(to)) {
    const path = join(to, name);
    if (fs.statSync(path).isFile()) contents.set(idOf(path), fs.readFileSync(path));
  }
  names.set(idOf(to), namesIn(to));
}
