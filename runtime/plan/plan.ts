/**
 * The plan: from the graph that the user built to what the threads do. Made once, the same on every thread, before any
 * memory exists.
 *
 * A source, and the result of an exchange, each start a tree of flows. A flow takes batches, runs the row functions that
 * lie between two forks (fused), may note event times, and hands the result to exchanges, to sinks, and to further flows:
 *
 *   source 0 -> [filter, map] -> watermark 0 -> exchange 0 (by key)
 *   exchange 0 -> windows -> [filter] -> sink 0
 *                              '------> [select] -> exchange 1 -> ... -> sink 1
 *
 * Which columns a decoder has to fill is worked out from the leaves up: what sinks write, exchanges group and fold, and
 * functions read.
 */

import { assert, MillraceError, type Schema, shown, type WatermarkPolicy } from '../../core/index.ts';
import type { Sink, Source } from '../../io/index.ts';
import { type AggregatePlan, type KeyedInput, type KeyedOperatorPlan, planRows, type RowOperation, type RowPlan } from '../../operators/index.ts';
import type { Graph, Node, WatermarkStrategy } from './graph.ts';

export interface Plan {
  readonly name: string;
  readonly sources: readonly SourcePlan[];
  readonly watermarks: readonly WatermarkPlan[];
  /** In an order in which each comes behind those that feed it. */
  readonly exchanges: readonly ExchangePlan[];
  readonly sinks: readonly SinkPlan[];
  /** What can be read while the job runs. */
  readonly views: readonly ViewPlan[];
}

export interface SourcePlan {
  readonly source: Source;
  readonly flow: FlowPlan;
  /** Sources that are read, up to where they stand at the start, before this one is: tables that its rows are joined with. */
  readonly behind: readonly number[];
  /** What happens to the error rows of what cannot be decoded. */
  readonly rejects: readonly FlowPlan[];
}

export interface WatermarkPlan {
  readonly strategy: WatermarkStrategy;
  /** Of the rows behind it. */
  readonly schema: Schema;
  /** The sources whose rows come by. */
  readonly sources: readonly number[];
}

/** What travels by key to the shards, and what is done with it there. */
export type ExchangePlan = AggregateExchangePlan | RowExchangePlan;

/** Rows are combined where they are scanned; partial aggregates travel. */
export interface AggregateExchangePlan extends ExchangeBase {
  readonly kind: 'aggregate';
  readonly aggregate: AggregatePlan;
}

/** Rows travel as they are, to an operator that needs them whole. */
export interface RowExchangePlan extends ExchangeBase {
  readonly kind: 'rows';
  /** Rows carry their places in the epoch: here or behind it somebody needs them in the order in which they were read. */
  readonly carriesOrder: boolean;
  readonly operator: KeyedOperatorPlan;
}

interface ExchangeBase {
  /** The watermarks whose minimum is the event time of this exchange; by the policy max, whose maximum. */
  readonly watermarks: readonly number[];
  /** `max` where all of them are of that policy. */
  readonly policy: WatermarkPolicy;
  /** The event time here is so much less than that minimum: operators above put rows out this long after their time. */
  readonly delayMs: number;
  /** The sources whose rows come here: when all have ended, the input has. */
  readonly sources: readonly number[];
  /** Exchanges whose results feed this one. */
  readonly upstream: readonly number[];
  /** What happens to the results. */
  readonly flow: FlowPlan;
  /** By input, what happens to the late rows; undefined: they are counted only. */
  readonly late: readonly (FlowPlan | undefined)[];
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

/** The state of an exchange (a running aggregate) under a name. */
export interface ViewPlan {
  readonly name: string;
  readonly exchange: number;
  readonly aggregate: AggregatePlan;
}

/** What happens to the batches that arrive somewhere. */
export interface FlowPlan {
  readonly rows: RowPlan;
  /** The operations that `rows` fuses, for explain. */
  readonly operations: readonly RowOperation[];
  /** Note the event times of the rows, for this watermark. */
  readonly watermark: number | undefined;
  readonly exchanges: readonly ExchangeTarget[];
  readonly sinks: readonly number[];
  readonly next: readonly FlowPlan[];
  /** Where rows that fail go, for each of `operations` whether its failures do; nowhere: they end the job. */
  readonly errors: readonly ErrorsPlan[];
}

export interface ErrorsPlan {
  readonly covers: readonly boolean[];
  readonly flow: FlowPlan;
}

export interface PlanOptions {
  /** False: run user functions without generated code. Default: generate where the process allows it. */
  readonly codeGeneration?: boolean;
}

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when the pipeline leads nowhere
 */
export function makePlan(graph: Graph, options: PlanOptions = {}): Plan {
  if (graph.sinks.length === 0 && graph.views.size === 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `The pipeline "${graph.name}" writes nothing. End it with to(sink), print() or forEachBatch(), or name a running aggregate with as(name) to view it.`,
    );
  }
  return new Planner(graph, options).plan();
}

/** `input`: which of the parents of `to` this edge comes from. */
type Edge = { readonly to: Node; readonly input: number } | { readonly sink: number };
type LateNode = Extract<Node, { kind: 'late' }>;
type ErrorsNode = Extract<Node, { kind: 'errors' }>;
type ExchangeNode = Extract<Node, { kind: 'aggregate' | 'keyed' }>;

class Planner {
  readonly #graph: Graph;
  readonly #options: PlanOptions;
  readonly #edges = new Map<Node, Edge[]>();
  readonly #sources: Extract<Node, { kind: 'source' }>[] = [];
  readonly #watermarks: Extract<Node, { kind: 'watermark' }>[] = [];
  readonly #exchanges: ExchangeNode[] = [];
  /** By the node whose late rows they are, by input. */
  readonly #late = new Map<Node, LateNode[]>();
  readonly #lateFlows = new Map<LateNode, FlowPlan>();
  /** With the nodes whose failures they take. */
  readonly #errors = new Map<ErrorsNode, ReadonlySet<Node>>();

  constructor(graph: Graph, options: PlanOptions) {
    this.#graph = graph;
    this.#options = options;
  }

  plan(): Plan {
    this.#graph.sinks.forEach(({ parent }, sink) => {
      this.#visit(parent);
      this.#edge(parent, { sink });
    });
    for (const node of this.#graph.views.values()) this.#visit(node);
    this.#mustBeAlone();
    const behind = this.#behind();
    const carriesOrder = this.#carriesOrder();
    return {
      name: this.#graph.name,
      sources: this.#sources.map((node, source) => ({
        source: node.source,
        flow: this.#flow(node, node.schema),
        behind: behind[source] as readonly number[],
        rejects: this.#errorFlows([node]).map(({ flow }) => flow),
      })),
      watermarks: this.#watermarks.map((node) => ({ strategy: node.strategy, schema: node.schema, sources: this.#sourcesOf(node) })),
      exchanges: this.#exchanges.map((node, index): ExchangePlan => {
        const parents = parentsOf(node);
        const watermarks = unique(parents.flatMap((parent) => this.#watermarksOf(parent)));
        const isFirst = watermarks.length > 0 && watermarks.every((w) => this.#watermarks[w]?.strategy.policy === 'max');
        const base = {
          watermarks,
          policy: isFirst ? ('max' as const) : ('min' as const),
          delayMs: Math.max(...parents.map(outputDelay)),
          sources: unique(parents.flatMap((parent) => this.#sourcesOf(parent))),
          upstream: unique(parents.flatMap((parent) => this.#upstreamOf(parent))),
          flow: this.#flow(node, node.schema),
          late: parents.map((_, input) => this.#lateFlow(node, input)),
        };
        return node.kind === 'aggregate'
          ? { ...base, kind: 'aggregate', aggregate: node.plan }
          : { ...base, kind: 'rows', operator: node.plan, carriesOrder: carriesOrder[index] === true };
      }),
      sinks: this.#graph.sinks.map(({ parent, sink }) => ({ sink, schema: parent.schema })),
      views: [...this.#graph.views].map(([name, node]) => ({ name, exchange: this.#exchanges.indexOf(node), aggregate: node.plan })),
    };
  }

  /** What only one can read is not read twice: each of the two would take the rows, or the place, of the other. */
  #mustBeAlone(): void {
    const seen = new Set<string>();
    for (const { source } of this.#sources) {
      if (source.alone !== undefined && seen.has(source.alone)) {
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `The pipeline ${shown(this.#graph.name)} reads ${source.alone} twice. Read it once and give the stream to both, or give the second source a group of its own.`,
        );
      }
      if (source.alone !== undefined) seen.add(source.alone);
    }
  }

  /** Numbers the nodes, parents first, and notes who feeds whom. */
  #visit(node: Node): void {
    if (this.#edges.has(node)) return;
    this.#edges.set(node, []);
    parentsOf(node).forEach((parent, input) => {
      this.#visit(parent);
      if (node.kind !== 'late' && node.kind !== 'errors') this.#edge(parent, { to: node, input });
    });
    if (node.kind === 'late') this.#late.set(node.parent, [...(this.#late.get(node.parent) ?? []), node]);
    else if (node.kind === 'errors') this.#errors.set(node, chainOf(node.parent));
    if (node.kind === 'source') this.#sources.push(node);
    else if (node.kind === 'watermark') this.#watermarks.push(node);
    else if (node.kind === 'aggregate' || node.kind === 'keyed') this.#exchanges.push(node);
  }

  #edge(from: Node, edge: Edge): void {
    (this.#edges.get(from) as Edge[]).push(edge);
  }

  /** The flow of the rows that come too late to an input of an exchange. */
  #lateFlow(exchange: Node, input: number): FlowPlan | undefined {
    const node = this.#late.get(exchange)?.find((late) => late.input === input);
    if (node === undefined) return undefined;
    const known = this.#lateFlows.get(node) ?? this.#flow(node, node.schema);
    this.#lateFlows.set(node, known);
    return known;
  }

  /** Where failures of these nodes go. */
  #errorFlows(nodes: readonly Node[]): ErrorsPlan[] {
    const plans: ErrorsPlan[] = [];
    for (const [node, chain] of this.#errors) {
      const covers = nodes.map((of) => chain.has(of));
      if (covers.includes(true)) plans.push({ covers, flow: this.#flow(node, node.schema) });
    }
    return plans;
  }

  /** The flow of the batches that leave `node`. */
  #flow(node: Node, input: Schema): FlowPlan {
    return this.#flowOf(input, [], undefined, this.#edges.get(node) as Edge[], node.schema);
  }

  #flowOf(input: Schema, operations: RowOperation[], watermark: number | undefined, edges: readonly Edge[], output: Schema): FlowPlan {
    // As long as there is one way on, and it is row functions, they belong to this flow.
    let at = edges;
    let schema = output;
    const operationNodes: Node[] = [];
    while (watermark === undefined && at.length === 1) {
      const edge = at[0] as Edge;
      if ('sink' in edge) break;
      const { to } = edge;
      if (to.kind === 'rows') {
        operations.push(to.operation);
        operationNodes.push(to);
      } else if (to.kind === 'watermark') watermark = this.#watermarks.indexOf(to);
      else if (to.kind !== 'union') break;
      schema = to.schema;
      at = this.#edges.get(to) as Edge[];
    }
    const exchanges: ExchangeTarget[] = [];
    const sinks: number[] = [];
    const next: FlowPlan[] = [];
    for (const edge of at) {
      if ('sink' in edge) sinks.push(edge.sink);
      else if (edge.to.kind === 'aggregate' || edge.to.kind === 'keyed') exchanges.push({ exchange: this.#exchanges.indexOf(edge.to), input: edge.input });
      else next.push(this.#flowOf(schema, [], undefined, [edge], schema));
    }
    const needed = new Set<number>(next.flatMap((flow) => flow.rows.columnsRead));
    for (const { exchange, input } of exchanges) {
      const node = this.#exchanges[exchange] as ExchangeNode;
      if (node.kind === 'keyed') for (const column of (node.plan.inputs[input] as KeyedInput).columns) needed.add(column);
      else for (const column of node.plan.columnsRead) needed.add(node.plan.input.indexOf(column));
      for (const column of this.#lateFlow(node, input)?.rows.columnsRead ?? []) if (column < schema.length) needed.add(column);
    }
    if (watermark !== undefined) {
      const { columnIndex, isProcessingTime } = (this.#watermarks[watermark] as { strategy: WatermarkStrategy }).strategy;
      // The rows get that one behind their functions.
      if (isProcessingTime) needed.delete(columnIndex);
      else needed.add(columnIndex);
    }
    const all = sinks.length > 0 ? ('all' as const) : [...needed].sort((a, b) => a - b);
    const { codeGeneration } = this.#options;
    const rows = planRows(input, operations, all, codeGeneration === undefined ? {} : { codeGeneration });
    return { rows, operations, watermark, exchanges, sinks, next, errors: this.#errorFlows(operationNodes) };
  }

  /** By source, those that are loaded first. Where two would wait for each other, that of the join that was written later does not. */
  #behind(): number[][] {
    const behind: Set<number>[] = this.#sources.map(() => new Set());
    const waitsFor = (source: number, other: number): boolean => {
      const direct = behind[source] as Set<number>;
      return source === other || direct.has(other) || [...direct].some((next) => waitsFor(next, other));
    };
    for (const node of this.#exchanges) {
      if (node.kind !== 'keyed' || node.plan.loadsFirst === undefined) continue;
      const first = this.#sourcesOf(node.parents[node.plan.loadsFirst] as Node);
      const others = unique(
        node.parents.filter((_, input) => input !== (node as { plan: KeyedOperatorPlan }).plan.loadsFirst).flatMap((parent) => this.#sourcesOf(parent)),
      );
      for (const source of others) for (const table of first) if (!waitsFor(table, source)) behind[source]?.add(table);
    }
    return behind.map((sources) => [...sources].sort((a, b) => a - b));
  }

  /** By exchange. Rows of one key that come from another exchange by the same key, or one that decides it, are in order already. */
  #carriesOrder(): boolean[] {
    const carries = this.#exchanges.map(() => false);
    for (let index = carries.length - 1; index >= 0; index--) {
      const node = this.#exchanges[index] as ExchangeNode;
      if (node.kind !== 'keyed') continue;
      const isOrdered = node.plan.isOrdered === true;
      for (const [input, parent] of node.parents.entries()) {
        for (const from of this.#upstreamOf(parent)) {
          const source = this.#exchanges[from] as ExchangeNode;
          if (source.kind !== 'keyed' || !(carries[index] || (isOrdered && !isKeyedAlike(source.plan, node.plan, input, parent)))) continue;
          carries[index] = true;
          carries[from] = true;
        }
      }
    }
    return carries;
  }

  #sourcesOf(node: Node): number[] {
    if (node.kind === 'source') return [this.#sources.indexOf(node)];
    return unique(parentsOf(node).flatMap((parent) => this.#sourcesOf(parent)));
  }

  /** The nearest watermarks above a node. */
  #watermarksOf(node: Node): number[] {
    if (node.kind === 'watermark') return [this.#watermarks.indexOf(node)];
    return unique(parentsOf(node).flatMap((parent) => this.#watermarksOf(parent)));
  }

  /** The nearest exchanges above a node. */
  #upstreamOf(node: Node): number[] {
    if (node.kind === 'aggregate' || node.kind === 'keyed') return [this.#exchanges.indexOf(node)];
    return unique(parentsOf(node).flatMap((parent) => this.#upstreamOf(parent)));
  }
}

function parentsOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'source':
      return [];
    case 'union':
    case 'keyed':
      return node.parents;
    case 'rows':
    case 'watermark':
    case 'aggregate':
    case 'late':
    case 'errors':
      assert(node.parent, 'a node without a parent');
      return [node.parent];
  }
}

/** The nodes whose failures the errors of a stream take: its row functions, up to the source or what else made its rows. */
function chainOf(node: Node): ReadonlySet<Node> {
  const chain = new Set<Node>();
  const walk = (at: Node): void => {
    if (chain.has(at)) return;
    chain.add(at);
    if (at.kind === 'rows' || at.kind === 'watermark' || at.kind === 'union') for (const parent of parentsOf(at)) walk(parent);
  };
  walk(node);
  return chain;
}

/** How long after the watermark has passed their time rows of a node may come out, at most. */
function outputDelay(node: Node): number {
  const above = node.kind === 'watermark' ? 0 : Math.max(0, ...parentsOf(node).map(outputDelay));
  if (node.kind === 'aggregate') return above + (node.plan.window?.latenessMs ?? 0);
  return node.kind === 'keyed' ? above + (node.plan.outputTime?.delayMs ?? 0) : above;
}

/** Whether all rows of one key here had one key there: the keys there are among those here, and nothing between has written them anew. */
function isKeyedAlike(from: KeyedOperatorPlan, to: KeyedOperatorPlan, input: number, parent: Node): boolean {
  for (let at = parent; at.kind !== 'keyed'; at = at.parent) {
    if (at.kind !== 'watermark' && !(at.kind === 'rows' && (at.operation.kind === 'filter' || at.operation.kind === 'select'))) return false;
  }
  // What process() emits may have any key, whatever the columns are called.
  if (from.name === 'process') return false;
  const names = ({ schema, keys }: KeyedInput): string[] => keys.map((key) => schema.field(key).name);
  const here = names(to.inputs[input] as KeyedInput);
  return names(from.inputs[0] as KeyedInput).every((name) => here.includes(name));
}

function unique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** The event time of an exchange, given what its watermarks are at: -Infinity without any. */
export function eventTimeOf(
  { watermarks, policy, delayMs }: Pick<ExchangePlan, 'watermarks' | 'policy' | 'delayMs'>,
  at: (watermark: number) => number,
): number {
  if (watermarks.length === 0) return Number.NEGATIVE_INFINITY;
  let time = at(watermarks[0] as number);
  for (const watermark of watermarks) time = policy === 'max' ? Math.max(time, at(watermark)) : Math.min(time, at(watermark));
  return time - delayMs;
}
