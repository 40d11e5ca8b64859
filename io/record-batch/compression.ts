/**
 * Decompresses the records of a record batch into an arena of the shared memory: gzip, snappy (raw, and in
 * the framing of the Java client), lz4 (frame format) and zstd. The declared size of a batch is checked
 * before anything is allocated. More than its bytes can become is a lie; more than the limit is refused with
 * its size. A batch that declares nothing, or too little, is refused as soon as it exceeds the limit: 1 MiB
 * can expand a thousandfold (kafkajs #1795).
 *
 * gzip and zstd are those of Node's zlib. zstd is there from Node 22.15 on; before that the package fzstd
 * does it, at about a fifth of the speed. Checksums inside the formats are not checked, except by zlib: the
 * batch's CRC32C covers them.
 */

import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import type { SharedMemory, SlabAllocator } from '../../core/index.ts';
import { MillraceError, shown } from '../../core/index.ts';
import { COMPRESSIONS } from './layout.ts';
import { type LzBlocks, lzBlocks } from './lz-block.ts';
import { zstdClaim } from './zstd-frame.ts';

/** A fault of the input, with a message for the ledger. Not a MillraceError: it never leaves this room. */
export class BrokenBatch extends Error {}

const ARENA_BYTES = 1 << 20;
/** An arena that grew beyond this is released when its chunk is done. */
const ARENA_BYTES_KEPT = 8 << 20;

/**
 * Decompressed bytes, one run after the other, valid until `clear`. It grows only while it is empty: `place`
 * says no while it has runs that are still read.
 */
export class Arena {
  readonly memory: SharedMemory;
  readonly #slabs: SlabAllocator;
  #slab = 0;
  #byteLength = 0;
  #used = 0;

  constructor(slabs: SlabAllocator) {
    this.memory = slabs.memory;
    this.#slabs = slabs;
  }

  /** An address with room for `bytes`, or 0 when runs in use are in the way. */
  place(bytes: number): number {
    if (bytes > this.#byteLength - this.#used) {
      if (this.#used > 0) return 0;
      this.#release();
      this.#slab = this.#slabs.alloc(Math.max(bytes, ARENA_BYTES));
      this.#byteLength = this.#slabs.slabBytes(this.#slab);
    }
    return this.#slab + this.#used;
  }

  /** Keeps the bytes from the last `place` to `end`. */
  keep(end: number): void {
    this.#used = Math.ceil((end - this.#slab) / 8) * 8;
  }

  /** No run is read any more. */
  clear(): void {
    this.#used = 0;
  }

  /** Like `clear`, and also releases an arena that is too large to keep. */
  shrink(): void {
    this.#used = 0;
    if (this.#byteLength > ARENA_BYTES_KEPT) this.#release();
  }

  #release(): void {
    if (this.#slab !== 0) this.#slabs.free(this.#slab);
    this.#slab = 0;
    this.#byteLength = 0;
  }
}

/** Decompressed records, from `address` to `end`. One object per compressed batch. */
export interface Decompressed {
  readonly address: number;
  readonly end: number;
}

type ZstdDecompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;
const nodeZstd = (zlib as { zstdDecompressSync?: ZstdDecompress }).zstdDecompressSync;

const BYTES_MAX_DEFAULT = 64 << 20;
const BYTES_MAX_LEAST = 1 << 20;

/**
 * Most bytes that one record batch may decompress to: a quarter of a worker's share of the memory, rounded
 * down to a power of two, from 1 to 64 MiB. All workers together then hold no more than a quarter of the
 * memory.
 *
 * @param wanted the user's value instead
 * @throws MillraceError ERR_MILLRACE_OPTION when all workers together could take more than half of the memory
 * with it
 */
export function decompressedBytesOf(topic: string, memoryBytes: number, workers: number, wanted: number | undefined): number {
  if (wanted === undefined) return Math.min(Math.max(2 ** Math.floor(Math.log2(memoryBytes / workers / 4)), BYTES_MAX_LEAST), BYTES_MAX_DEFAULT);
  const room = 2 ** Math.ceil(Math.log2(wanted)) * workers;
  if (room * 2 <= memoryBytes) return wanted;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `The source of ${shown(topic)} has decompressedBytesMax ${wanted}: ${workers} workers would take up to ${room} bytes for that, and the memory has ${memoryBytes}, of which half may go to it. Raise the memory option, run fewer workers, or lower decompressedBytesMax.`,
  );
}

/** Decompresses batches one after the other into its arena. */
export class Decompressor {
  readonly arena: Arena;
  readonly #memory: SharedMemory;
  readonly #blocks: LzBlocks;
  readonly #bytesMax: number;

  /** @param bytesMax most bytes that one batch may become */
  constructor(slabs: SlabAllocator, bytesMax: number) {
    this.arena = new Arena(slabs);
    this.#memory = slabs.memory;
    this.#blocks = lzBlocks(slabs.memory);
    this.#bytesMax = bytesMax;
  }

  /**
   * @param compression index into COMPRESSIONS, not 0
   * @returns undefined when runs of the arena are in the way: try again after `arena.clear`
   * @throws BrokenBatch
   */
  decompress(compression: number, from: number, to: number): Decompressed | undefined {
    switch (COMPRESSIONS[compression]) {
      case 'gzip':
        this.#checkClaim('gzip', gzipClaim(this.#memory, from, to), (to - from) * GZIP_FACTOR);
        return this.#place(this.#inflate('gzip', () => zlib.gunzipSync(this.#copy(from, to), { maxOutputLength: this.#bytesMax })));
      case 'snappy':
        return this.#snappy(from, to);
      case 'lz4':
        return this.#lz4(from, to);
      case 'zstd':
        return this.#place(this.#inflate('zstd', () => this.#zstd(this.#copy(from, to))));
      default:
        throw new BrokenBatch(`is compressed by method ${compression}, which Kafka does not define (1 gzip, 2 snappy, 3 lz4, 4 zstd)`);
    }
  }

  #tooLarge(bytes: number | string): BrokenBatch {
    return new BrokenBatch(
      `decompresses to ${bytes} bytes; ${this.#bytesMax} is the most that is taken. If such batches are meant, raise decompressedBytesMax of the source, and the memory option with it`,
    );
  }

  /** @throws BrokenBatch when compressed bytes claim more than they can become, or more than the limit */
  #checkClaim(name: string, claimed: number, possible: number): void {
    if (claimed > possible) throw new BrokenBatch(`is no valid ${name}: it says that it holds ${claimed} bytes, and cannot become more than ${possible}`);
    if (claimed > this.#bytesMax) throw this.#tooLarge(claimed);
  }

  /** node:zlib does not take shared memory on every supported Node. */
  #copy(from: number, to: number): Uint8Array {
    return this.#memory.u8.slice(from, to);
  }

  #inflate(name: string, inflate: () => Uint8Array): Uint8Array {
    try {
      return inflate();
    } catch (error) {
      if (error instanceof BrokenBatch) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw this.#tooLarge('more');
      throw new BrokenBatch(`is no valid ${name} (${shown((error as Error).message)})`);
    }
  }

  #place(bytes: Uint8Array): Decompressed | undefined {
    const address = this.arena.place(Math.max(bytes.length, 1));
    if (address === 0) return undefined;
    this.#memory.u8.set(bytes, address);
    this.arena.keep(address + bytes.length);
    return { address, end: address + bytes.length };
  }

  #zstd(bytes: Uint8Array): Uint8Array {
    const claim = zstdClaim(bytes);
    if (claim === undefined) throw new BrokenBatch('is no valid zstd');
    const { window, content, possible } = claim;
    this.#checkClaim('zstd', content, possible);
    if (window > Math.max(this.#bytesMax, ZSTD_WINDOW_BYTES)) throw this.#tooLarge(`a window of ${window}`);
    if (nodeZstd !== undefined) return nodeZstd(bytes, { maxOutputLength: this.#bytesMax });
    const pieces: Uint8Array[] = [];
    let length = 0;
    const stream = new Decompress((piece) => {
      length += piece.length;
      if (length > this.#bytesMax) throw this.#tooLarge('more');
      // The stream reuses its buffer.
      pieces.push(piece.slice());
    });
    // In small steps, so that a bomb shows after a block or two, not after all of them.
    for (let at = 0; at < bytes.length; at += ZSTD_STEP_BYTES) {
      stream.push(bytes.subarray(at, at + ZSTD_STEP_BYTES), at + ZSTD_STEP_BYTES >= bytes.length);
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, length);
  }

  /**
   * Snappy: one raw block, or xerial's framing, which the Java client writes:
   * 82 'SNAPPY' 00, version i32, compatible i32, then blocks: length i32 (big endian), raw block.
   */
  #snappy(from: number, to: number): Decompressed | undefined {
    const { u8, view } = this.#memory;
    const isFramed = to - from >= XERIAL_HEADER_BYTES && XERIAL_MAGIC.every((byte, i) => u8[from + i] === byte);
    const blocks: [from: number, to: number, bytes: number][] = [];
    let total = 0;
    let at = isFramed ? from + XERIAL_HEADER_BYTES : from;
    while (at < to) {
      let end = to;
      if (isFramed) {
        if (to - at < 4) throw new BrokenBatch('is snappy in xerial framing, cut off inside a block length');
        end = at + 4 + view.getInt32(at);
        at += 4;
        if (end <= at || end > to) throw new BrokenBatch('is snappy in xerial framing with a block longer than the batch');
      }
      // The preamble: the decompressed size of the block, as a plain varint.
      let bytes = 0;
      for (let scale = 1; ; scale *= 128) {
        const byte = at < end && scale < 2 ** 35 ? (u8[at++] as number) : -1;
        if (byte < 0) throw new BrokenBatch('is snappy with a broken preamble');
        bytes += (byte & 0x7f) * scale;
        if (byte < 0x80) break;
      }
      if (bytes > (end - at) * SNAPPY_FACTOR)
        throw new BrokenBatch(
          `is no valid snappy: a block of ${end - at} bytes says that it holds ${bytes}, and cannot become more than ${(end - at) * SNAPPY_FACTOR}`,
        );
      total += bytes;
      blocks.push([at, end, bytes]);
      at = end;
    }
    if (total > this.#bytesMax) throw this.#tooLarge(total);
    const address = this.arena.place(Math.max(total, 1));
    if (address === 0) return undefined;
    let out = address;
    for (const [blockFrom, blockTo, bytes] of blocks) {
      if (this.#blocks.snappyBlock(blockFrom, blockTo, out, out + bytes) !== out + bytes) throw new BrokenBatch('is no valid snappy');
      out += bytes;
    }
    this.arena.keep(out);
    return { address, end: out };
  }

  /**
   * LZ4 frame format 1.6: magic, flags, block size, [content size], [dictionary], header checksum; blocks;
   * end mark.
   */
  #lz4(from: number, to: number): Decompressed | undefined {
    const { u8, view } = this.#memory;
    if (to - from < 7 || view.getUint32(from, true) !== LZ4_MAGIC) throw new BrokenBatch('is no lz4 frame');
    const flags = u8[from + 4] as number;
    const blockBytesMax = LZ4_BLOCK_BYTES[((u8[from + 5] as number) >>> 4) & 7];
    if (flags >>> 6 !== 1 || blockBytesMax === undefined || (flags & 1) !== 0)
      throw new BrokenBatch(`is an lz4 frame with flags ${flags}, ${u8[from + 5]}: of a version, a block size or with a dictionary that Kafka does not use`);
    const hasBlockChecksum = (flags & 0x10) !== 0;
    const hasContentSize = (flags & 0x08) !== 0;
    const first = from + 6 + (hasContentSize ? 8 : 0) + 1;
    const blocks: [from: number, to: number, isStored: boolean][] = [];
    let room = 0;
    let at = first;
    for (;;) {
      if (to - at < 4) throw new BrokenBatch('is an lz4 frame without an end');
      const word = view.getUint32(at, true);
      at += 4;
      if (word === 0) break;
      const bytes = word & 0x7fff_ffff;
      const isStored = word > 0x7fff_ffff;
      if (bytes > to - at || bytes > blockBytesMax) throw new BrokenBatch('is an lz4 frame with a block longer than the frame');
      // No block becomes larger than its frame's limit, nor than 255 times its size.
      room += isStored ? bytes : Math.min(blockBytesMax, bytes * 255);
      blocks.push([at, at + bytes, isStored]);
      at += bytes + (hasBlockChecksum ? 4 : 0);
    }
    if (hasContentSize) {
      const declared = view.getUint32(from + 6, true) + view.getUint32(from + 10, true) * 4_294_967_296;
      this.#checkClaim('lz4', declared, room);
      room = declared;
    }
    room = Math.min(room, this.#bytesMax);
    const address = this.arena.place(Math.max(room, 1));
    if (address === 0) return undefined;
    let out = address;
    for (const [blockFrom, blockTo, isStored] of blocks) {
      const limit = Math.min(out + blockBytesMax, address + room);
      if (isStored) {
        if (blockTo - blockFrom > limit - out) throw this.#tooLarge('more');
        u8.copyWithin(out, blockFrom, blockTo);
        out += blockTo - blockFrom;
      } else {
        out = this.#blocks.lz4Block(blockFrom, blockTo, out, limit, address);
        if (out === 0) throw new BrokenBatch(room === this.#bytesMax ? `is no valid lz4, or decompresses to more than ${room} bytes` : 'is no valid lz4');
      }
    }
    this.arena.keep(out);
    return { address, end: out };
  }
}

/** A copy of 64 bytes takes three, one of 11 two. */
const SNAPPY_FACTOR = 22;
/** A copy of 258 bytes takes two bits at least (RFC 1951). */
const GZIP_FACTOR = 1_032;

/**
 * The size that the last member of a gzip stream declares, mod 2^32 (RFC 1952). zlib checks it, but too late.
 */
function gzipClaim({ view }: SharedMemory, from: number, to: number): number {
  return to - from < 18 ? 0 : view.getUint32(to - 4, true);
}

/** What every decoder must support (RFC 8878, 3.1.1.1.2). */
const ZSTD_WINDOW_BYTES = 8 << 20;
const ZSTD_STEP_BYTES = 16_384;
const XERIAL_MAGIC = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00];
const XERIAL_HEADER_BYTES = 16;
const LZ4_MAGIC = 0x184d2204;
const LZ4_BLOCK_BYTES = [undefined, undefined, undefined, undefined, 1 << 16, 1 << 18, 1 << 20, 1 << 22];
