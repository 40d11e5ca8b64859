/** The directory of a job's checkpoints: manifests, segments, and the journal, under one lock. */

import type { Journal } from '../epoch/index.ts';
import type { Manifest } from './manifest.ts';

/** A manifest that cannot be used. */
export interface Damage {
  /** Its name in the directory. */
  readonly file: string;
  readonly reason: string;
}

export interface OpenOptions {
  /** Waits for a directory that is in use, until its holder is gone or this signal aborts. Default: an error. */
  readonly wait?: AbortSignal;
  /** Says who holds the directory, once for each holder: "in use by ...". */
  readonly waiting?: (holder: string) => void;
}

export declare class CheckpointDir {
  readonly dir: string;
  /** In the same directory, under the same lock. `close` closes both. */
  readonly journal: Journal;
  /** Of this process: greater than that of any manifest or segment found. */
  readonly run: number;
  readonly damaged: readonly Damage[];
  static open(dir: string, pipeline: string, warn: (message: string) => void, options?: OpenOptions): Promise<CheckpointDir>;
  /** Checkpoints that the job can go on from, newest first. Those written here are among them. */
  candidates(): readonly Manifest[];
  /** Where a segment is. */
  path(segmentName: string): string;
  /** Names of the segments that are there, in order. */
  segments(): Promise<readonly string[]>;
  /** Syncs its segments and the journal, then makes the manifest durable. One at a time. */
  write(manifest: Manifest): Promise<void>;
  /**
   * Removes manifests but for the newest `keep`, segments that none of these names, and what crashes left. The
   * segments of this run that are not named yet stay.
   */
  prune(keep: number): Promise<void>;
  close(): Promise<void>;
}
