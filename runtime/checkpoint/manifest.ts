/**
 * The manifest of a checkpoint: what it consists of. It is written last, so a checkpoint exists once its
 * manifest does.
 */

import type { WatermarkState } from '../../core/index.ts';
import type { StateHead } from '../plan/index.ts';

/** Number of the format, raised when what was written before can no longer be read. */
export const MANIFEST_FORMAT = 1;

/** Which checkpoint: the run of the job that wrote it, and the number of its last epoch. */
export interface CheckpointId {
  readonly run: number;
  readonly checkpoint: number;
}

export interface SourcePositions {
  readonly name: string;
  /** What they are positions in, as the source says it (see SourceReader); undefined: it says nothing. */
  readonly identity?: readonly string[];
  /**
   * By partition. `drained`: where a run was when it drained. What was open by then has come out, and that
   * output is final.
   */
  readonly positions: readonly { readonly offset: number; readonly drained?: number }[];
}

/** Frames of epochs `from` to `to` in this file count. Others in it do not. */
export interface ManifestSegment {
  /** See {@link segmentName}. */
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

export interface Manifest extends CheckpointId {
  readonly format: typeof MANIFEST_FORMAT;
  /** Version of the package that wrote it. */
  readonly millrace: string;
  /** What this run began from; null: from nothing. */
  readonly from: CheckpointId | null;
  /** The last epoch whose output is final: `checkpoint`, or a later one, which a restart repeats in silence. */
  readonly written: number;
  readonly writtenAtMs: number;
  readonly plan: StateHead;
  /** The clock of the job at the end of the last epoch. */
  readonly nowMs: number;
  readonly sources: readonly SourcePositions[];
  readonly watermarks: readonly WatermarkState[];
  /** By exchange. May be infinite. */
  readonly heldUntil: readonly number[];
  readonly segments: readonly ManifestSegment[];
  readonly stateBytes: number;
  /** For people: operators with state. */
  readonly operators?: readonly { readonly name: string; readonly shards: number; readonly bytes: number }[];
}
