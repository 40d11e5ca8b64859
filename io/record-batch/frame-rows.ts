/** How many records a batch says it has, from its header alone. It decodes nothing and checks no sum. */

import type { Codec } from '../codec.ts';
import type { Offset, Source } from '../source.ts';
import { baseOffsetAt, RECORD_BATCH } from './layout.ts';

/** For a source of record batches whose codec gives a row for each record; for others it cannot be told. */
export function recordFrameRows(codec: Codec): Pick<Source, 'frameRows'> {
  if (codec.isRowPerRecord !== true) return {};
  return {
    frameRows(bytes: Uint8Array, _first: Offset, _next: Offset, cut: number): number | undefined {
      // What is broken is refused by the decoder, and counted as it sees fit; so is a batch of which only a part is wanted.
      if (bytes.length < RECORD_BATCH.headerBytes || bytes[RECORD_BATCH.magic] !== RECORD_BATCH.magicValue || cut > baseOffsetAt(bytes, 0)) return undefined;
      const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_BATCH.headerBytes);
      const count = view.getInt32(RECORD_BATCH.recordCount);
      return count >= 0 && count <= view.getInt32(RECORD_BATCH.lastOffsetDelta) + 1 ? count : undefined;
    },
  };
}
