// A column, as the kernel in json.ts is told of it: see io/json/program.ts.

export const TYPE: usize = 0;
export const DATA: usize = 4;
export const OFFSETS: usize = 8;
export const VALIDITY: usize = 12;
export const LIMIT: usize = 16;
export const NULLABLE: usize = 32;
export const UNIT: usize = 36; // of numbers in an INSTANT column; of a LIST the type of its elements
export const DEFAULT: usize = 40; // address of the JSON text that stands for a missing value, or 0
export const DEFAULT_LENGTH: usize = 44;
export const DEFAULT_POWERS: usize = 48;
export const PROGRAM: usize = 52; // of an OBJECT
export const LISTS: usize = 56;

export const BOOL: u32 = 0;
export const I8: u32 = 1;
export const I16: u32 = 2;
export const I32: u32 = 3;
export const U32: u32 = 4;
export const I64: u32 = 5;
export const F32: u32 = 6;
export const F64: u32 = 7;
export const UTF8: u32 = 8;
export const TIMESTAMP: u32 = 10;
/** A timestamp whose numbers are no milliseconds. */
export const INSTANT: u32 = 11;
/** Any value, as its text. */
export const RAW: u32 = 12;
export const LIST: u32 = 13;
/** An object whose members are columns. */
export const OBJECT: u32 = 14;
/** What no record for the kernel has. */
export const ABSENT: u32 = 15;

/** Records whose values are found at a time, at most. */
export const BLOCK: u32 = 64;
/** From the start of a value to its end, in the lists of its entry. */
export const TO_ENDS: usize = 256;
