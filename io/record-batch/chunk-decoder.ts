/** Record batches to batches: the worker end of every source whose frames are record batches v2. */

import type { Codec } from '../codec.ts';
import type { ChunkDecoder, DecoderContext } from '../source.ts';

export interface RecordBatchDecoderOptions {
  readonly topic: string;
  /** Default true. */
  readonly checkCrc?: boolean;
  /** Most bytes that one batch may decompress to. Default 64 MiB. */
  readonly decompressedBytesMax?: number;
}

export function recordBatchDecoder(context: DecoderContext, codec: Codec, options: RecordBatchDecoderOptions): ChunkDecoder {
  throw new Error('not yet', { cause: [context, codec, options] });
}
