/**
 * Text files in, one record per line. Each file is a partition, in the order of the paths; an offset is a
 * byte position.
 *
 * The coordinator reads each file in runs of whole lines and passes the bytes on as they are. The workers
 * find the lines and decode them. A line ends at \n or \r\n, in CSV also at a lone \r. A file is read up to
 * its size at the start: this is no tail -f. A quoted line end, which CSV allows, ends a line here.
 *
 * A compressed file is read to its end, and its offsets are those of the text in it.
 */

import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkOptionNames, MillraceError, shown, shownPath } from '../../core/index.ts';
import { type Codec, type CodedSource, mustBeCodec } from '../codec.ts';
import { FRAME_HEADED, FRAME_STARTS, LineDecoder } from '../line-decoder.ts';
import type { CommittedPosition, Offset, SourceContext, SourceReader } from '../source.ts';
import { compressionOf, type FileCompression, openText, type TextFile } from './text-file.ts';

/**
 * Where the files are: one path, several paths, or a folder and a name ending. Sub-folders are not searched.
 */
export type FilesLocation =
  | { readonly path: string; readonly paths?: never; readonly dir?: never }
  | { readonly paths: readonly string[]; readonly path?: never; readonly dir?: never }
  | { readonly dir: string; readonly ext?: string; readonly path?: never; readonly paths?: never };

export type FilesSourceOptions<R> = FilesLocation & {
  /** What a line is: `text()`, `json(schema)`, `csv(schema)`. */
  readonly value: Codec<R>;
  /**
   * How the files are compressed. Default: `gzip` where a name ends in `.gz`, `zstd` where it ends in `.zst`, else
   * `none`. A restart unpacks them again up to where it goes on.
   */
  readonly compression?: FileCompression;
  /** Lines to skip at the start of each file, such as a header. Default 0. */
  readonly skipLines?: number;
  /** Most bytes of a line; a longer one is an error. At least 512 KiB; default 16 MiB. */
  readonly lineBytesMax?: number;
};

const RUN_BYTES = 512 * 1_024;
const LINE_BYTES_MAX = 16 * 1_024 * 1_024;
/** Bytes that a header is looked for in first. */
const HEADER_BYTES_FIRST = 64 * 1_024;
/** How much text is in a compressed file is known when it was read. */
const UNKNOWN = Number.POSITIVE_INFINITY;
/** Files that are open at the same time. */
const OPEN_MAX = 8;
const LF = 0x0a;
const CR = 0x0d;

/**
 * It commits no positions: a new start reads from the beginning, unless the runtime has a checkpoint.
 *
 * @example files.source({ path: 'access.log', value: text() })
 * @throws MillraceError ERR_MILLRACE_OPTION for invalid options. The job fails with ERR_MILLRACE_FILE when a
 * file cannot be read, or has a line above the limit.
 */
export function filesSource<R>(options: FilesSourceOptions<R>): CodedSource<R> {
  checkOptionNames('files.source', options, {
    path: true,
    paths: true,
    dir: true,
    ext: true,
    value: true,
    compression: true,
    skipLines: true,
    lineBytesMax: true,
  });
  const { value, compression, skipLines = 0, lineBytesMax = LINE_BYTES_MAX } = options;
  mustBeCodec('files.source', value);
  const given = [options.path, options.paths, options.dir].filter((where) => where !== undefined);
  if (given.length !== 1) throw new MillraceError('ERR_MILLRACE_OPTION', `files.source: give one of path, paths and dir; there are ${given.length}.`);
  if (!(Number.isSafeInteger(skipLines) && skipLines >= 0))
    throw new MillraceError('ERR_MILLRACE_OPTION', `files.source: skipLines is ${shown(skipLines)}; it must be a whole number of at least 0.`);
  if (!(Number.isSafeInteger(lineBytesMax) && lineBytesMax >= RUN_BYTES && lineBytesMax <= 1 << 30)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `files.source: lineBytesMax is ${shown(lineBytesMax)}; it must be a whole number of bytes, ${RUN_BYTES} (512 KiB) to 1 GiB.`,
    );
  }
  if (compression !== undefined && !['none', 'gzip', 'zstd'].includes(compression)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `files.source: compression is ${shown(compression)}; give 'none', 'gzip' or 'zstd', or leave it out.`);
  }
  if (value?.schema === undefined)
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'files.source: the value codec has no schema to decode to. Give it one: json({ name: utf8 }), csv({ ... }), text().',
    );
  const where = options.path ?? options.dir ?? `${options.paths?.[0]}${(options.paths?.length ?? 0) > 1 ? ', ...' : ''}`;
  return {
    name: `files ${where}`,
    schema: value.schema,
    bounded: true,
    codec: value,
    async open(context) {
      const found = inOrder(where, await listFiles(options), context.identity).map((file) => ({
        ...file,
        compression: compression ?? compressionOf(file.path),
      }));
      const sizes = await Promise.all(found.map(async ({ path, compression }) => (await fileSize(path), compression === 'none' ? fileSize(path) : UNKNOWN)));
      found.forEach(({ path }, partition) => mustReach(path, sizes[partition] as number, context.from?.get(partition)));
      return new FilesReader(context, found, sizes, { skipLines, lineBytesMax, breaksAtCr: value.breaksAtCr === true, headed: value.headed });
    },
    decoder: (context) => new LineDecoder(context, value),
  };
}

interface FoundFile {
  /** As it was given, or in its folder: it stays the same where a folder of files is moved. */
  readonly name: string;
  readonly path: string;
}

async function listFiles(location: FilesLocation): Promise<FoundFile[]> {
  const given = location.path !== undefined ? [location.path] : location.paths;
  if (given !== undefined) return given.map((name) => ({ name, path: resolve(name) }));
  const { dir, ext = '' } = location as { readonly dir: string; readonly ext?: string };
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    // Hidden files are unfinished work, such as that of the files sink.
    const names = entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.') && entry.name.endsWith(ext)).map((entry) => entry.name);
    return names.sort((a, b) => (a < b ? -1 : 1)).map((name) => ({ name, path: resolve(join(dir, name)) }));
  } catch (cause) {
    throw fileError(`The folder ${shownPath(dir)} cannot be listed`, cause);
  }
}

/**
 * Files in the order of their partitions: those that a checkpoint knows stay what they were, new ones follow.
 *
 * @param known names by partition; undefined: there is no checkpoint, or it knows none
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when one of them is gone
 */
function inOrder(where: string, found: readonly FoundFile[], known: readonly string[] = []): FoundFile[] {
  const left = [...found];
  const first = known.map((name) => {
    const at = left.findIndex((file) => file.name === name);
    if (at >= 0) return left.splice(at, 1)[0] as FoundFile;
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The file ${shownPath(name)} of files.source ${shownPath(where)}, which the checkpoint goes on with, is gone. Put it back; or begin anew, with another checkpoint.`,
    );
  });
  return [...first, ...left];
}

/** @throws MillraceError ERR_MILLRACE_CHECKPOINT */
function mustReach(path: string, size: number, from: Offset = 0): void {
  if (from <= size) return;
  throw new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The file ${shownPath(path)} has ${size} bytes, and the checkpoint goes on at byte ${from}: it was cut, or written anew. Put it back as it was; or begin anew, with another checkpoint.`,
  );
}

async function fileSize(path: string): Promise<number> {
  try {
    const facts = await stat(path);
    if (!facts.isFile()) throw new Error('it is no file');
    return facts.size;
  } catch (cause) {
    throw fileError(`The file ${shownPath(path)} cannot be read`, cause);
  }
}

function fileError(what: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError('ERR_MILLRACE_FILE', `${what}: ${(cause as Error).message}.`, { cause });
}

type OpenedFile = FoundFile & { readonly compression: FileCompression };

interface Cutting {
  readonly skipLines: number;
  readonly lineBytesMax: number;
  readonly breaksAtCr: boolean;
  readonly headed: Codec['headed'];
}

class FilesReader implements SourceReader {
  readonly partitionCount: number;
  readonly identity: readonly string[];
  readonly #context: SourceContext;
  readonly #files: readonly OpenedFile[];
  /** Bytes of text in each file. */
  readonly #sizes: number[];
  readonly #cutting: Cutting;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  #running: Promise<unknown> = Promise.resolve();

  constructor(context: SourceContext, files: readonly OpenedFile[], sizes: readonly number[], cutting: Cutting) {
    this.partitionCount = files.length;
    this.identity = files.map(({ name }) => name);
    this.#context = context;
    this.#files = files;
    this.#sizes = [...sizes];
    this.#cutting = cutting;
    this.#signal = AbortSignal.any([context.signal, this.#closed.signal]);
  }

  async positions(): Promise<CommittedPosition[]> {
    return this.#files.map((_, partition) => ({ partition, offset: this.#start(partition), metadata: '' }));
  }

  start(): void {
    this.#sizes.forEach((size, partition) => {
      if (size !== UNKNOWN) this.#context.high(partition, size);
    });
    let taken = 0;
    const readOn = async (): Promise<void> => {
      while (taken < this.partitionCount && !this.#signal.aborted) await this.#readFile(taken++);
    };
    this.#running = Promise.all(Array.from({ length: OPEN_MAX }, readOn)).catch((error) => {
      if (!this.#signal.aborted) this.#context.fail(error);
      this.#closed.abort();
    });
  }

  /** Keeps nothing: to resume, pass `from`. */
  async commit(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  #start(partition: number): Offset {
    return this.#context.from?.get(partition) ?? 0;
  }

  async #readFile(partition: number): Promise<void> {
    const { path, compression } = this.#files[partition] as OpenedFile;
    let file: TextFile | undefined;
    try {
      file = await openText(path, compression);
      await this.#readLines(partition, path, file);
      if (!this.#signal.aborted) this.#context.end(partition);
    } catch (cause) {
      throw fileError(`The file ${shownPath(path)} cannot be read`, cause);
    } finally {
      await file?.close();
    }
  }

  async #readLines(partition: number, path: string, file: TextFile): Promise<void> {
    let size = this.#sizes[partition] as number;
    const { skipLines, lineBytesMax, breaksAtCr } = this.#cutting;
    const header = await this.#header(path, file, size);
    let buffer = Buffer.allocUnsafe(Math.min(RUN_BYTES, Math.max(size, 1)));
    let position = this.#start(partition);
    let isStart = position === 0;
    let skip = isStart ? skipLines : 0;
    let filled = 0; // bytes of `buffer` in use; they begin at `position` of the file
    while (position < size && !this.#signal.aborted) {
      const wanted = Math.min(buffer.length - filled, size - position - filled);
      const { bytesRead } = wanted === 0 ? { bytesRead: 0 } : await file.read(buffer, filled, wanted, position + filled);
      if (bytesRead === 0 && wanted > 0) {
        if (size !== UNKNOWN) throw new Error(`it has become shorter while it was read: it had ${size} bytes, and ends at ${position + filled}`);
        size = position + filled;
        this.#sizes[partition] = size;
        this.#context.high(partition, size);
        if (filled === 0) break;
      }
      filled += bytesRead;
      const isEnd = position + filled >= size;
      let from = position === 0 && filled >= 3 && buffer[0] === 0xef && buffer[1] === 0xbb && buffer[2] === 0xbf ? 3 : 0;
      let to = isEnd ? filled : buffer.lastIndexOf(LF, filled - 1) + 1;
      // A \r as the last byte may be half of a line end.
      if (to === 0 && breaksAtCr) to = buffer.lastIndexOf(CR, filled - 2) + 1;
      // The file may have ended there then.
      const cut = this.#context.cutBehind?.(partition, position);
      if (cut !== undefined && cut < position + to) to = cut - position;
      for (; skip > 0; skip--) {
        const behind = lineEnd(buffer.subarray(0, to), from, breaksAtCr);
        if (behind < 0 && !isEnd) break;
        from = behind < 0 ? to : behind;
      }
      if (to > from) {
        const flags = isStart ? FRAME_STARTS : 0;
        isStart = false;
        const lines = buffer.subarray(from, to);
        const hasCredit =
          header === undefined
            ? this.#context.emit(partition, lines, position + from, position + to, flags)
            : this.#context.emit(partition, Buffer.concat([header, lines]), position + from, position + to, flags | FRAME_HEADED, header.length);
        if (!hasCredit) await this.#context.credit(partition);
      }
      position += to;
      filled -= to;
      if (to === 0 && filled === buffer.length) {
        // There is no line end in the whole buffer: make more room.
        if (buffer.length >= lineBytesMax) {
          throw new MillraceError(
            'ERR_MILLRACE_FILE',
            `The file ${shownPath(path)} has a line of more than ${lineBytesMax} bytes at byte ${position}. Raise lineBytesMax if that is right.`,
          );
        }
        const larger = Buffer.allocUnsafe(Math.min(buffer.length * 2, lineBytesMax));
        buffer.copy(larger, 0, 0, filled);
        buffer = larger;
      } else buffer.copyWithin(0, to, to + filled);
    }
  }

  /** The first line behind those that are skipped, where the codec goes by it. */
  async #header(path: string, file: TextFile, size: number): Promise<Buffer | undefined> {
    const { skipLines, lineBytesMax, breaksAtCr, headed } = this.#cutting;
    if (headed === undefined) return undefined;
    for (let bytes = HEADER_BYTES_FIRST; ; bytes *= 2) {
      const buffer = Buffer.alloc(Math.min(bytes, size));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      const read = buffer.subarray(0, bytesRead);
      const isWhole = bytesRead >= size || (size === UNKNOWN && bytesRead < buffer.length);
      let from = read[0] === 0xef && read[1] === 0xbb && read[2] === 0xbf ? 3 : 0;
      let to = from;
      for (let line = 0; line <= skipLines && to >= 0; line++) {
        from = to;
        to = lineEnd(read, from, breaksAtCr);
      }
      if (to < 0 && !isWhole && bytes < lineBytesMax) continue;
      const header = read.subarray(from, to < 0 ? undefined : to);
      // A file without a line has no rows either.
      const fault = header.length === 0 ? undefined : headed.fault(header);
      if (fault === undefined) return header;
      throw new MillraceError('ERR_MILLRACE_FILE', `The file ${shownPath(path)} cannot be read: ${fault}.`);
    }
  }
}

/** Where the line after the one at `from` begins; -1 when the end of that line is not in the buffer. */
function lineEnd(bytes: Buffer, from: number, breaksAtCr: boolean): number {
  const lf = bytes.indexOf(LF, from);
  const cr = breaksAtCr ? bytes.indexOf(CR, from) : -1;
  if (cr >= 0 && cr + 1 !== lf && (lf < 0 || cr < lf)) return cr + 1;
  return lf < 0 ? -1 : lf + 1;
}
