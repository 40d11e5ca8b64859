/**
 * Shards that are put away: one file each, in a folder that is of this execution alone. A file is a frame as
 * the state log has it, and so are its checks. Nothing is synced: after a crash state comes from a checkpoint.
 * Written and read synchronously, as a worker waits for nothing else.
 */

import { closeSync, openSync, readFileSync, rmSync, writevSync } from 'node:fs';
import { join } from 'node:path';
import { crc32cBytes, MillraceError, shownPath } from '../../core/index.ts';
import { FRAME_HEAD_BYTES, FRAME_KIND, frameBytes, frameHead, framePadding, isWhole, readFrameHead } from './frames.ts';
import { behind } from './segment-file.ts';

/** Where the shards of one worker are put away. */
export interface SpillStore {
  /** Keeps the state of a shard, as {@link stateBytesOf} has it. */
  put(exchange: number, shard: number, state: Uint8Array): void;
  /** What was put, as it was. */
  read(exchange: number, shard: number): Uint8Array;
  /** The state of the shard is not needed any longer. */
  drop(exchange: number, shard: number): void;
}

const NOTHING = new Uint8Array(8);

export class SpillFiles implements SpillStore {
  readonly #dir: string;
  readonly #worker: number;

  constructor(dir: string, worker: number) {
    this.#dir = dir;
    this.#worker = worker;
  }

  put(exchange: number, shard: number, state: Uint8Array): void {
    const path = this.#path(exchange, shard);
    const head = frameHead({ kind: FRAME_KIND.base, epoch: 0, exchange, number: shard, bodyBytes: state.length }, (seed) =>
      crc32cBytes(state, 0, state.length, seed),
    );
    try {
      const file = openSync(path, 'w');
      try {
        let rest: readonly Uint8Array[] = [head, state, NOTHING.subarray(0, framePadding(state.length))];
        while (rest.length > 0) rest = behind(rest, writevSync(file, rest));
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_SPILL',
        `State that memory has no room for cannot be written to ${shownPath(path)}: ${(cause as Error).message}. See that the folder may be written and has room, or give more memory.`,
        { cause },
      );
    }
  }

  read(exchange: number, shard: number): Uint8Array {
    const path = this.#path(exchange, shard);
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(path);
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_SPILL',
        `State that was put away in ${shownPath(path)} cannot be read: ${(cause as Error).message}. Nobody else may change this folder while the job runs.`,
        { cause },
      );
    }
    const head = readFrameHead(bytes, bytes.length);
    const body = bytes.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + (head?.bodyBytes ?? 0));
    const isOurs = head?.kind === FRAME_KIND.base && head.exchange === exchange && head.number === shard && frameBytes(head.bodyBytes) === bytes.length;
    if (isOurs && isWhole(bytes, body)) return body;
    throw new MillraceError(
      'ERR_MILLRACE_SPILL',
      `State that was put away in ${shownPath(path)} is damaged: its checksum does not fit its ${bytes.length} bytes. The disk, or whoever else writes to this folder, has changed it.`,
    );
  }

  drop(exchange: number, shard: number): void {
    rmSync(this.#path(exchange, shard), { force: true });
  }

  #path(exchange: number, shard: number): string {
    return join(this.#dir, `state-${this.#worker}-${exchange}-${shard}.spill`);
  }
}
