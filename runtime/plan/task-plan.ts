/**
 * The plan of one task of a job that several processes share. Each task reads some partitions of the sources, and has
 * some of the shards of every exchange. What its scans leave for an exchange goes to the tasks that have the shards,
 * through a topic; what it has to merge comes to it from there. So the plan is the pipeline's, with that topic as one
 * more sink and one more source.
 */

import { MillraceError, SHARD_COUNT, shown } from '../../core/index.ts';
import { EXCHANGE_ROWS, type SharedSource, type Source, type Task } from '../../io/index.ts';
import { planRows } from '../../operators/index.ts';
import type { ExchangePlan, FlowPlan, Plan, SourcePlan } from './plan.ts';

type Shared = SharedSource<Source>;

export const TASK_COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];

/** The shards of a task: from the first to the second, exclusive. */
export function shardsOf(index: number, count: number): readonly [number, number] {
  const size = SHARD_COUNT / count;
  return [index * size, (index + 1) * size];
}

/** The name of a task: of its state, and of its transactions. */
export function taskName(pipeline: string, { index, count }: Task): string {
  return `${pipeline}.${index + 1}of${count}`;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE where tasks cannot share the pipeline, with the reason
 */
export function planOfTask(plan: Plan, task: Task): Plan {
  const [first] = mustBeShareable(plan);
  const { source, sink } = (first as Shared).exchange(plan.name, task);
  const tables = new Set(plan.sources.flatMap(({ behind }) => behind));
  // Rows that wait for tables wait until all tasks have sent what they have of them. A table that waits for another one
  // waits for this task's part of it: nothing comes of either before the rows.
  const sources = plan.sources.map(
    (of, index): SourcePlan => ({
      ...of,
      source: (of.source.shared as Shared).part(task),
      behind: of.behind.length === 0 || tables.has(index) ? of.behind : [...of.behind, plan.sources.length],
    }),
  );
  const direct = plan.exchanges.map(() => new Set<number>());
  for (const { flow } of plan.sources) noteDirect(flow, undefined, direct);
  return {
    ...plan,
    name: taskName(plan.name, task),
    sources: [...sources, { source, flow: nothing(source.schema), behind: [], rejects: [] }],
    // What a join with a table gives does not depend on it.
    exchanges: plan.exchanges.map((exchange) => ({ ...exchange, carriesOrder: false })),
    sinks: [...plan.sinks, { sink, schema: EXCHANGE_ROWS }],
    task: { ...task, source: sources.length, sink: plan.sinks.length, direct: direct.map((of) => [...of].sort((a, b) => a - b)) },
  };
}

/** The watermarks that rows pass on their way from a source to the exchanges that its flow feeds. */
function noteDirect({ watermark: own, exchanges, next, lookup }: FlowPlan, above: number | undefined, direct: readonly Set<number>[]): void {
  const watermark = own ?? above;
  if (watermark !== undefined) for (const { exchange } of exchanges) direct[exchange]?.add(watermark);
  for (const flow of [...next, ...(lookup === undefined ? [] : [lookup.flow])]) noteDirect(flow, watermark, direct);
}

/** Its batches are for the engine itself. */
function nothing(schema: SourcePlan['source']['schema']): FlowPlan {
  return { rows: planRows(schema, [], [schema.indexOf('value')]), operations: [], watermark: undefined, exchanges: [], sinks: [], next: [], errors: [] };
}

/**
 * @returns by source: how it is shared
 * @throws MillraceError ERR_MILLRACE_PIPELINE where tasks cannot share the pipeline, with the reason
 */
export function mustBeShareable(plan: Plan): Shared[] {
  const refused = (why: string): MillraceError =>
    new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The pipeline ${shown(plan.name)} cannot be run in tasks: ${why}. Run it without the option tasks, in one process.`,
    );
  const shared = plan.sources.map(({ source }) => {
    if (source.shared === undefined) throw refused(`${source.name} can be read by one process only; sources of Kafka can be shared`);
    return source.shared;
  });
  const domains = [...new Set(shared.map(({ domain }) => domain))];
  if (domains.length > 1) throw refused(`its sources are in ${domains.join(' and in ')}, and tasks commit in the transactions of one cluster`);
  for (const { sink } of plan.sinks) {
    const isOfDomain = sink.delivery === 'transactional' && sink.transactions?.domain === domains[0];
    if (!isOfDomain && sink.delivery !== 'idempotent') {
      throw refused(`${sink.name} has one writer at a time; sinks of the same Kafka cluster, and those that replace rows by key, can have many`);
    }
  }
  if (plan.views.length > 0) throw refused(`its view ${shown(plan.views[0]?.name)} would show the keys of this process only`);
  plan.exchanges.forEach((exchange, index) => {
    const why = whyNot(plan, exchange);
    if (why !== undefined) throw refused(`${exchange.operator.name} (exchange ${index}) ${why}`);
  });
  return shared;
}

/** What of an operator does not work across tasks yet; undefined: nothing. */
function whyNot({ watermarks }: Plan, { operator, carriesOrder, policy, flow }: ExchangePlan): string | undefined {
  if (carriesOrder && operator.order?.isNeeded === true && operator.name !== 'table join')
    return 'needs rows in the order in which they were read, behind an operator by another key, and tasks keep the order of each partition by key only';
  if (policy === 'max' && watermarks.length > 0) return "goes by the first of its streams (policy 'max')";
  if (hasWatermark(flow)) return 'has results that are given another event time';
  return undefined;
}

function hasWatermark({ watermark, next, lookup }: FlowPlan): boolean {
  return watermark !== undefined || next.some(hasWatermark) || (lookup !== undefined && hasWatermark(lookup.flow));
}
