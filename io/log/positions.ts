/**
 * Positions that a group has committed for a topic: one small file. It is written aside, synced, and renamed
 * over the old one, so a crash leaves the old positions or the new ones, never a mixture. A checksum detects
 * later changes.
 *
 *   {"version":2,"positions":[{"partition":0,"offset":4711,"metadata":"..."}],"crc32c":"1f2e3d4c"}
 */

import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MillraceError, shown } from '../../core/index.ts';
import type { CommittedPosition } from '../source.ts';
import { fileError } from './layout.ts';
import { isSealed, sealed } from './sealed-json.ts';

const VERSION = 2;

/**
 * Positions by partition, without those that were never committed.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the file is not one of ours, or is damaged
 */
export async function readPositions(path: string): Promise<Map<number, CommittedPosition>> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw fileError('cannot read the positions', path, cause);
  }
  try {
    const positions = positionsIn(bytes);
    const found = new Map<number, CommittedPosition>();
    for (const { partition, offset, metadata } of positions) {
      if (!Number.isSafeInteger(partition) || partition < 0 || !Number.isSafeInteger(offset) || offset < 0 || typeof metadata !== 'string') {
        throw new Error(`partition ${shown(partition)} has the offset ${shown(offset)}`);
      }
      found.set(partition, { partition, offset, metadata });
    }
    return found;
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `${path} holds no positions of a log, or was damaged (${(cause as Error).message}). Restore the file, or delete it to read the topic from its beginning.`,
      { cause },
    );
  }
}

/** Files from before there were checksums (version 1) are read as they are. */
function positionsIn(bytes: Buffer): CommittedPosition[] {
  const { version, positions } = parsed(bytes);
  if (version === 1) return positions;
  if (!isSealed(bytes)) throw new Error('its checksum is wrong');
  if (version !== VERSION) throw new Error(`version ${shown(version)} is not known; this one reads 1 and ${VERSION}`);
  return positions;
}

function parsed(bytes: Buffer): { version: unknown; positions: CommittedPosition[] } {
  const { version, positions } = JSON.parse(bytes.toString('utf8')) as { version: unknown; positions: CommittedPosition[] };
  return { version, positions };
}

/** Adds positions to those of `path`. Durable when it resolves. Calls for the same file must not overlap. */
export async function writePositions(path: string, all: ReadonlyMap<number, CommittedPosition>): Promise<void> {
  const positions = [...all.values()].sort((a, b) => a.partition - b.partition);
  const aside = `${path}.${process.pid}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(aside, 'w');
    try {
      await file.writeFile(sealed({ version: VERSION, positions }));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
    await syncDir(dirname(path));
  } catch (cause) {
    throw fileError('cannot write the positions', path, cause);
  }
}

/** Makes names in a folder durable. */
export async function syncDir(dir: string): Promise<void> {
  // A folder cannot be opened on Windows, nor need it be synced there.
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
