/**
 * A sink with both ends open, without a job: rows go through its encoder, as in a worker, and the blocks to
 * its writer, as from the coordinator. Where the sink is transactional, the transaction is here, too.
 */

import { type AnyRow, BatchBuilder, type Schema, type SlabAllocator } from '../../core/index.ts';
import type { Sink, SinkBlock, SinkEncoder, SinkPosition, SinkWriter, Transaction } from '../../io/index.ts';

/** What a block's memory is filled with once it is written: whoever still looks sees it. */
const GONE = 0xee;

export interface OpenSinkOptions {
  readonly schema: Schema;
  readonly slabs: SlabAllocator;
  /** Names the job: of its pipeline, and of its transactions. */
  readonly name: string;
  readonly guarantee: 'at-least-once' | 'exactly-once';
}

export class OpenSink {
  readonly writer: SinkWriter;
  /** What the transaction's `recover` returned; undefined where the sink has none. */
  readonly transactionCheckpoint: number | undefined;
  readonly #options: OpenSinkOptions;
  readonly #transaction: Transaction | undefined;
  readonly #encoder: SinkEncoder;
  #position: SinkPosition = { epoch: 0, shard: 0 };
  #blocks: { readonly block: SinkBlock; readonly slab: number }[] = [];

  static async open(sink: Sink, options: OpenSinkOptions): Promise<OpenSink> {
    const { schema, name, guarantee } = options;
    const { signal } = new AbortController();
    sink.check(schema);
    const transaction = guarantee === 'exactly-once' ? await sink.transactions?.open({ id: name, signal }) : undefined;
    const checkpoint = transaction === undefined ? undefined : ((await transaction.recover()) ?? -1);
    const writer = await sink.open({ schema, pipeline: name, signal, guarantee, ...(transaction && { transaction }) });
    return new OpenSink(sink, options, writer, transaction, checkpoint);
  }

  private constructor(sink: Sink, options: OpenSinkOptions, writer: SinkWriter, transaction: Transaction | undefined, checkpoint: number | undefined) {
    const { schema, slabs } = options;
    this.writer = writer;
    this.#options = options;
    this.#transaction = transaction;
    this.transactionCheckpoint = checkpoint;
    this.#encoder = sink.encoder({
      memory: slabs.memory,
      slabs,
      schema,
      info: writer.info,
      position: () => this.#position,
      block: (partition, rowCount, slab, byteLength) => {
        const { epoch, shard: unit } = this.#position;
        const bytes = slabs.memory.u8.subarray(slab, slab + byteLength);
        this.#blocks.push({ slab, block: { epoch, unit, partition, rowCount, bytes } });
      },
    });
  }

  /** Encodes and writes the rows of one unit. Calls of the writer overlap. */
  async write(position: SinkPosition, rows: readonly object[]): Promise<void> {
    const { slabs, schema } = this.#options;
    this.#position = position;
    const builder = new BatchBuilder(slabs, schema, Math.max(8, rows.length));
    for (const row of rows) builder.appendRow(row as AnyRow);
    this.#encoder.write(builder.finish());
    this.#encoder.flush();
    builder.release();
    const blocks = this.#blocks;
    this.#blocks = [];
    await Promise.all(
      blocks.map(async ({ block, slab }) => {
        try {
          await this.writer.write(block);
        } finally {
          slabs.memory.u8.fill(GONE, slab, slab + block.bytes.length);
          slabs.free(slab);
        }
      }),
    );
  }

  /** Decides a checkpoint, where a transaction does. */
  async decide(checkpoint: number): Promise<void> {
    await this.#transaction?.commit(checkpoint, []);
  }

  async close(): Promise<void> {
    await this.writer.close();
    await this.#transaction?.close();
  }
}
