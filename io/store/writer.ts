/**
 * The coordinator end of a sink of files, over any store: which file a block goes to, and what becomes of files
 * at a commit, a checkpoint and a restart.
 *
 * At-least-once: an epoch that comes again (after a failure) writes the same names again, and replaces its
 * files. Exactly-once: `prepare` seals the files, `commit` finalises them. So the state of a file says what
 * `recover(n)` has to do: sealed files of epochs up to n become visible, all others that are not visible go. A
 * commit that a crash cut short, with some files visible and some not, is finished there.
 */

import { MillraceError } from '../../core/index.ts';
import type { SinkBlock, SinkCounts, SinkWriter } from '../sink.ts';
import type { FileBody } from './file-format.ts';
import type { FileNames } from './file-names.ts';
import { piecesIn } from './pieces.ts';
import type { FileAside, Store, StoredFile } from './store.ts';

/** A file that is being written. */
interface Part {
  /** Under which it is put aside; it says the epoch. */
  readonly name: string;
  readonly aside: FileAside;
  readonly body: FileBody;
}

interface OurFile {
  readonly file: StoredFile;
  /** -1: the name does not say. */
  readonly epoch: number;
}

export interface StoreWriterOptions {
  readonly names: FileNames;
  readonly parts: 'one' | 'shard';
  readonly isExactlyOnce: boolean;
  newBody(): FileBody;
}

export class StoreWriter implements SinkWriter {
  readonly info = { partitionCount: 1 };
  readonly #store: Store;
  readonly #options: StoreWriterOptions;
  /** Only where the store counts, too. */
  readonly counts?: () => SinkCounts;
  #rows = 0;
  #bytes = 0;
  #isRecovered = false;
  /** By epoch, then by name. */
  readonly #open = new Map<number, Map<string, Part>>();
  /** Names of sealed files, by epoch. */
  readonly #sealed = new Map<number, Set<string>>();
  #preparedUntil = -1;
  /**
   * At-least-once: our files that were in the store at opening, by epoch. An epoch that comes again replaces
   * all of its files.
   */
  readonly #found = new Map<number, string[]>();
  /** Names without an epoch that are taken. */
  readonly #taken = new Set<string>();
  /** Names without an epoch that files which are not visible yet will have. */
  readonly #claims = new Map<string, string>();

  constructor(store: Store, options: StoreWriterOptions) {
    this.#store = store;
    this.#options = options;
    if (store.counts !== undefined)
      this.counts = () => ({ ...(store.counts as NonNullable<Store['counts']>)(), rows: this.#rows, bytes: this.#bytes, refused: 0 });
  }

  /**
   * At-least-once, at opening: what a dead run did not finish goes. What one prepared, exactly-once, may have
   * been decided: it becomes visible.
   */
  async takeAll(): Promise<void> {
    const { visible, sealed, aside } = await this.#list();
    for (const { file } of aside) await this.#store.remove(file);
    for (const { file } of visible) this.#taken.add(file.name);
    const names = new Map(visible.map(({ file, epoch }) => [file.name, epoch]));
    for (const { file, epoch } of sealed) names.set(await this.#finalise(file.name), epoch);
    if (aside.length + sealed.length > 0) await this.#store.settle();
    for (const [name, epoch] of names) {
      if (!this.#isUnique(name)) continue;
      const found = this.#found.get(epoch);
      if (found) found.push(name);
      else this.#found.set(epoch, [name]);
    }
  }

  async recover(checkpoint: number): Promise<void> {
    const { visible, sealed, aside } = await this.#list();
    const behind = visible.filter(({ epoch }) => epoch > checkpoint || checkpoint < 0).map(({ file }) => file);
    const [first] = behind;
    if (first !== undefined && checkpoint < 0) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The job resumes from nothing, but ${this.#store.place} has ${behind.length} files of an earlier run (${first.name}), which its own would be mixed with. Move them away, or give another place or prefix.`,
      );
    }
    for (const { file } of aside) await this.#store.remove(file);
    for (const { file, epoch } of sealed) if (epoch > checkpoint) await this.#store.remove(file);
    if (first !== undefined) {
      process.emitWarning(
        `${this.#store.place} has ${behind.length} files behind checkpoint ${checkpoint}, which were not written exactly-once (${first.name}). They are removed; their rows come again.`,
        'MillraceWarning',
      );
      for (const file of behind) await this.#store.remove(file);
    }
    this.#taken.clear();
    for (const { file } of visible) if (!behind.includes(file)) this.#taken.add(file.name);
    for (const { file, epoch } of sealed) {
      if (epoch > checkpoint) continue;
      // A file that is visible was committed whole. Its twin is of a process that woke up when it was deposed.
      if (this.#taken.has(file.name)) await this.#store.remove(file);
      else await this.#finalise(file.name);
    }
    await this.#store.settle();
    this.#preparedUntil = checkpoint;
    this.#isRecovered = true;
  }

  async write({ epoch, unit, rowCount, bytes }: SinkBlock): Promise<void> {
    const { names, parts, isExactlyOnce } = this.#options;
    if (isExactlyOnce) {
      if (!this.#isRecovered) throw new MillraceError('ERR_MILLRACE_SINK', `A block for ${this.#store.place} came before recover().`);
      if (epoch <= this.#preparedUntil) {
        throw new MillraceError(
          'ERR_MILLRACE_SINK',
          `A block for ${this.#store.place} is of epoch ${epoch}, but epochs up to ${this.#preparedUntil} are closed.`,
        );
      }
    }
    const number = parts === 'shard' ? unit : 0;
    const writes: Promise<void>[] = [];
    for (const piece of names.columns.length === 0 ? [{ stem: names.fixedStem, bytes }] : piecesIn(bytes)) {
      if (piece.bytes.length === 0) continue;
      const { aside, body } = this.#part(epoch, names.unique(piece.stem, epoch, number));
      for (const run of body.add(piece.bytes)) {
        writes.push(aside.write(run));
        this.#bytes += run.length;
      }
    }
    await Promise.all(writes);
    this.#rows += rowCount;
  }

  async prepare(checkpoint: number): Promise<void> {
    await this.#mustBeOurs();
    this.#preparedUntil = Math.max(this.#preparedUntil, checkpoint);
    const epochs = [...this.#open.keys()].filter((epoch) => epoch <= checkpoint);
    await Promise.all(
      epochs.map(async (epoch) => {
        const parts = this.#open.get(epoch) as Map<string, Part>;
        this.#open.delete(epoch);
        const sealed = new Set<string>();
        this.#sealed.set(epoch, sealed);
        for (const part of parts.values()) {
          await this.#writeEnd(part);
          await part.aside.seal();
          sealed.add(part.name);
        }
      }),
    );
    if (epochs.length > 0) await this.#store.settle();
  }

  async commit(epoch: number): Promise<void> {
    await this.#mustBeOurs();
    return this.#options.isExactlyOnce ? this.#commitSealed(epoch) : this.#commitEpoch(epoch);
  }

  /** Removes what was not committed, and not prepared. */
  async close(): Promise<void> {
    const parts = [...this.#open.values()].flatMap((epoch) => [...epoch.values()]);
    this.#open.clear();
    try {
      await Promise.all(parts.map(({ aside }) => aside.discard()));
    } finally {
      await this.#store.close();
    }
  }

  async #commitSealed(checkpoint: number): Promise<void> {
    const epochs = [...this.#sealed.keys()].filter((epoch) => epoch <= checkpoint).sort((a, b) => a - b);
    for (const epoch of epochs) {
      const names = this.#sealed.get(epoch) as Set<string>;
      for (const name of names) {
        await this.#finalise(name);
        names.delete(name);
      }
      this.#sealed.delete(epoch);
    }
    if (epochs.length > 0) await this.#store.settle();
  }

  async #commitEpoch(epoch: number): Promise<void> {
    const parts = this.#open.get(epoch);
    if (parts === undefined) return;
    this.#open.delete(epoch);
    const stale = new Set(this.#found.get(epoch));
    this.#found.delete(epoch);
    for (const part of parts.values()) {
      const visible = this.#visibleName(part.name, stale);
      await this.#writeEnd(part);
      await part.aside.publish(visible);
      this.#taken.add(visible);
      this.#claims.delete(visible);
      stale.delete(visible);
    }
    // Files of shards that had no rows this time.
    for (const name of stale) {
      await this.#store.remove({ name, state: 'visible' });
      this.#taken.delete(name);
    }
    await this.#store.settle();
  }

  async #writeEnd({ aside, body }: Part): Promise<void> {
    for (const run of body.end()) await aside.write(run);
  }

  /** Makes a sealed file visible. Returns the name that it has then. */
  async #finalise(name: string): Promise<string> {
    const visible = this.#visibleName(name);
    const now = await this.#store.finalise(name, visible);
    this.#taken.add(now);
    this.#claims.delete(now);
    return now;
  }

  /** Without the epoch, where no other file has that name. */
  #visibleName(name: string, replaced?: ReadonlySet<string>): string {
    const first = this.#options.names.first(name);
    return first === undefined || this.#taken.has(first) || replaced?.has(name) ? name : first;
  }

  /** The name that a file will have. Of those that are not visible yet, the first one has that without the epoch. */
  #likelyName(epoch: number, name: string): string {
    const visible = this.#visibleName(name, new Set(this.#found.get(epoch)));
    if (visible === name) return name;
    const claim = this.#claims.get(visible);
    if (claim !== undefined && claim !== name) return name;
    this.#claims.set(visible, name);
    return visible;
  }

  #isUnique(name: string): boolean {
    return this.#options.names.hasEpoch || (this.#options.names.read(name)?.epoch ?? -1) >= 0;
  }

  /** Another process may have taken over while this one was stopped. */
  async #mustBeOurs(): Promise<void> {
    const other = await this.#store.otherWriter();
    if (other === undefined) return;
    throw new MillraceError(
      'ERR_MILLRACE_FENCED',
      `The files ${this.#options.names.shown} in ${this.#store.place} are written by ${other} now. This process ends, and writes nothing more.`,
    );
  }

  /** Our files, in the order of their names. */
  async #list(): Promise<Record<StoredFile['state'], OurFile[]>> {
    const files: Record<StoredFile['state'], OurFile[]> = { visible: [], sealed: [], aside: [] };
    for (const file of await this.#store.list()) {
      const facts = this.#options.names.read(file.name);
      if (facts !== undefined) files[file.state].push({ file, epoch: facts.epoch ?? -1 });
    }
    return files;
  }

  #part(epoch: number, name: string): Part {
    let parts = this.#open.get(epoch);
    if (parts === undefined) this.#open.set(epoch, (parts = new Map()));
    let part = parts.get(name);
    if (part === undefined) parts.set(name, (part = { name, aside: this.#store.putAside(name, this.#likelyName(epoch, name)), body: this.#options.newBody() }));
    return part;
  }
}
