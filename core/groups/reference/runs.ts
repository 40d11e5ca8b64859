/**
 * TypeScript reference of the run kernels (kernel-signatures.ts): slots side by side, merged, subtracted and
 * copied in one call.
 */

import type { SharedMemory } from '../../memory/index.ts';
import { BASE, CAPACITY, MERGES, OUTSIDE_COUNT, SLOT_BYTES, STRING_FIELDS, USED } from '../header.ts';
import { type AccumulateKernels, MERGE, type ProbeKernels, type RunKernels } from '../kernel-signatures.ts';

export function runReference(memory: SharedMemory, kernels: ProbeKernels & AccumulateKernels): RunKernels {
  const { u8, u32 } = memory;
  const get = (address: number) => u32[address >>> 2] as number;

  function mergeFields(table: number, run: number, count: number, own: number, sign: 1 | -1): void {
    const stride = get(table + SLOT_BYTES);
    const merges = get(table + MERGES);
    for (let f = 0; f < get(merges); f++) {
      const code = get(merges + 4 + f * 8);
      const offset = get(merges + 8 + f * 8);
      const from = run + offset;
      if (code === MERGE.addI64) kernels.groupAddI64(own, count, offset, from, stride, sign);
      else if (code === MERGE.sumF64) kernels.groupMergeSumF64(own, count, offset, from, stride, sign);
      else if (code === MERGE.sumI64) kernels.groupMergeSumI64(own, count, offset, from, stride, sign);
      else if (code === MERGE.minF64) kernels.groupMinF64(own, count, offset, from, stride);
      else if (code === MERGE.maxF64) kernels.groupMaxF64(own, count, offset, from, stride);
      else if (code === MERGE.minI64) kernels.groupMinI64(own, count, offset, from, stride);
      else if (code === MERGE.maxI64) kernels.groupMaxI64(own, count, offset, from, stride);
    }
  }

  /** Calls `visit` for each long string and state of a slot, with the address of its field and its length. */
  function eachLongString(table: number, slot: number, visit: (field: number, length: number) => void): void {
    for (let s = 0; s < get(table + OUTSIDE_COUNT); s++) {
      const field = slot + get(table + STRING_FIELDS + s * 8);
      const length = get(field);
      if (length > get(table + STRING_FIELDS + s * 8 + 4)) visit(field, length);
    }
  }

  function moveStrings(table: number, slot: number, at: number): number {
    let next = at;
    eachLongString(table, slot, (field, length) => {
      u8.copyWithin(next, get(field + 4), get(field + 4) + length);
      u32[(field + 4) >>> 2] = next;
      next += (length + 7) & ~7;
    });
    return next;
  }

  return {
    groupMergeRun(table, run, count, own) {
      const probed = kernels.groupProbe(table, run, get(table + SLOT_BYTES), count, own);
      if (probed > 0) mergeFields(table, run, probed, own, 1);
      return probed;
    },
    groupSubtractRun(table, run, count, countOffset, own) {
      const stride = get(table + SLOT_BYTES);
      const found = kernels.groupLookup(table, run, stride, count, own);
      if (found !== count) return found;
      mergeFields(table, run, count, own, -1);
      kernels.groupRemoveEmpty(table, run, stride, count, countOffset);
      return found;
    },
    groupRunLongBytes(table, run, count) {
      let bytes = 0;
      for (let i = 0; i < count; i++) {
        eachLongString(table, run + i * get(table + SLOT_BYTES), (_field, length) => {
          bytes += (length + 7) & ~7;
        });
      }
      return bytes;
    },
    groupCopyRun(table, run, count, to) {
      const slotBytes = get(table + SLOT_BYTES);
      u8.copyWithin(to, run, run + count * slotBytes);
      let strings = to + count * slotBytes;
      for (let i = 0; i < count; i++) strings = moveStrings(table, to + i * slotBytes, strings);
    },
    groupTableToRun(table, to) {
      const slotBytes = get(table + SLOT_BYTES);
      const end = get(table + BASE) + get(table + CAPACITY) * slotBytes;
      let at = to;
      let strings = to + get(table + USED) * slotBytes;
      for (let slot = get(table + BASE); slot < end; slot += slotBytes) {
        if (get(slot) === 0) continue;
        u8.copyWithin(at, slot, slot + slotBytes);
        strings = moveStrings(table, at, strings);
        at += slotBytes;
      }
    },
  };
}
