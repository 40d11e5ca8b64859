/** The worker end of sinks that write text: each row as a codec encodes it, followed by a line end. */

import { type Batch, MillraceError } from '../core/index.ts';
import { type BlockRoom, BlockWriter } from './block-writer.ts';
import type { Codec } from './codec.ts';
import type { SinkEncoder, SinkEncoderContext } from './sink.ts';

const LF = 0x0a;
const ROOM_BYTES = 32 * 1_024;
const ROOM_BYTES_MAX = 256 * 1_024 * 1_024;

/**
 * Line ends within a value are up to the codec: json escapes them, csv quotes them, text writes them as they
 * are.
 *
 * @param block where lines go
 * @throws MillraceError ERR_MILLRACE_PIPELINE when the codec packs many rows into a record (arrow)
 */
export function lineSinkEncoder(context: SinkEncoderContext, codec: Codec, block: BlockRoom = new BlockWriter(context)): SinkEncoder {
  const encoder = codec.encoder(context, context.schema);
  if (encoder.wholeBatch) throw new MillraceError('ERR_MILLRACE_PIPELINE', `The ${codec.name} codec does not write lines. Use json(), csv() or text() here.`);
  const { memory, slabs } = context;
  let ends = 0;
  let endsRoom = 0;

  function endsFor(rowCount: number): number {
    if (rowCount > endsRoom) {
      if (ends !== 0) slabs.free(ends);
      ends = slabs.alloc(rowCount * 4);
      endsRoom = slabs.slabBytes(ends) / 4;
    }
    return ends;
  }

  return {
    write(batch: Batch): void {
      endsFor(batch.rowCount);
      let room = ROOM_BYTES;
      for (let from = 0; from < batch.rowCount; ) {
        const wanted = batch.rowCount - from;
        block.reserve(room + wanted);
        const start = block.at;
        // One byte per row stays free for the line ends.
        const written = encoder.encode(batch, from, batch.rowCount, start, block.limit - wanted, ends);
        if (written === 0) {
          if (room >= ROOM_BYTES_MAX)
            throw new MillraceError('ERR_MILLRACE_CODEC', `The ${codec.name} codec cannot write a row in ${room} bytes. Leave the long values out.`);
          room *= 4;
          continue;
        }
        block.advance(spreadLines(memory.u8, memory.u32, start, ends, written), written);
        from += written;
      }
    },
    flush: () => block.flush(),
  };
}

/** Makes room for a line end after each record, last record first, and writes it. Returns the end. */
function spreadLines(u8: Uint8Array, u32: Uint32Array, start: number, ends: number, count: number): number {
  const index = ends >>> 2;
  for (let i = count - 1; i >= 0; i--) {
    const from = i === 0 ? start : (u32[index + i - 1] as number);
    const end = u32[index + i] as number;
    if (i > 0) u8.copyWithin(from + i, from, end);
    u8[end + i] = LF;
  }
  return (u32[index + count - 1] as number) + count;
}
