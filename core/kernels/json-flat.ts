// Where the values of flat JSON records lie: the first of two passes of the kernel in json.ts, the second is in
// json-columns.ts.
//
// A record is flat when no key of it is written with escapes or twice, and no value that is wanted as a scalar is an object or an array. The
// first pass goes from key to value to key. It takes no branch that the order of the keys decides: a key is found by a hash without
// collisions (the multiplier is chosen for the keys), and the end of a value by masks of 16 bytes, of which the value's
// first byte takes the one for texts or the one for other values. Keys that no column has are learned, so that their
// values too come in lists of one kind.
//
// The pass proves the record's outline: braces, keys, colons, commas. What lies between the start and the end of a value is
// for the second pass to prove; for a text that is that the quote at its end is the one that closes it, for it may have been
// taken for that in spite of a backslash, and then nothing behind it is proved.

import { BLOCK, RAW, TO_ENDS, TYPE } from "./json-column";
import { plainString, QUOTES, skipScalar, skipString, skipValue, space } from "./json-text";

const COLUMN_COUNT: usize = 0;
const COLUMNS: usize = 20;
const ENTRIES: usize = 28;
const ENTRY_COUNT: usize = 32;
const ENTRIES_MAX: usize = 36;
const UNORDERED: usize = 40; // blocks that are still to be taken without guesses
const MULTIPLIER: usize = 48;
const FIRST_FAILED: usize = 60; // four times the place of the first record that is not flat
const CURSORS: usize = 64;
const RECORD_ENDS: usize = 1600; // u32, of each record of the block
const GUESSES_WRONG: usize = 1856;
const SLOTS: usize = 1920;

// A cursor: a record that is being gone through. Those that are open stand in front.
const CURSOR_ROW: usize = 4; // four times the record's place in the block
const CURSOR_SEEN: usize = 8; // u64, the bits of the entries that the record has had
const CURSOR_SLOT: usize = 16; // of its last key
const CURSOR_BYTES: usize = 24;

/** A mask that no comparison gives. */
const NO_GUESS: i32 = 0x10000;
/** Blocks before guesses are tried again, where a fourth of them was wrong. */
const BLOCKS_UNORDERED: u32 = 31;

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
const SLOT: usize = 40; // address of its slot
const KEY_COPY: usize = 64;
export const ENTRY_SHIFT: usize = 7;
const KEY_COPY_MAX: u32 = 64;

// A slot: the two words (0 and all ones when it is free, which no key has), what the hot loop needs of the entry, and what is
// expected behind the value: the next key with its quotes and its colon. Slots are told by their addresses less SLOTS. The one
// before the first is that of a record's start.
const SLOT_BYTES: usize = 64;
const SLOT_BIT: usize = 16;
const SLOT_SPANS: usize = 24;
const SLOT_ENTRY: usize = 28; // 0: free
const GUESS: usize = 32; // 16 bytes
const GUESS_MASK: usize = 48; // i32, a bit for each of them
const GUESS_LENGTH: usize = 52;
const GUESS_SLOT: usize = 56;
const SLOT_LENGTH: usize = 60; // of the key: words alone do not tell zeros behind a key from none, nor 16 bytes from the ends of more
const SLOT_COUNT: usize = 512;
const HASH_SHIFT: u64 = 55;
/** Slots behind the last: probing never comes round. */
const SLOTS_MORE: usize = 64;
const TRIES: i32 = 64;


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
    for (let slot = slots - SLOT_BYTES; slot < slots + bytes; slot += SLOT_BYTES) {
      store<u64>(slot + 8, ~(<u64>0));
      store<i32>(slot + GUESS_MASK, NO_GUESS);
    }
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
      store<u32>(slot + SLOT_LENGTH, load<u32>(entry + LENGTH));
      store<u32>(slot + SLOT_ENTRY, <u32>entry);
      store<u32>(entry + SLOT, <u32>(slot - SLOTS));
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
  store<u32>(program, flat << 2, FIRST_FAILED);
  store<u32>(program, 0, GUESSES_WRONG);
  let found: usize = 0;
  let open = program + <usize>flat * CURSOR_BYTES;
  // A round: the next key and value of each record. What is rarely written is in memory, for want of registers.
  while (open != program) {
    let kept = program;
    found += open - program;
    for (let cursor = program; cursor < open; cursor += CURSOR_BYTES) {
      const p = <usize>load<u32>(cursor, CURSORS);
      const seen = load<u64>(cursor, CURSORS + CURSOR_SEEN);
      const last = <usize>load<u32>(cursor, CURSORS + CURSOR_SLOT);
      let slot: usize;
      let value: usize;
      let wrong: u64 = 0;
      const guessMask = load<i32>(last, SLOTS + GUESS_MASK);
      if ((i8x16.bitmask(i8x16.eq(v128.load(p), v128.load(last, SLOTS + GUESS))) & guessMask) == guessMask) {
        slot = <usize>load<u32>(last, SLOTS + GUESS_SLOT);
        value = p + <usize>load<u32>(last, SLOTS + GUESS_LENGTH);
      } else {
        const quote = p + <usize>(load<u8>(p) == 0x20);
        const keyLength = <usize>ctz(i8x16.bitmask(i8x16.eq(v128.load(quote, 1), v128.load(QUOTES))) | 0x10000);
        const inside = INSIDE + 16 - keyLength;
        const word0 = load<u64>(quote, 1) & load<u64>(inside);
        const word1 = load<u64>(quote, 9) & load<u64>(inside, 8);
        const behind = quote + keyLength;
        slot = slotOf(program, word0, word1);
        value = behind + 3 + <usize>(load<u8>(behind, 3) == 0x20);
        wrong = (word0 ^ load<u64>(slot, SLOTS)) | (word1 ^ load<u64>(slot, SLOTS + 8));
        wrong |= <u64>((<u32>load<u8>(quote) ^ 0x22) | (<u32>load<u16>(behind, 1) ^ 0x3a22) | (<u32>keyLength ^ load<u32>(slot, SLOTS + SLOT_LENGTH)));
        if (load<u32>(program, UNORDERED) == 0 && wrong == 0) guess(program, last, slot, p, <u32>(value - p));
      }
      const kind = <u32>load<u8>(KINDS + <usize>load<u8>(value));
      const bit = load<u64>(slot, SLOTS + SLOT_BIT);
      if ((wrong | (seen & bit) | <u64>(kind & 0x80)) == 0) {
        const chunk = v128.load(value, 1);
        const closing = ENDS + <usize>kind;
        const hits = i8x16.bitmask(v128.or(i8x16.eq(chunk, v128.load(closing)), i8x16.eq(chunk, v128.load(closing, 16))));
        const row = <usize>load<u32>(cursor, CURSORS + CURSOR_ROW);
        let end = value + 1;
        if (hits != 0) end += <usize>ctz(hits);
        else end = valueEnd(end + 16, <usize>load<u32>(program + row, RECORD_ENDS), kind);
        const spans = <usize>load<u32>(slot, SLOTS + SLOT_SPANS) + row;
        store<u32>(spans, <u32>value);
        store<u32>(spans, <u32>end, TO_ENDS);
        end += <usize>(kind >> 5);
        if (load<u8>(end) == 0x2c) {
          store<u32>(kept, <u32>end + 1, CURSORS);
          store<u32>(kept, <u32>row, CURSORS + CURSOR_ROW);
          store<u64>(kept, seen | bit, CURSORS + CURSOR_SEEN);
          store<u32>(kept, <u32>slot, CURSORS + CURSOR_SLOT);
          kept += CURSOR_BYTES;
          continue;
        }
        if (closeRecord(program, end, row, seen | bit)) continue;
      }
      if (wrong == 0 ? findValue(program, cursor, <usize>load<u32>(slot, SLOTS + SLOT_ENTRY), value) : findMember(program, cursor)) {
        v128.store(kept, v128.load(cursor, CURSORS), CURSORS);
        store<u32>(kept, load<u32>(cursor, CURSORS + CURSOR_SLOT), CURSORS + CURSOR_SLOT);
        kept += CURSOR_BYTES;
      }
    }
    open = kept;
  }
  const unordered = load<u32>(program, UNORDERED);
  if (unordered != 0) store<u32>(program, unordered - 1, UNORDERED);
  else if (<usize>load<u32>(program, GUESSES_WRONG) * (4 * CURSOR_BYTES) > found) {
    store<u32>(program, BLOCKS_UNORDERED, UNORDERED);
    forgetGuesses(program);
  }
  return load<u32>(program, FIRST_FAILED) >> 2;
}

/** Expects the key at `p` behind the key of `last` in the next record too. Where the order of keys is the same in all records, one comparison finds them. */
function guess(program: usize, last: usize, slot: usize, p: usize, length: u32): void {
  store<u32>(program, load<u32>(program, GUESSES_WRONG) + 1, GUESSES_WRONG);
  v128.store(last, v128.load(p), SLOTS + GUESS);
  store<i32>(last, length <= 16 ? (1 << length) - 1 : NO_GUESS, SLOTS + GUESS_MASK);
  store<u32>(last, length, SLOTS + GUESS_LENGTH);
  store<u32>(last, <u32>slot, SLOTS + GUESS_SLOT);
}

/** Expects nothing. */
function forgetGuesses(program: usize): void {
  for (let slot = program - SLOT_BYTES, end = program + SLOT_COUNT * SLOT_BYTES; slot < end; slot += SLOT_BYTES) store<i32>(slot, NO_GUESS, SLOTS + GUESS_MASK);
}

/** Sees whether a record ends as it should, with its brace at `at`, and notes which keys it did not have. */
function closeRecord(program: usize, at: usize, row: usize, seen: u64): bool {
  const end = <usize>load<u32>(program + row, RECORD_ENDS);
  if (load<u8>(at) != 0x7d || at >= end || (at + 1 != end && space(at + 1, end) != end)) return false;
  const all = ~(<u64>0) >> (64 - <u64>load<u32>(program + ENTRY_COUNT));
  const entries = <usize>load<u32>(program + ENTRIES);
  for (let missing = all & ~seen; missing != 0; missing &= missing - 1) {
    const entry = entries + (<usize>ctz(missing) << ENTRY_SHIFT);
    store<u32>(<usize>load<u32>(entry + SPANS) + row, 0);
  }
  return true;
}

/** One key and its value, as in findValues but with all that is rare; whether the record goes on. */
function findMember(program: usize, cursor: usize): bool {
  const row = <usize>load<u32>(cursor, CURSORS + CURSOR_ROW);
  const end = <usize>load<u32>(program + row, RECORD_ENDS);
  let p = space(<usize>load<u32>(cursor, CURSORS), end);
  if (p >= end || load<u8>(p) != 0x22) {
    // An object without members.
    const isEmpty = p < end && load<u8>(p) == 0x7d && load<u64>(cursor, CURSORS + CURSOR_SEEN) == 0 && load<u32>(program + ENTRY_COUNT) != 0;
    return isEmpty && closeRecord(program, p, row, 0) ? false : fail(program, row);
  }
  const key = p + 1;
  p = plainString(key, end);
  if (p == 0) return fail(program, row);
  const length = <u32>(p - key);
  let entry = findEntry(program, key, length);
  if (entry == 0) {
    entry = learn(program, key, length);
    if (entry == 0) return fail(program, row);
  }
  p = space(p + 1, end);
  if (load<u8>(p) != 0x3a) return fail(program, row);
  return findValue(program, cursor, entry, p + 1);
}

/** The value of a known key, `at` or behind white space there; whether the record goes on. */
function findValue(program: usize, cursor: usize, entry: usize, at: usize): bool {
  const row = <usize>load<u32>(cursor, CURSORS + CURSOR_ROW);
  const end = <usize>load<u32>(program + row, RECORD_ENDS);
  const bit = load<u64>(entry + BIT);
  const seen = load<u64>(cursor, CURSORS + CURSOR_SEEN);
  let p = space(at, end);
  if (p >= end || (seen & bit) != 0) return fail(program, row);
  const spans = <usize>load<u32>(entry + SPANS) + row;
  const byte = load<u8>(p);
  store<u32>(spans, <u32>p);
  if (byte == 0x22) {
    p = skipString(p + 1, end);
    store<u32>(spans, <u32>p - 1, TO_ENDS);
  } else if ((byte | 0x20) == 0x7b) {
    const column = <usize>load<u32>(entry + COLUMN);
    if (column == 0) store<u32>(spans, 0);
    else if (load<u32>(column + TYPE) < RAW) return fail(program, row);
    p = skipValue(p, end);
    store<u32>(spans, <u32>p, TO_ENDS);
  } else {
    p = skipScalar(p, end, byte);
    store<u32>(spans, <u32>p, TO_ENDS);
  }
  if (p == 0) return fail(program, row);
  p = space(p, end);
  if (load<u8>(p) != 0x2c) return closeRecord(program, p, row, seen | bit) ? false : fail(program, row);
  store<u32>(cursor, <u32>p + 1, CURSORS);
  store<u64>(cursor, seen | bit, CURSORS + CURSOR_SEEN);
  store<u32>(cursor, load<u32>(entry + SLOT), CURSORS + CURSOR_SLOT);
  return true;
}

/** Notes that a record is not flat; false. */
function fail(program: usize, row: usize): bool {
  store<u32>(program, min(<u32>row, load<u32>(program, FIRST_FAILED)), FIRST_FAILED);
  return false;
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
    store<u32>(cursor, <u32>(program - SLOT_BYTES), CURSORS + CURSOR_SLOT);
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
