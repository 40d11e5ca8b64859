/**
 * A folder of HDFS as a store. A file is put aside in one or more parts, which are joined and renamed:
 *
 *   .NAME.0.tmp .NAME.1.tmp  --concat, rename-->  .NAME.prepared  --rename-->  NAME
 *
 * A part is written whole, so it can be written again when a DataNode is lost on the way. A file that says who
 * writes lies in the folder: the newest writer takes it, and an older one finds that out before it makes
 * anything visible.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { MillraceError } from '../../core/index.ts';
import { briefly, type Patience } from '../delivery/index.ts';
import { type FileAside, PartedFile, type Store, type StoreContext, type StoredFile } from '../store/index.ts';
import { NotThere, type WebHdfs } from './web-hdfs.ts';

const SEALED = '.prepared';
/** How long tidying up at the end may take. */
const END_MS = 2_000;
const PART = /^\.(.+)\.\d+\.tmp$/;

export interface HdfsStoreOptions {
  /** The folder, absolute, without a slash at its end. */
  readonly path: string;
  readonly partBytes: number;
  /** Query parameters of new files. */
  readonly create: Readonly<Record<string, string>>;
}

/** Who writes, as the lock's file has it. */
interface Holder {
  readonly user: string;
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  readonly nonce: string;
}

export class HdfsStore implements Store {
  readonly place: string;
  readonly #hdfs: WebHdfs;
  readonly #patience: Patience;
  readonly #context: StoreContext;
  readonly #options: HdfsStoreOptions;
  readonly #me: Holder;

  static async open(place: string, hdfs: WebHdfs, patience: Patience, options: HdfsStoreOptions, context: StoreContext): Promise<HdfsStore> {
    const store = new HdfsStore(place, hdfs, patience, options, context);
    await hdfs.makeFolder(options.path);
    await hdfs.create(store.#lock, [Buffer.from(JSON.stringify(store.#me))]);
    return store;
  }

  private constructor(place: string, hdfs: WebHdfs, patience: Patience, options: HdfsStoreOptions, context: StoreContext) {
    this.place = place;
    this.#hdfs = hdfs;
    this.#patience = patience;
    this.#options = options;
    this.#context = context;
    this.#me = { user: context.user, pid: process.pid, host: hostname(), since: new Date().toISOString(), nonce: randomBytes(16).toString('hex') };
  }

  counts(): ReturnType<NonNullable<Store['counts']>> {
    return this.#patience.counts;
  }

  putAside(name: string): FileAside {
    const hdfs = this.#hdfs;
    const { create, partBytes } = this.#options;
    const partOf = (number: number): string => hidden(this.#path(name), `.${number}.tmp`);
    const join = async (to: string, parts: number, rest: readonly Uint8Array[], restBytes: number): Promise<void> => {
      let count = parts;
      // HDFS joins no empty files.
      if (restBytes > 0 || count === 0) await hdfs.create(partOf(count++), rest, create);
      await this.#guarded(name, async () => {
        const others = Array.from({ length: count - 1 }, (_, i) => partOf(i + 1));
        if (others.length > 0) await hdfs.concat(partOf(0), others, stored + restBytes);
        await hdfs.rename(partOf(0), to);
      });
    };
    let stored = 0;
    return new PartedFile(
      {
        put: async (number, pieces, byteLength) => {
          await hdfs.create(partOf(number), pieces, create);
          stored += byteLength;
        },
        seal: (parts, rest, restBytes) => join(hidden(this.#path(name), SEALED), parts, rest, restBytes),
        publish: (visible, parts, rest, restBytes) => join(this.#path(visible), parts, rest, restBytes),
        discard: async (parts) => {
          // The next writer removes what is left.
          for (let number = 0; number < parts; number++)
            await hdfs
              .by(briefly(END_MS))
              .remove(partOf(number))
              .catch(() => {});
        },
      },
      partBytes,
    );
  }

  async finalise(name: string, visible: string): Promise<string> {
    await this.#guarded(name, () => this.#hdfs.rename(hidden(this.#path(name), SEALED), this.#path(visible)));
    return visible;
  }

  async list(): Promise<StoredFile[]> {
    const files: StoredFile[] = [];
    const walk = async (folder: string, prefix: string): Promise<void> => {
      for (const { pathSuffix, type } of await this.#hdfs.list(folder)) {
        const path = `${folder}/${pathSuffix}`;
        if (type === 'DIRECTORY') {
          if (this.#context.isDeep && !pathSuffix.startsWith('.')) await walk(path, `${prefix}${pathSuffix}/`);
          continue;
        }
        const part = PART.exec(pathSuffix)?.[1];
        if (part !== undefined) files.push({ name: `${prefix}${part}`, state: 'aside', handle: path });
        else if (pathSuffix.startsWith('.') && pathSuffix.endsWith(SEALED))
          files.push({ name: `${prefix}${pathSuffix.slice(1, -SEALED.length)}`, state: 'sealed', handle: path });
        else files.push({ name: `${prefix}${pathSuffix}`, state: 'visible', handle: path });
      }
    };
    await walk(this.#options.path, '');
    return files;
  }

  async remove({ name, handle }: StoredFile): Promise<void> {
    await this.#hdfs.remove((handle as string | undefined) ?? this.#path(name));
  }

  /** The NameNode writes names down before it answers. */
  async settle(): Promise<void> {}

  otherWriter(): Promise<string | undefined> {
    return this.#otherWriter(this.#hdfs);
  }

  async #otherWriter(hdfs: WebHdfs): Promise<string | undefined> {
    try {
      const holder = JSON.parse((await hdfs.read(this.#lock)).toString('utf8')) as Holder;
      if (holder.nonce === this.#me.nonce) return undefined;
      return `${holder.user} (process ${holder.pid} of ${holder.host}, since ${holder.since})`;
    } catch (error) {
      if (error instanceof NotThere) return 'another, which has ended since,';
      throw error;
    }
  }

  async close(): Promise<void> {
    try {
      const hdfs = this.#hdfs.by(briefly(END_MS));
      if ((await this.#otherWriter(hdfs)) === undefined) await hdfs.remove(this.#lock);
    } catch {
      // Whoever comes next takes it over.
    } finally {
      this.#hdfs.close();
    }
  }

  get #lock(): string {
    return this.#path(`${this.#context.lock}.held`);
  }

  #path(name: string): string {
    return `${this.#options.path}/${name}`;
  }

  /** What is gone from aside was removed by the next writer. */
  async #guarded(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof NotThere)) throw error;
      const other = await this.otherWriter();
      throw new MillraceError(
        other === undefined ? 'ERR_MILLRACE_FILE' : 'ERR_MILLRACE_FENCED',
        `The file ${name} of ${this.place} is gone from where it was put aside (${error.message}). ${
          other === undefined
            ? 'Something else has removed it, or the folder that it goes to.'
            : `The files are written by ${other} now. This process ends, and writes nothing more.`
        }`,
      );
    }
  }
}

/** The hidden name beside a path. */
function hidden(path: string, ending: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}.${path.slice(slash)}${ending}`;
}
