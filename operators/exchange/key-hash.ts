/**
 * Hashes of the keys of a batch, column by column. They are those of a group table
 * (core/groups/reference/images.ts), so that a key has the same shard whether it travels in a row or in a
 * partial aggregate. -0 is 0, and all NaNs are one.
 */

import { type Column, hashBytes, hashLong, hashNull, hashWord, isValid, type SharedMemory } from '../../core/index.ts';

const NAN_F32 = 0x7f_c0_00_00;
const NAN_F64_HIGH = 0x7f_f8_00_00;

/** Writes the hash of row i to `hashes[i]`. Without columns all hashes are 0. */
export function hashKeys(memory: SharedMemory, columns: readonly Column[], rowCount: number, hashes: Uint32Array): void {
  hashes.fill(0, 0, rowCount);
  for (const column of columns) hashColumn(memory, column, rowCount, hashes);
}

function hashColumn(memory: SharedMemory, column: Column, rowCount: number, hashes: Uint32Array): void {
  const { name } = column.type;
  if (name === 'utf8' || name === 'binary') hashTexts(memory, column, rowCount, hashes);
  else if (column.type.width === 8) hashLongs(memory, column, rowCount, hashes);
  else {
    const wordOf = wordReader(memory, column);
    for (let row = 0; row < rowCount; row++) {
      const seed = hashes[row] as number;
      hashes[row] = isValid(memory, column, row) ? hashWord(wordOf(row), seed) : hashNull(seed);
    }
  }
}

function hashTexts(memory: SharedMemory, column: Column, rowCount: number, hashes: Uint32Array): void {
  const { u8, i32 } = memory;
  const ends = column.offsets >>> 2;
  for (let row = 0; row < rowCount; row++) {
    const seed = hashes[row] as number;
    if (column.validity !== 0 && !isValid(memory, column, row)) {
      hashes[row] = hashNull(seed);
      continue;
    }
    const start = i32[ends + row] as number;
    hashes[row] = hashBytes(u8, column.data + start, (i32[ends + row + 1] as number) - start, seed);
  }
}

function hashLongs(memory: SharedMemory, column: Column, rowCount: number, hashes: Uint32Array): void {
  const { u32, f64 } = memory;
  const isFloat = column.type.name === 'f64';
  for (let row = 0; row < rowCount; row++) {
    const seed = hashes[row] as number;
    if (column.validity !== 0 && !isValid(memory, column, row)) {
      hashes[row] = hashNull(seed);
      continue;
    }
    const at = (column.data >>> 2) + row * 2;
    let low = u32[at] as number;
    let high = u32[at + 1] as number;
    if (isFloat) {
      const value = f64[(column.data >>> 3) + row] as number;
      if (value === 0) high = 0;
      else if (Number.isNaN(value)) {
        low = 0;
        high = NAN_F64_HIGH;
      }
    }
    hashes[row] = hashLong(low, high, seed);
  }
}

/** Reads a value of at most 4 bytes as the word to hash. */
function wordReader(memory: SharedMemory, { type, data }: Column): (row: number) => number {
  const { u8, i8, i16, i32, u32, f32 } = memory;
  switch (type.name) {
    case 'bool':
      return (row) => ((u8[data + (row >>> 3)] as number) >>> (row & 7)) & 1;
    case 'i8':
      return (row) => i8[data + row] as number;
    case 'i16':
      return (row) => i16[(data >>> 1) + row] as number;
    case 'f32':
      return (row) => {
        const value = f32[(data >>> 2) + row] as number;
        return value === 0 ? 0 : Number.isNaN(value) ? NAN_F32 : (u32[(data >>> 2) + row] as number);
      };
    default:
      return (row) => i32[(data >>> 2) + row] as number;
  }
}
