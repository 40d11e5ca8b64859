/**
 * An operator over whole rows by key (keyed-operator.ts) as the operator of an exchange. Rows travel in the
 * order of their shards (exchange/row-partition.ts), and each shard calls its operator with its rows of each
 * block.
 */

import { type AnyRow, type Batch, copyBytes, type Schema, SHARD_COUNT, type SharedMemory, type SlabAllocator } from '../../core/index.ts';
import type { RowPlace } from '../by-key/index.ts';
import {
  blockInput,
  type DueTimes,
  type ExchangeOperator,
  type ExchangeShard,
  exchangeBlockBytes,
  exchangeBlockOrigin,
  exchangeBlockRows,
  type LeftOut,
  type OpenShard,
  type OrderOfRows,
  type OutputTime,
  offsetInShard,
  type RowInput,
  RowMerger,
  RowPartitioner,
  rowBlockMaxTime,
  type Scatter,
  type ScatterHooks,
  type ShardContext,
  type StateFacts,
  type StateRow,
  shardOrders,
  shardRows,
  shardsWithRows,
  sliceRowBlock,
} from '../exchange/index.ts';
import type { KeyedOperator, KeyedOperatorPlan } from './keyed-operator.ts';
import { RowOutput } from './row-output.ts';
import { RowReader } from './row-values.ts';

/** More than a source has. */
const PARTITIONS = 2 ** 32;

export class KeyedExchange implements ExchangeOperator {
  readonly name: string;
  readonly inputs: readonly RowInput[];
  readonly output: Schema;
  readonly outputTime: OutputTime | undefined;
  readonly loadsFirst: number | undefined;
  readonly travels: string;
  readonly state: StateFacts;
  readonly order: OrderOfRows;
  readonly callsFunctions: boolean;
  readonly isViewable = false;
  readonly heldRows = undefined;
  readonly #plan: KeyedOperatorPlan;

  constructor(plan: KeyedOperatorPlan) {
    this.#plan = plan;
    this.name = plan.name;
    this.inputs = plan.inputs;
    this.output = plan.output;
    this.outputTime = plan.outputTime;
    this.loadsFirst = plan.loadsFirst;
    this.callsFunctions = plan.callsFunctions === true;
    this.order = {
      isNeeded: plan.isOrdered === true,
      keys: plan.inputs.map(({ schema, keys }) => keys.map((key) => schema.field(key).name)),
      // Rows that process() emits may have any key, whatever the columns are called.
      keepsKeys: plan.name !== 'process',
    };
    this.travels = `rows travel whole by key to ${SHARD_COUNT} shards: ${plan.whole}`;
    const { format, facts: of, migration } = plan.state;
    const inputs = plan.inputs.map(inputFacts);
    this.state = {
      format,
      facts: { inputs, ...(plan.isStateOfOutput === false ? {} : { output: String(plan.output) }), of },
      // Rows in a state log are of the inputs as they were.
      ...(migration === undefined
        ? {}
        : { migration: (then) => (isSameInput(then.facts, inputs) ? migration({ format: then.format, facts: ofIn(then.facts) }) : undefined) }),
    };
  }

  scatter(slabs: SlabAllocator, input: number, hooks: ScatterHooks): Scatter {
    return new RowPartitioner(slabs, this.#plan, input, hooks);
  }

  openShards(context: ShardContext): OpenShard {
    const { slabs, clock, emit, carriesOrder } = context;
    const place: PlaceInBlock = { block: 0, shard: 0, rows: undefined, input: 0 };
    const failures = {
      areSkipped: context.failures.areSkipped,
      skip: (error: unknown, of: number | AnyRow, older?: RowPlace): void =>
        context.failures.skip(error, { ...this.#leftOut(slabs.memory, place, of), place: older }),
    };
    const atWork = context.atWork ?? new Int32Array(1);
    const origin = (): number => {
      if (place.block === 0) return 0;
      const { source, partition } = exchangeBlockOrigin(slabs.memory, place.block);
      return source * PARTITIONS + (carriesOrder ? 0 : partition);
    };
    const output = new RowOutput(slabs, this.output, emit);
    const merging: Merging = { merger: carriesOrder ? new RowMerger(slabs, this.inputs) : undefined };
    if (carriesOrder) output.keepOrder();
    return (shard, from) => {
      const operator = this.#plan.open({ slabs, shard, clock, output, failures, origin, atWork }, from);
      return new KeyedShard(this.#plan, operator, shard, output, context, place, merging);
    };
  }

  #leftOut(memory: SharedMemory, { block, shard, rows, input }: PlaceInBlock, of: number | AnyRow): LeftOut {
    if (typeof of !== 'number' || rows === undefined) return { values: typeof of === 'number' ? {} : of, block: 0, offset: undefined };
    const { schema, columns } = this.inputs[input] as RowInput;
    return { values: new RowReader(schema, columns).read(rows, of), block, offset: offsetInShard(memory, block, shard, of) };
  }

  slice(slabs: SlabAllocator, block: number, from: number, to: number): number {
    const input = this.inputs[blockInput(slabs.memory, block)] as RowInput;
    if (input.isBroadcast !== true) return sliceRowBlock(slabs, input, block, from, to);
    const bytes = exchangeBlockBytes(slabs.memory, block);
    const copy = slabs.alloc(bytes);
    copyBytes(slabs.memory, copy, block, bytes);
    return copy;
  }

  piecesOf(memory: SharedMemory, block: number): number {
    const isForAll = this.inputs[blockInput(memory, block)]?.isBroadcast === true;
    return exchangeBlockRows(memory, block) * (isForAll ? SHARD_COUNT : 1);
  }

  shardsIn(memory: SharedMemory, block: number, found: Uint8Array): void {
    shardsWithRows(memory, block, found);
  }

  heldUntil(memory: SharedMemory, block: number): number {
    return this.#plan.heldUntil(rowBlockMaxTime(memory, block), blockInput(memory, block));
  }

  describe(): string {
    return this.#plan.describe();
  }
}

/** What the state of the operator alone depends on. */
function ofIn(facts: unknown): unknown {
  return (facts as { readonly of?: unknown } | null)?.of;
}

/** Members of what comes from a manifest are in another order. */
function isSameInput(facts: unknown, inputs: readonly InputFacts[]): boolean {
  const were = (facts as { readonly inputs?: readonly InputFacts[] } | null)?.inputs;
  if (!Array.isArray(were) || were.length !== inputs.length) return false;
  return inputs.every((input, i) => Object.entries(input).every(([name, value]) => JSON.stringify((were[i] as InputFacts)[name]) === JSON.stringify(value)));
}

type InputFacts = Readonly<Record<string, unknown>>;

function inputFacts({ schema, keys, columns, eventTime, isBroadcast, timeShiftMs }: RowInput): InputFacts {
  const nameOf = (column: number): string => schema.field(column).name;
  return {
    columns: String(schema.select(columns.map(nameOf), 'state')),
    keys: keys.map(nameOf),
    eventTime: eventTime < 0 ? null : nameOf(eventTime),
    timeShiftMs,
    isBroadcast: isBroadcast === true,
  };
}

/** The rows that are being taken: of which block (0: of none), shard and input. */
interface PlaceInBlock {
  block: number;
  shard: number;
  rows: Batch | undefined;
  input: number;
}

/** Where rows carry their order. One per thread, shared by its shards. */
interface Merging {
  merger: RowMerger | undefined;
}

class KeyedShard implements ExchangeShard {
  readonly #plan: KeyedOperatorPlan;
  readonly #operator: KeyedOperator;
  readonly #shard: number;
  readonly #output: RowOutput;
  readonly #context: ShardContext;
  readonly #place: PlaceInBlock;
  readonly #merging: Merging;

  /** @param place of the rows that are being taken */
  constructor(
    plan: KeyedOperatorPlan,
    operator: KeyedOperator,
    shard: number,
    output: RowOutput,
    context: ShardContext,
    place: PlaceInBlock,
    merging: Merging,
  ) {
    this.#plan = plan;
    this.#operator = operator;
    this.#shard = shard;
    this.#output = output;
    this.#context = context;
    this.#place = place;
    this.#merging = merging;
  }

  get stateBytes(): number {
    return this.#operator.stateBytes;
  }

  get due(): DueTimes {
    return this.#operator.due;
  }

  merge(all: readonly number[]): number {
    const { slabs } = this.#context;
    const { memory } = slabs;
    const { takesFirst } = this.#plan;
    const isFirst = (block: number): boolean => blockInput(memory, block) === takesFirst;
    const blocks = takesFirst === undefined ? all : [...all.filter(isFirst), ...all.filter((block) => !isFirst(block))];
    // Blocks of a state log may carry places that this plan no longer needs: what came of them then counted these.
    const isOrdered = this.#merging.merger !== undefined || blocks.some((block) => shardOrders(memory, block, this.#shard) !== 0);
    if (isOrdered) return (this.#merging.merger ??= new RowMerger(slabs, this.#plan.inputs)).each(blocks, this.#shard, this.#takeInOrder);
    let merged = 0;
    for (const block of blocks) {
      const input = blockInput(memory, block);
      const rows = shardRows(memory, this.#plan.inputs[input] as RowInput, block, this.#shard);
      if (rows === undefined) continue;
      this.#take(rows, input, block, false);
      merged += rows.rowCount;
    }
    return merged;
  }

  readonly #takeInOrder = (rows: Batch, input: number, places: Float64Array, block: number, isBehind: boolean): void => {
    this.#output.begin(places);
    this.#take(rows, input, block, isBehind);
    this.#output.begin(undefined);
  };

  #take(rows: Batch, input: number, block: number, isMerged: boolean): void {
    const { source, partition } = exchangeBlockOrigin(this.#context.slabs.memory, block);
    Object.assign(this.#place, { block, shard: this.#shard, rows, input });
    this.#context.taking?.(block, this.#shard);
    try {
      this.#operator.onBatch(rows, input, {
        source,
        partition: isMerged ? 0 : partition,
        offsetOf: (row) => (isMerged ? undefined : offsetInShard(this.#context.slabs.memory, block, this.#shard, row)),
      });
    } catch (error) {
      const row = isMerged ? -1 : (this.#context.atWork?.[0] ?? -1);
      throw this.#context.located(error, block, row < 0 ? undefined : offsetInShard(this.#context.slabs.memory, block, this.#shard, row));
    }
    Object.assign(this.#place, { block: 0, rows: undefined });
    this.#context.taking?.(0, this.#shard);
  }

  advance(watermark: number): void {
    this.#operator.onWatermark(watermark);
    this.#output.flush();
  }

  snapshot(): unknown {
    return this.#operator.snapshot();
  }

  stateRows(): Iterable<StateRow> {
    return this.#operator.stateRows();
  }

  close(): void {
    this.#operator.release?.();
  }
}
