/**
 * Positions that a group has committed for a topic: one small file, written aside, synced, and renamed over the old one,
 * so that a crash leaves the old positions or the new ones, never half of either.
 */

import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MillraceError, shown } from '../../core/index.ts';
import type { CommittedPosition } from '../source.ts';
import { fileError } from './layout.ts';

/**
 * Positions by partition; those that were never committed are not in it.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the file is none of ours, or damaged
 */
export async function readPositions(path: string): Promise<Map<number, CommittedPosition>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw fileError('cannot read the positions', path, cause);
  }
  try {
    const { version, positions } = JSON.parse(text) as { version: unknown; positions: CommittedPosition[] };
    if (version !== 1) throw new Error(`version ${shown(version)} is not known`);
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
      `${path} holds no positions of a log (${(cause as Error).message}). Restore the file, or delete it to read the topic from its beginning.`,
      { cause },
    );
  }
}

/** Adds positions to those of `path`. Durable when it resolves. Calls for one file must not overlap. */
export async function writePositions(path: string, all: ReadonlyMap<number, CommittedPosition>): Promise<void> {
  const positions = [...all.values()].sort((a, b) => a.partition - b.partition);
  const aside = `${path}.${process.pid}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(aside, 'w');
    try {
      await file.writeFile(`${JSON.stringify({ version: 1, positions })}\n`);
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
