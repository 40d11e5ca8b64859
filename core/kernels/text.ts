// Records taken over as they are: the kernel of io/text.ts and io/raw.ts, whose TypeScript reference says what it does.

import { isUtf8 } from "./json-text";

/**
 * Appends records to a utf8 or binary column, from row `row` on, until one is null, does not fit below `limit`, or (with
 * `isText`) is no UTF-8. Returns how many it took.
 */
export function recordsToColumn(values: usize, lengths: usize, count: u32, data: usize, limit: usize, offsets: usize, row: u32, isText: bool): u32 {
  const memoryEnd = <u64>memory.size() << 16;
  let offset = offsets + (<usize>row << 2);
  let start = load<u32>(offset);
  for (let i: u32 = 0; i < count; i++) {
    const from = <usize>load<u32>(values + (<usize>i << 2));
    const length = load<i32>(lengths + (<usize>i << 2));
    if (length < 0) return i;
    const bytes = <usize>length;
    const target = data + <usize>start;
    if (<u64>target + <u64>bytes + 16 > <u64>limit || <u64>from + <u64>bytes + 16 > memoryEnd) return i;
    let high: i32 = 0;
    for (let at: usize = 0; at < bytes; at += 16) {
      const chunk = v128.load(from + at);
      v128.store(target + at, chunk);
      high |= i8x16.bitmask(chunk);
    }
    // The mask may be of bytes behind the record: then the check finds nothing wrong.
    if (isText && high != 0 && !isUtf8(from, from + bytes)) return i;
    start += <u32>length;
    offset += 4;
    store<u32>(offset, start);
  }
  return count;
}
