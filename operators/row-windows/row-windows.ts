/**
 * Windows of rows, not of time: countWindow and globalWindow. Rows are kept by key until their window fires.
 * Then it is evaluated, by a group table for aggregates, by a fold otherwise.
 *
 *   count    fires when it is full: after n rows of a key, then every `slide` rows, with the last n. In the
 *            order of rows
 *   global   all rows of a key; fires after `count` rows, or when `time` has passed since the first row after
 *            it last fired, whichever comes first, and at the end of the input. It keeps its rows, or, with
 *            `purge`, starts empty
 *
 * Time passes by the watermark where there is event time, else by the epoch's clock. No row is late.
 * windowStart and windowEnd are the least and the greatest time of the rows in the result: their event times,
 * or the clocks of their epochs.
 *
 * Windows of one epoch are evaluated in rounds, each with at most one window per key. So one pass over
 * columns serves many keys, and the windows of a key come out in order.
 */

import type { Schema, SlabAllocator } from '../../core/index.ts';
import type { AggregatePlan } from '../aggregate/index.ts';
import { type RowFold, resultSchema } from '../fold/index.ts';
import type { KeyedContext, KeyedInput, KeyedOperatorPlan } from '../keyed/index.ts';
import { describeBuiltIn, describeUserAggregates, type MixedPlan } from '../user-aggregates/index.ts';
import type { RowWindowShape } from '../windows.ts';
import { MixedEvaluator } from './mixed-evaluator.ts';
import { AggregateEvaluator, type Evaluator, FoldEvaluator } from './row-window-evaluation.ts';
import { RowWindows, type RowWindowsSnapshot } from './row-window-shard.ts';

type Evaluation = AggregatePlan | MixedPlan | RowFold;

export interface RowWindowRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly shape: RowWindowShape;
  /** What the rows of a window become: aggregates (planned without a window, with bounds), or a fold. */
  readonly evaluation: Evaluation;
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** The window as explain prints it. */
  readonly title: string;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or two result columns have one name
 */
export function planRowWindow(request: RowWindowRequest): KeyedOperatorPlan {
  const { input, evaluation, eventTime, timeShiftMs, title } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'withWatermark');
  const rows: KeyedInput = { schema: input, keys, columns: columnsOf(request, keys, time), eventTime: -1, timeShiftMs };
  const fields = isFold(evaluation) ? evaluation.fields : evaluation.output.fields.slice(keys.length);
  const output = resultSchema(
    keys.map((key) => input.field(key)),
    true,
    fields,
  );
  // One evaluator per thread, shared by its shards, and released with the last of them.
  const evaluators = new WeakMap<SlabAllocator, { readonly evaluator: Evaluator; shards: number }>();
  return {
    name: 'window of rows',
    isOrdered: true,
    inputs: [rows],
    output,
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { shape: request.shape, evaluation: evaluationFacts(evaluation), eventTime, timeShiftMs } },
    open(context, from) {
      const { slabs } = context;
      const shared = evaluators.get(slabs) ?? { evaluator: evaluatorOf(context, rows, evaluation), shards: 0 };
      evaluators.set(slabs, shared);
      shared.shards++;
      const released = (): void => {
        if (--shared.shards > 0) return;
        evaluators.delete(slabs);
        shared.evaluator.release();
      };
      return new RowWindows(request.shape, rows, time, shared.evaluator, released, context, from as RowWindowsSnapshot | undefined);
    },
    whole: 'which window a row is in follows from the order of the rows',
    describe: () =>
      [
        `${isFold(evaluation) ? evaluation.name : 'aggregate'} by ${request.keys.join(', ') || '(none: one key)'}`,
        `  window    ${title}`,
        '  strategy  rows are kept by key until their window fires',
        ...(isMixed(evaluation)
          ? [
              ...describeUserAggregates(
                evaluation,
                evaluation.split.own.map(() => 'the rows of a window are added when it fires'),
              ),
              ...describeBuiltIn(evaluation),
            ]
          : []),
      ].join('\n'),
  };
}

function evaluationFacts(evaluation: Evaluation): unknown {
  if (isFold(evaluation)) return evaluation.facts;
  return isMixed(evaluation) ? { builtIn: evaluation.builtIn.facts, own: evaluation.ownFields.map(({ name }) => name) } : evaluation.facts;
}

function evaluatorOf({ slabs, failures }: KeyedContext, rows: KeyedInput, evaluation: Evaluation): Evaluator {
  if (isFold(evaluation)) return new FoldEvaluator(slabs, rows, evaluation, failures);
  return isMixed(evaluation) ? new MixedEvaluator(slabs, rows, evaluation, failures) : new AggregateEvaluator(slabs, rows, evaluation);
}

function columnsOf({ input, evaluation }: RowWindowRequest, keys: readonly number[], time: number): number[] {
  if (isFold(evaluation) || isMixed(evaluation)) return input.fields.map((_, c) => c);
  const read = new Set([...keys, time, ...evaluation.columnsRead.map((name) => input.indexOf(name))]);
  return input.fields.flatMap((_, c) => (read.has(c) ? [c] : []));
}

function isFold(evaluation: Evaluation): evaluation is RowFold {
  return 'add' in evaluation;
}

function isMixed(evaluation: Evaluation): evaluation is MixedPlan {
  return 'split' in evaluation;
}
