// Lines of text: the kernel of io/lines.ts, whose TypeScript reference says what it does. 16 bytes a step; a
// block that holds several line ends is gone through by the bits of its mask. With `breaksAtCr` a \r that no
// \n follows ends a line too.

/** Lists lines; the number of them. See splitLines in io/lines.ts. */
export function lineSplit(address: usize, byteLength: usize, values: usize, valueLengths: usize, offsets: usize, firstOffset: f64, capacity: u32, breaksAtCr: bool): u32 {
  const end = address + byteLength;
  const lf = i8x16.splat(0x0a);
  const other = i8x16.splat(breaksAtCr ? 0x0d : 0x0a);
  let start = address;
  let count: u32 = 0;
  if (capacity == 0) return 0;
  let block = address;
  while (block + 16 <= end) {
    const chunk = v128.load(block);
    let hits = i8x16.bitmask(v128.or(i8x16.eq(chunk, lf), i8x16.eq(chunk, other)));
    while (hits != 0) {
      const stop = block + <usize>ctz(hits);
      hits &= hits - 1;
      if (breaksAtCr && isBeforeLf(stop, end)) continue;
      note(values, valueLengths, offsets, count, start, stop, firstOffset + <f64>(start - address));
      start = stop + 1;
      if (++count == capacity) return count;
    }
    block += 16;
  }
  while (block < end) {
    const byte = load<u8>(block);
    if (byte == 0x0a || (breaksAtCr && byte == 0x0d && !isBeforeLf(block, end))) {
      note(values, valueLengths, offsets, count, start, block, firstOffset + <f64>(start - address));
      start = block + 1;
      if (++count == capacity) return count;
    }
    block++;
  }
  if (start < end) {
    // No line end behind it: a \r there is its last byte.
    store<u32>(values + (<usize>count << 2), <u32>start);
    store<i32>(valueLengths + (<usize>count << 2), <i32>(end - start));
    store<f64>(offsets + (<usize>count << 3), firstOffset + <f64>(start - address));
    count++;
  }
  return count;
}

// Whether a \r is the first half of a line end.
// @ts-ignore: decorator
@inline
function isBeforeLf(at: usize, end: usize): bool {
  return load<u8>(at) == 0x0d && at + 1 < end && load<u8>(at, 1) == 0x0a;
}

// @ts-ignore: decorator
@inline
function note(values: usize, valueLengths: usize, offsets: usize, line: u32, start: usize, stop: usize, offset: f64): void {
  const isCrLf = stop > start && load<u8>(stop - 1) == 0x0d;
  store<u32>(values + (<usize>line << 2), <u32>start);
  store<i32>(valueLengths + (<usize>line << 2), <i32>(stop - start) - (isCrLf ? 1 : 0));
  store<f64>(offsets + (<usize>line << 3), offset);
}
