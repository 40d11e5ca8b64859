/**
 * The engine: what one worker does, without its thread. Scan a chunk; end an epoch. It runs to completion and waits for
 * nobody but at the barrier of the control block, so the same engine runs in a worker and, alone, in a test driver.
 *
 *   scan        chunk -> decoder -> flow (row functions, watermark) -> combiners, or encoders of sinks
 *   endEpoch    publish blocks and event times | barrier | watermarks | for each exchange, in order:
 *               [publish | barrier when others feed it] merge own shards, close windows -> flow -> encoders, or the next exchange
 *
 * Shards come in groups of neighbours, and a group is worked off by one worker as a unit: what it writes is one run of
 * blocks, whichever worker that is.
 */

import { type Batch, type Counters, MillraceError, readTimestamp, SHARD_COUNT, type SharedMemory, type SlabAllocator, Watermark } from '../core/index.ts';
import type { Chunk, ChunkDecoder, CommittedPosition, Rejection, SinkEncoder, SinkInfo } from '../io/index.ts';
import { Combiner, exchangeBlockPanes, orderExchangeBlocks, ResultWriter, type ShardAggregate, shardAggregate } from '../operators/index.ts';
import { type Control, PARTITION_DRAINED, PARTITION_ENDED, PARTITION_IDLE } from './control.ts';
import { Flow, LateRows } from './flow.ts';
import type { OutputBlock } from './outputs.ts';
import type { ExchangePlan, FlowPlan, Plan, SourcePlan, WatermarkPlan } from './plan.ts';
import type { LedgerSample } from './pool.ts';
import type { CounterName } from './progress.ts';
import { restoreWatermarks } from './watermarks.ts';

export interface EngineContext {
  readonly plan: Plan;
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly control: Control;
  readonly worker: number;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
  readonly committed: readonly (readonly CommittedPosition[])[];
  readonly sinks: readonly SinkInfo[];
  /** One region per global partition. */
  readonly counters: readonly Counters<CounterName>[];
  readonly batchRows: number;
  output(epoch: number, block: OutputBlock): void;
  sample(sample: LedgerSample): void;
}

const GROUPS_MIN = 8;
const SAMPLES_A_REASON = 10;

/** Where the rows that are being worked on come from: coordinates for blocks, for counts and for messages. */
interface Place {
  epoch: number;
  stage: number;
  unit: number;
  unitSequence: number;
  order: number;
  source: number;
  partition: number;
  global: number;
}

export class Engine {
  readonly #context: EngineContext;
  readonly #memory: SharedMemory;
  readonly #place: Place = { epoch: 0, stage: 0, unit: 0, unitSequence: 0, order: 0, source: 0, partition: 0, global: 0 };
  readonly #decoders: ChunkDecoder[];
  readonly #encoders: SinkEncoder[];
  readonly #combiners: Combiner[];
  readonly #sourceFlows: Flow[];
  readonly #exchanges: ExchangeRunner[];
  readonly #watermarks: WatermarkRunner[];
  /** The flow whose batch is with a combiner. */
  #combining: Flow | undefined;
  readonly #lateFlows = new Map<number, Flow>();
  readonly #lateRows = new Map<number, LateRows>();
  readonly #firstGlobal: number[] = [];
  readonly #samples = new Map<string, number>();
  /** Blocks of ours that other workers may still read, by parity. */
  readonly #lent: [number[], number[]] = [[], []];

  constructor(context: EngineContext) {
    this.#context = context;
    this.#memory = context.memory;
    const { plan, slabs, memory } = context;
    let global = 0;
    for (const count of context.partitions) {
      this.#firstGlobal.push(global);
      global += count;
    }
    this.#watermarks = plan.watermarks.map((watermark, index) => new WatermarkRunner(watermark, index, context, this.#firstGlobal));
    const firstEpoch = restoreWatermarks(
      this.#watermarks.map((runner) => runner.watermark),
      context.committed,
      context.partitions,
    );
    this.#encoders = plan.sinks.map(({ sink, schema }, index) =>
      sink.encoder({
        memory,
        slabs,
        schema,
        info: context.sinks[index] as SinkInfo,
        position: () => ({ epoch: this.#place.epoch, shard: this.#place.unit }),
        block: (outputPartition, rows, address, bytes) => this.#handOver(index, outputPartition, rows, address, bytes),
      }),
    );
    this.#combiners = plan.exchanges.map(
      ({ aggregate }, exchange) => new Combiner(slabs, aggregate, { late: (batch, rows) => this.#late(exchange, batch, rows) }),
    );
    this.#sourceFlows = plan.sources.map(({ flow: flowPlan }, index) => {
      const flow = this.#flow(flowPlan);
      flow.origin = (row) => (this.#decoders[index] as ChunkDecoder).offsetOf(row);
      return flow;
    });
    this.#exchanges = plan.exchanges.map(
      (exchange) => new ExchangeRunner(exchange, context, this.#eventTime(exchange), this.#flow(exchange.flow), ownGroups(context)),
    );
    this.#decoders = plan.sources.map(({ source, flow }) =>
      source.decoder({ memory, slabs, columns: flow.rows.columnsRead, batchRows: context.batchRows, reject: (rejection) => this.#reject(rejection) }),
    );
    this.#beginEpoch(firstEpoch, Date.now());
  }

  /**
   * Scans one chunk of the current epoch.
   *
   * @throws MillraceError of a user function, with the coordinates of the chunk in the message
   */
  scan(source: number, chunk: Chunk, sequence: number): void {
    const place = this.#place;
    place.stage = 0;
    place.source = source;
    place.partition = chunk.partition;
    place.global = (this.#firstGlobal[source] as number) + chunk.partition;
    place.unit = place.global;
    place.unitSequence = sequence;
    place.order = 0;
    const decoder = this.#decoders[source] as ChunkDecoder;
    const flow = this.#sourceFlows[source] as Flow;
    for (const exchange of flow.exchanges) (this.#combiners[exchange] as Combiner).beginChunk({ source, partition: chunk.partition, first: chunk.first });
    let rows = 0;
    try {
      decoder.open(chunk);
      for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) {
        rows += batch.rowCount;
        flow.run(batch);
      }
    } catch (error) {
      throw located(error, this.#context.plan.sources[source]?.source.name ?? '', chunk);
    }
    for (const exchange of flow.exchanges) (this.#combiners[exchange] as Combiner).endChunk();
    for (const sink of flow.sinks) (this.#encoders[sink] as SinkEncoder).flush();
    this.#count('rowsIn', rows);
  }

  /**
   * Ends the epoch together with all other engines of the job.
   *
   * @param nowMs the coordinator's clock when it ended the epoch, the same for all
   * @throws Aborted when another part of the job has failed
   */
  endEpoch(epoch: number, nowMs: number): void {
    const { control } = this.#context;
    this.#place.epoch = epoch;
    for (const watermark of this.#watermarks) watermark.publish(epoch);
    this.#exchanges.forEach((exchange, index) => {
      if (exchange.upstream.length === 0) this.#publish(epoch, index);
    });
    control.barrier();
    // Everybody is past the merges of the epoch before.
    this.#takeBack(epoch - 1);
    for (const watermark of this.#watermarks) watermark.advance(epoch);
    this.#exchanges.forEach((exchange, index) => {
      if (exchange.upstream.length > 0) {
        this.#publish(epoch, index);
        control.barrier();
      }
      this.#merge(exchange, index, epoch, this.#eventTime(exchange.plan));
    });
    this.#beginEpoch(epoch + 1, nowMs);
  }

  /** Bytes of state of the shards that this engine owns. */
  get stateBytes(): number {
    return this.#exchanges.reduce((sum, exchange) => sum + exchange.stateBytes, 0);
  }

  #merge(exchange: ExchangeRunner, index: number, epoch: number, watermark: number): void {
    const place = this.#place;
    place.stage = 1 + index;
    place.unitSequence = 0;
    // The counts of what happens behind an exchange have no partition of their own.
    place.global = 0;
    const blocks = this.#gather(epoch, index);
    for (const group of exchange.groups) {
      place.unit = group.number;
      place.order = 0;
      for (const { shard, aggregate } of group.shards) {
        for (const block of blocks) aggregate.merge(block);
        for (const next of exchange.flow.exchanges)
          (this.#combiners[next] as Combiner).beginChunk({ source: this.#decoders.length + index, partition: shard, first: epoch });
        aggregate.advance(watermark, exchange.emit);
        for (const next of exchange.flow.exchanges) (this.#combiners[next] as Combiner).endChunk();
      }
      for (const sink of exchange.flow.sinks) (this.#encoders[sink] as SinkEncoder).flush();
    }
  }

  #beginEpoch(epoch: number, nowMs: number): void {
    this.#place.epoch = epoch;
    for (const watermark of this.#watermarks) watermark.begin(nowMs);
    this.#exchanges.forEach((exchange, index) => {
      (this.#combiners[index] as Combiner).beginEpoch({ watermark: this.#eventTime(exchange.plan), timeBound: Number.POSITIVE_INFINITY });
    });
  }

  /** The watermark of an exchange: the minimum of those above it. */
  #eventTime(exchange: ExchangePlan): number {
    let time = Number.POSITIVE_INFINITY;
    for (const watermark of exchange.watermarks) time = Math.min(time, (this.#watermarks[watermark] as WatermarkRunner).watermark.current);
    return exchange.watermarks.length === 0 ? Number.NEGATIVE_INFINITY : time;
  }

  /** Shows the blocks that our combiner has left for an exchange to the other workers, and what windows they are for. */
  #publish(epoch: number, exchange: number): void {
    const { control, worker, slabs } = this.#context;
    const { u32, f64 } = this.#memory;
    const blocks = (this.#combiners[exchange] as Combiner).takeBlocks();
    const at = control.directory(epoch, worker, exchange);
    const list = blocks.length === 0 ? 0 : slabs.alloc(blocks.length * 4);
    blocks.forEach((block, i) => {
      u32[(list >>> 2) + i] = block;
    });
    u32[at] = list;
    u32[at + 1] = blocks.length;
    const lent = this.#lent[(epoch & 1) as 0 | 1];
    lent.push(...blocks);
    if (list !== 0) lent.push(list);
    f64[control.held(epoch, worker, exchange)] = (this.#exchanges[exchange] as ExchangeRunner).heldUntil(blocks);
  }

  /** The blocks of all workers for an exchange, in the order in which they must be merged. */
  #gather(epoch: number, exchange: number): number[] {
    const { control } = this.#context;
    const { u32 } = this.#memory;
    const blocks: number[] = [];
    for (let worker = 0; worker < control.shape.workers; worker++) {
      const at = control.directory(epoch, worker, exchange);
      const list = (u32[at] as number) >>> 2;
      const count = u32[at + 1] as number;
      for (let i = 0; i < count; i++) blocks.push(u32[list + i] as number);
    }
    return orderExchangeBlocks(this.#memory, blocks);
  }

  #takeBack(epoch: number): void {
    const lent = this.#lent[(epoch & 1) as 0 | 1];
    for (const address of lent) this.#context.slabs.free(address);
    lent.length = 0;
  }

  #flow(plan: FlowPlan): Flow {
    const { memory, slabs, batchRows } = this.#context;
    const next = plan.next.map((flow) => this.#flow(flow));
    const late = plan.exchanges.flatMap((exchange) => this.#lateFlow(exchange) ?? []);
    const { watermark } = plan;
    const runner = watermark === undefined ? undefined : (this.#watermarks[watermark] as WatermarkRunner);
    return new Flow({
      program: plan.rows.instantiate({ memory, slabs, batchRows, onError: () => 'fail' }),
      observe: runner === undefined ? undefined : (batch) => runner.observe(batch, this.#place.global),
      combiners: plan.exchanges.map((exchange) => {
        const combiner = this.#combiners[exchange] as Combiner;
        return (batch: Batch, from: Flow) => {
          this.#combining = from;
          combiner.add(batch);
        };
      }),
      encoders: plan.sinks.map((sink) => this.#encoders[sink] as SinkEncoder),
      next,
      exchanges: new Set([...plan.exchanges, ...[...next, ...late].flatMap((flow) => [...flow.exchanges])]),
      sinks: new Set([...plan.sinks, ...[...next, ...late].flatMap((flow) => [...flow.sinks])]),
    });
  }

  /** Where the late rows of an exchange go, if somebody wants them. */
  #lateFlow(exchange: number): Flow | undefined {
    const { late } = this.#context.plan.exchanges[exchange] as ExchangePlan;
    if (late === undefined) return undefined;
    let flow = this.#lateFlows.get(exchange);
    if (flow === undefined) {
      flow = this.#flow(late.flow);
      this.#lateFlows.set(exchange, flow);
      this.#lateRows.set(exchange, new LateRows(this.#context.slabs, late.schema, this.#context.batchRows, flow));
    }
    return flow;
  }

  /** The combiner of an exchange has found late rows in the batch that is going by. */
  #late(exchange: number, batch: Batch, rows: Uint32Array): void {
    this.#count('late', rows.length);
    this.#lateRows.get(exchange)?.write(batch, rows, {
      source: this.#place.stage === 0 ? (this.#context.plan.sources[this.#place.source] as SourcePlan).source.name : `exchange ${this.#place.stage - 1}`,
      partition: this.#place.partition,
      offsetOf: (row) => this.#combining?.offsetOf(row) ?? -1,
    });
  }

  #handOver(sink: number, outputPartition: number, rows: number, address: number, bytes: number): void {
    const { epoch, stage, unit, unitSequence } = this.#place;
    this.#context.output(epoch, { sink, stage, unit, unitSequence, order: this.#place.order++, outputPartition, rows, address, bytes });
  }

  #count(name: CounterName, count: number): void {
    this.#context.counters[this.#place.global]?.add(name, count);
  }

  #reject(rejection: Rejection): void {
    this.#count(rejection.reason, rejection.rows);
    if (rejection.reason === 'filtered') return;
    this.#count('rowsIn', rejection.rows);
    const seen = this.#samples.get(rejection.reason) ?? 0;
    if (seen >= SAMPLES_A_REASON) return;
    this.#samples.set(rejection.reason, seen + 1);
    const { source, partition } = this.#place;
    const { reason, offset, rows, message } = rejection;
    this.#context.sample({ reason, source: this.#context.plan.sources[source]?.source.name ?? '', partition, offset, rows, message });
  }
}

/** One worker's view of a watermark: what it saw itself, and what all saw. */
class WatermarkRunner {
  readonly watermark: Watermark;
  readonly #plan: WatermarkPlan;
  readonly #index: number;
  readonly #context: EngineContext;
  readonly #globals: readonly number[];
  readonly #maxima: Float64Array;
  #timeBound = Number.POSITIVE_INFINITY;

  constructor(plan: WatermarkPlan, index: number, context: EngineContext, firstGlobal: readonly number[]) {
    this.#plan = plan;
    this.#index = index;
    this.#context = context;
    this.#globals = plan.sources.flatMap((source) =>
      Array.from({ length: context.partitions[source] as number }, (_, p) => (firstGlobal[source] as number) + p),
    );
    this.#maxima = new Float64Array(context.control.shape.partitions).fill(Number.NEGATIVE_INFINITY);
    const { delayMs, maxSkewMs } = plan.strategy;
    this.watermark = new Watermark(maxSkewMs === undefined ? { delayMs } : { delayMs, maxSkewMs }, this.#globals);
  }

  begin(nowMs: number): void {
    this.#maxima.fill(Number.NEGATIVE_INFINITY);
    this.#timeBound = this.watermark.timeBound(nowMs);
  }

  /** Notes the newest event time of a batch, as far as it may move the watermark. */
  observe(batch: Batch, global: number): void {
    const { memory, rowCount } = batch;
    const { data } = batch.column(this.#plan.strategy.columnIndex);
    const bound = this.#timeBound;
    let max = this.#maxima[global] as number;
    for (let row = 0; row < rowCount; row++) {
      const time = readTimestamp(memory, data, row);
      if (time > max && time <= bound) max = time;
    }
    this.#maxima[global] = max;
  }

  publish(epoch: number): void {
    const { control, memory, worker } = this.#context;
    memory.f64.set(this.#maxima, control.maxima(epoch, worker, this.#index));
  }

  /** Takes in what all workers saw in the epoch. The same in every worker. */
  advance(epoch: number): void {
    const { control, memory } = this.#context;
    for (const global of this.#globals) {
      for (let worker = 0; worker < control.shape.workers; worker++) {
        this.watermark.observe(global, memory.f64[control.maxima(epoch, worker, this.#index) + global] as number);
      }
      const state = control.partition(epoch, global);
      if (state === PARTITION_ENDED || state === PARTITION_DRAINED) this.watermark.end(global);
      else if (state === PARTITION_IDLE) this.watermark.idle(global);
    }
    this.watermark.advance();
  }
}

/** The shards of one exchange that this worker owns. */
class ExchangeRunner {
  readonly plan: ExchangePlan;
  readonly flow: Flow;
  readonly upstream: readonly number[];
  readonly groups: readonly { readonly number: number; readonly shards: readonly { readonly shard: number; readonly aggregate: ShardAggregate }[] }[];
  readonly emit: (batch: Batch) => void;
  readonly #memory: SharedMemory;

  constructor(plan: ExchangePlan, context: EngineContext, watermark: number, flow: Flow, groups: readonly (readonly number[])[]) {
    this.plan = plan;
    this.flow = flow;
    this.upstream = plan.upstream;
    this.emit = (batch) => flow.run(batch);
    this.#memory = context.memory;
    const writer = new ResultWriter(context.slabs, plan.aggregate);
    // After a restart the windows up to the committed watermark are closed.
    const from = Number.isFinite(watermark) ? { watermark, panes: [] } : undefined;
    this.groups = groups.map((shards) => ({
      number: shards[0] as number,
      shards: shards.map((shard) => ({ shard, aggregate: shardAggregate(context.slabs, plan.aggregate, shard, writer, from) })),
    }));
  }

  get stateBytes(): number {
    return this.groups.reduce((sum, { shards }) => sum + shards.reduce((bytes, { aggregate }) => bytes + aggregate.stateBytes, 0), 0);
  }

  /** Until when (event time) the rows in these blocks are held: the end of their last window, lateness included. */
  heldUntil(blocks: readonly number[]): number {
    const { grid, window } = this.plan.aggregate;
    if (blocks.length === 0) return Number.NEGATIVE_INFINITY;
    if (grid === undefined || window === undefined) return Number.POSITIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    for (const block of blocks) for (const pane of exchangeBlockPanes(this.#memory, block)) last = Math.max(last, pane);
    return grid.paneExpiry(last) + window.latenessMs;
  }
}

/** The groups of neighbouring shards that a worker owns: enough groups that every worker has some, the same groups for up to 8 workers. */
function ownGroups({ control, worker }: EngineContext): number[][] {
  const groupCount = control.shape.workers <= GROUPS_MIN ? GROUPS_MIN : SHARD_COUNT;
  const size = SHARD_COUNT / groupCount;
  const groups: number[][] = [];
  for (let group = worker; group < groupCount; group += control.shape.workers) groups.push(Array.from({ length: size }, (_, i) => group * size + i));
  return groups;
}

function located(error: unknown, source: string, chunk: Chunk): unknown {
  if (!(error instanceof MillraceError)) return error;
  return new MillraceError(error.code, `${error.message} (${source}, partition ${chunk.partition}, in the rows from offset ${chunk.first} to ${chunk.next})`, {
    cause: error.cause ?? error,
  });
}
