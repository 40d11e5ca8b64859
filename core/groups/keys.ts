/**
 * From key columns to the key images of a tile: chooses the kernel for each column, with nulls and selection
 * applied.
 */

import type { Column } from '../batch/index.ts';
import { fillBytes, type SharedMemory } from '../memory/index.ts';
import { FIRST_KEY, type GroupKernels, LAST_KEY, typeCode } from './kernel-signatures.ts';
import type { TileScratch } from './scratch.ts';
import type { SlotLayout } from './slot-layout.ts';

/**
 * Writes the images of `count` rows side by side at `images`. Row i is row selection[from + i], or from + i
 * without a selection.
 */
export function writeKeyImages(
  kernels: GroupKernels,
  memory: SharedMemory,
  layout: SlotLayout,
  images: number,
  keys: readonly Column[],
  scratch: TileScratch,
  from: number,
  count: number,
  selection: number,
): void {
  const { keyBytes: stride, keys: fields } = layout;
  const { lane, nulls: nullsLane } = scratch;
  if (fields.length === 0) kernels.groupImageNone(images, stride, count);
  if (layout.hasPadding) fillBytes(memory, images, count * stride);
  for (let k = 0; k < fields.length; k++) {
    const { type, shape, offset, inlineBytes } = fields[k] as SlotLayout['keys'][number];
    const { data, offsets, validity } = keys[k] as Column;
    const flags = (k === 0 ? FIRST_KEY : 0) | (k === fields.length - 1 ? LAST_KEY : 0);
    const nulls = validity === 0 ? 0 : nullsLane;
    if (nulls !== 0) kernels.groupLaneNulls(validity, selection, from, count, nulls);
    if (shape === 'bytes') {
      kernels.groupImageBytes(images, stride, offset, inlineBytes, count, data, offsets, selection, from, nulls, 1 << k, flags);
    } else if (shape === 'long') {
      const isPlain = selection === 0 && type.name !== 'f64';
      if (!isPlain) kernels.groupLaneLongs(typeCode(type), data, selection, from, count, lane);
      kernels.groupImageLongs(images, stride, offset, count, isPlain ? data + from * 8 : lane, nulls, 1 << k, flags);
    } else {
      const isPlain = selection === 0 && (type.name === 'u32' || type.name === 'i32');
      if (!isPlain) kernels.groupLaneWords(typeCode(type), data, selection, from, count, lane);
      kernels.groupImageWords(images, stride, offset, count, isPlain ? data + from * 4 : lane, nulls, 1 << k, flags);
    }
  }
}
