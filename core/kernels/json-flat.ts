// Where the values of flat JSON records lie: the first of two passes of the kernel in json.ts, the second is in
// json-columns.ts.
//
// A record is flat when no string of it has an escape and no wanted value is an object or an array. Its first pass goes
// from key to value to key. It takes no branch that the order of the keys decides: a key is found by a hash without
// collisions (the multiplier is chosen for the keys), and the end of a value by masks of 16 bytes, of which the value's
// first byte takes the one for texts or the one for other values. Keys that no column has are learned, so that their
// values too come in lists of one kind.
//
// The pass proves the record's outline: braces, keys, colons, commas. What lies between `start` and `end` of a value is
// for the second pass to prove; for a text, that is that no byte in it is a backslash or a control character.

import { plainString, QUOTES, skipValue, space } from "./json-text";

const COLUMN_COUNT: usize = 0;
const COLUMNS: usize = 20;
const ENTRIES: usize = 28;
const ENTRY_COUNT: usize = 32;
const ENTRIES_MAX: usize = 36;
const UNORDERED: usize = 40; // blocks that are still to be taken without guesses
const MULTIPLIER: usize = 48;
const CURSORS: usize = 64;
const RECORD_ENDS: usize = 1088; // u32, of each record of the block
const GUESS: usize = 1344; // 16 bytes: the key that was found last, its quotes and its colon
const SLOTS: usize = 1408;

// A cursor: a record that is being gone through. Those that are open stand in front.
const CURSOR_ROW: usize = 4; // four times the record's place in the block
const CURSOR_SEEN: usize = 8; // u64, the bits of the entries that the record has had
const CURSOR_BYTES: usize = 16;

/** A mask that no comparison gives. */
const NO_GUESS: i32 = 0x10000;
/** Blocks before guesses are tried again, where a fourth of them was wrong. */
const BLOCKS_UNORDERED: u32 = 31;

const FAILED: i32 = 0;
const OPEN: i32 = 1;
const CLOSED: i32 = 2;

const COLUMN_KEY: usize = 24;
const COLUMN_KEY_LENGTH: usize = 28;
const COLUMN_SHIFT: usize = 6;

// An entry: a key that is known.
const WORD_0: usize = 0; // of a key of up to 15 bytes all of them, zeros behind; of a longer one the first and the last eight
const WORD_1: usize = 8;
const LENGTH: usize = 16; // 0: not to be found
const BIT: usize = 24; // u64, one bit for each entry
export const SPANS: usize = 32; // address of the starts of its values, u32 each; their ends follow
export const COLUMN: usize = 20; // address of the column, or 0: not wanted
const KEY: usize = 36;
const KEY_COPY: usize = 64;
export const ENTRY_SHIFT: usize = 7;
const KEY_COPY_MAX: u32 = 64;

// A slot: the two words (0 and all ones when it is free, which no key has), and what the hot loop needs of the entry.
const SLOT_BYTES: usize = 32;
const SLOT_BIT: usize = 16;
const SLOT_SPANS: usize = 24;
const SLOT_ENTRY: usize = 28; // 0: free
const SLOT_COUNT: usize = 512;
const HASH_SHIFT: u64 = 55;
/** Slots behind the last: probing never comes round. */
const SLOTS_MORE: usize = 64;
const TRIES: i32 = 64;

/** Records whose values are found at a time, at most. */
export const BLOCK: u32 = 64;
/** From the start of a value to its end, in the lists of its entry. */
export const TO_ENDS: usize = 256;

/** Bytes behind a record that may be read. */
const OVERREAD: u64 = 160;

// 16 times 255, 16 times 0: the mask of n bytes starts n bytes before the middle.
// @ts-ignore: decorator
@lazy
const INSIDE = memory.data<u8>([255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 16);

// Of a value's first byte: 32 for a text, 0 for a number or a literal, 128 for all else.
// @ts-ignore: decorator
@lazy
const KINDS = memory.data<u8>([
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 32, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
  0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
], 16);

// By kind, what a value ends at: a comma or a brace, or a quote.
// @ts-ignore: decorator
@lazy
const ENDS = memory.data<u8>([
  0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c, 0x2c,
  0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d, 0x7d,
  0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
  0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
], 16);

/** Makes the columns' keys known. */
export function prepareEntries(program: usize): void {
  if (load<u32>(program + ENTRIES_MAX) == 0) return;
  const count = load<u32>(program + COLUMN_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const column = <usize>load<u32>(program + COLUMNS) + (<usize>i << COLUMN_SHIFT);
    const key = <usize>load<u32>(column + COLUMN_KEY);
    const length = load<u32>(column + COLUMN_KEY_LENGTH);
    addEntry(program, column, key, isPlain(key, length) ? length : 0);
  }
  fillSlots(program);
}

/** Whether a key stands in JSON as it is; others are never flat. */
function isPlain(key: usize, length: u32): bool {
  for (let i: usize = 0; i < <usize>length; i++) {
    const byte = load<u8>(key + i);
    if (byte < 0x20 || byte == 0x22 || byte == 0x5c) return false;
  }
  return true;
}

function addEntry(program: usize, column: usize, key: usize, length: u32): usize {
  const count = load<u32>(program + ENTRY_COUNT);
  store<u32>(program + ENTRY_COUNT, count + 1);
  const entry = <usize>load<u32>(program + ENTRIES) + (<usize>count << ENTRY_SHIFT);
  store<u64>(entry + WORD_0, firstWord(key, length));
  store<u64>(entry + WORD_1, lastWord(key, length));
  store<u32>(entry + LENGTH, length);
  store<u32>(entry + COLUMN, <u32>column);
  store<u32>(entry + KEY, <u32>key);
  store<u64>(entry + BIT, <u64>1 << count);
  return entry;
}

/** Finds a multiplier by which no two keys meet in one slot, if there is one among the first, and fills the slots. */
function fillSlots(program: usize): void {
  const slots = program + SLOTS;
  const bytes = (SLOT_COUNT + SLOTS_MORE) * SLOT_BYTES;
  const entries = <usize>load<u32>(program + ENTRIES);
  const end = entries + (<usize>load<u32>(program + ENTRY_COUNT) << ENTRY_SHIFT);
  let multiplier: u64 = 0x9e37_79b9_7f4a_7c15;
  for (let tries = 0; tries < TRIES; tries++) {
    store<u64>(program + MULTIPLIER, multiplier);
    memory.fill(slots, 0, bytes);
    for (let slot = slots; slot < slots + bytes; slot += SLOT_BYTES) store<u64>(slot + 8, ~(<u64>0));
    let collisions = 0;
    for (let entry = entries; entry < end; entry += 1 << ENTRY_SHIFT) {
      if (load<u32>(entry + LENGTH) == 0) continue;
      const word0 = load<u64>(entry + WORD_0);
      const word1 = load<u64>(entry + WORD_1);
      let slot = SLOTS + slotOf(program, word0, word1);
      while (load<u32>(slot + SLOT_ENTRY) != 0) {
        collisions++;
        slot += SLOT_BYTES;
      }
      store<u64>(slot, word0);
      store<u64>(slot + 8, word1);
      store<u64>(slot + SLOT_BIT, load<u64>(entry + BIT));
      store<u32>(slot + SLOT_SPANS, load<u32>(entry + SPANS));
      store<u32>(slot + SLOT_ENTRY, <u32>entry);
    }
    if (collisions == 0) return;
    multiplier = multiplier * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407;
    multiplier |= 1;
  }
}

/**
 * Finds the values of records from the first on, until one is not flat.
 *
 * @param values address of the records' addresses (u32)
 * @param lengths address of their lengths (i32)
 * @param count at most BLOCK
 * @returns how many records it has gone through
 */
export function findValues(program: usize, values: usize, lengths: usize, count: u32): u32 {
  const flat = openCursors(program, values, lengths, count);
  // Four times the place of the first record that is not flat.
  let failed = flat << 2;
  let open = program + <usize>flat * CURSOR_BYTES;
  // Where the order of keys is the same in all records, so is the key of a round: then one comparison finds it.
  const unordered = load<u32>(program, UNORDERED);
  let guessMask = NO_GUESS;
  let guessLength: usize = 0;
  let guessSlot: usize = program;
  let guessesWrong: u32 = 0;
  let found: u32 = 0;
  while (open != program) {
    let kept = program;
    found += <u32>(open - program);
    for (let cursor = program; cursor < open; cursor += CURSOR_BYTES) {
      const p = <usize>load<u32>(cursor, CURSORS);
      const row = load<u32>(cursor, CURSORS + CURSOR_ROW);
      const seen = load<u64>(cursor, CURSORS + CURSOR_SEEN);
      let slot = guessSlot;
      let behindKey = p + guessLength;
      let bit = load<u64>(slot, SLOTS + SLOT_BIT);
      let wrong = seen & bit;
      if ((i8x16.bitmask(i8x16.eq(v128.load(p), v128.load(program, GUESS))) & guessMask) != guessMask) {
        const keyLength = <usize>ctz(i8x16.bitmask(i8x16.eq(v128.load(p, 1), v128.load(QUOTES))) | 0x10000);
        const inside = INSIDE + 16 - keyLength;
        const word0 = load<u64>(p, 1) & load<u64>(inside);
        const word1 = load<u64>(p, 9) & load<u64>(inside, 8);
        slot = slotOf(program, word0, word1);
        behindKey = p + keyLength;
        bit = load<u64>(slot, SLOTS + SLOT_BIT);
        wrong = (word0 ^ load<u64>(slot, SLOTS)) | (word1 ^ load<u64>(slot, SLOTS + 8)) | (seen & bit);
        wrong |= <u64>((<u32>load<u8>(p) ^ 0x22) | (<u32>load<u16>(behindKey, 1) ^ 0x3a22));
        if (unordered == 0) {
          guessesWrong++;
          guessMask = wrong == 0 && keyLength <= 13 ? (8 << <i32>keyLength) - 1 : NO_GUESS;
          guessLength = keyLength;
          guessSlot = slot;
          v128.store(program, v128.load(p), GUESS);
        }
      }
      const kind = <u32>load<u8>(KINDS + <usize>load<u8>(behindKey, 3));
      let state = OPEN;
      if ((wrong | <u64>(kind & 0x80)) == 0) {
        const chunk = v128.load(behindKey, 4);
        const closing = ENDS + <usize>kind;
        const hits = i8x16.bitmask(v128.or(i8x16.eq(chunk, v128.load(closing)), i8x16.eq(chunk, v128.load(closing, 16))));
        let end = behindKey + 4;
        if (hits != 0) end += <usize>ctz(hits);
        else end = valueEnd(end + 16, <usize>load<u32>(program + <usize>row, RECORD_ENDS), kind);
        const spans = <usize>load<u32>(slot, SLOTS + SLOT_SPANS) + <usize>row;
        store<u32>(spans, <u32>behindKey + 3);
        store<u32>(spans, <u32>end, TO_ENDS);
        end += <usize>(kind >> 5);
        const next = load<u8>(end);
        if (next == 0x2c) {
          store<u32>(kept, <u32>end + 1, CURSORS);
          store<u32>(kept, row, CURSORS + CURSOR_ROW);
          store<u64>(kept, seen | bit, CURSORS + CURSOR_SEEN);
          kept += CURSOR_BYTES;
          continue;
        }
        state = closeRecord(program, end, row, seen | bit);
        if (state == CLOSED) continue;
      }
      state = findSlowly(program, cursor);
      if (state == FAILED) failed = min(failed, row);
      else if (state == OPEN) {
        v128.store(kept, v128.load(cursor, CURSORS), CURSORS);
        kept += CURSOR_BYTES;
      }
    }
    open = kept;
  }
  if (unordered != 0) store<u32>(program, unordered - 1, UNORDERED);
  else if (guessesWrong > found >> 6) store<u32>(program, BLOCKS_UNORDERED, UNORDERED);
  return failed >> 2;
}

/** Sees whether a record ends as it should, with its brace at `at`, and notes which keys it did not have. */
function closeRecord(program: usize, at: usize, row: u32, seen: u64): i32 {
  const end = <usize>load<u32>(program + <usize>row, RECORD_ENDS);
  if (load<u8>(at) != 0x7d || at >= end || (at + 1 != end && space(at + 1, end) != end)) return FAILED;
  const all = ~(<u64>0) >> (64 - <u64>load<u32>(program + ENTRY_COUNT));
  const entries = <usize>load<u32>(program + ENTRIES);
  for (let missing = all & ~seen; missing != 0; missing &= missing - 1) {
    const entry = entries + (<usize>ctz(missing) << ENTRY_SHIFT);
    store<u32>(<usize>load<u32>(entry + SPANS) + <usize>row, 0);
  }
  return CLOSED;
}

/** One key and its value, as in findValues but with all that is rare; what becomes of the record. */
function findSlowly(program: usize, cursor: usize): i32 {
  const row = load<u32>(cursor, CURSORS + CURSOR_ROW);
  const end = <usize>load<u32>(program + <usize>row, RECORD_ENDS);
  let p = space(<usize>load<u32>(cursor, CURSORS), end);
  if (p >= end || load<u8>(p) != 0x22) return FAILED;
  const key = p + 1;
  p = plainString(key, end);
  if (p == 0) return FAILED;
  const length = <u32>(p - key);
  let entry = findEntry(program, key, length);
  if (entry == 0) {
    entry = learn(program, key, length);
    if (entry == 0) return FAILED;
  }
  p = space(p + 1, end);
  if (load<u8>(p) != 0x3a) return FAILED;
  p = space(p + 1, end);
  if (p >= end) return FAILED;
  const byte = load<u8>(p);
  const bit = load<u64>(entry + BIT);
  const seen = load<u64>(cursor, CURSORS + CURSOR_SEEN);
  if ((seen & bit) != 0) return FAILED;
  const spans = <usize>load<u32>(entry + SPANS) + <usize>row;
  if ((byte | 0x20) == 0x7b) {
    if (load<u32>(entry + COLUMN) != 0) return FAILED;
    store<u32>(spans, 0);
    p = skipValue(p, end);
    if (p == 0) return FAILED;
  } else {
    store<u32>(spans, <u32>p);
    const kind: u32 = byte == 0x22 ? 32 : 0;
    p = valueEnd(p + 1, end, kind);
    store<u32>(spans + TO_ENDS, <u32>p);
    p += <usize>(kind >> 5);
  }
  p = space(p, end);
  if (load<u8>(p) != 0x2c) return closeRecord(program, p, row, seen | bit);
  store<u32>(cursor, <u32>p + 1, CURSORS);
  store<u64>(cursor, seen | bit, CURSORS + CURSOR_SEEN);
  return OPEN;
}

/** The quote that closes a text, or the comma or brace behind another value; a place not before `end` when there is none. */
function valueEnd(from: usize, end: usize, kind: u32): usize {
  const closing = v128.load(ENDS + <usize>kind);
  const other = v128.load(ENDS + <usize>kind, 16);
  let p = from;
  while (p < end) {
    const chunk = v128.load(p);
    const hits = i8x16.bitmask(v128.or(i8x16.eq(chunk, closing), i8x16.eq(chunk, other)));
    if (hits != 0) return p + <usize>ctz(hits);
    p += 16;
  }
  return p;
}

/** Sets a cursor behind the opening brace of each record, until one has none; the number of cursors. */
function openCursors(program: usize, values: usize, lengths: usize, count: u32): u32 {
  const memoryEnd = <u64>memory.size() << 16;
  let cursor = program;
  for (let i: u32 = 0; i < count; i++) {
    const at = <usize>i << 2;
    const from = <usize>load<u32>(values + at);
    const length = load<i32>(lengths + at);
    if (length <= 0 || <u64>from + <u64>length + OVERREAD > memoryEnd || load<u8>(from) != 0x7b) return i;
    store<u32>(cursor, <u32>from + 1, CURSORS);
    store<u32>(cursor, <u32>at, CURSORS + CURSOR_ROW);
    store<u64>(cursor, 0, CURSORS + CURSOR_SEEN);
    store<u32>(program + at, <u32>from + length, RECORD_ENDS);
    cursor += CURSOR_BYTES;
  }
  return count;
}

/** The entry of a key, or 0. */
function findEntry(program: usize, key: usize, length: u32): usize {
  const word0 = firstWord(key, length);
  const word1 = lastWord(key, length);
  for (let slot = SLOTS + slotOf(program, word0, word1); ; slot += SLOT_BYTES) {
    const entry = <usize>load<u32>(slot + SLOT_ENTRY);
    if (entry == 0) return 0;
    if (word0 == load<u64>(slot) && word1 == load<u64>(slot + 8) && load<u32>(entry + LENGTH) == length) {
      if (length <= 16 || memory.compare(<usize>load<u32>(entry + KEY), key, <usize>length) == 0) return entry;
    }
  }
  return 0;
}

/** Less SLOTS. */
// @ts-ignore: decorator
@inline
function slotOf(program: usize, word0: u64, word1: u64): usize {
  return program + <usize>(((word0 ^ rotl(word1, 29)) * load<u64>(program, MULTIPLIER)) >> HASH_SHIFT) * SLOT_BYTES;
}

function firstWord(key: usize, length: u32): u64 {
  return length < 8 ? load<u64>(key) & ((<u64>1 << (<u64>length << 3)) - 1) : load<u64>(key);
}

function lastWord(key: usize, length: u32): u64 {
  if (length <= 8) return 0;
  if (length < 16) return load<u64>(key + 8) & ((<u64>1 << ((<u64>length - 8) << 3)) - 1);
  return load<u64>(key + <usize>length - 8);
}

/** Makes a key known that no column has, of a plain string; 0 when it is too long, or too many are known. */
function learn(program: usize, key: usize, length: u32): usize {
  if (length == 0 || length > KEY_COPY_MAX || load<u32>(program + ENTRY_COUNT) == load<u32>(program + ENTRIES_MAX)) return 0;
  const entry = addEntry(program, 0, key, length);
  memory.copy(entry + KEY_COPY, key, <usize>length);
  store<u32>(entry + KEY, <u32>(entry + KEY_COPY));
  memory.fill(<usize>load<u32>(entry + SPANS), 0, <usize>BLOCK << 2);
  fillSlots(program);
  return entry;
}
