/**
 * The two halves of an exchange, as the engine drives them: `Scatter` takes the rows of a scan and leaves blocks;
 * `ExchangeRunner` holds the shards that this worker owns, which take the blocks of all workers at the epoch's end. What
 * travels, partial aggregates or rows, and what the shards do with it, is told by the plan.
 */

import { type Batch, LiveCell, MillraceError, SHARD_COUNT, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import {
  blockInput,
  type ChunkOrigin,
  Combiner,
  type CombinerHooks,
  type EpochStart,
  exchangeBlockEntries,
  exchangeBlockOrigin,
  exchangeBlockPanes,
  type KeyedInput,
  type KeyedOperator,
  type KeyedOperatorPlan,
  ResultWriter,
  RowMerger,
  RowOutput,
  RowPartitioner,
  rowBlockMaxTime,
  type ShardPublisher,
  type ShardSnapshot,
  shardAggregate,
  shardRows,
} from '../../operators/index.ts';
import type { ExchangePlan } from '../plan/plan.ts';
import { HeldRows } from './held-rows.ts';
import { type ShardState, stateOfShard } from './state-snapshot.ts';

/** The scan's half: rows of chunks in, blocks out. */
export interface Scatter {
  beginEpoch(start: EpochStart): void;
  beginChunk(origin: ChunkOrigin): void;
  add(batch: Batch): number;
  endChunk(): unknown;
  takeBlocks(): number[];
}

/** One for each input of the exchange. */
export function scattersOf(slabs: SlabAllocator, exchange: ExchangePlan, hooksOf: (input: number) => CombinerHooks): Scatter[] {
  if (exchange.kind === 'aggregate') return [new Combiner(slabs, exchange.aggregate, hooksOf(0))];
  return exchange.operator.inputs.map((_, input) => new RowPartitioner(slabs, exchange.operator, input, hooksOf(input)));
}

/** The shard's half: blocks in, and at the end of the epoch what is due out. */
interface ShardHalf {
  /** @returns how many groups, or rows, of the block are of this shard */
  merge(block: number): number;
  /** In place of `merge`, where rows carry their order: all blocks of the epoch. */
  mergeInOrder?: ((blocks: readonly number[]) => number) | undefined;
  advance(watermark: number, emit: (batch: Batch) => void): void;
  /** Of a state that is viewed: makes it that of the epoch whose blocks were merged, before `advance` emits what changed. */
  settle?(): void;
  snapshot(): unknown;
  readonly stateBytes: number;
}

/** What takes the results of an exchange. */
interface ResultFlow {
  run(batch: Batch): void;
}

/** What an exchange knows of the view of it. */
export interface ViewedShards {
  readonly firstEpoch: number;
  /** Address of the LiveCell of a shard. */
  cell(shard: number): number;
}

const GROUPS_MIN = 8;

/** The shards of one exchange that this worker owns. */
export class ExchangeRunner<F extends ResultFlow = ResultFlow> {
  readonly plan: ExchangePlan;
  readonly flow: F;
  readonly upstream: readonly number[];
  /** The rows in open windows, of all shards; undefined where the operator does not tell. */
  readonly held: HeldRows | undefined;
  readonly groups: readonly { readonly number: number; readonly shards: readonly { readonly shard: number; readonly half: ShardHalf }[] }[];
  readonly #emit: (batch: Batch) => void;
  readonly #memory: SharedMemory;
  readonly #isViewed: boolean;
  /** What the operators of this exchange see of time. */
  readonly #clock = { epoch: 0, nowMs: 0, watermark: Number.NEGATIVE_INFINITY };

  /**
   * @param watermark as committed, after a restart: what is closed by it stays closed
   * @param from the state to go on from, of these shards and maybe others
   * @param viewed where the exchange is: who reads its shards finds them there
   */
  constructor(
    plan: ExchangePlan,
    slabs: SlabAllocator,
    watermark: number,
    flow: F,
    groups: readonly (readonly number[])[],
    from?: readonly ShardState[] | undefined,
    viewed?: ViewedShards | undefined,
  ) {
    this.plan = plan;
    this.flow = flow;
    this.upstream = plan.upstream;
    this.#emit = (batch) => flow.run(batch);
    this.#memory = slabs.memory;
    this.#clock.watermark = watermark;
    this.held = plan.kind === 'aggregate' && plan.aggregate.grid !== undefined ? new HeldRows(slabs.memory, plan.aggregate) : undefined;
    this.#isViewed = viewed !== undefined;
    if (viewed !== undefined) this.#clock.epoch = viewed.firstEpoch - 1;
    const make = this.#halfMaker(slabs, watermark, from, viewed);
    this.groups = groups.map((shards) => ({ number: shards[0] as number, shards: shards.map((shard) => ({ shard, half: make(shard) })) }));
  }

  get stateBytes(): number {
    return this.groups.reduce((sum, { shards }) => sum + shards.reduce((bytes, { half }) => bytes + half.stateBytes, 0), 0);
  }

  /** The state of its shards, between two epochs. */
  snapshot(): ShardState[] {
    return this.groups.flatMap(({ shards }) => shards.map(({ shard, half }) => ({ shard, state: half.snapshot() })));
  }

  beginEpoch(epoch: number, nowMs: number): void {
    this.#clock.epoch = epoch;
    this.#clock.nowMs = nowMs;
  }

  /**
   * Merges the epoch's blocks into shards that are viewed, all of them before the first emits: so they are of two epochs only for
   * as long as the merging takes. Others are merged one by one, each just before it emits.
   *
   * @returns how many groups, or rows, were merged
   */
  settle(blocks: readonly number[]): number {
    if (!this.#isViewed) return 0;
    let merged = 0;
    for (const { shards } of this.groups) for (const { half } of shards) for (const block of blocks) merged += half.merge(block);
    for (const { shards } of this.groups) for (const { half } of shards) half.settle?.();
    return merged;
  }

  /**
   * Merges the epoch's blocks into one shard, where {@link settle} has not.
   *
   * @returns how many groups, or rows, were merged
   */
  merge(half: ShardHalf, blocks: readonly number[]): number {
    let merged = 0;
    if (this.#isViewed) return 0;
    if (half.mergeInOrder !== undefined) return half.mergeInOrder(blocks);
    for (const block of blocks) merged += half.merge(block);
    return merged;
  }

  /** Ends the epoch for one shard, whose blocks are merged. */
  step(half: ShardHalf, watermark: number): void {
    const before = this.#clock.watermark;
    this.#clock.watermark = watermark;
    half.advance(watermark, this.#emit);
    this.#clock.watermark = before;
  }

  endEpoch(watermark: number): void {
    this.#clock.watermark = watermark;
  }

  /** How many groups, or rows, all shards together have to merge of these blocks. */
  piecesOf(blocks: readonly number[]): number {
    const { plan } = this;
    let pieces = 0;
    for (const block of blocks) {
      const isForAll = plan.kind === 'rows' && plan.operator.inputs[blockInput(this.#memory, block)]?.isBroadcast === true;
      pieces += exchangeBlockEntries(this.#memory, block) * (isForAll ? SHARD_COUNT : 1);
    }
    return pieces;
  }

  /** Until when (event time) the rows in these blocks are held: the end of their last window, lateness included. */
  heldUntil(blocks: readonly number[]): number {
    const { plan } = this;
    if (blocks.length === 0) return Number.NEGATIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    if (plan.kind === 'rows') {
      for (const block of blocks) last = Math.max(last, plan.operator.heldUntil(rowBlockMaxTime(this.#memory, block), blockInput(this.#memory, block)));
      return last;
    }
    const { openWindows } = plan.aggregate;
    if (openWindows === undefined) return Number.POSITIVE_INFINITY;
    for (const block of blocks) for (const pane of exchangeBlockPanes(this.#memory, block)) last = Math.max(last, pane);
    return openWindows.paneHeldUntil(last);
  }

  #halfMaker(
    slabs: SlabAllocator,
    watermark: number,
    states: readonly ShardState[] | undefined,
    viewed: ViewedShards | undefined,
  ): (shard: number) => ShardHalf {
    const { plan } = this;
    if (plan.kind === 'aggregate') {
      const writer = new ResultWriter(slabs, plan.aggregate);
      const closed = Number.isFinite(watermark) ? { watermark, state: undefined } : undefined;
      const from = (shard: number) => (states === undefined ? closed : (stateOfShard(states, shard) as ShardSnapshot));
      return (shard) => shardAggregate(slabs, plan.aggregate, shard, writer, from(shard), this.#publisher(viewed?.cell(shard)));
    }
    const { operator } = plan;
    const output = new RowOutput(slabs, operator.output, this.#emit);
    const merger = plan.carriesOrder ? new RowMerger(slabs, operator.inputs) : undefined;
    if (merger !== undefined) output.keepOrder();
    const failed = (error: unknown): void => {
      throw error;
    };
    const from = (shard: number) => (states === undefined ? undefined : stateOfShard(states, shard));
    return (shard) =>
      new KeyedShard(
        operator,
        operator.open({ slabs, shard, clock: this.#clock, output, failed }, from(shard)),
        shard,
        output,
        this.#memory,
        plan.sources,
        merger,
      );
  }

  /** What tells the readers of a view of the changes of a shard. */
  #publisher(address: number | undefined): ShardPublisher | undefined {
    if (address === undefined) return undefined;
    const cell = new LiveCell(this.#memory, address);
    return { begin: () => cell.begin(), publish: (table) => cell.publish(table, this.#clock.epoch), abandon: () => cell.abandon() };
  }
}

/** A keyed operator as a shard's half. */
class KeyedShard implements ShardHalf {
  readonly #plan: KeyedOperatorPlan;
  readonly #operator: KeyedOperator;
  readonly #shard: number;
  readonly #output: RowOutput;
  readonly #memory: SharedMemory;
  readonly #sources: readonly number[];
  readonly mergeInOrder: ((blocks: readonly number[]) => number) | undefined;

  /**
   * @param sources those whose rows come here, as explain numbers them
   * @param merger where rows carry their order
   */
  constructor(
    plan: KeyedOperatorPlan,
    operator: KeyedOperator,
    shard: number,
    output: RowOutput,
    memory: SharedMemory,
    sources: readonly number[],
    merger: RowMerger | undefined,
  ) {
    this.mergeInOrder = merger && ((blocks) => merger.each(blocks, shard, this.#take));
    this.#plan = plan;
    this.#operator = operator;
    this.#shard = shard;
    this.#output = output;
    this.#memory = memory;
    this.#sources = sources;
  }

  get stateBytes(): number {
    return this.#operator.stateBytes;
  }

  readonly #take = (rows: Batch, input: number, places: Float64Array, block: number): void => {
    this.#output.begin(places);
    try {
      this.#operator.onBatch(rows, input);
    } catch (error) {
      throw located(error, exchangeBlockOrigin(this.#memory, block), this.#sources);
    }
    this.#output.begin(undefined);
  };

  merge(block: number): number {
    const input = blockInput(this.#memory, block);
    const rows = shardRows(this.#memory, (this.#plan.inputs[input] as KeyedInput).schema, block, this.#shard);
    if (rows === undefined) return 0;
    try {
      this.#operator.onBatch(rows, input);
    } catch (error) {
      throw located(error, exchangeBlockOrigin(this.#memory, block), this.#sources);
    }
    return rows.rowCount;
  }

  advance(watermark: number): void {
    this.#operator.onWatermark(watermark);
    this.#output.flush();
  }

  snapshot(): unknown {
    return this.#operator.snapshot();
  }
}

/** An error of a user function with where the rows that it was called with were read, as far as a block knows. Rows of another exchange have no such place. */
function located(error: unknown, { source, partition, first }: ChunkOrigin, sources: readonly number[]): unknown {
  if (!(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_USER_FUNCTION' || !sources.includes(source)) return error;
  return new MillraceError(error.code, `${error.message} (source ${source}, partition ${partition}, in the rows from offset ${first} on)`, {
    cause: error.cause ?? error,
  });
}

/** The groups of neighbouring shards that a worker owns: enough groups that every worker has some, the same groups for up to 8 workers. */
export function ownGroups(workers: number, worker: number): number[][] {
  const groupCount = workers <= GROUPS_MIN ? GROUPS_MIN : SHARD_COUNT;
  const size = SHARD_COUNT / groupCount;
  const groups: number[][] = [];
  for (let group = worker; group < groupCount; group += workers) groups.push(Array.from({ length: size }, (_, i) => group * size + i));
  return groups;
}
