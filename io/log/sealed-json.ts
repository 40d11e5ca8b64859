/** Lines of JSON with a checksum as their last field, which detects every later change. */

import { crc32cBytes } from '../../core/index.ts';

/** Follows the bytes that the checksum covers. */
const CHECKSUM = /^,"crc32c":"([0-9a-f]{8})"\}\n$/;
const CHECKSUM_BYTES = ',"crc32c":"00000000"}\n'.length;

/** The line of an object that has at least one field. */
export function sealed(value: object): string {
  const covered = JSON.stringify(value).slice(0, -1);
  return `${covered},"crc32c":"${hexOf(Buffer.from(covered))}"}\n`;
}

/** True when the bytes are a line of {@link sealed}, unchanged. */
export function isSealed(bytes: Buffer): boolean {
  const covered = Math.max(0, bytes.length - CHECKSUM_BYTES);
  return CHECKSUM.exec(bytes.toString('latin1', covered))?.[1] === hexOf(bytes.subarray(0, covered));
}

function hexOf(bytes: Uint8Array): string {
  return crc32cBytes(bytes).toString(16).padStart(8, '0');
}
