/** The pages of records (row-image.ts). Records of about the same age lie in one page. */

import { PagePool, type SlabAllocator } from '../../core/index.ts';

export function recordPages(slabs: SlabAllocator): PagePool {
  return new PagePool(slabs, { pageBytesMax: 256 << 10, pageShare: 1 / 2 });
}
