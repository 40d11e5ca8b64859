/**
 * TypeScript reference of the lane kernels (kernel-signatures.ts): columns of any type to 4 or 8 bytes a
 * value.
 */

import type { SharedMemory } from '../../memory/index.ts';
import type { LaneKernels } from '../kernel-signatures.ts';

const BOOL = 0;
const I8 = 1;
const I16 = 2;
const I32 = 3;
const U32 = 4;
const F32 = 6;
const F64 = 7;
const NAN_F32 = 0x7f_c0_00_00;
const NAN_F64_HIGH = 0x7f_f8_00_00;

export function laneReference(memory: SharedMemory): LaneKernels {
  const { u8, i8, i16, i32, u32, f32, f64 } = memory;
  const rowOf = (selection: number, index: number) => (selection === 0 ? index : (u32[(selection >>> 2) + index] as number));
  const isSet = (bits: number, row: number) => (((u8[bits + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1;

  function number(type: number, data: number, row: number): number {
    switch (type) {
      case BOOL:
        return isSet(data, row) ? 1 : 0;
      case I8:
        return i8[data + row] as number;
      case I16:
        return i16[(data >>> 1) + row] as number;
      case I32:
        return i32[(data >>> 2) + row] as number;
      case U32:
        return u32[(data >>> 2) + row] as number;
      case F32:
        return f32[(data >>> 2) + row] as number;
      default:
        return f64[(data >>> 3) + row] as number;
    }
  }

  return {
    groupLaneWords(type, data, selection, from, count, to) {
      for (let i = 0; i < count; i++) {
        const row = rowOf(selection, from + i);
        const value = number(type, data, row);
        if (type !== F32) u32[(to >>> 2) + i] = value;
        else u32[(to >>> 2) + i] = value === 0 ? 0 : value !== value ? NAN_F32 : (u32[(data >>> 2) + row] as number);
      }
    },
    groupLaneLongs(type, data, selection, from, count, to) {
      for (let i = 0; i < count; i++) {
        const at = (data >>> 2) + rowOf(selection, from + i) * 2;
        let low = u32[at] as number;
        let high = u32[at + 1] as number;
        if (type === F64) {
          const exponentAndFraction = high & 0x7f_ff_ff_ff;
          if (exponentAndFraction > 0x7f_f0_00_00 || (exponentAndFraction === 0x7f_f0_00_00 && low !== 0)) {
            low = 0;
            high = NAN_F64_HIGH;
          } else if (exponentAndFraction === 0 && low === 0) high = 0;
        }
        u32[(to >>> 2) + i * 2] = low;
        u32[(to >>> 2) + i * 2 + 1] = high;
      }
    },
    groupLaneNulls(validity, selection, from, count, to) {
      for (let i = 0; i < count; i++) u8[to + i] = isSet(validity, rowOf(selection, from + i)) ? 0 : 1;
    },
    groupLaneF64(type, data, validity, selection, from, count, fill, to) {
      const none = f64[fill >>> 3] as number;
      for (let i = 0; i < count; i++) {
        const row = rowOf(selection, from + i);
        f64[(to >>> 3) + i] = validity !== 0 && !isSet(validity, row) ? none : number(type, data, row);
      }
    },
    groupLaneI64(data, validity, selection, from, count, fill, to) {
      for (let i = 0; i < count; i++) {
        const row = rowOf(selection, from + i);
        const at = validity !== 0 && !isSet(validity, row) ? fill >>> 2 : (data >>> 2) + row * 2;
        u32[(to >>> 2) + i * 2] = u32[at] as number;
        u32[(to >>> 2) + i * 2 + 1] = u32[at + 1] as number;
      }
    },
    groupLaneValid(validity, selection, from, count, to) {
      for (let i = 0; i < count; i++) {
        u32[(to >>> 2) + i * 2] = isSet(validity, rowOf(selection, from + i)) ? 1 : 0;
        u32[(to >>> 2) + i * 2 + 1] = 0;
      }
    },
  };
}
