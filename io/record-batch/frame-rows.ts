/** How many records a batch has, according to its header alone. It decodes nothing and checks no checksum. */

import type { Codec } from '../codec.ts';
import type { Offset, Source } from '../source.ts';
import { baseOffsetAt, RECORD_BATCH } from './layout.ts';

/**
 * For a source of record batches whose codec gives one row per record; with other codecs only decoding can
 * tell.
 */
export function recordFrameRows(codec: Codec): Pick<Source, 'frameRows'> {
  if (codec.isRowPerRecord !== true) return {};
  return {
    frameRows(bytes: Uint8Array, _first: Offset, _next: Offset, cut: number): number | undefined {
      // The decoder refuses and counts broken frames itself, and also those of which only a part is wanted.
      if (bytes.length < RECORD_BATCH.headerBytes || bytes[RECORD_BATCH.magic] !== RECORD_BATCH.magicValue || cut > baseOffsetAt(bytes, 0)) return undefined;
      const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_BATCH.headerBytes);
      const count = view.getInt32(RECORD_BATCH.recordCount);
      return count >= 0 && count <= view.getInt32(RECORD_BATCH.lastOffsetDelta) + 1 ? count : undefined;
    },
  };
}
