/**
 * Compresses the records of a record batch, in the worker, for sinks. gzip and zstd are those of Node's zlib;
 * zstd is there from Node 22.15 and 23.8 on. lz4 is our own (lz4-encode.ts).
 */

import * as zlib from 'node:zlib';
import { MillraceError, shown } from '../../core/index.ts';
import { COMPRESSIONS } from './layout.ts';
import { lz4Frame, lz4FrameBytesMax } from './lz4-encode.ts';

/** How a sink compresses record batches. */
export type SinkCompression = 'none' | 'gzip' | 'lz4' | 'zstd';

const NAMES: readonly unknown[] = ['none', 'gzip', 'lz4', 'zstd'] satisfies SinkCompression[];
const nodeZstd = (zlib as { zstdCompressSync?: (bytes: Uint8Array) => Uint8Array }).zstdCompressSync;

/**
 * Compressed records: a copy, or a view that is valid until the next call. Undefined when they would not
 * become smaller.
 */
export type CompressRecords = (bytes: Uint8Array, from: number, to: number) => Uint8Array | undefined;

/** The value of `attributes & ATTRIBUTE.compression`. */
export function compressionCode(compression: SinkCompression): number {
  return COMPRESSIONS.indexOf(compression);
}

/** @throws MillraceError ERR_MILLRACE_OPTION for an unknown one, or one that this Node does not have */
export function checkCompression(what: string, compression: unknown): void {
  if (!NAMES.includes(compression)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: compression is ${shown(compression)}; it can be ${NAMES.map(shown).join(' or ')}.`);
  }
  if (compression !== 'zstd' || nodeZstd !== undefined) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what}: compression "zstd" needs Node 22.15, or 23.8 and newer; this is ${process.version}. Use "lz4" or "gzip", or set the topic's compression.type to zstd: then the broker does it.`,
  );
}

/** Undefined: records are written as they are. */
export function recordCompressor(compression: SinkCompression): CompressRecords | undefined {
  switch (compression) {
    case 'none':
      return undefined;
    case 'lz4':
      return lz4Compressor();
    case 'gzip':
      return smaller((bytes) => zlib.gzipSync(bytes));
    case 'zstd':
      checkCompression('A sink', compression);
      return smaller(nodeZstd as NonNullable<typeof nodeZstd>);
  }
}

/** node:zlib does not take shared memory on every supported Node: it gets a copy. */
function smaller(compress: (bytes: Uint8Array) => Uint8Array): CompressRecords {
  return (bytes, from, to) => {
    const compressed = compress(bytes.slice(from, to));
    return compressed.length < to - from ? compressed : undefined;
  };
}

function lz4Compressor(): CompressRecords {
  let out = new Uint8Array(0);
  return (bytes, from, to) => {
    const room = lz4FrameBytesMax(to - from);
    if (out.length < room) out = new Uint8Array(2 ** Math.ceil(Math.log2(room)));
    const length = lz4Frame(bytes, from, to, out);
    return length < to - from ? out.subarray(0, length) : undefined;
  };
}
