/**
 * Parquet files, for sinks of files. A Parquet file is written from its beginning to its end, and wants row groups of many
 * rows, while workers hand rows over shard by shard. So they hand over columns, as Arrow messages, and this end makes row
 * groups of them: an epoch of 64 shards is one row group, and not 64. The price is that values are encoded on the
 * coordinator's thread. The encoding is that of hyparquet-writer, an optional peer.
 */

import zlib from 'node:zlib';
import { type Batch, checkOptionNames, MillraceError, readValue, type Schema, shown } from '../../core/index.ts';
import { ArrowBlockReader, arrowSinkEncoder } from '../arrow-blocks.ts';
import type { FileBody, FileFormat } from '../store/index.ts';

export interface ParquetOptions {
  /** Rows of a row group, at most. Default 100,000: they are in memory for each file that is being written. */
  readonly rowGroupRows?: number;
  /** Default `snappy`. `zstd` needs Node 22.15 or newer. */
  readonly compression?: 'snappy' | 'gzip' | 'zstd' | 'none';
  /** Least and greatest value, and nulls, of each column of a row group. Default true. */
  readonly statistics?: boolean;
}

type Library = typeof import('hyparquet-writer');
type Element = ConstructorParameters<Library['ParquetWriter']>[0]['schema'][number];
type Codec = 'SNAPPY' | 'GZIP' | 'ZSTD' | 'UNCOMPRESSED';

/** Node 22.15 and newer have it. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (input: Uint8Array) => Uint8Array };
const ROW_GROUP_ROWS = 100_000;
const CODECS: Readonly<Record<NonNullable<ParquetOptions['compression']>, Codec>> = { snappy: 'SNAPPY', gzip: 'GZIP', zstd: 'ZSTD', none: 'UNCOMPRESSED' };

/** By our types, what Parquet calls them. */
const ELEMENTS: Readonly<Record<string, Omit<Element, 'name'>>> = {
  bool: { type: 'BOOLEAN' },
  i8: { type: 'INT32', converted_type: 'INT_8' },
  i16: { type: 'INT32', converted_type: 'INT_16' },
  i32: { type: 'INT32' },
  u32: { type: 'INT32', converted_type: 'UINT_32' },
  i64: { type: 'INT64' },
  f32: { type: 'FLOAT' },
  f64: { type: 'DOUBLE' },
  utf8: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  binary: { type: 'BYTE_ARRAY' },
  timestamp: { type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' } },
};

/**
 * Parquet files, as DuckDB, Spark, Trino and pyarrow read them. Names end in `.parquet`. It needs hyparquet-writer:
 * `npm i hyparquet-writer`.
 *
 * @example files.sink({ dir: './out', name: 'dt={at:yyyy-MM-dd}/{epoch}', value: parquet({ compression: 'zstd' }) })
 * @throws MillraceError ERR_MILLRACE_OPTION; ERR_MILLRACE_PIPELINE, when the plan is made, for a type that it cannot write
 */
export function parquet(options: ParquetOptions = {}): FileFormat {
  checkOptionNames('parquet()', options, { rowGroupRows: true, compression: true, statistics: true });
  const { rowGroupRows = ROW_GROUP_ROWS, compression = 'snappy', statistics = true } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `parquet(): ${message}`);
  if (!(Number.isSafeInteger(rowGroupRows) && rowGroupRows >= 1 && rowGroupRows <= 10_000_000))
    throw refused(`rowGroupRows is ${shown(rowGroupRows)}; it must be a whole number from 1 to 10,000,000.`);
  if (!Object.hasOwn(CODECS, compression)) throw refused(`compression is ${shown(compression)}; it must be 'snappy', 'gzip', 'zstd' or 'none'.`);
  if (compression === 'zstd' && zstdCompressSync === undefined)
    throw refused(`compression is 'zstd', which Node ${process.versions.node} does not have. Take 'snappy' or 'gzip', or Node 22.15 or newer.`);
  if (typeof statistics !== 'boolean') throw refused(`statistics is ${shown(statistics)}; it must be true or false.`);
  return {
    name: 'parquet',
    kind: 'file',
    ext: 'parquet',
    check(schema: Schema): void {
      if (schema.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', 'parquet() cannot write rows without columns. Select at least one.');
      for (const { name, type } of schema.fields) {
        if (ELEMENTS[type.name] === undefined)
          throw new MillraceError(
            'ERR_MILLRACE_PIPELINE',
            `parquet() cannot write the column ${shown(name)}, which is ${type.name}. It writes ${Object.keys(ELEMENTS).join(', ')}. Select other columns, or make text of it.`,
          );
      }
    },
    encoder: (context, room) => arrowSinkEncoder(context, room),
    async open(schema) {
      const library = await load();
      const elements: Element[] = [
        { name: 'root', num_children: schema.length },
        ...schema.fields.map(({ name, type }) => ({
          ...ELEMENTS[type.name],
          name,
          repetition_type: type.nullable ? ('OPTIONAL' as const) : ('REQUIRED' as const),
        })),
      ];
      return () => new ParquetBody(library, schema, elements, rowGroupRows, CODECS[compression], statistics);
    },
  };
}

async function load(): Promise<Library> {
  try {
    return await import('hyparquet-writer');
  } catch (cause) {
    throw new MillraceError('ERR_MILLRACE_OPTION', 'parquet() writes with hyparquet-writer, which is not installed: npm i hyparquet-writer', { cause });
  }
}

class ParquetBody implements FileBody {
  readonly #library: Library;
  readonly #reader: ArrowBlockReader;
  readonly #schema: Schema;
  readonly #rowGroupRows: number;
  readonly #writer: InstanceType<Library['ParquetWriter']>;
  /** Values of the row group, by column. */
  #columns: unknown[][];
  /** Bytes of the file that were not handed on yet. */
  #bytes: Uint8Array[] = [];

  constructor(library: Library, schema: Schema, elements: Element[], rowGroupRows: number, codec: Codec, statistics: boolean) {
    this.#library = library;
    this.#reader = new ArrowBlockReader(schema);
    this.#schema = schema;
    this.#rowGroupRows = rowGroupRows;
    this.#columns = schema.fields.map(() => []);
    const writer = this.#collecting();
    const compressors = { GZIP: (input: Uint8Array) => zlib.gzipSync(input), ...(zstdCompressSync && { ZSTD: zstdCompressSync }) };
    this.#writer = new library.ParquetWriter({ writer, schema: elements, codec, compressors, statistics, createdBy: 'millrace' });
  }

  add(rows: Uint8Array): Uint8Array[] {
    for (const batch of this.#reader.readBytes(rows)) {
      for (let from = 0; from < batch.rowCount; ) {
        const to = Math.min(batch.rowCount, from + this.#rowGroupRows - (this.#columns[0] as unknown[]).length);
        this.#columns.forEach((values, c) => appendValues(values, batch, c, from, to));
        from = to;
        if ((this.#columns[0] as unknown[]).length === this.#rowGroupRows) this.#writeRowGroup();
      }
    }
    return this.#taken();
  }

  end(): Uint8Array[] {
    if ((this.#columns[0] as unknown[]).length > 0) this.#writeRowGroup();
    this.#writer.finish();
    return this.#taken();
  }

  #writeRowGroup(): void {
    const columnData = this.#schema.fields.map(({ name }, c) => ({ name, data: this.#columns[c] as unknown[] }));
    this.#writer.write({ columnData, rowGroupSize: this.#rowGroupRows });
    this.#columns = this.#schema.fields.map(() => []);
  }

  #taken(): Uint8Array[] {
    const bytes = this.#bytes;
    this.#bytes = [];
    return bytes;
  }

  /** A writer of the library that gives away what it has at the end of each row group, and counts on. */
  #collecting(): InstanceType<Library['ByteWriter']> {
    const writer = new this.#library.ByteWriter();
    const take = (): void => {
      this.#bytes.push(new Uint8Array(writer.getBytes()));
      writer.index = 0;
    };
    return Object.assign(writer, { flush: take, finish: take });
  }
}

function appendValues(values: unknown[], batch: Batch, index: number, from: number, to: number): void {
  const column = batch.column(index);
  const { memory } = batch;
  const { name } = column.type;
  if (name === 'timestamp') {
    // As it is stored: a Date would lose what no calendar has.
    for (let row = from; row < to; row++) values.push(readValue(memory, column, row) === null ? null : memory.i64[(column.data >>> 3) + row]);
  } else for (let row = from; row < to; row++) values.push(readValue(memory, column, row));
}
