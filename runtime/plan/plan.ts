/**
 * The plan: what the threads do, as data. planner.ts makes it of the graph that the user built, once, the
 * same on every thread, before any memory exists.
 *
 * Each source, and each result of an exchange, starts a tree of flows. A flow takes batches, runs the row
 * functions between two forks (fused), may note event times, and passes the result to exchanges, sinks, and
 * further flows:
 *
 *   source 0 -> [filter, map] -> watermark 0 -> exchange 0 (by key)
 *   exchange 0 -> windows -> [filter] -> sink 0
 *                              '------> [select] -> exchange 1 -> ... -> sink 1
 */

import type { Schema, WatermarkPolicy } from '../../core/index.ts';
import type { Sink, Source, Task } from '../../io/index.ts';
import type { ExchangeOperator, RowOperation, RowPlan, ViewedRows } from '../../operators/index.ts';
import type { WatermarkStrategy } from './graph.ts';

export interface Plan {
  readonly name: string;
  readonly sources: readonly SourcePlan[];
  readonly watermarks: readonly WatermarkPlan[];
  /** Each comes after those that feed it. */
  readonly exchanges: readonly ExchangePlan[];
  readonly sinks: readonly SinkPlan[];
  /** State that can be read while the job runs. */
  readonly views: readonly ViewPlan[];
  /** Where several processes share the job: which part of it this is. */
  readonly task?: TaskPlan;
}

/** What a task needs to know of the others. */
export interface TaskPlan extends Task {
  /** Among the sources and the sinks of the plan: the topic between the tasks. */
  readonly source: number;
  readonly sink: number;
  /** By exchange: the watermarks whose rows come to it without another exchange between. */
  readonly direct: readonly (readonly number[])[];
}

export interface SourcePlan {
  readonly source: Source;
  readonly flow: FlowPlan;
  /**
   * Sources that are read before this one, up to where they stand at the start: tables that its rows are
   * joined with.
   */
  readonly behind: readonly number[];
  /** What happens to the error rows for what cannot be decoded. */
  readonly rejects: readonly FlowPlan[];
}

export interface WatermarkPlan {
  readonly strategy: WatermarkStrategy;
  /** Of the rows behind it. */
  readonly schema: Schema;
  /** The sources whose rows pass here. */
  readonly sources: readonly number[];
}

/** An operator by key, and what is around it. */
export interface ExchangePlan {
  readonly operator: ExchangeOperator;
  /**
   * Rows carry their places in the epoch: this operator, or one behind it, needs them in the order in which
   * they were read.
   */
  readonly carriesOrder: boolean;
  /** The watermarks whose minimum (policy `max`: maximum) is the event time of this exchange. */
  readonly watermarks: readonly number[];
  /** `max` where all of them have that policy. */
  readonly policy: WatermarkPolicy;
  /**
   * The event time here is less than that by so much: operators above emit rows this long after their time.
   */
  readonly delayMs: number;
  /** The sources whose rows come here. When all have ended, the input has ended. */
  readonly sources: readonly number[];
  /** Exchanges whose results feed this one. */
  readonly upstream: readonly number[];
  /** What happens to the results. */
  readonly flow: FlowPlan;
  /** By input, what happens to late rows; undefined: they are only counted. */
  readonly late: readonly (FlowPlan | undefined)[];
  /** What happens to the error rows for rows on which its functions fail; without any, the job's policy counts. */
  readonly errors: readonly FlowPlan[];
}

/** An input of an exchange: 0, or 1 for the second stream of an operator of two. */
export interface ExchangeTarget {
  readonly exchange: number;
  readonly input: number;
}

export interface SinkPlan {
  readonly sink: Sink;
  readonly schema: Schema;
}

/** The state of an exchange under a name. */
export interface ViewPlan {
  readonly name: string;
  readonly exchange: number;
  /** That of the exchange, which is viewable. */
  readonly operator: ExchangeOperator;
  /** Where the exchange is there for the view alone: the rows that it keeps. */
  readonly rows: ViewedRows | undefined;
}

/** What happens to the batches that arrive somewhere. */
export interface FlowPlan {
  readonly rows: RowPlan;
  /** The operations that `rows` fuses, for explain. */
  readonly operations: readonly RowOperation[];
  /** The watermark that notes the event times of the rows, if any. */
  readonly watermark: number | undefined;
  readonly exchanges: readonly ExchangeTarget[];
  readonly sinks: readonly number[];
  readonly next: readonly FlowPlan[];
  /** Rows wait for an asynchronous function, and go on in the flow behind it; there is no other way on then. */
  readonly lookup?: LookupPlan | undefined;
  /** Where rows that fail go, and for which of `operations`; without any, a failure ends the job. */
  readonly errors: readonly ErrorsPlan[];
}

export interface LookupPlan {
  readonly operation: Extract<RowOperation, { kind: 'enrich' }>;
  /** Of the rows that wait, and with the columns that are added. */
  readonly input: Schema;
  readonly output: Schema;
  readonly flow: FlowPlan;
  /** Where rows go for which the function fails. */
  readonly errors: readonly FlowPlan[];
}

export interface ErrorsPlan {
  readonly covers: readonly boolean[];
  readonly flow: FlowPlan;
}

/** The event time of an exchange, by its watermarks: -Infinity without any. */
export function eventTimeOf(
  { watermarks, policy, delayMs }: Pick<ExchangePlan, 'watermarks' | 'policy' | 'delayMs'>,
  at: (watermark: number) => number,
): number {
  if (watermarks.length === 0) return Number.NEGATIVE_INFINITY;
  let time = at(watermarks[0] as number);
  for (const watermark of watermarks) time = policy === 'max' ? Math.max(time, at(watermark)) : Math.min(time, at(watermark));
  return time - delayMs;
}
