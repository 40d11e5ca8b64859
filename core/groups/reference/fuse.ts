/** TypeScript reference of the fused kernel (kernel-signatures.ts). */

import type { AccumulateKernels, FuseKernels, ProbeKernels } from '../kernel-signatures.ts';

export function fuseReference(kernels: ProbeKernels & AccumulateKernels): FuseKernels {
  return {
    groupProbeFuse(table, images, stride, count, slots, values, countAt, sumAt, minAt, maxAt) {
      const probed = kernels.groupProbe(table, images, stride, count, slots);
      kernels.groupFuseF64(slots, probed, values, countAt, sumAt, minAt, maxAt);
      return probed;
    },
  };
}
