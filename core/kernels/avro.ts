// Records of Avro whose fields are numbers, texts and bytes, to columns: the kernel of io/avro/flat.ts, which has the layout of
// the program and says which schemas are of that kind. What it does not take, io/avro/row.ts reads or refuses.

import { isUtf8 } from "./json-text";

// Numbers of io/avro/flat.ts.
const OP_BYTES: usize = 64;
const OPS: usize = 64;

const SKIP_FIXED: u32 = 0;
const SKIP_VARINT: u32 = 1;
const SKIP_BYTES: u32 = 2;
const NOTHING: u32 = 4;
const BOOL: u32 = 10;
const I32: u32 = 11;
const I64: u32 = 12;
const F32: u32 = 13;
const F64: u32 = 14;
const TIMESTAMP: u32 = 15;
const DATE: u32 = 16;
const UTF8: u32 = 17;
const BINARY: u32 = 18;
const FIXED: u32 = 19;

const INT: u32 = 0;
const LONG: u32 = 1;
const FLOAT: u32 = 2;

const DAY_MS: i64 = 86400000;
const SAFE: i64 = 9007199254740991;

// The value of the last varint, its sign in place.
let long: i64 = 0;

// Position behind the varint, or 0 when it does not end before `end`, or has more than 64 bits.
// @ts-ignore: decorator
@inline
function zigzag(at: usize, end: usize): usize {
  if (at < end) {
    const byte = <u64>load<u8>(at);
    if (byte < 0x80) {
      long = <i64>(byte >> 1) ^ -<i64>(byte & 1);
      return at + 1;
    }
  }
  return longZigzag(at, end);
}

function longZigzag(start: usize, end: usize): usize {
  let at = start;
  let word: u64 = 0;
  for (let shift: u64 = 0; shift < 70; shift += 7) {
    if (at >= end) return 0;
    const byte = <u64>load<u8>(at++);
    if (shift === 63 && byte > 1) return 0;
    word |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      long = <i64>(word >> 1) ^ -<i64>(word & 1);
      return at;
    }
  }
  return 0;
}

// @ts-ignore: decorator
@inline
function setBit(address: usize, bit: u32, on: bool): void {
  const at = address + <usize>(bit >> 3);
  const mask: u32 = 1 << (bit & 7);
  const byte = <u32>load<u8>(at);
  store<u8>(at, on ? byte | mask : byte & ~mask);
}

/**
 * Decodes records until one is not of the program's kind. `values` and `lengths` list them, `row` is the first row.
 * Returns how many it took.
 */
export function avroDecode(program: usize, values: usize, lengths: usize, count: u32, row: u32): u32 {
  const opCount = load<u32>(program);
  const prefixBytes = <usize>load<u32>(program, 4);
  const behindOps = program + OPS + <usize>opCount * OP_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    const length = load<i32>(lengths + (<usize>i << 2));
    if (length < <i32>prefixBytes) return i;
    let at = <usize>load<u32>(values + (<usize>i << 2));
    const end = at + <usize>length;
    for (let p: usize = 0; p < prefixBytes; p++) if (load<u8>(at + p) !== load<u8>(program + 16 + p)) return i;
    at += prefixBytes;
    for (let op = program + OPS; op < behindOps; op += OP_BYTES) {
      let code = load<u32>(op);
      const validity = <usize>load<u32>(op, 16);
      const nullIndex = load<i32>(op, 24);
      if (nullIndex >= 0) {
        at = zigzag(at, end);
        if (at === 0 || long < 0 || long > 1) return i;
        if (long === <i64>nullIndex) {
          if (code > NOTHING) {
            setBit(validity, row, false);
            const offsets = <usize>load<u32>(op, 12);
            if (offsets !== 0) {
              const place = offsets + (<usize>row << 2);
              store<u32>(place, load<u32>(place), 4);
            }
          }
          continue;
        }
      }
      const data = <usize>load<u32>(op, 8);
      if (validity !== 0) setBit(validity, row, true);
      switch (code) {
        case SKIP_FIXED: {
          const size = <usize>load<u32>(op, 28);
          if (size > end - at) return i;
          at += size;
          break;
        }
        case SKIP_VARINT: {
          at = zigzag(at, end);
          if (at === 0) return i;
          break;
        }
        case SKIP_BYTES: {
          at = zigzag(at, end);
          if (at === 0 || long < 0 || long > <i64>(end - at)) return i;
          at += <usize>long;
          break;
        }
        case BOOL: {
          if (at >= end) return i;
          const byte = load<u8>(at++);
          if (byte > 1) return i;
          setBit(data, row, byte === 1);
          break;
        }
        case I32: {
          at = zigzag(at, end);
          if (at === 0 || long !== <i64><i32>long) return i;
          store<i32>(data + (<usize>row << 2), <i32>long);
          break;
        }
        case I64: {
          at = zigzag(at, end);
          if (at === 0 || (load<u32>(op, 4) === INT && long !== <i64><i32>long)) return i;
          store<i64>(data + (<usize>row << 3), long);
          break;
        }
        case F32:
        case F64: {
          const wire = load<u32>(op, 4);
          let value: f64;
          if (wire === INT || wire === LONG) {
            at = zigzag(at, end);
            if (at === 0 || (wire === INT && long !== <i64><i32>long)) return i;
            value = <f64>long;
          } else if (wire === FLOAT) {
            if (end - at < 4) return i;
            value = <f64>load<f32>(at);
            at += 4;
          } else {
            if (end - at < 8) return i;
            value = load<f64>(at);
            at += 8;
          }
          if (code === F32) store<f32>(data + (<usize>row << 2), <f32>value);
          else store<f64>(data + (<usize>row << 3), value);
          break;
        }
        case TIMESTAMP: {
          at = zigzag(at, end);
          if (at === 0 || (load<u32>(op, 4) === INT && long !== <i64><i32>long)) return i;
          const unit = <i64>load<u32>(op, 28);
          let ms = long / unit;
          if (ms * unit > long) ms--;
          if (ms > SAFE || ms < -SAFE) return i;
          store<i64>(data + (<usize>row << 3), ms);
          break;
        }
        case DATE: {
          at = zigzag(at, end);
          if (at === 0 || long !== <i64><i32>long) return i;
          store<i64>(data + (<usize>row << 3), long * DAY_MS);
          break;
        }
        case UTF8:
        case BINARY:
        case FIXED: {
          let bytes: usize;
          if (code === FIXED) bytes = <usize>load<u32>(op, 28);
          else {
            at = zigzag(at, end);
            if (at === 0 || long < 0 || long > <i64>(end - at)) return i;
            bytes = <usize>long;
          }
          if (bytes > end - at) return i;
          const place = <usize>load<u32>(op, 12) + (<usize>row << 2);
          const start = <usize>load<u32>(place);
          if (<u64>data + <u64>start + <u64>bytes > <u64>load<u32>(op, 20)) return i;
          const target = data + start;
          let high: u32 = 0;
          let b: usize = 0;
          for (; b + 8 <= bytes; b += 8) {
            const word = load<u64>(at + b);
            store<u64>(target + b, word);
            if ((word & 0x8080808080808080) !== 0) high = 0x80;
          }
          for (; b < bytes; b++) {
            const byte = <u32>load<u8>(at + b);
            high |= byte;
            store<u8>(target + b, byte);
          }
          if (code === UTF8 && high >= 0x80 && !isUtf8(at, at + bytes)) return i;
          at += bytes;
          store<u32>(place, <u32>(start + bytes), 4);
          break;
        }
        default:
          return i;
      }
    }
    if (at !== end) return i;
    row++;
  }
  return count;
}
