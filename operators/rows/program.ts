/**
 * Runs the planned loops over batches. It hands them addresses, reports failed rows, gathers what passes
 * through, and knows which input row gave which output row. It owns the output columns.
 */

import {
  assert,
  Batch,
  BatchBuilder,
  type Column,
  type ElementType,
  gather,
  listOf,
  MillraceError,
  memberOf,
  readText,
  type SharedMemory,
  type SlabAllocator,
  shown,
} from '../../core/index.ts';
import { interpretedLoop } from './interpret.ts';
import { ADDRESSES_A_COLUMN, HELPERS, type HelperName, STATE } from './loop.ts';
import type { LoopPlan } from './loop-plan.ts';
import {
  bytesAt,
  bytesWithin,
  converted,
  emitReturned,
  fitted,
  ownValue,
  plainBytes,
  refusePromise,
  refuseValue,
  requireRow,
  textLength,
  wellFormed,
  writeBinary,
  writeList,
  writeText,
} from './values.ts';

export interface RowContext {
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  /** Most rows in an output batch of a program; larger input batches are taken in pieces. A multiple of 8. */
  readonly batchRows: number;
  /**
   * Called with a failed row. Says whether to leave it out ('skip') or to give up ('fail': `run` throws the
   * error).
   *
   * @param row position in the batch given to `run`
   * @param operation `filter #2`: kind and number in the chain, from 1
   */
  onError(error: MillraceError, row: number, operation: string): 'fail' | 'skip';
  /**
   * Two words that other threads see: the row that a function is called for, relative to the second word; -1:
   * unknown. Default: nobody watches.
   */
  readonly atWork?: Int32Array;
}

/** One part of a program: batches in, batches out. */
export interface Segment {
  run(batch: Batch, emit: (out: Batch) => void): void;
  /** The row of the batch given to `run` that gave row `row` of the last output batch. */
  originOf(row: number): number;
  release(): void;
}

/** Reports a failed row of a segment's own input. Says whether to skip it. */
export type Report = (cause: unknown, batch: Batch, row: number, operation: number) => void;

const NOTHING = { data: 0, offsets: 0, validity: 0 } as const;

type LoopFunction = (rowCount: number) => void;

interface Out {
  readonly builder: BatchBuilder;
  readonly origins: Int32Array;
}

export class LoopSegment implements Segment {
  readonly #plan: LoopPlan;
  readonly #context: RowContext;
  readonly #report: Report;
  readonly #state = new Int32Array(Object.keys(STATE).length);
  readonly #addressesIn: number[];
  readonly #addressesOut: number[];
  readonly #select: LoopFunction | undefined;
  readonly #compute: LoopFunction | undefined;
  #isSelected = false;
  /** Valid bits for columns without nulls. */
  readonly #ones: number;
  /** Builders in use, the current one last. Only a flatMap has more than one, within one row. */
  #outs: Out[];
  #spare: Out[] = [];
  readonly #originsHolder: Int32Array[];
  /**
   * Rows that the filters at the head left. The loop overwrites them with the origins as it goes, except for
   * a flatMap.
   */
  readonly #selection: Int32Array;
  readonly #capacity: number;
  readonly #atWork: Int32Array;
  #batch: Batch | undefined;
  #base = 0;
  #origins: Int32Array | undefined;

  constructor(plan: LoopPlan, context: RowContext, report: Report) {
    this.#plan = plan;
    this.#context = context;
    this.#report = report;
    this.#atWork = context.atWork ?? new Int32Array(2);
    this.#outs = [this.#newOut(context.batchRows)];
    const first = this.#outs[0] as Out;
    this.#capacity = first.builder.capacity;
    this.#originsHolder = [first.origins];
    this.#selection = plan.expands ? new Int32Array(this.#capacity) : first.origins;
    this.#ones = context.slabs.alloc(this.#capacity / 8);
    context.memory.u8.fill(0xff, this.#ones, this.#ones + this.#capacity / 8);
    this.#addressesIn = new Array(plan.loaded.reduce((a, b) => Math.max(a, b), -1) * ADDRESSES_A_COLUMN + ADDRESSES_A_COLUMN).fill(0);
    this.#addressesOut = new Array(plan.written.length * ADDRESSES_A_COLUMN).fill(0);
    this.#state[STATE.capacity] = this.#capacity;
    [this.#select, this.#compute] = this.#makeLoop();
  }

  run(batch: Batch, emit: (out: Batch) => void): void {
    for (let from = 0; from < batch.rowCount; from += this.#capacity) {
      const piece = batch.slice(from, Math.min(from + this.#capacity, batch.rowCount));
      this.#base = from;
      this.#atWork[1] = from;
      if (this.#plan.hasLoop) this.#runPiece(piece, emit);
      else {
        this.#origins = undefined;
        emit(this.#output(piece, undefined, piece.rowCount));
      }
    }
  }

  originOf(row: number): number {
    return this.#base + (this.#origins === undefined ? row : (this.#origins[row] as number));
  }

  release(): void {
    for (const { builder } of [...this.#outs, ...this.#spare]) builder.release();
    this.#context.slabs.free(this.#ones);
  }

  #runPiece(batch: Batch, emit: (out: Batch) => void): void {
    const state = this.#state;
    this.#batch = batch;
    // More than one is left only by a run that ended in an error.
    this.#spare.push(...this.#outs.splice(1));
    this.#takeAddresses(batch);
    (this.#outs[0] as Out).builder.reset();
    this.#giveAddresses();
    state[STATE.position] = 0;
    state[STATE.selected] = 0;
    this.#isSelected = false;
    state[STATE.rowsOut] = 0;
    // A filter may fail before the first row reaches the flatMap behind it.
    state[STATE.rowsOutBefore] = 0;
    state[STATE.pending] = 0;
    state[STATE.emitting] = 0;
    for (;;) {
      try {
        this.#runLoop(batch.rowCount);
      } catch (cause) {
        this.#failed(cause, batch);
        continue;
      }
      if (state[STATE.pending] === 0) break;
      this.#flushFull(batch, emit);
    }
    const count = state[STATE.rowsOut] as number;
    if (count > 0) this.#emit(batch, this.#outs[0] as Out, count, emit);
  }

  #runLoop(rowCount: number): void {
    const state = this.#state;
    if (this.#select !== undefined && !this.#isSelected) {
      this.#select(rowCount);
      this.#isSelected = true;
      state[STATE.position] = 0;
    }
    const count = this.#select === undefined ? rowCount : (state[STATE.selected] as number);
    if (this.#compute === undefined) state[STATE.rowsOut] = count;
    else this.#compute(count);
  }

  #emit(batch: Batch, out: Out, count: number, emit: (out: Batch) => void): void {
    // Origins ascend without repeating unless a flatMap made them, so as many as rows came in means all of
    // them.
    this.#origins = !this.#plan.expands && count === batch.rowCount ? undefined : out.origins;
    emit(this.#output(batch, out, count));
  }

  #output(batch: Batch, out: Out | undefined, count: number): Batch {
    const { outputs, outputSchema } = this.#plan;
    const columns = outputs.map((output, c): Column => {
      const { type } = outputSchema.field(c);
      if (output.from === 'nowhere') return { type, ...NOTHING };
      if (output.from === 'input' && this.#origins === undefined) {
        const { data, offsets, validity } = batch.column(output.column);
        return { type, data, offsets, validity: type.nullable ? validity : 0 };
      }
      const space = out?.builder.columns[output.place];
      assert(out && space, 'a column that is written');
      const { validity: fromValidity } = output.from === 'input' ? batch.column(output.column) : { validity: 1 };
      if (output.from === 'input') gather(out.builder, batch.column(output.column), space, out.origins, count);
      return { type, data: space.data, offsets: space.offsets, validity: fromValidity === 0 ? 0 : space.validity };
    });
    return new Batch(batch.memory, outputSchema, count, columns);
  }

  /** Reports the row at which the loop stopped, undoes what the loop wrote for it, and steps over it. */
  #failed(cause: unknown, batch: Batch): void {
    const state = this.#state;
    const position = state[STATE.position] as number;
    const row = !this.#isSelected ? position : (this.#selection[position] as number);
    if (this.#plan.expands) {
      this.#spare.push(...this.#outs.splice(1));
      state[STATE.pending] = 0;
      state[STATE.emitting] = 0;
      state[STATE.rowsOut] = state[STATE.rowsOutBefore] as number;
      this.#giveAddresses();
    }
    // Lack of memory is not the row's fault.
    if (cause instanceof MillraceError && cause.code === 'ERR_MILLRACE_MEMORY') throw cause;
    this.#report(cause, batch, row, state[STATE.operation] as number);
    const { u8 } = this.#context.memory;
    const { builder } = this.#outs[0] as Out;
    for (let at = state[STATE.rowsOut] as number; at < builder.capacity; at++) {
      for (const { validity } of builder.columns) if (validity !== 0) u8[validity + (at >>> 3)] = (u8[validity + (at >>> 3)] as number) | (1 << (at & 7));
      if (!this.#plan.expands) break;
    }
    state[STATE.position] = position + 1;
  }

  /** Emits the builders that one row's flatMap filled. The last one, not yet full, becomes the only one. */
  #flushFull(batch: Batch, emit: (out: Batch) => void): void {
    const outs = this.#outs;
    const current = outs.at(-1) as Out;
    for (const out of outs.slice(0, -1)) {
      this.#emit(batch, out, this.#capacity, emit);
      this.#spare.push(out);
    }
    this.#outs = [current];
    this.#state[STATE.pending] = 0;
  }

  #nextBuilder(): void {
    const out = this.#spare.pop() ?? this.#newOut(this.#capacity);
    out.builder.reset();
    this.#outs.push(out);
    this.#state[STATE.pending] = (this.#state[STATE.pending] as number) + 1;
    this.#state[STATE.rowsOut] = 0;
    this.#giveAddresses();
  }

  #newOut(rows: number): Out {
    const builder = new BatchBuilder(this.#context.slabs, this.#plan.written, rows);
    return { builder, origins: new Int32Array(builder.capacity) };
  }

  #takeAddresses(batch: Batch): void {
    for (const c of this.#plan.loaded) {
      const { data, offsets, validity } = batch.column(c);
      this.#addressesIn[c * ADDRESSES_A_COLUMN] = data;
      this.#addressesIn[c * ADDRESSES_A_COLUMN + 1] = offsets;
      this.#addressesIn[c * ADDRESSES_A_COLUMN + 2] = validity === 0 ? this.#ones : validity;
    }
  }

  #giveAddresses(): void {
    const { builder, origins } = this.#outs.at(-1) as Out;
    this.#originsHolder[0] = origins;
    builder.columns.forEach(({ data, offsets, validity }, place) => {
      this.#addressesOut[place * ADDRESSES_A_COLUMN] = data;
      this.#addressesOut[place * ADDRESSES_A_COLUMN + 1] = offsets;
      this.#addressesOut[place * ADDRESSES_A_COLUMN + 2] = validity;
    });
  }

  #makeLoop(): readonly [select: LoopFunction | undefined, compute: LoopFunction | undefined] {
    const { code, expands } = this.#plan;
    const builder = () => (this.#outs.at(-1) as Out).builder;
    const nextBuilder = () => this.#nextBuilder();
    if (code === undefined) {
      const host = {
        state: this.#state,
        atWork: this.#atWork,
        batch: () => this.#batch as Batch,
        builder,
        origins: () => this.#originsHolder[0] as Int32Array,
        nextBuilder,
        refuseLate,
      };
      return [undefined, interpretedLoop(this.#plan, host)];
    }
    const { memory } = this.#context;
    const helpers: Record<HelperName, unknown> = {
      readText: (start: number, end: number) => readText(memory, start, end),
      readBytes: (start: number, end: number) => memory.u8.slice(start, end),
      textLength: (start: number, end: number) => textLength(memory, start, end),
      bytesAt: (start: number, bytes: Uint8Array) => bytesAt(memory, start, bytes),
      bytesWithin: (start: number, end: number, bytes: Uint8Array) => bytesWithin(memory, start, end, bytes),
      requireRow,
      refusePromise,
      refuseValue,
      refuseLate,
      nextBuilder,
      writeText: (place: number, row: number, text: string | null) => writeText(builder(), builder().columns[place] as never, row, text),
      writeBinary: (place: number, row: number, bytes: Uint8Array | null) => writeBinary(builder(), builder().columns[place] as never, row, bytes),
      ownValue,
      wellFormed,
      plainBytes,
      isBytes: (value: unknown) => value instanceof Uint8Array,
      emitReturned,
      converted,
      readList: (element: ElementType, start: number, end: number) => listOf(element, readText(memory, start, end)),
      fitted,
      writeList: (place: number, row: number, value: readonly unknown[] | null) => writeList(builder(), builder().columns[place] as never, row, value),
      memberOf,
    };
    // Every program gets code of its own: V8's type feedback is not shared with other pipelines.
    const factory = new Function('me0', 'ka0', 'he0', 'st0', 'ai0', 'ao0', 'or0', 'se0', 'wo0', code.text);
    return factory(
      memory,
      code.constants,
      HELPERS.map((name) => helpers[name]),
      this.#state,
      this.#addressesIn,
      this.#addressesOut,
      expands ? this.#originsHolder : (this.#originsHolder[0] as Int32Array),
      this.#selection,
      this.#atWork,
    );
  }
}

function refuseLate(): never {
  throw new MillraceError(
    'ERR_MILLRACE_USER_FUNCTION',
    'A flatMap function called emit after it had returned. Emit while the function runs; do what must wait in a source or a sink.',
  );
}

/** The decoded columns of a failed row, for the message. */
export function shownRow(batch: Batch, row: number, columns: readonly number[]): string {
  const parts: string[] = [];
  for (const c of columns) {
    parts.push(`${shown(batch.schema.field(c).name)}: ${shown(batch.value(c, row))}`);
    if (parts.join(', ').length > 300) return `{${parts.join(', ')}, ...}`;
  }
  return `{${parts.join(', ')}}`;
}
