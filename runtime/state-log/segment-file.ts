/** The segments of one worker, as files. Written synchronously, as a worker waits for nothing else. */

import { closeSync, openSync, writevSync } from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../../core/index.ts';
import { segmentName } from './frames.ts';
import type { StateLog } from './state-writer.ts';

export class SegmentFiles implements StateLog {
  readonly #dir: string;
  readonly #run: number;
  readonly #worker: number;
  #path = '';
  #descriptor = -1;
  #position = 0;

  constructor(dir: string, run: number, worker: number) {
    this.#dir = dir;
    this.#run = run;
    this.#worker = worker;
  }

  roll(from: number): void {
    this.close();
    this.#path = join(this.#dir, segmentName({ run: this.#run, worker: this.#worker, from }));
    this.#guard(() => {
      this.#descriptor = openSync(this.#path, 'wx');
      this.#position = 0;
    });
  }

  append(pieces: readonly Uint8Array[]): void {
    this.#guard(() => {
      let rest = pieces;
      while (rest.length > 0) {
        const written = writevSync(this.#descriptor, rest, this.#position);
        this.#position += written;
        rest = behind(rest, written);
      }
    });
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (cause) {
      throw new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `The state cannot be written to ${this.#path}: ${(cause as Error).message}. The job ends, and the next start goes on from the last checkpoint: see that the folder is there, may be written, and has room.`,
        { cause },
      );
    }
  }
}

/** What is left of pieces when this many bytes of them are written. */
export function behind(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let done = bytes;
  let at = 0;
  while (at < pieces.length && done >= (pieces[at] as Uint8Array).length) done -= (pieces[at++] as Uint8Array).length;
  const rest = pieces.slice(at);
  if (done > 0) rest[0] = (rest[0] as Uint8Array).subarray(done);
  return rest;
}
