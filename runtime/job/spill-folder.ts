/**
 * The folder in which workers put state away that memory has no room for (state-log/spill-files.ts): below
 * the checkpoint directory, whose lock keeps others out, or a temporary one. It is of one execution. What an
 * earlier one left there means nothing.
 */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MillraceError, shownPath } from '../../core/index.ts';

/** Its name in a checkpoint directory. */
const SPILL = 'spill';

export class SpillFolder {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** @param checkpointDir of the job, held by this process; undefined: it has none */
  static async open(checkpointDir: string | undefined): Promise<SpillFolder> {
    const dir = join(checkpointDir ?? tmpdir(), checkpointDir === undefined ? 'millrace-spill-' : SPILL);
    try {
      if (checkpointDir === undefined) return new SpillFolder(await mkdtemp(dir));
      await rm(dir, { recursive: true, force: true });
      await mkdir(dir);
      return new SpillFolder(dir);
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_SPILL',
        `The folder ${shownPath(dir)} for state that memory has no room for cannot be made: ${(cause as Error).message}. See that it may be written.`,
        { cause },
      );
    }
  }

  /** Removes what an earlier process left, where nothing is put away now. */
  static async clear(checkpointDir: string): Promise<void> {
    await rm(join(checkpointDir, SPILL), { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
