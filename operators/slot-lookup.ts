/** Groups of one table looked up in another of the same layout: how changed keys find their totals. */

import type { GroupTable, SharedMemory } from '../core/index.ts';

/** Writes to `to` (u32 addresses) the slots of `table` that have the keys of the `count` slots of `other` at `slots`. All are there. */
export function findSlots(memory: SharedMemory, table: GroupTable, other: GroupTable, slots: number, count: number, to: number): void {
  const { u32 } = memory;
  const keyCount = table.layout.keys.length;
  const key: unknown[] = new Array(keyCount);
  for (let i = 0; i < count; i++) {
    const slot = u32[(slots >>> 2) + i] as number;
    for (let k = 0; k < keyCount; k++) key[k] = other.keyAt(slot, k);
    u32[(to >>> 2) + i] = table.find(key);
  }
}
