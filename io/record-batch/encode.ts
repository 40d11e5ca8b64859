/** Changes to a finished record batch. */

/** Sets the base offset. The CRC does not cover it. */
export function setBaseOffset(bytes: Uint8Array, offset: number, at = 0): void {
  throw new Error('not yet', { cause: [bytes, offset, at] });
}

/** Sets the producer fields, and the CRC anew. */
export function setProducer(bytes: Uint8Array, producerId: bigint, epoch: number, sequence: number, isTransactional = false, at = 0): void {
  throw new Error('not yet', { cause: [bytes, producerId, epoch, sequence, isTransactional, at] });
}
