/** How the text codecs report a record that they refuse: one shape of message and sample for all of them. */

import { type SharedMemory, shown } from '../core/index.ts';
import type { RecordIndex } from './codec.ts';
import { type DecoderContext, SAMPLE_BYTES_MAX } from './source.ts';

const SHOWN_BYTES_MAX = 160;

/** Reports record `record` as undecodable. `fault` says what was expected where, and what was found. */
export function rejectRecord(context: DecoderContext, records: RecordIndex, record: number, codec: string, fault: string): void {
  const { memory } = context;
  const from = memory.u32[(records.values >>> 2) + record] as number;
  const length = Math.max(memory.i32[(records.valueLengths >>> 2) + record] as number, 0);
  const sample = memory.u8.slice(from, from + Math.min(length, context.sampleBytesMax ?? SAMPLE_BYTES_MAX));
  const offset = memory.f64[(records.offsets >>> 3) + record] as number;
  context.reject({
    reason: 'undecodable',
    offset,
    rows: 1,
    message: `The ${codec} codec refuses the record at offset ${offset}: ${fault}. The record: ${shownBytes(memory, from, from + length)}`,
    sample,
  });
}

/** Some bytes of a record, escaped for a message. */
export function shownBytes(memory: SharedMemory, from: number, to: number): string {
  return shown(Buffer.from(memory.u8.slice(from, Math.min(to, from + SHOWN_BYTES_MAX))).toString('utf8'));
}
