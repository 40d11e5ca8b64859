/** The plan as plain data: what feeds what. For a page or a tool that draws it. */

import { withoutSecrets } from '../../core/index.ts';
import type { FlowPlan, Plan } from '../plan/index.ts';

export interface GraphNode {
  /** `s0`, `x0`, `k0`: source, exchange, sink, by number; `f0`: steps between them. */
  readonly id: string;
  readonly kind: 'source' | 'steps' | 'exchange' | 'sink';
  readonly title: string;
  /** One line each: what is done here. */
  readonly lines: readonly string[];
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** Which rows: all of them, those that came too late, those on which a function failed, those that could not be decoded. */
  readonly rows: 'all' | 'late' | 'failed' | 'undecoded';
  /** For an operator of two streams: which one. */
  readonly input?: number;
}

export interface PlanGraph {
  readonly pipeline: string;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Names of `.as(name)`, and the exchange whose state they read. */
  readonly views: readonly { readonly name: string; readonly node: string }[];
}

export function planGraph(plan: Plan): PlanGraph {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  let flows = 0;
  const node = (id: string, kind: GraphNode['kind'], title: string, lines: readonly string[] = []): void => {
    nodes.push({ id, kind, title: withoutSecrets(title), lines: lines.map(withoutSecrets) });
  };
  const follow = (from: string, flow: FlowPlan, rows: GraphEdge['rows']): void => {
    let at = from;
    let kind = rows;
    const lines = [...flow.rows.describe()];
    if (flow.watermark !== undefined) lines.push(`watermark ${plan.watermarks[flow.watermark]?.strategy.column}`);
    if (lines.length > 0) {
      at = `f${flows++}`;
      node(at, 'steps', lines[0] as string, lines);
      edges.push({ from, to: at, rows });
      kind = 'all';
    }
    for (const { exchange, input } of flow.exchanges) {
      const isOfTwo = (plan.exchanges[exchange]?.operator.inputs.length ?? 1) > 1;
      edges.push({ from: at, to: `x${exchange}`, rows: kind, ...(isOfTwo ? { input } : {}) });
    }
    for (const sink of flow.sinks) edges.push({ from: at, to: `k${sink}`, rows: kind });
    for (const next of flow.next) follow(at, next, kind);
    if (flow.lookup !== undefined) {
      const to = `f${flows++}`;
      node(to, 'steps', 'enrich', [`enrich (${flow.lookup.operation.schema})`]);
      edges.push({ from: at, to, rows: kind });
      follow(to, flow.lookup.flow, kind);
      for (const errors of flow.lookup.errors) follow(to, errors, 'failed');
    }
    for (const { flow: errors } of flow.errors) follow(at, errors, 'failed');
  };
  plan.sources.forEach(({ source, flow, rejects }, index) => {
    node(`s${index}`, 'source', source.name, [String(source.schema)]);
    follow(`s${index}`, flow, 'all');
    for (const rejected of rejects) follow(`s${index}`, rejected, 'undecoded');
  });
  plan.exchanges.forEach(({ operator, flow, late, errors }, index) => {
    const lines = operator
      .describe()
      .split('\n')
      .map((line) => line.trim());
    node(`x${index}`, 'exchange', lines[0] as string, lines);
    follow(`x${index}`, flow, 'all');
    for (const rows of late) if (rows !== undefined) follow(`x${index}`, rows, 'late');
    for (const rows of errors) follow(`x${index}`, rows, 'failed');
  });
  plan.sinks.forEach(({ sink, schema }, index) => node(`k${index}`, 'sink', sink.name, [String(schema)]));
  return { pipeline: withoutSecrets(plan.name), nodes, edges, views: plan.views.map(({ name, exchange }) => ({ name, node: `x${exchange}` })) };
}
