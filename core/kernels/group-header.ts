// Field offsets of a group table's header: core/groups/header.ts says what they mean.

export const BASE: usize = 0;
export const CAPACITY: usize = 4;
export const SKIP_BITS: usize = 12;
export const USED: usize = 16;
export const LIMIT: usize = 20;
export const SLOT_BYTES: usize = 24;
export const KEY_BYTES: usize = 28;
export const IDENTITY: usize = 32;
export const ARENA_AT: usize = 36;
export const ARENA_END: usize = 40;
export const ARENA_NEED: usize = 44;
export const LONG_BYTES: usize = 56;
export const STRING_COUNT: usize = 60;
export const SINK: usize = 76;
export const MERGES: usize = 80;
export const OUTSIDE_COUNT: usize = 84;
export const INDEX: usize = 88;
export const INDEX_MASK: usize = 92;
export const SECRET: usize = 96;
export const CROWDING: usize = 104;
export const STRING_FIELDS: usize = 128;
export const BLOCK_SLOTS: usize = 264;
