/**
 * A source that makes up its rows: row i is what `row(i, rng)` returns, with random numbers derived from
 * (seed, i).
 *
 * Only ranges of row numbers travel from the coordinator to the workers. A frame of 16 bytes stands for up to
 * 4096 rows, which the worker makes. Partition p of P has rows p, p + P, p + 2P, ...; its offsets count its
 * own rows. So the rows are the same for any number of partitions and workers, and event time advances evenly
 * in all partitions.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  type AnyRow,
  BatchBuilder,
  checkOptionNames,
  MillraceError,
  type Rng,
  type RowOf,
  type Schema,
  type SchemaFields,
  seededRng,
  shown,
  schema as toSchema,
} from '../core/index.ts';
import { FrameCursor } from './frames.ts';
import { RowWriter } from './row-writer.ts';
import type { Chunk, ChunkDecoder, CommittedPosition, DecoderContext, Offset, Source, SourceContext, SourceReader } from './source.ts';

export interface GeneratorOptions<S extends SchemaFields> {
  /** Number of rows in all. Without it the source never ends. */
  readonly rows?: number;
  /** Most rows per second, over all partitions. Without it, as fast as they are taken. */
  readonly rowsPerSecond?: number;
  readonly seed: number;
  readonly schema: S;
  /** Row `i`, from 0. Runs in the workers, in any order; must depend on its two arguments only. */
  readonly row: (i: number, rng: Rng) => RowOf<S>;
  /** Default 1. */
  readonly partitions?: number;
}

const FRAME_ROWS = 4_096;
/**
 * Frame body: the number of the first row (f64) and the step between row numbers (f64). The offsets give the
 * count.
 */
const BODY = { firstRow: 0, step: 8, bytes: 16 } as const;
const TICK_MS = 5;
const FRAMES_A_TURN = 64;

/**
 * @example
 * generator({ rows: 1_000_000, seed: 1, schema: { page: utf8, ms: f64 }, row: (i, rng) => ({ page: `/p${rng.int(100)}`, ms: rng() * 1000 }) })
 * @throws MillraceError ERR_MILLRACE_OPTION for an invalid count, rate or seed, ERR_MILLRACE_SCHEMA for an
 * invalid schema. The job fails with ERR_MILLRACE_USER_FUNCTION when `row` throws, and with
 * ERR_MILLRACE_SCHEMA when its result does not fit. Both errors name the row.
 */
export function generator<const S extends SchemaFields>(options: GeneratorOptions<S>): Source<RowOf<S>> {
  checkOptionNames('generator', options, { rows: true, rowsPerSecond: true, seed: true, schema: true, row: true, partitions: true });
  const { rows, rowsPerSecond, seed, row, partitions = 1 } = options;
  if (rows !== undefined && !(Number.isSafeInteger(rows) && rows >= 0)) refuse('rows', rows, 'a whole number of at least 0');
  if (rowsPerSecond !== undefined && !(Number.isFinite(rowsPerSecond) && rowsPerSecond > 0)) refuse('rowsPerSecond', rowsPerSecond, 'a number above 0');
  if (typeof seed !== 'number' || !Number.isFinite(seed)) refuse('seed', seed, 'a number');
  if (typeof row !== 'function') refuse('row', row, 'a function (i, rng) => row');
  if (!(Number.isSafeInteger(partitions) && partitions > 0 && partitions <= 1_024)) refuse('partitions', partitions, 'a whole number of 1 to 1024');
  const schema = toSchema(options.schema);
  return {
    name: 'generator',
    schema,
    bounded: rows !== undefined,
    frameRows: (_bytes, first, next) => next - first,
    offsetBytes: rowBytes(schema),
    isPaced: rowsPerSecond !== undefined,
    async open(context) {
      if (context.drain && rows === undefined) {
        throw new MillraceError(
          'ERR_MILLRACE_OPTION',
          "A generator without a row count has no end, so the trigger 'availableNow' would never stop. Give it `rows`, or take another trigger.",
        );
      }
      return new GeneratorReader(context, rows ?? Number.POSITIVE_INFINITY, rowsPerSecond, partitions);
    },
    decoder: (context) => new GeneratorDecoder(context, schema, seed, row),
  };
}

function refuse(option: string, value: unknown, wanted: string): never {
  throw new MillraceError('ERR_MILLRACE_OPTION', `generator: ${option} is ${shown(value)}; it must be ${wanted}.`);
}

/** Approximate bytes of a row in columns. */
function rowBytes(schema: Schema): number {
  return schema.fields.reduce((sum, { type }) => sum + (type.width || 16), 0);
}

class GeneratorReader implements SourceReader {
  readonly partitionCount: number;
  readonly #context: SourceContext;
  readonly #rows: number;
  readonly #rowsPerSecond: number | undefined;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;

  constructor(context: SourceContext, rows: number, rowsPerSecond: number | undefined, partitions: number) {
    this.#context = context;
    this.#rows = rows;
    this.#rowsPerSecond = rowsPerSecond;
    this.partitionCount = partitions;
    this.#signal = AbortSignal.any([context.signal, this.#closed.signal]);
  }

  async positions(): Promise<CommittedPosition[]> {
    return Array.from({ length: this.partitionCount }, (_, partition) => ({ partition, offset: this.#context.from?.get(partition) ?? 0, metadata: '' }));
  }

  start(): void {
    const startMs = performance.now();
    for (let partition = 0; partition < this.partitionCount; partition++) {
      this.#pump(partition, startMs).catch((error) => {
        if (!this.#signal.aborted) this.#context.fail(error);
      });
    }
  }

  /** Keeps nothing: to resume, pass `from`. */
  async commit(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed.abort();
  }

  async #pump(partition: number, startMs: number): Promise<void> {
    const context = this.#context;
    const step = this.partitionCount;
    const total = Math.max(0, Math.ceil((this.#rows - partition) / step));
    const start = context.from?.get(partition) ?? 0;
    const rowsPerMs = this.#rowsPerSecond === undefined ? Number.POSITIVE_INFINITY : this.#rowsPerSecond / step / 1_000;
    const body = new Float64Array(BODY.bytes / 8);
    const bytes = new Uint8Array(body.buffer);
    body[BODY.step / 8] = step;
    let at = start;
    let frames = 0;
    while (at < total && !this.#signal.aborted) {
      const due = rowsPerMs === Number.POSITIVE_INFINITY ? total : Math.min(total, start + Math.floor((performance.now() - startMs) * rowsPerMs));
      if (at >= due) {
        context.high(partition, due);
        await sleep(Math.max(TICK_MS, Math.min(100, 1 / rowsPerMs)), undefined, { signal: this.#signal });
        continue;
      }
      // Frames end at multiples of their size, wherever they start, so a replay cuts the same frames. It ends them
      // where rows were not due by then, or were the last, too.
      const cut = this.#context.cutBehind?.(partition, at) ?? Number.POSITIVE_INFINITY;
      const next = Math.min(due, cut, at + FRAME_ROWS - (at % FRAME_ROWS));
      body[BODY.firstRow / 8] = partition + at * step;
      context.high(partition, due === Number.POSITIVE_INFINITY ? next : due);
      const hasCredit = context.emit(partition, bytes, at, next);
      at = next;
      if (!hasCredit) await context.credit(partition);
      else if (++frames % FRAMES_A_TURN === 0) await nextTurn();
    }
    if (at >= total) context.end(partition);
  }
}

class GeneratorDecoder implements ChunkDecoder {
  readonly #frames: FrameCursor;
  readonly #builder: BatchBuilder;
  readonly #writer: RowWriter;
  readonly #context: DecoderContext;
  readonly #rng: ReturnType<typeof seededRng>;
  readonly #row: (i: number, rng: Rng) => AnyRow;
  #offset: Offset = 0;
  #left = 0;
  #firstRow = 0;
  #step = 0;
  #batchOffset: Offset = 0;

  constructor(context: DecoderContext, schema: Schema, seed: number, row: (i: number, rng: Rng) => AnyRow) {
    this.#context = context;
    this.#frames = new FrameCursor(context.memory);
    this.#builder = new BatchBuilder(context.slabs, schema, context.batchRows);
    this.#writer = new RowWriter(this.#builder, context.columns);
    this.#rng = seededRng(seed);
    this.#row = row;
  }

  open(chunk: Chunk): void {
    this.#frames.open(chunk);
    this.#left = 0;
  }

  next(): ReturnType<ChunkDecoder['next']> {
    const frames = this.#frames;
    while (this.#left === 0) {
      if (!frames.advance()) return undefined;
      const { f64 } = this.#context.memory;
      this.#offset = frames.first;
      this.#left = frames.next - frames.first;
      this.#firstRow = f64[(frames.body + BODY.firstRow) >>> 3] as number;
      this.#step = f64[(frames.body + BODY.step) >>> 3] as number;
    }
    const count = Math.min(this.#left, this.#builder.capacity);
    this.#fill(count);
    this.#batchOffset = this.#offset;
    this.#offset += count;
    this.#left -= count;
    this.#firstRow += count * this.#step;
    return this.#builder.finish();
  }

  offsetOf(row: number): Offset {
    return this.#batchOffset + row;
  }

  #fill(count: number): void {
    const rng = this.#rng;
    const makeRow = this.#row;
    const writer = this.#writer;
    this.#builder.reset();
    let i = this.#firstRow;
    let row: AnyRow | undefined;
    try {
      for (let n = 0; n < count; n++) {
        row = undefined;
        rng.seek(i);
        row = makeRow(i, rng);
        writer.append(row);
        i += this.#step;
      }
    } catch (error) {
      throw rowError(error, i, row);
    }
  }
}

function rowError(error: unknown, i: number, row: unknown): MillraceError {
  if (error instanceof MillraceError && error.code === 'ERR_MILLRACE_SCHEMA' && row !== undefined) {
    return new MillraceError('ERR_MILLRACE_SCHEMA', `generator: row ${i} does not fit the schema. ${error.message}`, { cause: error });
  }
  if (error instanceof MillraceError && error.code === 'ERR_MILLRACE_MEMORY') return error;
  const what = error instanceof Error ? error.message : shown(error);
  return new MillraceError('ERR_MILLRACE_USER_FUNCTION', `generator: the function row(i, rng) failed at row ${i}: ${what}`, { cause: error });
}
