/**
 * The graph of a pipeline: nodes, and the sinks that they lead to. It is data only. stream/stream.ts builds it,
 * stream/event-time.ts finds the column that says when a row happened, and planner.ts makes the plan of it.
 */

import { assert, MillraceError, type Schema, shown, type WatermarkPolicy } from '../../core/index.ts';
import type { Sink, Source } from '../../io/index.ts';
import type { ExchangeOperator, RowOperation, ViewedRows } from '../../operators/index.ts';

/** An operator by key; one parent per input. */
export interface ExchangeNode {
  readonly kind: 'exchange';
  readonly schema: Schema;
  readonly parents: readonly Node[];
  readonly operator: ExchangeOperator;
  /** Its rows replace earlier ones (stream/updates.ts); as users call it. */
  readonly updates?: string | undefined;
  /** Of windows of time: the greatest length of one, where there is one. */
  readonly windowMs?: number | undefined;
  /** Its rows are those of a table (stream/tables.ts): by which columns, in which form. */
  readonly table?: NodeTable | undefined;
  /** Of a built-in aggregate: its keys, by which the latest of its rows is the value. */
  readonly latestBy?: readonly string[];
  /** Of `top`: the column with the rank. */
  readonly rank?: string;
  /** The keys that it works by, where its rows have them and come one by one for each: windows, process. */
  readonly by?: readonly string[];
  /** It is there for a view alone: of the rows of this node. */
  readonly shows?: Shown;
}

/** What a view shows, where it is no running aggregate. */
export interface Shown extends ViewedRows {
  /** What was named. */
  readonly node: Node;
}

export interface NodeTable {
  /** Undefined: nothing that is known tells its rows apart. */
  readonly keys: readonly string[] | undefined;
  /** `values`: new rows. `changes`: old ones, too, with the hidden column. */
  readonly form: 'values' | 'changes';
  /** Of values: a bool column that is true in a row that takes back another one. */
  readonly deleted?: string | undefined;
  /** Of values: by which option rows go without a word of it, so that no changes can be made of them. */
  readonly forgetsBy?: string | undefined;
}

/** Nodes of the graph. `schema` is that of the rows that leave the node. */
export type Node =
  | { readonly kind: 'source'; readonly schema: Schema; readonly source: Source }
  | {
      readonly kind: 'rows';
      readonly schema: Schema;
      readonly parent: Node;
      readonly operation: RowOperation;
      /** The event time of its rows, where it is named here. Default: that of its parent. */
      readonly time?: NamedTime;
      /** Rows of a table that are facts from here on. */
      readonly isFacts?: boolean;
      /** The node whose function it does once more, for the changes of a table: their errors go one way. */
      readonly repeats?: Node | undefined;
    }
  | { readonly kind: 'watermark'; readonly schema: Schema; readonly parent: Node; readonly strategy: WatermarkStrategy }
  | { readonly kind: 'union'; readonly schema: Schema; readonly parents: readonly Node[] }
  | ExchangeNode
  /** The rows that were late for `parent`, an exchange, on their way to one of its inputs. */
  | { readonly kind: 'late'; readonly schema: Schema; readonly parent: Node; readonly input: number }
  /** The rows that failed on the way to `parent`. */
  | { readonly kind: 'errors'; readonly schema: Schema; readonly parent: Node };

/** An event time that a stream has named behind the watermark that it goes by. */
export interface NamedTime {
  readonly column: string;
  readonly shiftMs: 0 | -1;
  /** How far, at most, the column lies behind the time that the stream has passed. */
  readonly delayMs: number;
}

/** The nodes whose rows come to this one, by input. */
export function parentsOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'source':
      return [];
    case 'union':
    case 'exchange':
      return node.parents;
    case 'rows':
    case 'watermark':
    case 'late':
    case 'errors':
      assert(node.parent, 'a node without a parent');
      return [node.parent];
  }
}

export interface WatermarkStrategy {
  readonly column: string;
  /** Position of the column in the schema of the node. */
  readonly columnIndex: number;
  readonly delayMs: number;
  /**
   * After this long without rows, while we are asking for more, a partition no longer holds the watermark
   * back.
   */
  readonly idleMs: number | undefined;
  /** Which partition counts, and which stream where such streams meet. */
  readonly policy: WatermarkPolicy;
  /** How far one row may push the watermark ahead of the wall clock. */
  readonly maxSkewMs: number | undefined;
  /**
   * The column is one that the node adds as its last: the clock at the start of the row's epoch. Nothing in
   * the rows moves the watermark.
   */
  readonly isProcessingTime: boolean;
}

export interface SinkNode {
  readonly parent: Node;
  readonly sink: Sink;
}

/** A node whose state can be read while the job runs. */
export type ViewNode = ExchangeNode;

/** All nodes that lead to a sink or are viewed, of one pipeline. */
export class Graph {
  readonly name: string;
  readonly sinks: SinkNode[] = [];
  /** By the name given to `as`. */
  readonly views = new Map<string, ViewNode>();

  constructor(name: string) {
    if (typeof name !== 'string' || name === '') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `A pipeline is named ${shown(name)}. Give it a name that is a text and not empty: pipeline('clicks-per-page').`,
      );
    }
    this.name = name;
  }
}

/** Where a stream keeps its graph. */
export const GRAPH = Symbol.for('millrace.graph');

/** The default export of a pipeline module: any stream of the pipeline, or the pipeline itself. */
export interface PipelineLike {
  readonly [GRAPH]: Graph;
}

/** The graph behind a module's default export, or undefined when it is no pipeline. */
export function graphOf(value: unknown): Graph | undefined {
  return typeof value === 'object' && value !== null ? (value as Partial<PipelineLike>)[GRAPH] : undefined;
}

/** A stream of any rows. */
export type Upstream = PipelineLike & { readonly node: Node; readonly schema: Schema };
