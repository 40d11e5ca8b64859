/**
 * Record blocks: how rows travel to a sink whose server takes or refuses each of them. The worker end writes
 * the bytes of one record per row, as the server wants them; the other end sends runs of them as they are, and
 * can pick out single ones to send again.
 *
 *   record 0 | record 1 | ... | padding | u32 end of each record | u32 count
 */

import { type Batch, MillraceError } from '../../core/index.ts';
import type { RecordEncoder } from '../codec.ts';
import type { SinkEncoder, SinkEncoderContext } from '../sink.ts';

const BLOCK_BYTES = 256 * 1_024;
const RECORD_BYTES_MAX = 256 * 1_024 * 1_024;
const U32 = 4;

/** Collects records into blocks. `encoder` writes one record per row. */
export function recordBlockEncoder(context: SinkEncoderContext, encoder: RecordEncoder): SinkEncoder {
  if (encoder.wholeBatch)
    throw new MillraceError('ERR_MILLRACE_PIPELINE', 'This sink takes one record a row, which the arrow codec does not write. Use json().');
  return new RecordBlockWriter(context, encoder);
}

class RecordBlockWriter implements SinkEncoder {
  readonly #context: SinkEncoderContext;
  readonly #encoder: RecordEncoder;
  #slab = 0;
  #at = 0;
  #limit = 0;
  /** Ends of the records in the block, from its beginning. */
  #ends = new Uint32Array(1_024);
  #count = 0;
  #scratch = 0;
  #scratchRows = 0;

  constructor(context: SinkEncoderContext, encoder: RecordEncoder) {
    this.#context = context;
    this.#encoder = encoder;
  }

  write(batch: Batch): void {
    const { memory } = this.#context;
    const { rowCount } = batch;
    const scratch = this.#scratchFor(rowCount);
    let room = BLOCK_BYTES;
    for (let from = 0; from < rowCount; ) {
      if (this.#slab === 0) this.#begin(room + trailerBytes(rowCount));
      const written = this.#encoder.encode(batch, from, rowCount, this.#at, this.#limit - trailerBytes(this.#count + rowCount - from), scratch);
      if (written > 0) {
        this.#add(memory.u32.subarray(scratch >>> 2, (scratch >>> 2) + written));
        from += written;
        continue;
      }
      if (this.#count > 0) {
        this.flush();
        continue;
      }
      if (room >= RECORD_BYTES_MAX)
        throw new MillraceError('ERR_MILLRACE_CODEC', `A row is larger than ${RECORD_BYTES_MAX} bytes as a record of the sink. Leave the long values out.`);
      room *= 4;
      this.#drop();
    }
    if (this.#at - this.#slab >= BLOCK_BYTES / 2) this.flush();
  }

  flush(): void {
    if (this.#slab === 0) return;
    if (this.#count === 0) {
      this.#drop();
      return;
    }
    const { memory, block } = this.#context;
    const trailer = aligned(this.#at);
    memory.u8.fill(0, this.#at, trailer);
    memory.u32.set(this.#ends.subarray(0, this.#count), trailer >>> 2);
    memory.u32[(trailer >>> 2) + this.#count] = this.#count;
    const slab = this.#slab;
    const count = this.#count;
    this.#slab = 0;
    this.#count = 0;
    block.call(this.#context, 0, count, slab, trailer + (count + 1) * U32 - slab);
  }

  #add(ends: Uint32Array): void {
    if (this.#count + ends.length > this.#ends.length) {
      const larger = new Uint32Array(Math.max(this.#ends.length * 2, this.#count + ends.length));
      larger.set(this.#ends.subarray(0, this.#count));
      this.#ends = larger;
    }
    for (const end of ends) {
      // A row that is left out has no record.
      if (end === this.#at) continue;
      this.#ends[this.#count++] = end - this.#slab;
      this.#at = end;
    }
  }

  #begin(bytes: number): void {
    const { slabs } = this.#context;
    this.#slab = slabs.alloc(bytes);
    this.#at = this.#slab;
    this.#limit = this.#slab + slabs.slabBytes(this.#slab);
  }

  #drop(): void {
    this.#context.slabs.free(this.#slab);
    this.#slab = 0;
  }

  #scratchFor(rowCount: number): number {
    const { slabs } = this.#context;
    if (rowCount > this.#scratchRows) {
      if (this.#scratch !== 0) slabs.free(this.#scratch);
      this.#scratch = slabs.alloc(rowCount * U32);
      this.#scratchRows = slabs.slabBytes(this.#scratch) / U32;
    }
    return this.#scratch;
  }
}

function aligned(address: number): number {
  return Math.ceil(address / U32) * U32;
}

/** Most bytes behind the records of a block. */
function trailerBytes(count: number): number {
  return (count + 2) * U32;
}

/** A block, read. Its records are views of the block's bytes, which are shared memory. */
export class RecordBlock {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #ends: Uint32Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes.byteOffset % U32 === 0 ? bytes : bytes.slice();
    const words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, bytes.byteLength / U32);
    this.count = words[words.length - 1] as number;
    this.#ends = words.subarray(words.length - 1 - this.count, words.length - 1);
  }

  /** The byte at which a record begins; `count` gives the end of the last. */
  start(record: number): number {
    return record === 0 ? 0 : (this.#ends[record - 1] as number);
  }

  /** The bytes of records `from` to `to`, without `to`. */
  bytes(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(this.start(from), this.start(to));
  }
}
