/**
 * A prefix of a bucket as a store. Objects appear whole, so what is aside is kept where readers do not look:
 *
 *   small   .NAME.prepared, an object                      --copy-->      NAME
 *   large   a multipart upload of NAME that is kept open   --complete-->  NAME
 *           .NAME.upload, which says that it is sealed
 *
 * Both steps are all or nothing, and can be seen to have been done: a copy says what it is a copy of, and an
 * upload that was completed is gone. Half-written uploads are found by ListMultipartUploads. An object says who
 * writes: the newest writer takes it, and an older one finds that out before it makes anything visible.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { MillraceError } from '../../core/index.ts';
import { briefly, type Patience } from '../delivery/index.ts';
import { type FileAside, PartedFile, type Store, type StoreContext, type StoredFile } from '../store/index.ts';
import { NotThere, type S3 } from './client.ts';

const SMALL = '.prepared';
const LARGE = '.upload';
/** Metadata: what a sealed object will be called, and what an object is a copy of. */
const TARGET = 'x-amz-meta-millrace-target';
const ORIGIN = 'x-amz-meta-millrace-origin';
const END_MS = 2_000;

export interface S3StoreOptions {
  /** Empty, or with a slash at its end. */
  readonly prefix: string;
  readonly partBytes: number;
}

interface Holder {
  readonly user: string;
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  readonly nonce: string;
}

/** A sealed upload, as `.NAME.upload` has it. */
interface Upload {
  readonly visible: string;
  readonly uploadId: string;
  readonly etags: readonly string[];
  readonly byteLength: number;
}

export class S3Store implements Store {
  readonly place: string;
  readonly #s3: S3;
  readonly #patience: Patience;
  readonly #options: S3StoreOptions;
  readonly #context: StoreContext;
  readonly #me: Holder;

  static async open(place: string, s3: S3, patience: Patience, options: S3StoreOptions, context: StoreContext): Promise<S3Store> {
    const store = new S3Store(place, s3, patience, options, context);
    await s3.put(store.#lock, [Buffer.from(JSON.stringify(store.#me))]);
    return store;
  }

  private constructor(place: string, s3: S3, patience: Patience, options: S3StoreOptions, context: StoreContext) {
    this.place = place;
    this.#s3 = s3;
    this.#patience = patience;
    this.#options = options;
    this.#context = context;
    this.#me = { user: context.user, pid: process.pid, host: hostname(), since: new Date().toISOString(), nonce: randomBytes(16).toString('hex') };
  }

  counts(): ReturnType<NonNullable<Store['counts']>> {
    return this.#patience.counts;
  }

  putAside(name: string, visible: string): FileAside {
    const s3 = this.#s3;
    const key = this.#key(visible);
    const etags: string[] = [];
    let uploadId = '';
    let stored = 0;
    const put = async (number: number, pieces: readonly Uint8Array[], byteLength: number): Promise<void> => {
      if (uploadId === '') uploadId = await s3.beginUpload(key);
      etags.push(await s3.putPart(key, uploadId, number + 1, pieces));
      stored += byteLength;
    };
    return new PartedFile(
      {
        put: (number, pieces, byteLength) => this.#guarded(name, () => put(number, pieces, byteLength)),
        seal: async (parts, rest, byteLength) => {
          if (parts === 0) {
            await s3.put(this.#hidden(name, SMALL), rest, { [TARGET]: visible });
            return;
          }
          await this.#guarded(name, async () => {
            if (byteLength > 0) await put(parts, rest, byteLength);
          });
          const upload: Upload = { visible, uploadId, etags, byteLength: stored };
          await s3.put(this.#hidden(name, LARGE), [Buffer.from(JSON.stringify(upload))]);
        },
        publish: async (now, parts, rest, byteLength) => {
          if (parts === 0) return s3.put(this.#key(now), rest);
          await this.#guarded(name, async () => {
            if (byteLength > 0) await put(parts, rest, byteLength);
            await this.#complete({ visible, uploadId, etags, byteLength: stored });
          });
        },
        discard: async () => {
          // The next writer removes what is left.
          if (uploadId !== '')
            await s3
              .by(briefly(END_MS))
              .abortUpload(key, uploadId)
              .catch(() => {});
        },
      },
      this.#options.partBytes,
    );
  }

  async finalise(name: string, visible: string): Promise<string> {
    return this.#guarded(name, async () => {
      const small = this.#hidden(name, SMALL);
      const facts = await this.#s3.head(small);
      if (facts !== undefined) {
        const target = facts[TARGET];
        const isCopied = typeof target === 'string' && target !== visible && (await this.#s3.head(this.#key(target)))?.[ORIGIN] === name;
        if (!isCopied) await this.#s3.copy(small, this.#key(visible), { [ORIGIN]: name });
        await this.#s3.remove(small);
        return isCopied ? target : visible;
      }
      const large = this.#hidden(name, LARGE);
      const upload = JSON.parse((await this.#s3.get(large)).toString('utf8')) as Upload;
      // Its name is free, or is its own.
      if (upload.visible !== visible && (await this.#s3.hasUpload(this.#key(upload.visible), upload.uploadId)))
        throw new MillraceError(
          'ERR_MILLRACE_SINK',
          `The file ${name} of ${this.place} cannot become ${upload.visible}: something else has put a file there. Move that away.`,
        );
      await this.#complete(upload);
      await this.#s3.remove(large);
      return upload.visible;
    });
  }

  async list(): Promise<StoredFile[]> {
    const { prefix } = this.#options;
    const files: StoredFile[] = [];
    const sealed = new Set<string>();
    for (const key of await this.#s3.list(prefix)) {
      const name = key.slice(prefix.length);
      const slash = name.lastIndexOf('/') + 1;
      if (!this.#context.isDeep && slash > 0) continue;
      const last = name.slice(slash);
      // Some stores have an object for a folder.
      if (last === '') continue;
      const ending = last.startsWith('.') ? [SMALL, LARGE].find((ending) => last.endsWith(ending)) : undefined;
      if (ending === undefined) {
        files.push({ name, state: 'visible', handle: { key } });
        continue;
      }
      const own = `${name.slice(0, slash)}${last.slice(1, -ending.length)}`;
      let upload: Upload | undefined;
      if (ending === LARGE) upload = await this.#read(key);
      if (upload !== undefined) sealed.add(upload.uploadId);
      files.push({ name: own, state: 'sealed', handle: { key, upload } });
    }
    for (const { key, uploadId } of await this.#s3.listUploads(prefix))
      if (!sealed.has(uploadId)) files.push({ name: key.slice(prefix.length), state: 'aside', handle: { key, uploadId } });
    return files;
  }

  async remove({ name, handle }: StoredFile): Promise<void> {
    const { key = this.#key(name), uploadId, upload } = (handle ?? {}) as { key?: string; uploadId?: string; upload?: Upload };
    if (uploadId !== undefined) return this.#s3.abortUpload(key, uploadId);
    if (upload !== undefined) await this.#s3.abortUpload(this.#key(upload.visible), upload.uploadId);
    await this.#s3.remove(key);
  }

  /** The store has written everything down before it answers. */
  async settle(): Promise<void> {}

  otherWriter(): Promise<string | undefined> {
    return this.#otherWriter(this.#s3);
  }

  async close(): Promise<void> {
    try {
      const s3 = this.#s3.by(briefly(END_MS));
      if ((await this.#otherWriter(s3)) === undefined) await s3.remove(this.#lock);
    } catch {
      // Whoever comes next takes it over.
    } finally {
      this.#s3.close();
    }
  }

  async #otherWriter(s3: S3): Promise<string | undefined> {
    try {
      const holder = JSON.parse((await s3.get(this.#lock)).toString('utf8')) as Holder;
      if (holder.nonce === this.#me.nonce) return undefined;
      return `${holder.user} (process ${holder.pid} of ${holder.host}, since ${holder.since})`;
    } catch (error) {
      if (error instanceof NotThere) return 'another, which has ended since,';
      throw error;
    }
  }

  /** An upload that was completed is gone, and its object is there. */
  async #complete({ visible, uploadId, etags, byteLength }: Upload): Promise<void> {
    const key = this.#key(visible);
    try {
      await this.#s3.completeUpload(key, uploadId, etags);
    } catch (error) {
      if (!(error instanceof NotThere) || Number((await this.#s3.head(key))?.['content-length']) !== byteLength) throw error;
    }
  }

  async #read(key: string): Promise<Upload | undefined> {
    try {
      return JSON.parse((await this.#s3.get(key)).toString('utf8')) as Upload;
    } catch (error) {
      if (error instanceof NotThere) return undefined;
      throw error;
    }
  }

  get #lock(): string {
    return this.#key(`${this.#context.lock}.held`);
  }

  #key(name: string): string {
    return `${this.#options.prefix}${name}`;
  }

  #hidden(name: string, ending: string): string {
    const slash = name.lastIndexOf('/') + 1;
    return this.#key(`${name.slice(0, slash)}.${name.slice(slash)}${ending}`);
  }

  /** What is gone from aside was removed by the next writer. */
  async #guarded<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NotThere)) throw error;
      const other = await this.otherWriter();
      throw new MillraceError(
        other === undefined ? 'ERR_MILLRACE_FILE' : 'ERR_MILLRACE_FENCED',
        `The file ${name} of ${this.place} is gone from where it was put aside (${error.message}). ${
          other === undefined ? 'Something else has removed it.' : `The files are written by ${other} now. This process ends, and writes nothing more.`
        }`,
      );
    }
  }
}
