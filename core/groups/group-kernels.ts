/**
 * Chooses the kernels of the group table over a memory: those of the WebAssembly module, or the TypeScript
 * references.
 */

import { kernelExports, type SharedMemory } from '../memory/index.ts';
import type { GroupKernels } from './kernel-signatures.ts';
import { accumulateReference } from './reference/accumulate.ts';
import { fuseReference } from './reference/fuse.ts';
import { gatherReference } from './reference/gather.ts';
import { imageReference } from './reference/images.ts';
import { laneReference } from './reference/lanes.ts';
import { probeReference } from './reference/probe.ts';
import { runReference } from './reference/runs.ts';

const references = new WeakMap<SharedMemory, GroupKernels>();

/** The WebAssembly kernels over this memory, or the TypeScript ones. */
export function groupKernels(memory: SharedMemory): GroupKernels {
  return kernelExports<GroupKernels>(memory) ?? groupReference(memory);
}

/** The TypeScript kernels over this memory. */
export function groupReference(memory: SharedMemory): GroupKernels {
  let reference = references.get(memory);
  if (reference === undefined) {
    const parts = {
      ...laneReference(memory),
      ...imageReference(memory),
      ...probeReference(memory),
      ...accumulateReference(memory),
      ...gatherReference(memory),
    };
    reference = { ...parts, ...fuseReference(parts), ...runReference(memory, parts) };
    references.set(memory, reference);
  }
  return reference;
}
