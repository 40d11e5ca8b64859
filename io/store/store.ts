/**
 * The contract of a store: where the finished files of a sink go. A local folder, HDFS and object stores are
 * stores. A file is put aside first, under its own name and hidden. It is finalised when its epoch, or its
 * checkpoint, is committed, and readers see it whole.
 *
 *   putAside --write ...--> aside --seal--> sealed --finalise--> visible
 *                             |                                    ^
 *                             +------------publish-----------------+
 *
 * `list` says in which of these states files were left, so a successor needs no other note of them.
 */

import type { SinkContext, SinkCounts } from '../sink.ts';

export interface Store {
  /** Where it is, as messages have it: `"/data/out"`, `hdfs http://127.0.0.1:9870/clicks`. */
  readonly place: string;
  /**
   * Begins a file that nobody sees, in place of what was left aside under this name.
   *
   * @param name below the store's folder; slashes part folders
   * @param visible what it will be called when it is finalised, as far as is known now
   */
  putAside(name: string, visible: string): FileAside;
  /**
   * Makes a sealed file visible under a name, in place of what is there. It is not sealed any more then. Where the
   * store finds that it was finalised before, only not to the end, it ends that.
   *
   * @returns the name that it has
   * @throws MillraceError ERR_MILLRACE_FILE or ERR_MILLRACE_SINK; ERR_MILLRACE_FENCED when it is gone
   */
  finalise(name: string, visible: string): Promise<string>;
  /** All files, in the order of their names. Other files than those of the sink may be among them. */
  list(): Promise<StoredFile[]>;
  /** Removes a file in the given state, if it is there. */
  remove(file: StoredFile): Promise<void>;
  /** Makes durable what was finalised and removed. */
  settle(): Promise<void>;
  /** Who has taken the names over from this writer, who was stopped meanwhile; undefined: nobody. */
  otherWriter(): Promise<string | undefined>;
  /** Where a server has the files: what it was asked so far. */
  counts?(): Pick<SinkCounts, 'requests' | 'retries' | 'inFlight' | 'seconds' | 'isWaiting'>;
  /** Gives the names back to others. What is aside stays. */
  close(): Promise<void>;
}

export interface FileAside {
  /** Takes bytes before it resolves. Calls may overlap; their bytes keep the order of the calls. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the file durable. It outlives this process, and is not visible. */
  seal(): Promise<void>;
  /** Makes the file durable and visible under a name, in place of what is there. */
  publish(visible: string): Promise<void>;
  /** Removes it. */
  discard(): Promise<void>;
}

/** `aside`: half written, by a process that may be dead. */
export type FileState = 'aside' | 'sealed' | 'visible';

export interface StoredFile {
  /** As it was put aside, or as it is visible. */
  readonly name: string;
  readonly state: FileState;
  /** What the store needs to find it again. */
  readonly handle?: unknown;
}

/** What a store is told when it is opened. */
export interface StoreContext extends Pick<SinkContext, 'signal' | 'waiting' | 'deposed'> {
  /** The user of the names, for messages: `the pipeline "clicks"`. */
  readonly user: string;
  /** What is written, for messages: `The files part-*.jsonl in "/data/out"`. */
  readonly files: string;
  /** A name that only writers of the same files use: of a lock. */
  readonly lock: string;
  /** Whether names have folders in them. Without, folders below are not looked into. */
  readonly isDeep: boolean;
  readonly guarantee: 'at-least-once' | 'exactly-once';
}
