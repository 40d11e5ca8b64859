/**
 * What is in a checkpoint directory: which manifests are whole, which are damaged, and which of the whole ones
 * the job can go on from.
 */

import { join } from 'node:path';
import type { Disk, DiskFile } from '../disk/index.ts';
import { segmentNamed } from '../state-log/index.ts';
import type { CheckpointId, Manifest } from './manifest.ts';
import { decodeManifest, MANIFEST_BYTES_MAX } from './manifest-text.ts';
import { parseManifestName } from './names.ts';

/** A manifest that cannot be used. */
export interface Damage {
  /** Its name in the directory. */
  readonly file: string;
  readonly reason: string;
}

export interface Found {
  readonly files: readonly DiskFile[];
  /** Whole ones, newest first. */
  readonly manifests: readonly Manifest[];
  /** Newest first. */
  readonly damaged: readonly Damage[];
}

/**
 * Reads all manifests. One is whole if its bytes are, if it is what its name says, and if its segments are
 * there. What is in the segments is not looked at.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when one is of a later format; what the disk throws
 */
export async function findCheckpoints(disk: Disk): Promise<Found> {
  const files = await disk.list();
  const names = new Set(files.map(({ name }) => name));
  const manifests: Manifest[] = [];
  const damaged: Damage[] = [];
  // The names put them in order.
  for (const { name: file } of [...files].reverse()) {
    const id = parseManifestName(file);
    if (id === undefined) continue;
    const bytes = await disk.read(file, MANIFEST_BYTES_MAX + 1).catch(unreadable);
    // Removed meanwhile: only who does not hold the lock sees that.
    if (bytes === undefined) continue;
    const read = bytes instanceof Uint8Array ? decodeManifest(join(disk.dir, file), bytes) : bytes;
    if ('damage' in read) {
      damaged.push({ file, reason: read.damage });
      continue;
    }
    const { manifest } = read;
    const missing = manifest.segments.find(({ name }) => !names.has(name));
    if (manifest.run !== id.run || manifest.checkpoint !== id.checkpoint) {
      damaged.push({ file, reason: `it is that of checkpoint ${manifest.checkpoint} of run ${manifest.run}` });
    } else if (missing !== undefined) damaged.push({ file, reason: `its segment ${missing.name} is missing` });
    else manifests.push(manifest);
  }
  return { files, manifests, damaged };
}

/**
 * Those that the newest one goes back to: all of its run, and of the run that this one began from those up to
 * there, and so on. What an earlier run wrote later, when another had taken over already, is not among them.
 *
 * @param manifests newest first
 */
export function lineOf(manifests: readonly Manifest[]): Manifest[] {
  const line: Manifest[] = [];
  let until: CheckpointId | null = manifests[0] === undefined ? null : { run: manifests[0].run, checkpoint: Number.POSITIVE_INFINITY };
  while (until !== null) {
    const { run, checkpoint }: CheckpointId = until;
    const ofRun = manifests.filter((one) => one.run === run);
    line.push(...ofRun.filter((one) => one.checkpoint <= checkpoint));
    until = ofRun[0]?.from ?? null;
  }
  return line;
}

/** The greatest run that anything here was written by; 0: none. What is damaged counts, by its name. */
export function greatestRun(files: readonly DiskFile[]): number {
  return files.reduce((run, { name }) => Math.max(run, parseManifestName(name)?.run ?? 0, segmentNamed(name)?.run ?? 0), 0);
}

/** A file that the medium does not give back is damaged. Other errors say that something else is wrong. */
function unreadable(error: NodeJS.ErrnoException): { damage: string } {
  if (error.code === 'EIO') return { damage: `it cannot be read: ${error.message}` };
  throw error;
}
