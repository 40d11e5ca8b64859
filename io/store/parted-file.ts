/**
 * A file that goes to a server in parts: what is written is collected until it is a part, which is sent whole, so it
 * can be sent again. The bytes of one part are in memory for each file that is being written.
 */

import type { FileAside } from './store.ts';

/** What a server does with the parts of one file. */
export interface Parts {
  /** Stores part `number`, from 0 on. Parts come in order, one at a time. */
  put(number: number, pieces: readonly Uint8Array[], byteLength: number): Promise<void>;
  /** Makes a hidden file of the parts. `rest` is the last one, which may be empty, and is not stored yet. */
  seal(parts: number, rest: readonly Uint8Array[], byteLength: number): Promise<void>;
  /** Makes a visible file of them. */
  publish(visible: string, parts: number, rest: readonly Uint8Array[], byteLength: number): Promise<void>;
  discard(parts: number): Promise<void>;
}

export class PartedFile implements FileAside {
  readonly #parts: Parts;
  readonly #partBytes: number;
  #pieces: Uint8Array[] = [];
  #byteLength = 0;
  #count = 0;
  /** The parts that are on their way, in order. */
  #sent: Promise<void> = Promise.resolve();

  constructor(parts: Parts, partBytes: number) {
    this.#parts = parts;
    this.#partBytes = partBytes;
  }

  /** A part that is full is waited for, so that memory stays flat. */
  write(bytes: Uint8Array): Promise<void> {
    // The bytes are a view that is gone when this resolves.
    this.#pieces.push(bytes.slice());
    this.#byteLength += bytes.length;
    if (this.#byteLength < this.#partBytes) return Promise.resolve();
    const { pieces, byteLength } = this.#take();
    const number = this.#count++;
    this.#sent = this.#sent.then(() => this.#parts.put(number, pieces, byteLength));
    this.#sent.catch(() => {}); // it reaches whoever awaits the file
    return this.#sent;
  }

  async seal(): Promise<void> {
    await this.#sent;
    const { pieces, byteLength } = this.#take();
    await this.#parts.seal(this.#count, pieces, byteLength);
  }

  async publish(visible: string): Promise<void> {
    await this.#sent;
    const { pieces, byteLength } = this.#take();
    await this.#parts.publish(visible, this.#count, pieces, byteLength);
  }

  async discard(): Promise<void> {
    await this.#sent.catch(() => {});
    await this.#parts.discard(this.#count);
  }

  #take(): { readonly pieces: Uint8Array[]; readonly byteLength: number } {
    const taken = { pieces: this.#pieces, byteLength: this.#byteLength };
    this.#pieces = [];
    this.#byteLength = 0;
    return taken;
  }
}
