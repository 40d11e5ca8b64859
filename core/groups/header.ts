/**
 * The header of a group table in shared memory: u32 fields at these byte offsets. The TypeScript and the
 * WebAssembly kernels (core/kernels/group-header.ts repeats them), and every thread that attaches, read and
 * write it.
 *
 *   header slab   | fields | fields that point outside the slot | identity slot | list of accumulators |
 *                 | first arena ...
 *   arena slab    | u32 address of the one before | strings, each at a multiple of 8 ...
 */

/** Address of the slot array. */
export const BASE = 0;
/** Number of slots: any number. */
export const CAPACITY = 4;
/**
 * Number of top bits of the tag that all keys of the table share. The slot of a tag is its next 26 bits,
 * scaled to CAPACITY.
 */
export const SKIP_BITS = 12;
/** Number of groups in the table, and how many it may hold. */
export const USED = 16;
export const LIMIT = 20;
export const SLOT_BYTES = 24;
export const KEY_BYTES = 28;
/** Address of a slot with the accumulators' identities. */
export const IDENTITY = 32;
/** Where the next long string goes, and where the room ends. */
export const ARENA_AT = 36;
export const ARENA_END = 40;
/** Bytes that were missing in the arena when a probe stopped, else 0. */
export const ARENA_NEED = 44;
/** Newest arena slab, or 0. */
export const ARENA_SLAB = 48;
/** Total bytes of all arena slabs. */
export const ARENA_BYTES = 52;
/** Total bytes of the long strings and the states of the groups in the table, each rounded up to 8. */
export const LONG_BYTES = 56;
/** Number of byte-string fields of the key. They are the first of the fields at STRING_FIELDS. */
export const STRING_COUNT = 60;
export const MAGIC = 64;
/** Slots that the table was created with: `clear` does not shrink below. */
export const CAPACITY_MIN = 68;
/** 1 = the table never grows. */
export const FIXED = 72;
/** Where a kernel stores what it read only to warm the cache. */
export const SINK = 76;
/**
 * Address of the list of accumulators: u32 count, then pairs of u32: mergeCode, offset in the slot. 0: an
 * accumulator has no code.
 */
export const MERGES = 80;
/**
 * Fields that may point outside the slot, those of the key and the states of accumulators: their number, and
 * pairs of u32: offset in the slot, bytes inline.
 */
export const OUTSIDE_COUNT = 84;
/**
 * Address of the index of a crowded table (reference/crowd.ts): 8 bytes per entry, slot number + 1 and secret
 * hash; 0: the table is not crowded.
 */
export const INDEX = 88;
/** Number of entries of the index minus one; the number is a power of two. */
export const INDEX_MASK = 92;
/** Two words that only this process knows. */
export const SECRET = 96;
/** 1 = a probe stopped because it had passed too many slots. */
export const CROWDING = 104;
export const STRING_FIELDS = 128;
export const HEADER_BYTES = 128 + 64 * 8;

export const MAGIC_VALUE = 0x6d_72_67_74;

/**
 * Blocks (GroupTable.copyOut): u32 bounds[65] at 0, slots from here, then the bytes of their long strings and
 * states.
 */
export const BLOCK_SLOTS = 264;
