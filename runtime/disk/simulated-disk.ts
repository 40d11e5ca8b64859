/**
 * A folder in memory that does to its files what disks do, as a seed draws it: a crash of the machine loses
 * what was not synced, in any order and in parts; a disk is full or breaks; bits flip. See disk.ts for the
 * contract. The model:
 *
 *   content   Each write since the last sync is lost, kept, or kept in part, by sectors. Lost parts in front
 *             of kept ones read as zeros.
 *   names     Each change since the last sync of names is kept or lost by itself. A rename is one change.
 *   errors    A write to a full disk is done up to the end of some sector, or not at all. A sync that failed
 *             may have lost any of its writes, and the next one does not try again.
 */

import { type Rng, seededRng } from '../../core/index.ts';
import type { Disk, DiskFile } from './disk.ts';

const SECTOR = 512;

interface File {
  readonly inode: number;
  /** What a reader sees. */
  content: Buffer;
  /** What is on disk for sure. */
  durable: Buffer;
  /** Writes since then, in order. */
  pending: { readonly position: number; readonly bytes: Buffer }[];
}

/** A change of names: each is another file's now, or nobody's. */
type NameChange = readonly (readonly [name: string, file: File | undefined])[];

/** `process`: what was written stays. `machine`: what was not synced may be lost. */
export type CrashKind = 'process' | 'machine';

export class SimulatedDisk implements Disk {
  readonly dir = '(simulated)';
  readonly #rng: Rng;
  #names = new Map<string, File>();
  #durableNames = new Map<string, File>();
  #changes: NameChange[] = [];
  #held = new Map<string, number>();
  #inodes = 0;
  #failures: { readonly at: number; readonly code: 'ENOSPC' | 'EIO' }[] = [];
  /** Operations that change something, so far. */
  operations = 0;
  /** Asked before each of them. What it throws, the operation throws, and is not done. */
  onOperation: () => void = () => {};

  constructor(seed: number) {
    const rng = seededRng(seed);
    rng.seek(0);
    this.#rng = rng;
  }

  /** Loses what this kind of crash may lose. Whoever used the folder before must not use it again. */
  crash(kind: CrashKind): void {
    this.#held.clear();
    this.#failures = [];
    if (kind === 'process') return;
    for (const change of this.#changes) {
      if (this.#rng.chance(0.5)) apply(this.#durableNames, change);
    }
    this.#changes = [];
    this.#names = new Map(this.#durableNames);
    for (const file of new Set(this.#names.values())) this.#lose(file);
  }

  /** Lets the operation that comes after this many others fail. ENOSPC comes to writes, EIO to syncs. */
  failAfter(operations: number, code: 'ENOSPC' | 'EIO'): void {
    this.#failures.push({ at: this.operations + operations, code });
  }

  /** Flips a bit of a file, on disk and in memory. */
  flip(name: string, bit: number): void {
    const file = this.#there(name);
    for (const bytes of [file.content, file.durable]) {
      if (bit >> 3 < bytes.length) bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    }
  }

  async list(): Promise<readonly DiskFile[]> {
    return [...this.#names].map(([name, { content }]) => ({ name, bytes: content.length })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async read(name: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const file = this.#names.get(name);
    return file === undefined ? undefined : Buffer.from(file.content.subarray(0, bytesMax));
  }

  async readAt(name: string, position: number, bytesMax: number): Promise<Uint8Array> {
    return Buffer.from(this.#there(name).content.subarray(position, position + bytesMax));
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    this.#operation();
    const file: File = { inode: ++this.#inodes, content: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] };
    this.#change([[name, file]]);
    this.#held.set(name, file.inode);
    this.#write(file, bytes, 0);
  }

  async writeAt(name: string, bytes: Uint8Array, position: number): Promise<void> {
    this.#operation();
    await this.hold(name);
    this.#write(this.#there(name), bytes, position);
  }

  /** What another thread appends through a descriptor of its own. */
  append(name: string, bytes: Uint8Array): void {
    let file = this.#names.get(name);
    if (file === undefined) {
      file = { inode: ++this.#inodes, content: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] };
      this.#change([[name, file]]);
    }
    this.#write(file, bytes, file.content.length);
  }

  async sync(name: string): Promise<void> {
    this.#operation();
    const isBroken = this.#fails('EIO');
    await this.hold(name);
    const file = this.#there(name);
    if (isBroken) {
      this.#lose(file, true);
      throw failure('EIO', 'i/o error');
    }
    // Not simply the content: what an earlier sync lost is lost.
    for (const { position, bytes } of file.pending) file.durable = overwritten(file.durable, bytes, position);
    file.pending = [];
  }

  async syncNames(): Promise<void> {
    this.#operation();
    if (this.#fails('EIO')) throw failure('EIO', 'i/o error');
    this.#durableNames = new Map(this.#names);
    this.#changes = [];
  }

  async rename(from: string, to: string): Promise<void> {
    this.#operation();
    const file = this.#there(from);
    this.#held.delete(from);
    this.#held.delete(to);
    this.#change([
      [to, file],
      [from, undefined],
    ]);
  }

  async remove(name: string): Promise<void> {
    this.#operation();
    this.#held.delete(name);
    if (this.#names.has(name)) this.#change([[name, undefined]]);
  }

  async hold(name: string): Promise<void> {
    if (!this.#held.has(name)) this.#held.set(name, this.#there(name).inode);
  }

  async fate(name: string): Promise<'there' | 'removed' | 'replaced'> {
    const file = this.#names.get(name);
    if (file === undefined) return 'removed';
    return file.inode === this.#held.get(name) ? 'there' : 'replaced';
  }

  async release(name: string): Promise<void> {
    this.#held.delete(name);
  }

  async close(): Promise<void> {
    this.#held.clear();
  }

  #operation(): void {
    this.onOperation();
    this.operations++;
  }

  #fails(code: 'ENOSPC' | 'EIO'): boolean {
    const at = this.#failures.findIndex((one) => one.code === code && one.at < this.operations);
    if (at >= 0) this.#failures.splice(at, 1);
    return at >= 0;
  }

  #there(name: string): File {
    const file = this.#names.get(name);
    if (file === undefined) throw failure('ENOENT', `no such file, '${name}'`);
    return file;
  }

  #change(change: NameChange): void {
    this.#changes.push(change);
    apply(this.#names, change);
  }

  #write(file: File, bytes: Uint8Array, position: number): void {
    const isFull = this.#fails('ENOSPC');
    const written = Buffer.from(isFull ? bytes.subarray(0, Math.max(0, sectorEnd(position + this.#rng.int(bytes.length)) - SECTOR - position)) : bytes);
    file.pending.push({ position, bytes: written });
    file.content = overwritten(file.content, written, position);
    if (isFull) throw failure('ENOSPC', 'no space left on device');
  }

  /** Settles what is pending: each write, by sectors, is kept or lost. */
  #lose(file: File, onlyOnDisk = false): void {
    let content = file.durable;
    for (const { position, bytes } of file.pending) {
      const fate = this.#rng.int(3);
      if (fate === 0) continue;
      for (let from = 0; from < bytes.length; ) {
        const to = Math.min(bytes.length, sectorEnd(position + from) - position);
        if (fate === 1 || this.#rng.chance(0.5)) content = overwritten(content, bytes.subarray(from, to), position + from);
        from = to;
      }
    }
    file.durable = content;
    file.pending = [];
    if (!onlyOnDisk) file.content = Buffer.from(content);
  }
}

/** The end of the sector that a byte is in. */
function sectorEnd(position: number): number {
  return position + SECTOR - (position % SECTOR);
}

function apply(names: Map<string, File>, change: NameChange): void {
  for (const [name, file] of change) {
    if (file === undefined) names.delete(name);
    else names.set(name, file);
  }
}

function overwritten(content: Buffer, bytes: Uint8Array, position: number): Buffer {
  const result = Buffer.alloc(Math.max(content.length, position + bytes.length));
  content.copy(result);
  result.set(bytes, position);
  return result;
}

function failure(code: string, text: string): Error {
  return Object.assign(new Error(`${code}: ${text}`), { code });
}
