// Checks on Arrow buffers. Reference: firstBadOffset in core/arrow/read.ts.

/** 1 when one of the rowCount + 1 i32 offsets at `at` is negative or below the one before, else 0. */
export function arrowOffsetsFall(at: usize, rowCount: i32): i32 {
  // The sign bit collects every fall: with no negative value among them, differences do not overflow.
  const first = load<i32>(at);
  let signs = i32x4.splat(first);
  let row = 0;
  for (; row + 4 <= rowCount; row += 4) {
    const next = v128.load(at, 4);
    signs = v128.or(signs, v128.or(i32x4.sub(next, v128.load(at)), next));
    at += 16;
  }
  let fall = i32x4.bitmask(signs) != 0 ? 1 : 0;
  for (; row < rowCount; row++) {
    const next = load<i32>(at, 4);
    if (next < load<i32>(at) || next < 0) fall = 1;
    at += 4;
  }
  return fall;
}
