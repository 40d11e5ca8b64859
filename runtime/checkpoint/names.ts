/**
 * Names of the files of a checkpoint directory.
 *
 *   checkpoint-<run>-<checkpoint>.manifest
 *   segment-<run>-<worker>-<first epoch>.redo      see state-log/frames.ts
 *
 * A worker appends to one segment at a time, and never goes back to an earlier one. So those before its newest
 * are closed.
 */

import { join } from 'node:path';
import { assert } from '../../core/index.ts';
import { segmentNamed } from '../state-log/index.ts';

const RUN_DIGITS = 8;
const CHECKPOINT_DIGITS = 16;

/** As many digits as a file name has for it. */
export const RUN_MAX = 10 ** RUN_DIGITS - 1;

const MANIFEST = new RegExp(`^checkpoint-(\\d{${RUN_DIGITS}})-(\\d{${CHECKPOINT_DIGITS}})\\.manifest$`);

/** Ends the name of a file that is being written, and is nothing yet. */
export const TEMPORARY = '.new';

export interface ManifestName {
  readonly run: number;
  readonly checkpoint: number;
}

export function manifestName({ run, checkpoint }: ManifestName): string {
  return `checkpoint-${padded(run, RUN_DIGITS)}-${padded(checkpoint, CHECKPOINT_DIGITS)}.manifest`;
}

/** Where a segment is. A name that is no segment's could lead anywhere. */
export function segmentPath(dir: string, name: string): string {
  assert(segmentNamed(name) !== undefined, `${name} is no name of a segment`);
  return join(dir, name);
}

/** undefined: it is no manifest's name. */
export function parseManifestName(name: string): ManifestName | undefined {
  const [, run, checkpoint] = MANIFEST.exec(name) ?? [];
  return run === undefined ? undefined : { run: Number(run), checkpoint: Number(checkpoint) };
}

/** A manifest that is being written, or was when a crash came. */
export function isStrayManifest(name: string): boolean {
  return name.endsWith(TEMPORARY) && MANIFEST.test(name.slice(0, -TEMPORARY.length));
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, '0');
}
