/**
 * The shards of an exchange that one worker owns. They take the blocks of all workers at the epoch's end, and
 * emit what is due. What travels, and what shards do with it, is up to the operator
 * (operators/exchange/exchange-operator.ts).
 */

import { type AnyRow, type Batch, LiveCell, MillraceError, SHARD_COUNT, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import {
  type ChunkOrigin,
  type ExchangeShard,
  exchangeBlockOrigin,
  type HeldRows,
  type LeftOut,
  type ShardPublisher,
  type StateRow,
} from '../../operators/index.ts';
import type { ExchangePlan } from '../plan/index.ts';
import type { RowAtWork } from '../shared/index.ts';
import type { LoggedShard } from '../state-log/index.ts';
import { isOfFunction } from './failed-rows.ts';
import { OwnShard } from './own-shard.ts';
import type { StateBudget } from './state-budget.ts';
import type { ShardState } from './state-snapshot.ts';

/** Takes the results of an exchange. */
interface ResultFlow {
  run(batch: Batch): void;
}

/** What an exchange does with rows on which functions fail. */
export interface RunnerFailures {
  readonly areSkipped: boolean;
  note(failure: FailedRow): void;
}

/** A row, a timer or a result on which a function has failed. */
export interface FailedRow {
  readonly message: string;
  /** The columns of the row; of a timer or a result the key columns. */
  readonly values: AnyRow;
  /** The chunk that the row was in, and its offset or, where its block does not have that, the chunk's first. */
  readonly origin: (Pick<ChunkOrigin, 'source' | 'partition'> & { readonly offset: number }) | undefined;
}

/** What an exchange knows of the view of it. */
export interface ViewedShards {
  readonly firstEpoch: number;
  /** Address of the LiveCell of a shard. */
  cell(shard: number): number;
}

/** What shards are opened from. */
export interface ShardOrigin {
  stateOf(shard: number): unknown;
  /** Of a log: the epoch that the state is as of, and the event time of the exchange at its end. */
  readonly baseOf?: ((shard: number) => { readonly epoch: number; readonly watermark: number }) | undefined;
}

const GROUPS_MIN = 8;

/** The shards of one exchange that this worker owns. */
export class ExchangeRunner<F extends ResultFlow = ResultFlow> {
  readonly plan: ExchangePlan;
  readonly flow: F;
  readonly upstream: readonly number[];
  /** The rows in open windows, of all shards; undefined where the operator cannot tell. */
  readonly held: HeldRows | undefined;
  /** In groups of neighbours. */
  readonly groups: readonly { readonly number: number; readonly shards: readonly OwnShard[] }[];
  readonly #memory: SharedMemory;
  readonly #isViewed: boolean;
  /** Undefined: all state stays in memory. */
  readonly #budget: StateBudget | undefined;
  /** By shard: whether there are pieces for it in the epoch that is being merged. Only with a budget. */
  readonly #found = new Uint8Array(SHARD_COUNT);
  /** Results were put out before the restart, and are not again. */
  #isRedoing = false;
  /** What the operator sees of time. */
  readonly #clock = { epoch: 0, nowMs: 0, watermark: Number.NEGATIVE_INFINITY };

  /**
   * @param watermark as committed, after a restart: what it has closed stays closed
   * @param failures takes rows on which functions fail
   * @param row for whoever watches this thread; undefined: nobody does
   * @param from the state to resume from
   * @param viewed undefined: nobody views the exchange
   * @param budget where its shards may be put away; viewed ones are not
   */
  constructor(
    plan: ExchangePlan,
    number: number,
    slabs: SlabAllocator,
    watermark: number,
    flow: F,
    groups: readonly (readonly number[])[],
    failures: RunnerFailures,
    row: RowAtWork | undefined,
    from?: ShardOrigin | undefined,
    viewed?: ViewedShards | undefined,
    budget?: StateBudget | undefined,
  ) {
    const { operator } = plan;
    this.plan = plan;
    this.flow = flow;
    this.upstream = plan.upstream;
    this.#memory = slabs.memory;
    this.#clock.watermark = watermark;
    this.held = operator.heldRows?.(slabs.memory);
    this.#isViewed = viewed !== undefined;
    this.#budget = this.#isViewed ? undefined : budget;
    if (viewed !== undefined) this.#clock.epoch = viewed.firstEpoch - 1;
    const open = operator.openShards({
      slabs,
      clock: this.#clock,
      emit: (batch) => {
        if (this.#isRedoing) return;
        if (row === undefined) flow.run(batch);
        else row.aside(() => flow.run(batch));
      },
      failures: { areSkipped: failures.areSkipped, skip: (error, of) => this.#skip(failures, error, of) },
      located: (error, block, offset) => located(error, exchangeBlockOrigin(slabs.memory, block), offset, plan.sources),
      carriesOrder: plan.carriesOrder,
      ...(row === undefined ? {} : { atWork: row.words, taking: (block: number, shard: number) => row.atBlock(block, shard) }),
      ...(viewed === undefined ? {} : { publisher: (shard: number) => this.#publisher(viewed.cell(shard)) }),
    });
    const opened = (shard: number): OwnShard => {
      const base = from?.baseOf?.(shard);
      if (base !== undefined) this.#clock.watermark = base.watermark;
      const state = from?.stateOf(shard);
      const own = new OwnShard({ exchange: number, number: shard, base: base?.epoch, shard: open(shard, state), open: (then) => open(shard, then) });
      this.#budget?.add(own);
      return own;
    };
    // What fails while state is read has failed when it came first.
    this.#isRedoing = true;
    this.groups = groups.map((shards) => ({ number: shards[0] as number, shards: shards.map(opened) }));
    this.#isRedoing = false;
    this.#clock.watermark = watermark;
  }

  /** Bytes of its state in memory. */
  get stateBytes(): number {
    return this.groups.reduce((sum, { shards }) => sum + shards.reduce((bytes, own) => bytes + (own.isAway ? 0 : own.shard.stateBytes), 0), 0);
  }

  get isViewed(): boolean {
    return this.#isViewed;
  }

  /** What the operator keeps, row by row, for people: see ExchangeShard.stateRows. */
  *stateRows(): Generator<StateRow> {
    for (const { shards } of this.groups) for (const { shard } of shards) yield* shard.stateRows();
  }

  /** The state of its shards, between two epochs. */
  snapshot(): ShardState[] {
    return this.groups.flatMap(({ shards }) => shards.map((own) => ({ shard: own.number, state: own.snapshot() })));
  }

  /** Its shards, as the writer of the state log sees them. */
  logged(exchange: number): LoggedShard[] {
    return this.groups.flatMap(({ shards }) =>
      shards.map((own): LoggedShard => ({ exchange, shard: own.number, base: own.base, stateBytes: () => own.stateBytes() })),
    );
  }

  /** The epoch of the oldest base that a shard was opened from; undefined: there is no log. */
  get oldestBase(): number | undefined {
    const bases = this.groups.flatMap(({ shards }) => shards.flatMap(({ base }) => (base === undefined ? [] : [base])));
    return bases.length === 0 ? undefined : Math.min(...bases);
  }

  /**
   * Repeats an epoch of the log: shards whose base is older take it in. What they put out was put out before.
   *
   * @param before the event time of the exchange before the epoch
   * @param after and at its end
   */
  redo(epoch: number, nowMs: number, before: number, after: number, blocks: readonly number[]): void {
    this.#isRedoing = true;
    this.beginEpoch(epoch, nowMs);
    this.#clock.watermark = before;
    const behind = this.groups.flatMap(({ shards }) => shards.filter(({ base }) => base !== undefined && base < epoch));
    this.#budget?.beginEpoch(epoch, 0);
    this.await(blocks, after);
    for (const own of behind) {
      if (!this.#isViewed) {
        this.pass(own, blocks, after);
        continue;
      }
      const { shard } = own;
      shard.merge(blocks);
      shard.settle?.();
      this.#step(shard, after);
    }
    this.endEpoch(after);
    this.#isRedoing = false;
  }

  beginEpoch(epoch: number, nowMs: number): void {
    this.#clock.epoch = epoch;
    this.#clock.nowMs = nowMs;
  }

  /**
   * Merges the epoch's blocks into viewed shards, all of them before the first one emits. So they are of two
   * epochs only while merging takes place. Other shards are merged one by one, each just before it emits.
   *
   * @returns how many pieces (groups, or rows) were merged
   */
  settle(blocks: readonly number[]): number {
    if (!this.#isViewed) return 0;
    let merged = 0;
    for (const { shards } of this.groups) for (const { shard } of shards) merged += shard.merge(blocks);
    for (const { shards } of this.groups) for (const { shard } of shards) shard.settle?.();
    return merged;
  }

  /** Where shards may be put away: finds out for which of them there will be something in this epoch. */
  await(blocks: readonly number[], watermark: number): void {
    if (this.#budget === undefined) return;
    const { operator } = this.plan;
    this.#found.fill(0);
    for (const block of blocks) operator.shardsIn(this.#memory, block, this.#found);
    for (const { shards } of this.groups) for (const own of shards) own.isAwaited = this.#found[own.number] === 1 || own.isDue(watermark, this.#clock.nowMs);
  }

  /**
   * Merges the epoch's blocks into one shard, where {@link settle} has not, and ends the epoch for it.
   *
   * @returns how many pieces (groups, or rows) were merged
   */
  pass(own: OwnShard, blocks: readonly number[], watermark: number): number {
    if (this.#budget !== undefined) return this.#passWithin(this.#budget, own, blocks, watermark);
    const { shard } = own;
    const merged = this.#isViewed ? 0 : shard.merge(blocks);
    this.#step(shard, watermark);
    return merged;
  }

  /** A shard that is put away sleeps on where there is nothing for it. */
  #passWithin(budget: StateBudget, own: OwnShard, blocks: readonly number[], watermark: number): number {
    if (own.isAway && !own.isAwaited) return 0;
    const shard = budget.take(own);
    const merged = shard.merge(blocks);
    this.#step(shard, watermark);
    own.hasEnded = watermark === Number.POSITIVE_INFINITY;
    budget.leave(own, own.isAwaited);
    return merged;
  }

  /** Ends the epoch for one shard whose blocks are merged. */
  #step(shard: ExchangeShard, watermark: number): void {
    const before = this.#clock.watermark;
    this.#clock.watermark = watermark;
    shard.advance(watermark);
    this.#clock.watermark = before;
  }

  endEpoch(watermark: number): void {
    this.#clock.watermark = watermark;
  }

  /** How many pieces all shards together have to merge of these blocks. */
  piecesOf(blocks: readonly number[]): number {
    let pieces = 0;
    for (const block of blocks) pieces += this.plan.operator.piecesOf(this.#memory, block);
    return pieces;
  }

  /**
   * Until when (event time) the rows in these blocks are held: the end of their last window, lateness
   * included.
   */
  heldUntil(blocks: readonly number[]): number {
    let last = Number.NEGATIVE_INFINITY;
    for (const block of blocks) last = Math.max(last, this.plan.operator.heldUntil(this.#memory, block));
    return last;
  }

  /** A function has failed. */
  #skip({ areSkipped, note }: RunnerFailures, error: unknown, { values, block, offset, place }: LeftOut): void {
    if (!areSkipped || !isOfFunction(error)) {
      // A row that has waited is no longer in a block, whose place the error would get.
      if (place === undefined) throw error;
      throw located(error, { source: place.source, partition: place.partition, first: place.offset }, place.offset, this.plan.sources);
    }
    // It was counted when it came first.
    if (this.#isRedoing) return;
    const origin = block === 0 ? undefined : exchangeBlockOrigin(this.#memory, block);
    const { message } = error;
    if (place !== undefined && this.plan.sources.includes(place.source)) note({ message, values, origin: place });
    else if (origin === undefined || !this.plan.sources.includes(origin.source)) note({ message, values, origin: undefined });
    else note({ message, values, origin: { source: origin.source, partition: origin.partition, offset: offset ?? origin.first } });
  }

  /** Notifies the readers of a view when a shard changes. */
  #publisher(address: number): ShardPublisher {
    const cell = new LiveCell(this.#memory, address);
    return { begin: () => cell.begin(), publish: (table) => cell.publish(table, this.#clock.epoch), abandon: () => cell.abandon() };
  }
}

/**
 * An error of a user function, with where its rows were read, as far as a block knows.
 *
 * @param offset of the row; undefined: unknown
 * @param sources the sources whose rows come here; rows of another exchange have no such place
 */
function located(error: unknown, { source, partition, first }: ChunkOrigin, offset: number | undefined, sources: readonly number[]): unknown {
  if (!(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_USER_FUNCTION' || !sources.includes(source)) return error;
  const place = offset === undefined ? `in the rows from offset ${first} on` : `offset ${offset}`;
  return new MillraceError(error.code, `${error.message} (source ${source}, partition ${partition}, ${place})`, {
    cause: error.cause ?? error,
  });
}

/**
 * The groups of neighbouring shards that a worker owns. There are enough groups for every worker to have
 * some, and the same groups for up to 8 workers.
 */
export function ownGroups(workers: number, worker: number): number[][] {
  const groupCount = workers <= GROUPS_MIN ? GROUPS_MIN : SHARD_COUNT;
  const size = SHARD_COUNT / groupCount;
  const groups: number[][] = [];
  for (let group = worker; group < groupCount; group += workers) groups.push(Array.from({ length: size }, (_, i) => group * size + i));
  return groups;
}
