/**
 * A file as text, plain or compressed. What is compressed is read as a stream: positions are those of the text, and going
 * back begins anew. Memory holds one piece at a time, however much a file unpacks to.
 */

import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable, Transform } from 'node:stream';
import zlib from 'node:zlib';
import { Decompress } from 'fzstd';

export type FileCompression = 'none' | 'gzip' | 'zstd';

export interface TextFile {
  /** Reads at a position of the text, as much as there is room for. 0 bytes: it has ended. */
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

/** By the end of its name, as Hadoop and Spark have it. */
export function compressionOf(path: string): FileCompression {
  if (path.endsWith('.gz')) return 'gzip';
  return path.endsWith('.zst') ? 'zstd' : 'none';
}

export async function openText(path: string, compression: FileCompression): Promise<TextFile> {
  return compression === 'none' ? new PlainFile(await open(path, 'r')) : new PackedFile(path, compression);
}

class PlainFile implements TextFile {
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return this.#file.read(buffer, offset, length, position);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

class PackedFile implements TextFile {
  readonly #path: string;
  readonly #compression: FileCompression;
  #pieces: AsyncIterator<Uint8Array> | undefined;
  /** What is unpacked and not read yet; it begins at `#at`. */
  #rest: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(path: string, compression: FileCompression) {
    this.#path = path;
    this.#compression = compression;
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    if (this.#pieces === undefined || position < this.#at) await this.#begin();
    let bytesRead = 0;
    while (bytesRead < length) {
      const skipped = Math.min(this.#rest.length, Math.max(0, position - this.#at));
      const taken = Math.min(this.#rest.length - skipped, length - bytesRead);
      if (this.#at + skipped >= position) buffer.set(this.#rest.subarray(skipped, skipped + taken), offset + bytesRead);
      const used = this.#at + skipped >= position ? taken : 0;
      bytesRead += used;
      this.#rest = this.#rest.subarray(skipped + used);
      this.#at += skipped + used;
      position += used;
      if (bytesRead === length) break;
      const next = await (this.#pieces as AsyncIterator<Uint8Array>).next();
      if (next.done === true) {
        if (this.#at < position) throw new Error(`it has ${this.#at} bytes of text, and is to be read from byte ${position} on: it was cut, or written anew`);
        break;
      }
      this.#rest = next.value;
    }
    return { bytesRead };
  }

  async close(): Promise<void> {
    await this.#pieces?.return?.();
  }

  async #begin(): Promise<void> {
    await this.close();
    this.#pieces = unpacked(this.#path, this.#compression);
    this.#rest = new Uint8Array(0);
    this.#at = 0;
  }
}

/** Node has zstd from 22.15 on. */
const createZstd = (zlib as { readonly createZstdDecompress?: () => Transform }).createZstdDecompress;

async function* unpacked(path: string, compression: FileCompression): AsyncGenerator<Uint8Array, void, undefined> {
  const packed = createReadStream(path);
  const unpack = compression === 'gzip' ? zlib.createGunzip() : createZstd?.();
  if (unpack === undefined) {
    yield* unpackedByZstd(packed);
    return;
  }
  packed.on('error', (error) => unpack.destroy(error));
  try {
    yield* packed.pipe(unpack) as AsyncIterable<Uint8Array>;
  } finally {
    packed.destroy();
    unpack.destroy();
  }
}

async function* unpackedByZstd(packed: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = [];
  const unpack = new Decompress((piece) => void pieces.push(piece.slice()));
  for await (const piece of packed as AsyncIterable<Uint8Array>) {
    unpack.push(piece);
    yield* pieces;
    pieces = [];
  }
  unpack.push(new Uint8Array(0), true);
  yield* pieces;
}
