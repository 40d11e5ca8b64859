/**
 * Blocks that hold rows of several files. A piece is the rows of one file:
 *
 *   u32 bytes of the stem | u32 bytes of the rows | stem, to a multiple of 8 | rows, to a multiple of 8
 *
 * Workers part a batch by the stems of its rows and write pieces; the other end takes them apart.
 */

import { Batch, BatchBuilder, type Column, type ColumnSpace, gather } from '../../core/index.ts';
import { type BlockRoom, BlockWriter } from '../block-writer.ts';
import type { SinkEncoder, SinkEncoderContext } from '../sink.ts';

const HEAD_BYTES = 8;
const PIECE_PAD = 8;

export interface Piece {
  readonly stem: string;
  readonly bytes: Uint8Array;
}

/** The room for the rows of a file. Where a block is full, the piece goes on in the next one. */
export class PieceRoom implements BlockRoom {
  readonly #memory: SinkEncoderContext['memory'];
  readonly #block: BlockWriter;
  #text = '';
  #stem: Uint8Array = new Uint8Array(0);
  /** Address of the head of the open piece; 0: none is open. */
  #head = 0;

  constructor(context: SinkEncoderContext) {
    this.#memory = context.memory;
    this.#block = new BlockWriter(context);
  }

  get at(): number {
    return this.#block.at;
  }

  get limit(): number {
    // The padding at the end of a piece has room behind it.
    return this.#block.limit - PIECE_PAD;
  }

  /** The rows that follow are of another file. */
  begin(stem: string): void {
    if (stem === this.#text) return;
    this.#end();
    this.#text = stem;
    this.#stem = Buffer.from(stem);
  }

  reserve(bytes: number): void {
    if (this.#head !== 0 && this.limit - this.at >= bytes) return;
    this.#end();
    const { u8, u32 } = this.#memory;
    const stemBytes = padded(this.#stem.length);
    this.#block.reserve(HEAD_BYTES + stemBytes + bytes + PIECE_PAD);
    this.#head = this.#block.at;
    u32[this.#head >>> 2] = this.#stem.length;
    u8.set(this.#stem, this.#head + HEAD_BYTES);
    this.#block.advance(this.#head + HEAD_BYTES + stemBytes, 0);
  }

  advance(end: number, rowCount: number): void {
    this.#block.advance(end, rowCount);
  }

  flush(): void {
    this.#end();
    this.#block.flush();
  }

  #end(): void {
    if (this.#head === 0) return;
    const { u8, u32 } = this.#memory;
    const from = this.#head + HEAD_BYTES + padded(this.#stem.length);
    u32[(this.#head + 4) >>> 2] = this.at - from;
    const end = from + padded(this.at - from);
    u8.fill(0, this.at, end);
    this.#block.advance(end, 0);
    this.#head = 0;
  }
}

/** Takes a block apart. The rows are views of it. */
export function piecesIn(block: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  for (let at = 0; at < block.length; ) {
    const stemBytes = view.getUint32(at, true);
    const rowBytes = view.getUint32(at + 4, true);
    const from = at + HEAD_BYTES + padded(stemBytes);
    // Buffer.from copies: no decoder takes shared memory.
    const stem = Buffer.from(block.subarray(at + HEAD_BYTES, at + HEAD_BYTES + stemBytes)).toString('utf8');
    pieces.push({ stem, bytes: block.subarray(from, from + rowBytes) });
    at = from + padded(rowBytes);
  }
  return pieces;
}

/**
 * The worker end of a sink with columns in its names: parts each batch by file.
 *
 * @param stemOf the stem of a row
 * @param project leaves the columns that are written
 * @param encoder writes rows to `room`
 */
export function partingEncoder(
  context: SinkEncoderContext,
  room: PieceRoom,
  stemOf: (batch: Batch, row: number) => string,
  project: (batch: Batch) => Batch,
  encoder: SinkEncoder,
): SinkEncoder {
  return {
    write(batch: Batch): void {
      const rowCount = batch.rowCount;
      const rowsOf = new Map<string, number[]>();
      let last: string | undefined;
      let rows: number[] = [];
      for (let row = 0; row < rowCount; row++) {
        const stem = stemOf(batch, row);
        if (stem !== last) {
          last = stem;
          const known = rowsOf.get(stem);
          if (known === undefined) rowsOf.set(stem, (rows = []));
          else rows = known;
        }
        rows.push(row);
      }
      const all = project(batch);
      for (const [stem, rows] of rowsOf) {
        room.begin(stem);
        if (rows.length === rowCount) encoder.write(all);
        else writeRows(context, all, rows, encoder);
      }
    },
    flush: () => encoder.flush(),
  };
}

function writeRows(context: SinkEncoderContext, batch: Batch, rows: readonly number[], encoder: SinkEncoder): void {
  const builder = new BatchBuilder(context.slabs, batch.schema, rows.length);
  try {
    const chosen = Int32Array.from(rows);
    batch.columns.forEach((column: Column, c) => gather(builder, column, builder.columns[c] as ColumnSpace, chosen, rows.length));
    builder.rowCount = rows.length;
    encoder.write(builder.finish());
  } finally {
    builder.release();
  }
}

/** The named columns of batches. */
export function projection(columns: readonly number[], schema: Batch['schema']): (batch: Batch) => Batch {
  return (batch) =>
    new Batch(
      batch.memory,
      schema,
      batch.rowCount,
      columns.map((c) => batch.column(c)),
    );
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
