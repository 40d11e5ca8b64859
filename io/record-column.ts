/**
 * Copies records as they are into one utf8 or binary column, for `text()` and `raw()`. The kernel
 * (core/kernels/text.ts) copies runs of records. A record that it leaves (null, no room, invalid UTF-8) is
 * handled here.
 */

import { kernelExports } from '../core/index.ts';
import type { ColumnWriter } from './column-writer.ts';
import { utf8Fault } from './utf8.ts';

export interface RecordColumnKernels {
  recordsToColumn(values: number, lengths: number, count: number, data: number, limit: number, offsets: number, row: number, isText: number): number;
}

const SLACK_BYTES = 64;

/**
 * Appends records to column `w` from row `row` on, as nulls where the column is nullable and the record is
 * null.
 *
 * @param values address of the records' addresses (u32), from the first one on
 * @param lengths address of their lengths (i32), -1 for null
 * @returns how many were taken: all, or those before the first refused record, which is null in a column that
 * is not nullable, or invalid UTF-8 in a utf8 column
 */
export function appendRecords(writer: ColumnWriter, w: number, values: number, lengths: number, count: number, row: number): number {
  const { memory } = writer.builder;
  const column = writer.columns[w] as (typeof writer.columns)[number];
  const kernels = kernelExports<RecordColumnKernels>(memory);
  const isText = column.type.name === 'utf8';
  let done = 0;
  while (done < count) {
    if (kernels) {
      done += kernels.recordsToColumn(
        values + done * 4,
        lengths + done * 4,
        count - done,
        column.data,
        column.data + column.byteCapacity,
        column.offsets,
        row + done,
        isText ? 1 : 0,
      );
      if (done === count) break;
    }
    const from = memory.u32[(values >>> 2) + done] as number;
    const length = memory.i32[(lengths >>> 2) + done] as number;
    if (length < 0) {
      if (!writer.setNull(w, row + done)) return done;
    } else {
      if (isText && utf8Fault(memory.u8, from, from + length) !== from + length) return done;
      // Room for this record and for some more, so that the kernel can continue.
      writer.roomForBytes(w, row + done, length + SLACK_BYTES);
      writer.setBytes(w, row + done, from, from + length);
    }
    done++;
  }
  return done;
}
