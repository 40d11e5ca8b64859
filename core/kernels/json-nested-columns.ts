// Objects, texts of values and lists that json-flat.ts has found, into their rows; as the writers of json-columns.ts.

import { TO_ENDS } from "./json-column";
import { copyValue, noteObject, readObjects } from "./json-nested";
import { skipScalar, skipString } from "./json-text";
import { hasNull, isNothing } from "./json-value";

/** The columns of objects. */
export function writeObjects(column: usize, spans: usize, row: u32, count: u32): u32 {
  let objects: u32 = 0;
  for (; objects < count; objects++) {
    const at = <usize>objects << 2;
    const start = <usize>load<u32>(spans + at);
    const end = <usize>load<u32>(spans + at, TO_ENDS);
    const isMissing = start == 0 || isNullAt(start, end);
    if (!isMissing && load<u8>(start) != 0x7b) break;
    noteObject(column, objects, isMissing ? 0 : start, end);
  }
  return readObjects(column, objects, row);
}

/** Members that no record for the kernel has. */
export function writeAbsent(spans: usize, count: u32): u32 {
  for (let i: u32 = 0; i < count; i++) if (load<u32>(spans + (<usize>i << 2)) != 0) return i;
  return count;
}

/** Texts of any values, or lists. */
export function writeNested(column: usize, isList: bool, spans: usize, row: u32, count: u32): u32 {
  for (let i: u32 = 0; i < count; i++) {
    const at = <usize>i << 2;
    const start = <usize>load<u32>(spans + at);
    let end = <usize>load<u32>(spans + at, TO_ENDS);
    if (start == 0 || (isNullAt(start, end) && (isList || hasNull(column)))) {
      if (!isNothing(column, start, end, row + i)) return i;
      continue;
    }
    const byte = load<u8>(start);
    if (byte == 0x22) {
      if (skipString(start + 1, end + 1) != end + 1) return i;
      end++;
    } else if ((byte | 0x20) != 0x7b && skipScalar(start, end, byte) != end) return i;
    if (!copyValue(column, isList, start, end, row + i)) return i;
  }
  return count;
}

// @ts-ignore: decorator
@inline
function isNullAt(start: usize, end: usize): bool {
  return end - start == 4 && load<u32>(start) == 0x6c6c756e;
}
