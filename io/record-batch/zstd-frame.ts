/**
 * Reads the headers of zstd frames without decompressing them: which window and content they declare, before
 * a decompressor trusts them. fzstd allocates up to 2 GiB because a frame of ten bytes asks for it, and
 * Node's takes 128 MiB.
 *
 *   frame: magic u32  descriptor u8  [window u8]  [dictionary 0-4]  [content 0-8]  blocks  [checksum u32]
 *   block: last 1 bit, type 2 bits (raw, run, compressed, reserved), size 21 bits; its bytes (a run has one)
 *
 * RFC 8878. All numbers are little endian.
 */

const MAGIC = 0xfd2fb528;
/** The magics of skippable frames: sixteen of them. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const DICTIONARY_BYTES = [0, 1, 2, 4];
const RUN = 1;
const COMPRESSED = 2;
const RESERVED = 3;

/** Most bytes of a block (RFC 8878, 3.1.1.2.4). */
const BLOCK_BYTES_MAX = 128 << 10;

export interface ZstdClaim {
  /** Most bytes of memory that the frames ask for. */
  readonly window: number;
  /** Bytes of content that they declare in all; frames need not declare any. */
  readonly content: number;
  /** Most bytes that their blocks can become. */
  readonly possible: number;
}

/** What the frames declare, or undefined when the bytes are not zstd frames from end to end. */
export function zstdClaim(bytes: Uint8Array): ZstdClaim | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let largest = 0;
  let content = 0;
  let possible = 0;
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < 8) return undefined;
    const magic = view.getUint32(at, true);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + view.getUint32(at + 4, true);
      continue;
    }
    if (magic !== MAGIC) return undefined;
    const descriptor = bytes[at + 4] as number;
    const isSingle = (descriptor & 0x20) !== 0;
    at += 5;
    let window = 0;
    if (!isSingle) {
      const byte = bytes[at++] as number;
      window = (1 + (byte & 7) / 8) * 2 ** (10 + (byte >>> 3));
    }
    at += DICTIONARY_BYTES[descriptor & 3] as number;
    const sizeBytes = descriptor >>> 6 === 0 ? (isSingle ? 1 : 0) : 1 << (descriptor >>> 6);
    if (bytes.length - at < sizeBytes) return undefined;
    // Two bytes count from 256 on. The content of a frame without a window is its window.
    let declared = sizeBytes === 2 ? 256 : 0;
    for (let i = 0; i < sizeBytes; i++) declared += (bytes[at + i] as number) * 2 ** (8 * i);
    if (isSingle) window = declared;
    content += declared;
    largest = Math.max(largest, window);
    at += sizeBytes;
    for (let isLast = false; !isLast; ) {
      if (bytes.length - at < 3) return undefined;
      const header = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
      const type = (header >>> 1) & 3;
      if (type === RESERVED) return undefined;
      isLast = (header & 1) === 1;
      possible += type === COMPRESSED ? BLOCK_BYTES_MAX : header >>> 3;
      at += 3 + (type === RUN ? 1 : header >>> 3);
    }
    at += (descriptor & 0x04) !== 0 ? 4 : 0;
  }
  return at === bytes.length ? { window: largest, content, possible } : undefined;
}
