/**
 * The row functions of a stage (filter, map, flatMap, select, keyBy, mapBatches), compiled into one loop over
 * columns.
 *
 * A function that is a pure expression over the row is emitted over the columns. Any other is called from the
 * loop with a fresh object that has just the columns it reads. Both give the answers of
 * `rows.filter(fn).map(fn)`, as does the interpreted form where code from strings is forbidden. Row functions
 * have no state, no time and no I/O.
 *
 *   operations --planRows--> RowPlan --instantiate (per worker)--> RowProgram --run(batch, emit)--> batches
 *
 * Parts, in the order a function passes them: operation (as the user wrote it), parse (source to shape and
 * columns), expression (text over columns; builtins, in-place: what it may call, and what needs no value),
 * planner (steps of one loop: loop-plan), loop (the text around them), interpret (the same without code),
 * program (runs them), gather (columns that pass through).
 *
 * Each operation sees a fresh row: nobody else sees what a function writes into its row.
 */

import { type Batch, MillraceError, type Schema } from '../../core/index.ts';
import { BatchSegment } from './batch-segment.ts';
import type { LoopPlan, OperationNote, PlanMode } from './loop-plan.ts';
import { type LoopOperation, type RowOperation, schemaAfter } from './operation.ts';
import { planLoop } from './planner.ts';
import { LoopSegment, type Report, type RowContext, type Segment, shownRow } from './program.ts';

export type { RowOperation } from './operation.ts';
export type { RowContext } from './program.ts';

export interface RowPlanOptions {
  /**
   * False: call the functions row by row instead of generating code. Default: true where the process allows
   * code from strings.
   */
  readonly codeGeneration?: boolean;
  /** False: call every function as a closure, emit no expression. For tests and benchmarks. */
  readonly expressions?: boolean;
  /** False: nobody can see at which row a function is (RowContext.atWork). For benchmarks. */
  readonly watched?: boolean;
}

export interface RowProgram {
  /**
   * Runs a batch through the operations. `emit` is called with zero or more batches that have rows. An output
   * batch is valid until `emit` returns. Columns that are not needed downstream hold nothing. Without
   * operations the batch itself is emitted.
   *
   * @throws MillraceError ERR_MILLRACE_USER_FUNCTION when a row fails and `onError` says 'fail'
   */
  run(batch: Batch, emit: (out: Batch) => void): void;
  /**
   * The row of the batch given to `run` that gave row `row` of the last output batch (exact except behind
   * mapBatches).
   */
  originOf(row: number): number;
  release(): void;
}

export interface RowPlan {
  readonly outputSchema: Schema;
  /** Positions in the input schema of the columns that must be decoded. */
  readonly columnsRead: readonly number[];
  /** One line per operation: `filter: expression over price, qty`, `map: closure reading page`. */
  describe(): readonly string[];
  /** The outcome for each operation. Anything not listed here is up to the functions. */
  readonly notes: readonly OperationNote[];
  /** The generated texts, for tests and explain. */
  readonly code: readonly string[];
  instantiate(context: RowContext): RowProgram;
}

interface Part {
  readonly input: Schema;
  readonly first: number;
  readonly operations: readonly RowOperation[];
}

/**
 * Plans a chain of row operations.
 *
 * @param needed positions in the output schema of the columns that are read downstream
 * @throws MillraceError ERR_MILLRACE_PIPELINE for an unknown column, an async or generator function, or what
 * is not a function
 */
export function planRows(input: Schema, operations: readonly RowOperation[], needed: readonly number[] | 'all', options: RowPlanOptions = {}): RowPlan {
  const mode: PlanMode = { generate: options.codeGeneration ?? mayGenerate(), expressions: options.expressions ?? true, watched: options.watched ?? true };
  const parts = cut(input, operations);
  const outputSchema = operations.reduce(schemaAfter, input);
  // From last to first: the columns that a part reads are those that the one before it must give.
  let wanted = needed;
  const plans: (LoopPlan | (RowOperation & { kind: 'mapBatches' }))[] = [];
  for (const part of parts.toReversed()) {
    const [operation] = part.operations;
    if (operation?.kind === 'mapBatches') {
      if (typeof operation.fn !== 'function')
        throw new MillraceError('ERR_MILLRACE_PIPELINE', `mapBatches #${part.first} needs a function of a batch and an output builder.`);
      plans.unshift(operation);
      wanted = 'all';
    } else {
      const plan = planLoop(part.input, part.operations as LoopOperation[], part.first, wanted, mode);
      plans.unshift(plan);
      wanted = plan.columnsRead;
    }
  }
  const columnsRead = wanted === 'all' ? input.fields.map((_, c) => c) : [...wanted];
  const notes = plans.flatMap((plan): readonly OperationNote[] =>
    plan.kind === 'loop' ? plan.notes : [{ kind: 'mapBatches', how: '', reads: 'the whole batch' }],
  );
  return {
    outputSchema,
    columnsRead,
    notes,
    describe: () => notes.map(({ kind, how, reads }) => `${kind}: ${how}${how === '' ? '' : ' '}${reads}`),
    code: plans.flatMap((plan) => (plan.kind === 'loop' && plan.code ? [plan.code.text] : [])),
    instantiate(context) {
      return new Program(
        context,
        operations,
        parts,
        (report, at) => {
          const plan = plans[at] as (typeof plans)[number];
          // The rows of later parts are none of the batch that came.
          const { atWork, ...others } = context;
          return plan.kind === 'loop'
            ? new LoopSegment(plan, at === 0 || atWork === undefined ? context : others, report)
            : new BatchSegment(plan, (parts[at] as Part).first, context, report);
        },
        plans.map((plan, at) => (plan.kind === 'loop' ? plan.columnsRead : (parts[at] as Part).input.fields.map((_, c) => c))),
      );
    },
  };
}

/** Cuts the chain after every flatMap, and around every mapBatches. */
function cut(input: Schema, operations: readonly RowOperation[]): Part[] {
  const parts: { input: Schema; first: number; operations: RowOperation[] }[] = [];
  let schema = input;
  let isOpen = false;
  operations.forEach((operation, at) => {
    if (!isOpen || operation.kind === 'mapBatches') parts.push({ input: schema, first: at + 1, operations: [] });
    (parts.at(-1) as (typeof parts)[number]).operations.push(operation);
    isOpen = operation.kind !== 'flatMap' && operation.kind !== 'mapBatches';
    schema = schemaAfter(schema, operation);
  });
  return parts;
}

let generates: boolean | undefined;

/** Whether this process allows code from strings. */
function mayGenerate(): boolean {
  if (generates === undefined) {
    try {
      generates = new Function('return true')() === true;
    } catch {
      generates = false;
    }
  }
  return generates;
}

class Program implements RowProgram {
  readonly #segments: readonly Segment[];
  readonly #entries: readonly ((batch: Batch) => void)[];
  #emit: (out: Batch) => void = () => {};

  constructor(
    context: RowContext,
    operations: readonly RowOperation[],
    parts: readonly Part[],
    make: (report: Report, at: number) => Segment,
    decoded: readonly (readonly number[])[],
  ) {
    this.#segments = parts.map((_, at) => {
      const report: Report = (cause, batch, row, number) => {
        let origin = row;
        for (let before = at - 1; before >= 0; before--) origin = (this.#segments[before] as Segment).originOf(origin);
        const operation = `${operations[number - 1]?.kind} #${number}`;
        const reason = cause instanceof Error ? `${cause.name === 'MillraceError' ? '' : `${cause.name}: `}${cause.message}` : String(cause);
        const error = new MillraceError(
          'ERR_MILLRACE_USER_FUNCTION',
          `${operation} failed on row ${origin} ${shownRow(batch, row, decoded[at] ?? [])}: ${reason}`,
          { cause },
        );
        if (context.onError(error, origin, operation) === 'fail') throw error;
      };
      return make(report, at);
    });
    // The output of each segment goes straight into the next, so that origins can be traced back while it is
    // used.
    const entries: ((batch: Batch) => void)[] = [(batch) => this.#emit(batch)];
    for (const segment of this.#segments.toReversed()) {
      const next = entries[0] as (batch: Batch) => void;
      entries.unshift((batch) => {
        // Of a part that is one call, or whose rows were made by an earlier one, no row is known.
        if (context.atWork !== undefined) context.atWork[0] = -1;
        segment.run(batch, next);
      });
    }
    this.#entries = entries;
  }

  run(batch: Batch, emit: (out: Batch) => void): void {
    this.#emit = emit;
    (this.#entries[0] as (batch: Batch) => void)(batch);
  }

  originOf(row: number): number {
    let origin = row;
    for (let at = this.#segments.length - 1; at >= 0; at--) origin = (this.#segments[at] as Segment).originOf(origin);
    return origin;
  }

  release(): void {
    for (const segment of this.#segments) segment.release();
  }
}
