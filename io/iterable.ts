/**
 * A source over an iterator of rows: whatever the program can `for await`. It ends when the iterator ends.
 *
 * An iterator cannot be rewound. The offsets count rows, but rows that were taken and not committed when the
 * process dies are gone (at most once). A restart begins with whatever the iterator yields then.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkOptionNames, MillraceError, type RowOf, type Schema, type SchemaFields, shown, schema as toSchema } from '../core/index.ts';
import { RowFrameDecoder, RowFrameWriter } from './row-frames.ts';
import type { CommittedPosition, Offset, Source, SourceContext, SourceReader } from './source.ts';

type AnyIterable<R> = AsyncIterable<R> | Iterable<R>;

/** Longest time that a row waits for others to travel with. */
const LINGER_MS = 5;
const LOOK_MS = 100;

/**
 * @param rows the iterable, or a function that returns it. Every thread imports the pipeline's module, but
 * only the coordinator iterates. Pass a function where creating the iterable has effects (opens a
 * connection).
 * @example iterable(readRows, { schema: { line: utf8 } }) // async function* readRows() { ... yield { line }; }
 * @throws MillraceError ERR_MILLRACE_OPTION when it cannot be iterated. The job fails with
 * ERR_MILLRACE_SOURCE when the iterator throws, with ERR_MILLRACE_SCHEMA when a row does not fit.
 */
export function iterable<const S extends SchemaFields>(
  rows: AnyIterable<RowOf<S>> | (() => AnyIterable<RowOf<S>>),
  options: { readonly schema: S },
): Source<RowOf<S>> {
  if (typeof rows !== 'function' && !isIterable(rows)) refuse(rows);
  checkOptionNames('iterable', options, { schema: true });
  if (options?.schema === undefined) throw new MillraceError('ERR_MILLRACE_SCHEMA', 'iterable: it needs a schema: iterable(rows, { schema: { name: utf8 } }).');
  const schema = toSchema(options.schema);
  return {
    name: 'iterable',
    schema,
    bounded: true,
    isReplayable: false,
    frameRows: (_bytes, first, next) => next - first,
    async open(context) {
      const opened = typeof rows === 'function' ? rows() : rows;
      if (!isIterable(opened)) refuse(opened);
      return new IterableReader(context, schema, opened);
    },
    decoder: (context) => new RowFrameDecoder(context, schema),
  };
}

function isIterable(value: unknown): value is AnyIterable<unknown> {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}

function refuse(value: unknown): never {
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `iterable: got ${shown(value)}, which cannot be iterated. Pass an async iterable, an iterable, or a function that gives one.`,
  );
}

class IterableReader implements SourceReader {
  readonly partitionCount = 1;
  readonly #context: SourceContext;
  readonly #iterator: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #frames: RowFrameWriter;
  #first: Offset;
  #credit: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isDone = false;

  constructor(context: SourceContext, schema: Schema, rows: AnyIterable<unknown>) {
    this.#context = context;
    this.#iterator = Symbol.asyncIterator in rows ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]();
    this.#frames = new RowFrameWriter(schema, 'iterable');
    this.#first = context.from?.get(0) ?? 0;
  }

  async positions(): Promise<CommittedPosition[]> {
    return [{ partition: 0, offset: this.#first, metadata: '' }];
  }

  start(): void {
    // Waiting for the next row counts as looking for it.
    this.#looking = setInterval(() => {
      if (this.#frames.rowCount === 0 && this.#credit === undefined) this.#context.high(0, this.#first);
    }, LOOK_MS);
    this.#pump().catch((error) => {
      clearTimeout(this.#timer);
      clearInterval(this.#looking);
      if (!this.#isClosed) this.#context.fail(error);
    });
  }

  /** Keeps nothing: an iterator cannot be rewound. */
  async commit(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    // An async generator that waits for its next row only answers when it has it. Ask it to end, and do not
    // wait.
    if (!this.#isDone) Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }

  async #pump(): Promise<void> {
    const frames = this.#frames;
    while (!this.#isClosed && !this.#context.signal.aborted) {
      const step = await this.#step();
      if (step.done === true) {
        this.#isDone = true;
        break;
      }
      frames.append(step.value as object, this.#first + frames.rowCount);
      if (frames.isFull) {
        this.#flush();
        await nextTurn(); // an iterator that never waits must not starve the event loop
      } else if (frames.rowCount === 1) this.#timer = setTimeout(() => this.#linger(), LINGER_MS);
      if (this.#credit !== undefined) await this.#credit;
    }
    if (this.#isClosed || !this.#isDone) return;
    clearInterval(this.#looking);
    this.#flush();
    this.#context.end(0);
  }

  async #step(): Promise<IteratorResult<unknown>> {
    try {
      return await this.#iterator.next();
    } catch (cause) {
      this.#isDone = true;
      throw new MillraceError(
        'ERR_MILLRACE_SOURCE',
        `iterable: the iterator failed behind row ${this.#first + this.#frames.rowCount}: ${(cause as Error)?.message ?? shown(cause)}`,
        { cause },
      );
    }
  }

  #linger(): void {
    try {
      this.#flush();
    } catch (error) {
      this.#context.fail(error);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    const count = this.#frames.rowCount;
    if (count === 0 || this.#isClosed) return;
    const first = this.#first;
    this.#first += count;
    this.#context.high(0, this.#first);
    this.#frames.take((bytes) => {
      if (this.#context.emit(0, bytes, first, this.#first)) this.#credit = undefined;
      else this.#credit = this.#context.credit(0);
    });
  }
}
