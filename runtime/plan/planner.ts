/**
 * Makes the plan of a graph: cuts it into flows, numbers what they lead to, and fuses the row functions
 * between two forks.
 *
 * The columns that a decoder has to fill follow from the leaves up: from what sinks write, exchanges group
 * and fold, and functions read.
 */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import { type ExchangeInput, type OrderOfRows, planRows, type RowOperation } from '../../operators/index.ts';
import { type ExchangeNode, type Graph, type Node, parentsOf, type WatermarkStrategy } from './graph.ts';
import type { ErrorsPlan, ExchangePlan, ExchangeTarget, FlowPlan, LookupPlan, Plan } from './plan.ts';

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
      `The pipeline "${graph.name}" writes nothing. End it with to(sink), print() or forEachBatch(), or name a table with as(name) to view it.`,
    );
  }
  mustHavePlacesOfTheirOwn(graph);
  return new Planner(graph, options).plan();
}

/** Each of two sinks in one place would replace what the other writes. */
function mustHavePlacesOfTheirOwn({ name, sinks }: Graph): void {
  const places = new Set<string>();
  for (const { sink } of sinks) {
    if (sink.place === undefined) continue;
    if (places.has(sink.place)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `The pipeline "${name}" has two streams that go to ${sink.place}, which takes one. Give each a sink of its own, or put them together: a.union(b).to(sink).`,
      );
    }
    places.add(sink.place);
  }
}

/** `input`: the position of this edge among the parents of `to`. */
type Edge = { readonly to: Node; readonly input: number } | { readonly sink: number };
type LateNode = Extract<Node, { kind: 'late' }>;
type ErrorsNode = Extract<Node, { kind: 'errors' }>;

class Planner {
  readonly #graph: Graph;
  readonly #options: PlanOptions;
  readonly #edges = new Map<Node, Edge[]>();
  readonly #sources: Extract<Node, { kind: 'source' }>[] = [];
  readonly #watermarks: Extract<Node, { kind: 'watermark' }>[] = [];
  readonly #exchanges: ExchangeNode[] = [];
  /** By the node whose late rows these are, by input. */
  readonly #late = new Map<Node, LateNode[]>();
  readonly #lateFlows = new Map<LateNode, FlowPlan>();
  /** With the nodes whose failures these take. */
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
        return {
          operator: node.operator,
          carriesOrder: carriesOrder[index] === true,
          watermarks,
          policy: isFirst ? ('max' as const) : ('min' as const),
          delayMs: Math.max(...parents.map(outputDelay)),
          sources: unique(parents.flatMap((parent) => this.#sourcesOf(parent))),
          upstream: unique(parents.flatMap((parent) => this.#upstreamOf(parent))),
          flow: this.#flow(node, node.schema),
          late: parents.map((_, input) => this.#lateFlow(node, input)),
          errors: this.#errorFlows([node]).map(({ flow }) => flow),
        };
      }),
      sinks: this.#graph.sinks.map(({ parent, sink }) => ({ sink, schema: parent.schema })),
      views: [...this.#graph.views].map(([name, node]) => ({
        name,
        exchange: this.#exchanges.indexOf(node),
        operator: node.operator,
        rows: node.shows,
      })),
    };
  }

  /**
   * A source that only one reader can read must not be used twice: each would take the rows, or the place, of
   * the other.
   */
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

  /** Numbers the nodes, parents first, and notes which feeds which. */
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
    else if (node.kind === 'exchange') this.#exchanges.push(node);
  }

  #edge(from: Node, edge: Edge): void {
    (this.#edges.get(from) as Edge[]).push(edge);
  }

  /** The flow of rows that come too late to an input of an exchange. */
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
      const covers = nodes.map((of) => chain.has(of) || (of.kind === 'rows' && of.repeats !== undefined && chain.has(of.repeats)));
      if (covers.includes(true)) plans.push({ covers, flow: this.#flow(node, node.schema) });
    }
    return plans;
  }

  /** The flow of the batches that leave `node`. */
  #flow(node: Node, input: Schema): FlowPlan {
    return this.#flowOf(input, [], undefined, this.#edges.get(node) as Edge[], node.schema);
  }

  #flowOf(input: Schema, operations: RowOperation[], watermark: number | undefined, edges: readonly Edge[], output: Schema): FlowPlan {
    // While there is one way on, and it is a row function, it belongs to this flow.
    let at = edges;
    let schema = output;
    const operationNodes: Node[] = [];
    let lookup: LookupPlan | undefined;
    while (watermark === undefined && at.length === 1) {
      const edge = at[0] as Edge;
      if ('sink' in edge) break;
      const { to } = edge;
      if (to.kind === 'rows' && to.operation.kind === 'enrich') {
        lookup = {
          operation: to.operation,
          input: schema,
          output: to.schema,
          flow: this.#flowOf(to.schema, [], undefined, this.#edges.get(to) as Edge[], to.schema),
          errors: this.#errorFlows([to]).map(({ flow }) => flow),
        };
        at = [];
        break;
      }
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
      else if (edge.to.kind === 'exchange') exchanges.push({ exchange: this.#exchanges.indexOf(edge.to), input: edge.input });
      else next.push(this.#flowOf(schema, [], undefined, [edge], schema));
    }
    const needed = new Set<number>(next.flatMap((flow) => flow.rows.columnsRead));
    for (const { exchange, input } of exchanges) {
      const node = this.#exchanges[exchange] as ExchangeNode;
      for (const column of (node.operator.inputs[input] as ExchangeInput).columns) needed.add(column);
      for (const column of this.#lateFlow(node, input)?.rows.columnsRead ?? []) if (column < schema.length) needed.add(column);
    }
    if (watermark !== undefined) {
      const { columnIndex, isProcessingTime } = (this.#watermarks[watermark] as { strategy: WatermarkStrategy }).strategy;
      // The rows get that one behind their functions.
      if (isProcessingTime) needed.delete(columnIndex);
      else needed.add(columnIndex);
    }
    const all = sinks.length > 0 || lookup !== undefined ? ('all' as const) : [...needed].sort((a, b) => a - b);
    const { codeGeneration } = this.#options;
    const rows = planRows(input, operations, all, codeGeneration === undefined ? {} : { codeGeneration });
    return { rows, operations, watermark, exchanges, sinks, next, lookup, errors: this.#errorFlows(operationNodes) };
  }

  /**
   * By source, the sources that are loaded first. Where two would wait for each other, the source of the
   * later join does not wait.
   */
  #behind(): number[][] {
    const behind: Set<number>[] = this.#sources.map(() => new Set());
    const waitsFor = (source: number, other: number): boolean => {
      const direct = behind[source] as Set<number>;
      return source === other || direct.has(other) || [...direct].some((next) => waitsFor(next, other));
    };
    for (const { parents, operator } of this.#exchanges) {
      if (operator.loadsFirst === undefined) continue;
      const first = this.#sourcesOf(parents[operator.loadsFirst] as Node);
      const others = unique(parents.filter((_, input) => input !== operator.loadsFirst).flatMap((parent) => this.#sourcesOf(parent)));
      for (const source of others) for (const table of first) if (!waitsFor(table, source)) behind[source]?.add(table);
    }
    return behind.map((sources) => [...sources].sort((a, b) => a - b));
  }

  /**
   * By exchange. Rows of one key that come from an exchange by the same key, or by keys that follow from it,
   * are in order already.
   */
  #carriesOrder(): boolean[] {
    const carries = this.#exchanges.map(() => false);
    for (let index = carries.length - 1; index >= 0; index--) {
      const { parents, operator } = this.#exchanges[index] as ExchangeNode;
      const { order } = operator;
      if (order === undefined) continue;
      for (const [input, parent] of parents.entries()) {
        for (const from of this.#upstreamOf(parent)) {
          const before = (this.#exchanges[from] as ExchangeNode).operator.order;
          if (before === undefined || !(carries[index] || (order.isNeeded && !isKeyedAlike(before, order.keys[input] as readonly string[], parent)))) continue;
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
    if (node.kind === 'exchange') return [this.#exchanges.indexOf(node)];
    return unique(parentsOf(node).flatMap((parent) => this.#upstreamOf(parent)));
  }
}

/**
 * The nodes whose failures the errors of a stream take: its row functions, back to the source or operator
 * that made its rows, and that one with the functions that compute columns for it.
 */
function chainOf(node: Node): ReadonlySet<Node> {
  const chain = new Set<Node>();
  const walk = (at: Node): void => {
    if (chain.has(at)) return;
    chain.add(at);
    if (at.kind === 'rows' || at.kind === 'watermark' || at.kind === 'union') for (const parent of parentsOf(at)) walk(parent);
    if (at.kind !== 'exchange') return;
    for (let parent of at.parents) {
      while (parent.kind === 'rows' && parent.operation.kind === 'withColumns' && parent.operation.isHidden === true) {
        chain.add(parent);
        parent = parent.parent;
      }
    }
  };
  walk(node);
  return chain;
}

/** How long, at most, after the watermark has passed their time rows of a node may come out. */
function outputDelay(node: Node): number {
  const above = node.kind === 'watermark' ? 0 : Math.max(0, ...parentsOf(node).map(outputDelay));
  if (node.kind === 'rows') return above + (node.time?.delayMs ?? 0);
  return node.kind === 'exchange' ? above + (node.operator.outputTime?.delayMs ?? 0) : above;
}

/**
 * Whether all rows of one key here had one key there: the keys there are among those here, and nothing
 * between has rewritten them.
 */
function isKeyedAlike(from: OrderOfRows, here: readonly string[], parent: Node): boolean {
  for (let at = parent; at.kind !== 'exchange'; at = at.parent) {
    if (at.kind !== 'watermark' && !(at.kind === 'rows' && (at.operation.kind === 'filter' || at.operation.kind === 'select'))) return false;
  }
  return from.keepsKeys && (from.keys[0] as readonly string[]).every((name) => here.includes(name));
}

function unique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
