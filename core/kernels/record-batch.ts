// Records of a Kafka record batch v2: found, partitioned, written. io/record-batch/ has the layouts and the references
// (scan.ts, append.ts, partitioner.ts); the numbers below are those of its SCAN, APPEND and BLOCK.

// @ts-ignore: decorator
@inline
function zigzag(word: u32): i32 {
  return <i32>(word >> 1) ^ -<i32>(word & 1);
}

// Position behind the varint << 32 | its 32 bits; 0 when it does not end before `end`, or is too long.
// @ts-ignore: decorator
@inline
function varint(at: usize, end: usize): u64 {
  if (at < end) {
    const byte = <u32>load<u8>(at);
    if (byte < 0x80) return ((<u64>at + 1) << 32) | byte;
  }
  return longVarint(at, end);
}

function longVarint(start: usize, end: usize): u64 {
  let at = start;
  let word: u32 = 0;
  for (let shift: u32 = 0; shift < 35; shift += 7) {
    if (at >= end) return 0;
    const byte = <u32>load<u8>(at++);
    if (shift === 28 && byte > 0x0f) return 0;
    word |= (byte & 0x7f) << shift;
    if (byte < 0x80) return (<u64>at << 32) | word;
  }
  return 0;
}

// The value of the last varlong.
let long: i64 = 0;

// Position behind the varlong, or 0.
function varlong(start: usize, end: usize): usize {
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

// True when the headers that start at `start` end at `end`.
function headersFit(start: usize, end: usize): bool {
  let read = varint(start, end);
  if (read === 0) return false;
  const count = zigzag(<u32>read);
  let at = <usize>(read >> 32);
  if (count < 0) return false;
  for (let i = 0; i < count; i++) {
    for (let part = 0; part < 2; part++) {
      read = varint(at, end);
      if (read === 0) return false;
      const length = zigzag(<u32>read);
      at = <usize>(read >> 32);
      // A header's value may be null, its key may not.
      if (length < 0) {
        if (part === 0 || length !== -1) return false;
      } else {
        if (<usize>length > end - at) return false;
        at += length;
      }
    }
  }
  return at === end;
}

/** See `scanRecords` in io/record-batch/scan.ts. */
export function recordScan(state: usize): i32 {
  let at = <usize>load<u32>(state);
  const end = <usize>load<u32>(state, 4);
  let remaining = load<i32>(state, 8);
  let lastDelta = load<i32>(state, 12);
  const maxDelta = load<i32>(state, 16);
  const isFixedTime = load<i32>(state, 20) !== 0;
  const baseOffset = load<f64>(state, 24);
  const baseTimestamp = load<f64>(state, 32);
  const cut = load<f64>(state, 40);
  let count = load<u32>(state, 48);
  const capacity = load<u32>(state, 52);
  const values = <usize>load<u32>(state, 56);
  const valueLengths = <usize>load<u32>(state, 60);
  const keys = <usize>load<u32>(state, 64);
  const keyLengths = <usize>load<u32>(state, 68);
  const headers = <usize>load<u32>(state, 72);
  const offsets = <usize>load<u32>(state, 76);
  const timestamps = <usize>load<u32>(state, 80);
  let fault = 0;
  let start = at;
  while (remaining > 0 && count < capacity) {
    start = at;
    let read = varint(at, end);
    if (read === 0) { fault = 1; break; }
    const length = zigzag(<u32>read);
    at = <usize>(read >> 32);
    if (length < 1 || <usize>length > end - at) { fault = 2; break; }
    const recordEnd = at + length;
    at++; // attributes: none are defined
    let delta: f64 = 0;
    if (at < recordEnd && load<u8>(at) < 0x80) {
      const word = <u32>load<u8>(at++);
      delta = <f64>zigzag(word);
    } else {
      at = varlong(at, recordEnd);
      if (at === 0) { fault = 1; break; }
      // Beyond 2^53 neither the delta nor the sum is exact.
      delta = abs<f64>(<f64>long) <= 9007199254740992.0 ? <f64>long : NaN;
    }
    read = varint(at, recordEnd);
    if (read === 0) { fault = 1; break; }
    const offsetDelta = zigzag(<u32>read);
    at = <usize>(read >> 32);
    if (offsetDelta <= lastDelta || offsetDelta > maxDelta) { fault = 3; break; }
    read = varint(at, recordEnd);
    if (read === 0) { fault = 1; break; }
    const keyLength = zigzag(<u32>read);
    at = <usize>(read >> 32);
    const key = at;
    if (keyLength > 0) {
      if (<usize>keyLength > recordEnd - at) { fault = 4; break; }
      at += keyLength;
    } else if (keyLength < -1) { fault = 4; break; }
    read = varint(at, recordEnd);
    if (read === 0) { fault = 1; break; }
    const valueLength = zigzag(<u32>read);
    at = <usize>(read >> 32);
    const value = at;
    if (valueLength > 0) {
      if (<usize>valueLength > recordEnd - at) { fault = 5; break; }
      at += valueLength;
    } else if (valueLength < -1) { fault = 5; break; }
    if (at + 1 !== recordEnd || load<u8>(at) !== 0) {
      if (!headersFit(at, recordEnd)) { fault = 6; break; }
    }
    lastDelta = offsetDelta;
    remaining--;
    const offset = baseOffset + <f64>offsetDelta;
    if (offset >= cut) {
      const i = <usize>count << 2;
      store<u32>(values + i, <u32>value);
      store<i32>(valueLengths + i, valueLength);
      store<u32>(keys + i, <u32>key);
      store<i32>(keyLengths + i, keyLength);
      store<u32>(headers + i, <u32>at);
      store<f64>(offsets + (i << 1), offset);
      store<f64>(timestamps + (i << 1), isFixedTime ? baseTimestamp : baseTimestamp + delta);
      count++;
    }
    at = recordEnd;
  }
  store<u32>(state, <u32>(fault !== 0 ? start : at));
  store<i32>(state, remaining, 8);
  store<i32>(state, lastDelta, 12);
  store<u32>(state, count, 48);
  return fault;
}

function murmur2(address: usize, length: i32): u32 {
  const m: u32 = 0x5bd1e995;
  let h: u32 = 0x9747b28c ^ <u32>length;
  let at = address;
  const blocksEnd = address + <usize>(length & ~3);
  while (at < blocksEnd) {
    let k = load<u32>(at) * m;
    k = (k ^ (k >> 24)) * m;
    h = (h * m) ^ k;
    at += 4;
  }
  const rest = length & 3;
  if (rest > 2) h ^= <u32>load<u8>(at, 2) << 16;
  if (rest > 1) h ^= <u32>load<u8>(at, 1) << 8;
  if (rest > 0) h = (h ^ <u32>load<u8>(at)) * m;
  h = (h ^ (h >> 13)) * m;
  return h ^ (h >> 15);
}

/** See `partitionRecords` in io/record-batch/partitioner.ts. */
export function recordPartitions(count: i32, keys: usize, keyLengths: usize, values: usize, ends: usize, partitionCount: u32, out: usize): void {
  let value = values;
  for (let i = 0; i < count; i++) {
    const at = <usize>i << 2;
    const end = <usize>load<u32>(ends + at);
    const keyLength = keys === 0 ? -1 : load<i32>(keyLengths + at);
    const hash = keyLength < 0 ? murmur2(value, <i32>(end - value)) : murmur2(<usize>load<u32>(keys + at), keyLength);
    store<u32>(out + at, (hash & 0x7fffffff) % partitionCount);
    value = end;
  }
}

// @ts-ignore: decorator
@inline
function unzigzag(word: i32): u32 {
  return (<u32>word << 1) ^ <u32>(word >> 31);
}

// @ts-ignore: decorator
@inline
function varintBytes(word: u32): i32 {
  return word < 0x80 ? 1 : (38 - <i32>clz<u32>(word)) / 7;
}

// @ts-ignore: decorator
@inline
function putVarint(start: usize, value: u32): usize {
  let at = start;
  let word = value;
  while (word >= 0x80) {
    store<u8>(at++, word | 0x80);
    word >>= 7;
  }
  store<u8>(at, word);
  return at + 1;
}

/** See `appendRecords` in io/record-batch/append.ts. */
export function recordAppend(job: usize): void {
  let row = load<u32>(job);
  const rowCount = load<u32>(job, 4);
  let value = <usize>load<u32>(job, 8);
  const ends = <usize>load<u32>(job, 12);
  const keys = <usize>load<u32>(job, 16);
  const keyLengths = <usize>load<u32>(job, 20);
  const timestamps = <usize>load<u32>(job, 24);
  const partitions = <usize>load<u32>(job, 28);
  const blocks = <usize>load<u32>(job, 32);
  const marks = <usize>load<u32>(job, 36);
  while (row < rowCount) {
    const i = <usize>row << 2;
    const end = <usize>load<u32>(ends + i);
    const mark = marks === 0 ? 0 : load<u8>(marks + row);
    if (mark === 2) {
      value = end;
      row++;
      continue;
    }
    const valueLength = mark === 1 ? -1 : <i32>(end - value);
    const valueBytes = valueLength > 0 ? valueLength : 0;
    const keyLength = keys === 0 ? -1 : load<i32>(keyLengths + i);
    const timestamp = load<f64>(timestamps + (i << 1));
    const block = blocks + (<usize>load<u32>(partitions + i) << 5);
    const position = <usize>load<u32>(block);
    const count = load<i32>(block, 8);
    const base = count === 0 ? timestamp : load<f64>(block, 16);
    const delta = <i64>timestamp - <i64>base;
    let deltaBits = (<u64>delta << 1) ^ <u64>(delta >> 63);
    const deltaBytes = deltaBits < 0x80 ? 1 : (70 - <i32>clz<u64>(deltaBits)) / 7;
    const keyWord = unzigzag(keyLength);
    const valueWord = unzigzag(valueLength);
    const body = 2 + deltaBytes + varintBytes(unzigzag(count)) + varintBytes(keyWord) + (keyLength > 0 ? keyLength : 0) + varintBytes(valueWord) + valueBytes;
    const bodyWord = unzigzag(body);
    if (position + varintBytes(bodyWord) + body > <usize>load<u32>(block, 4)) break;
    let at = putVarint(position, bodyWord);
    store<u8>(at++, 0);
    while (deltaBits >= 0x80) {
      store<u8>(at++, deltaBits | 0x80);
      deltaBits >>= 7;
    }
    store<u8>(at++, deltaBits);
    at = putVarint(at, unzigzag(count));
    at = putVarint(at, keyWord);
    if (keyLength > 0) {
      memory.copy(at, <usize>load<u32>(keys + i), keyLength);
      at += keyLength;
    }
    at = putVarint(at, valueWord);
    memory.copy(at, value, valueBytes);
    at += valueBytes;
    store<u8>(at++, 0);
    store<u32>(block, <u32>at);
    store<i32>(block, count + 1, 8);
    store<f64>(block, base, 16);
    store<f64>(block, count === 0 ? timestamp : max(load<f64>(block, 24), timestamp), 24);
    value = end;
    row++;
  }
  store<u32>(job, row);
  store<u32>(job, <u32>value, 8);
}
