/**
 * One folder, as those need it who must know what is on disk and what is not yet: a few operations on files
 * by name. What is written is durable once `sync` has resolved. That a name exists, is another file's now, or
 * is gone, is durable once `syncNames` has. NodeDisk is the file system; SimulatedDisk loses what a crash may
 * lose.
 *
 * A file that was written or synced stays open, so that an error of the disk is not lost between two calls,
 * and so that a file that somebody replaced is noticed.
 */

export interface Disk {
  /** Where it is, for messages. */
  readonly dir: string;
  /** Files, sorted by name. Folders are not among them. */
  list(): Promise<readonly DiskFile[]>;
  /** At most the first `bytesMax` bytes; undefined when there is no such file. */
  read(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /** The bytes from `position` on; fewer at the end of the file. */
  readAt(name: string, position: number, bytesMax: number): Promise<Uint8Array>;
  /** Makes a file with this content, in place of what was there. */
  create(name: string, bytes: Uint8Array): Promise<void>;
  writeAt(name: string, bytes: Uint8Array, position: number): Promise<void>;
  /** Makes the content of a file durable, whoever wrote it. */
  sync(name: string): Promise<void>;
  syncNames(): Promise<void>;
  /** Replaces `to` where it exists. */
  rename(from: string, to: string): Promise<void>;
  /** Does nothing where there is no such file. */
  remove(name: string): Promise<void>;
  /** Opens a file, so that `fate` can tell of it. Files that are written or synced are opened by that. */
  hold(name: string): Promise<void>;
  /** Whether the open file is still what its name stands for. */
  fate(name: string): Promise<'there' | 'removed' | 'replaced'>;
  /** Closes a file. Does nothing where it is not open. */
  release(name: string): Promise<void>;
  /** Closes all files. */
  close(): Promise<void>;
}

export interface DiskFile {
  readonly name: string;
  readonly bytes: number;
}
