/**
 * Look-ups: rows that wait for an asynchronous function of the user, as of Flink's asynchronous I/O. While a
 * chunk is scanned, or the shards of an exchange end their epoch, rows gather here. Then the thread waits until
 * all answers are there, so many calls at a time, and the rows go on in the order in which they came, with the
 * columns that the function gave. An epoch ends when its last answer is there: what is committed has seen it.
 *
 * A restart makes the calls again for the rows that it reads again, and may get other answers. Exactly-once,
 * each row has the answer that its checkpoint was made with.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyRow, type Batch, BatchBuilder, MillraceError, type SlabAllocator, shown } from '../../core/index.ts';
import { placesOf } from '../../operators/index.ts';
import { type LookupPlan, type RowCoordinates, valuesText } from '../plan/index.ts';
import { AnswerCache } from './answer-cache.ts';
import type { Place, RowTrail } from './place.ts';

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;

export interface LookupsParts {
  readonly plan: LookupPlan;
  readonly slabs: SlabAllocator;
  readonly batchRows: number;
  readonly place: Place;
  /** Takes a row for which the function failed for good; throws where that ends the job. */
  failed(error: MillraceError, coordinates: RowCoordinates, row: string): void;
}

/** A flow, as its rows go on. */
export interface Onward {
  run(batch: Batch): void;
}

interface WaitingRow {
  readonly row: AnyRow;
  readonly coordinates: RowCoordinates;
  readonly place: number;
  /** What the function gave, once it has. */
  answer: AnyRow | MillraceError | undefined;
}

export class Lookups<T extends Onward = Onward> {
  /** The flow of the rows with their answers, then those that take failures. */
  flows: readonly T[] = [];
  readonly #parts: LookupsParts;
  readonly #builder: BatchBuilder;
  readonly #cache: AnswerCache | undefined;
  readonly #added: readonly string[];
  /** By where they are of: a shard, or 0 for a chunk. */
  #waiting = new Map<number, WaitingRow[]>();
  /** Rows of the batch that goes on. */
  #going: readonly WaitingRow[] = [];
  /** Where the rows that come are of. */
  origin = 0;

  constructor(parts: LookupsParts) {
    const { plan, slabs, batchRows } = parts;
    this.#parts = parts;
    this.#builder = new BatchBuilder(slabs, plan.output, batchRows);
    const { cache, schema } = plan.operation;
    this.#cache = cache === undefined ? undefined : new AnswerCache(cache);
    this.#added = schema.fields.map(({ name }) => name);
  }

  /** By which the rows that go on are traced back. */
  readonly trail: RowTrail = {
    program: { originOf: (row) => row },
    parent: undefined,
    offsetAt: (row) => this.#going[row]?.coordinates.offset ?? -1,
    placeAt: (row) => this.#going[row]?.place ?? Number.POSITIVE_INFINITY,
  };

  /** Takes the rows of a batch, which is valid during the call. */
  add(batch: Batch, from: RowTrail): void {
    const { place } = this.#parts;
    let rows = this.#waiting.get(this.origin);
    if (rows === undefined) this.#waiting.set(this.origin, (rows = []));
    for (const [at, row] of batch.toRows().entries()) {
      rows.push({ row, coordinates: place.coordinates(from, at), place: this.#placeOf(from, at), answer: undefined });
    }
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** The origins of rows that wait. */
  get origins(): readonly number[] {
    return [...this.#waiting.keys()];
  }

  /** Calls the function for all rows that wait. Undefined: it has answered at once. */
  ask(): Promise<void> | undefined {
    const { fn, concurrency } = this.#parts.plan.operation;
    const all = [...this.#waiting.values()].flat();
    const { rows, share } = this.#cache === undefined ? { rows: all, share: undefined } : this.#firstOfEach(all, this.#cache);
    // Functions of tests may answer at once, and nobody has to wait then.
    for (const [at, waiting] of rows.entries()) {
      const given = this.#callAtOnce(fn, waiting.row);
      if (given instanceof Promise) return this.#askAll(rows, at, given, concurrency).then(share);
      waiting.answer = given;
    }
    share?.();
    return undefined;
  }

  /** With kept answers: the rows to ask for, one of each that need the same answer. `share` gives it to the others. */
  #firstOfEach(all: readonly WaitingRow[], cache: AnswerCache): { readonly rows: readonly WaitingRow[]; readonly share: () => void } {
    const firsts = new Map<string, WaitingRow>();
    const others: [WaitingRow, WaitingRow][] = [];
    for (const waiting of all) {
      const key = cache.keyOf(waiting.row);
      const first = firsts.get(key);
      if (first !== undefined) others.push([waiting, first]);
      else {
        waiting.answer = cache.get(key);
        if (waiting.answer === undefined) firsts.set(key, waiting);
      }
    }
    const share = (): void => {
      for (const [waiting, { answer }] of others) waiting.answer = answer;
      for (const [key, { answer }] of firsts) if (answer !== undefined && !(answer instanceof MillraceError)) cache.set(key, answer);
    };
    return { rows: [...firsts.values()], share };
  }

  /** Lets the rows of an origin go on, in their order. */
  release(origin: number): void {
    const rows = this.#waiting.get(origin) ?? [];
    this.#waiting.delete(origin);
    const { batchRows } = this.#parts;
    let going: WaitingRow[] = [];
    const builder = this.#builder;
    builder.reset();
    const pass = (): void => {
      if (going.length === 0) return;
      this.#going = going;
      (this.flows[0] as T).run(builder.finish());
      this.#going = [];
      going = [];
      builder.reset();
    };
    for (const waiting of rows) {
      const fault = this.#append(waiting);
      if (fault !== undefined) {
        // In their order: those before it have gone on.
        pass();
        this.#parts.failed(fault, waiting.coordinates, valuesText(waiting.row));
      } else if (going.push(waiting) === batchRows) pass();
    }
    pass();
  }

  /** Appends a row with its answer to the batch; returns why it cannot. */
  #append({ row, answer }: WaitingRow): MillraceError | undefined {
    if (answer instanceof MillraceError) return answer;
    try {
      this.#builder.appendRow({ ...row, ...answer });
      return undefined;
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      return new MillraceError(error.code, `enrich: ${error.message}`, { cause: error });
    }
  }

  #placeOf(from: RowTrail, row: number): number {
    if (this.#parts.place.stage === 0) return row;
    let origin = row;
    let input: Batch | undefined;
    for (let at: RowTrail | undefined = from; at !== undefined; at = at.parent) {
      if (at.placeAt !== undefined) return at.placeAt(origin);
      origin = at.program.originOf(origin);
      input = at.input;
    }
    return (input === undefined ? undefined : placesOf(input)?.[origin]) ?? Number.POSITIVE_INFINITY;
  }

  async #askAll(rows: readonly WaitingRow[], from: number, first: Promise<unknown>, concurrency: number): Promise<void> {
    let next = from;
    const lane = async (begun?: Promise<unknown>): Promise<void> => {
      for (let call = begun; next < rows.length; call = undefined) {
        const waiting = rows[next++] as WaitingRow;
        waiting.answer = await this.#answer(waiting.row, call);
      }
    };
    // The first has been called already, for the row at `from`.
    await Promise.all(Array.from({ length: Math.min(concurrency, rows.length - from) }, (_, i) => lane(i === 0 ? first : undefined)));
  }

  /** Calls a function that may answer at once; what it throws is tried again, asynchronously. */
  #callAtOnce(fn: LookupPlan['operation']['fn'], row: AnyRow): AnyRow | MillraceError | Promise<unknown> {
    const abort = new AbortController();
    try {
      const given = fn({ ...row }, { signal: abort.signal });
      if (isThenable(given)) return timed(Promise.resolve(given), abort, this.#parts.plan.operation.timeoutMs);
      return this.#rowOf(given);
    } catch (error) {
      if (this.#parts.plan.operation.retries === 0) return failure(error, 1);
      return Promise.reject(error);
    }
  }

  /** @param begun the first call, where it was made already */
  async #answer(row: AnyRow, begun: Promise<unknown> | undefined): Promise<AnyRow | MillraceError> {
    const { fn, timeoutMs, retries } = this.#parts.plan.operation;
    for (let attempt = 0, call = begun; ; attempt++, call = undefined) {
      try {
        if (call === undefined) {
          const abort = new AbortController();
          call = timed(Promise.resolve(fn({ ...row }, { signal: abort.signal })), abort, timeoutMs);
        }
        return this.#rowOf(await call);
      } catch (error) {
        if (attempt >= retries) return failure(error, attempt + 1);
        await sleep(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** attempt));
      }
    }
  }

  /** The columns that are added, of what the function gave. Nothing: they are null. */
  #rowOf(given: unknown): AnyRow {
    if (typeof given !== 'object' && given !== undefined) throw new Error(`it gave ${shown(given)} in place of an object with ${this.#added.join(', ')}`);
    const answer = (given ?? {}) as Readonly<Record<string, unknown>>;
    // Own members only: a column may be called like one of every object.
    return Object.fromEntries(this.#added.map((name) => [name, Object.hasOwn(answer, name) ? (answer[name] ?? null) : null])) as AnyRow;
  }
}

/** A call that fails when it takes too long; its signal is aborted then. */
async function timed(call: Promise<unknown>, abort: AbortController, timeoutMs: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const reason = new Error(`it did not answer within ${timeoutMs} ms (timeout)`);
      abort.abort(reason);
      reject(reason);
    }, timeoutMs);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}

function failure(error: unknown, attempts: number): MillraceError {
  const words = error instanceof Error ? error.message : shown(error);
  return new MillraceError('ERR_MILLRACE_USER_FUNCTION', `The function of enrich() failed${attempts === 1 ? '' : ` ${attempts} times`}: ${words}`, {
    cause: error,
  });
}
