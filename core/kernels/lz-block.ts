// LZ4 and Snappy blocks, decompressed straight into the shared memory. io/record-batch/lz-block.ts has the references
// and says why these two are not left to a package. Every length is checked before a byte moves; hostile input ends
// with 0, and each round consumes input or ends, so that the time is bounded by the input and the room.

// A match may overlap what it writes: then the bytes repeat with the period of the distance.
// @ts-ignore: decorator
@inline
function copyMatch(to: usize, distance: usize, length: usize): void {
  if (distance >= length) {
    memory.copy(to, to - distance, length);
    return;
  }
  const end = to + length;
  let at = to;
  if (distance >= 8) {
    while (at + 8 <= end) {
      store<u64>(at, load<u64>(at - distance));
      at += 8;
    }
  }
  while (at < end) {
    store<u8>(at, load<u8>(at - distance));
    at++;
  }
}

// Short runs by words where there is room on both sides, which most are.
// @ts-ignore: decorator
@inline
function copyLiteral(to: usize, from: usize, length: usize, fromEnd: usize, toEnd: usize): void {
  if (length <= 16 && fromEnd - from >= 16 && toEnd - to >= 16) {
    v128.store(to, v128.load(from));
  } else {
    memory.copy(to, from, length);
  }
}

/** See `lz4Block` in io/record-batch/lz-block.ts. */
export function lz4Block(from: usize, fromEnd: usize, to: usize, toEnd: usize, toStart: usize): usize {
  let at = from;
  let out = to;
  while (at < fromEnd) {
    const token = <usize>load<u8>(at++);
    let length = token >> 4;
    if (length === 15) {
      let byte: usize = 255;
      while (byte === 255) {
        if (at >= fromEnd) return 0;
        byte = <usize>load<u8>(at++);
        length += byte;
      }
    }
    if (length > fromEnd - at || length > toEnd - out) return 0;
    copyLiteral(out, at, length, fromEnd, toEnd);
    at += length;
    out += length;
    if (at === fromEnd) return out;
    if (fromEnd - at < 2) return 0;
    const distance = <usize>load<u16>(at);
    at += 2;
    length = (token & 15) + 4;
    if (length === 19) {
      let byte: usize = 255;
      while (byte === 255) {
        if (at >= fromEnd) return 0;
        byte = <usize>load<u8>(at++);
        length += byte;
      }
    }
    if (distance === 0 || distance > out - toStart || length > toEnd - out) return 0;
    copyMatch(out, distance, length);
    out += length;
  }
  return 0;
}

/** See `snappyBlock` in io/record-batch/lz-block.ts. */
export function snappyBlock(from: usize, fromEnd: usize, to: usize, toEnd: usize): usize {
  let at = from;
  let out = to;
  while (at < fromEnd) {
    const tag = <usize>load<u8>(at++);
    const kind = tag & 3;
    let length: usize = 0;
    if (kind === 0) {
      length = (tag >> 2) + 1;
      if (length > 60) {
        const extra = length - 60;
        if (extra > fromEnd - at) return 0;
        length = 0;
        for (let i: usize = 0; i < extra; i++) length |= <usize>load<u8>(at + i) << (i << 3);
        at += extra;
        // 2^32 - 1 would come out as 0.
        if (length === 0xffffffff) return 0;
        length++;
      }
      if (length > fromEnd - at || length > toEnd - out) return 0;
      copyLiteral(out, at, length, fromEnd, toEnd);
      at += length;
      out += length;
      continue;
    }
    let distance: usize = 0;
    if (kind === 1) {
      if (at >= fromEnd) return 0;
      length = ((tag >> 2) & 7) + 4;
      distance = ((tag >> 5) << 8) | <usize>load<u8>(at);
      at++;
    } else {
      const bytes: usize = kind === 2 ? 2 : 4;
      if (bytes > fromEnd - at) return 0;
      length = (tag >> 2) + 1;
      distance = kind === 2 ? <usize>load<u16>(at) : <usize>load<u32>(at);
      at += bytes;
    }
    if (distance === 0 || distance > out - to || length > toEnd - out) return 0;
    copyMatch(out, distance, length);
    out += length;
  }
  return out;
}
