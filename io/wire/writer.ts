/**
 * Writes binary formats: to a piece of shared memory that has a limit, or to bytes of its own that grow. Avro and
 * Protocol Buffers share it.
 */

/** Thrown where the piece of shared memory is full: the row is written again when there is more room. */
export const FULL = new Error('no room for another row');

const FIRST_BYTES = 256;

export class WireWriter {
  u8: Uint8Array;
  #view: DataView;
  #grows: boolean;
  at = 0;
  limit: number;

  /** Without `u8`, it writes to bytes of its own. */
  constructor(u8?: Uint8Array) {
    this.#grows = u8 === undefined;
    this.u8 = u8 ?? new Uint8Array(FIRST_BYTES);
    this.#view = viewOf(this.u8);
    this.limit = this.u8.length;
  }

  /** What has been written to bytes of its own. */
  bytes(): Uint8Array {
    return this.u8.slice(0, this.at);
  }

  /** @throws FULL */
  need(bytes: number): void {
    if (this.at + bytes > this.limit) this.#grow(bytes);
  }

  byte(byte: number): void {
    this.need(1);
    this.u8[this.at++] = byte;
  }

  /** A varint of 64 bits, given in two words. */
  varint(lo: number, hi: number): void {
    this.need(10);
    const { u8 } = this;
    let at = this.at;
    let low = lo >>> 0;
    let high = hi >>> 0;
    while (high !== 0 || low > 0x7f) {
      u8[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    u8[at++] = low;
    this.at = at;
  }

  /** A signed number, its sign in the last bit. */
  zigzag(lo: number, hi: number): void {
    const sign = hi >> 31;
    this.varint((lo << 1) ^ sign, ((hi << 1) | (lo >>> 31)) ^ sign);
  }

  zigzag32(value: number): void {
    this.zigzag(value, value >> 31);
  }

  /** A safe integer, or one of 64 bits. */
  zigzagOf(value: number | bigint): void {
    const wide = BigInt(value);
    this.zigzag(Number(BigInt.asIntN(32, wide)), Number(BigInt.asIntN(32, wide >> 32n)));
  }

  f32(value: number): void {
    this.need(4);
    this.#view.setFloat32(this.at, value, true);
    this.at += 4;
  }

  f64(value: number): void {
    this.need(8);
    this.#view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  u32(value: number): void {
    this.need(4);
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  /** Bytes `from` to `to` of `source`. */
  copy(source: Uint8Array, from: number, to: number): void {
    this.need(to - from);
    if (to - from > 64) this.u8.set(source.subarray(from, to), this.at);
    else for (let i = from, at = this.at; i < to; i++, at++) this.u8[at] = source[i] as number;
    this.at += to - from;
  }

  #grow(bytes: number): void {
    if (!this.#grows) throw FULL;
    const grown = new Uint8Array(Math.max(this.at + bytes, this.u8.length * 2));
    grown.set(this.u8);
    this.u8 = grown;
    this.#view = viewOf(grown);
    this.limit = grown.length;
  }
}

function viewOf(u8: Uint8Array): DataView {
  return new DataView(u8.buffer, u8.byteOffset, u8.byteLength);
}
