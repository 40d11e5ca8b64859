/**
 * Walks through the frames of a chunk, in the layout of FRAME in source.ts. Every decoder starts with it. It
 * reads headers only, and trusts them, because the coordinator of this process wrote them.
 */

import { assert, type SharedMemory } from '../core/index.ts';
import { type Chunk, FRAME, frameBytes } from './source.ts';

export class FrameCursor {
  readonly #memory: SharedMemory;
  #at = 0;
  #end = 0;
  /** Address and length of the current frame's body. */
  body = 0;
  bodyBytes = 0;
  flags = 0;
  first = 0;
  next = 0;
  cut = 0;

  constructor(memory: SharedMemory) {
    this.#memory = memory;
  }

  /** Starts before the first frame. */
  open(chunk: Chunk): void {
    assert(chunk.address % FRAME.alignment === 0, `a chunk at ${chunk.address}`);
    this.#at = chunk.address;
    this.#end = chunk.address + chunk.byteLength;
  }

  /** Advances to the next frame and sets its fields. False after the last. */
  advance(): boolean {
    const at = this.#at;
    if (at >= this.#end) return false;
    const { u32, f64 } = this.#memory;
    this.body = at + FRAME.headerBytes;
    this.bodyBytes = u32[(at + FRAME.bodyBytes) >>> 2] as number;
    this.flags = u32[(at + FRAME.flags) >>> 2] as number;
    this.first = f64[(at + FRAME.first) >>> 3] as number;
    this.next = f64[(at + FRAME.next) >>> 3] as number;
    this.cut = f64[(at + FRAME.cut) >>> 3] as number;
    this.#at = at + frameBytes(this.bodyBytes);
    // The padding after the last frame may be missing.
    assert(this.body + this.bodyBytes <= this.#end, `a frame of ${this.bodyBytes} bytes runs over its chunk`);
    return true;
  }
}
