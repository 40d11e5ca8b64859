/**
 * The engine: what one worker does, without its thread. Scan a chunk; end an epoch. It waits for nobody: where all engines of a
 * job must have come before any goes on, it hands over to its caller. So the same engines run in workers, with a barrier
 * there, and in a test driver, one after the other.
 *
 *   scan        chunk -> decoder -> flow (row functions, watermark) -> combiners, or encoders of sinks
 *   endEpoch    publish blocks and event times | all are here | watermarks | for each exchange, in order:
 *               [publish | all are here, when others feed it] merge own shards, close windows -> flow -> encoders, or the next exchange
 *
 * Shards come in groups of neighbours, and a group is worked off by one worker as a unit: what it writes is one run of
 * blocks, whichever worker that is.
 */

import { type Batch, type Counters, MillraceError, type Schema, type SharedMemory, type SlabAllocator, type WatermarkState } from '../core/index.ts';
import type { Chunk, ChunkDecoder, CommittedPosition, Rejection, SinkEncoder, SinkInfo } from '../io/index.ts';
import { type ChunkOrigin, exchangeBlockRows, orderExchangeBlocks } from '../operators/index.ts';
import { OF_EXCHANGE, OF_SOURCE, WorkerBalance } from './balance.ts';
import { type Control, PARTITION_DRAINED, PARTITION_ENDED } from './control.ts';
import { ExchangeRunner, ownGroups, type Scatter, scattersOf } from './exchange-runner.ts';
import { Flow, type Place, sinksOf, targetsOf } from './flow.ts';
import type { OutputBlock } from './outputs.ts';
import type { ExchangePlan, ExchangeTarget, FlowPlan, Plan } from './plan.ts';
import type { LedgerSample } from './pool.ts';
import type { CounterName } from './progress.ts';
import { ErrorRows, LateRows, type RowCoordinates, rowText } from './side-outputs.ts';
import type { EngineState } from './state-snapshot.ts';
import { WatermarkRunner } from './watermark-runner.ts';
import { type Restored, restoreWatermarks } from './watermarks.ts';

export interface EngineContext {
  readonly plan: Plan;
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly control: Control;
  readonly worker: number;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
  readonly committed: readonly (readonly CommittedPosition[])[];
  /** The number of the first epoch, and the clock at the end of the one before. */
  readonly firstEpoch: number;
  readonly nowMs: number;
  readonly sinks: readonly SinkInfo[];
  /** One region per global partition. */
  readonly counters: readonly Counters<CounterName>[];
  readonly batchRows: number;
  /** The state to go on from, of all shards; `committed` is of no account then. */
  readonly from?: EngineState | undefined;
  output(epoch: number, block: OutputBlock): void;
  sample(sample: LedgerSample): void;
}

const SAMPLES_A_REASON = 10;

interface LateOutput {
  readonly flow: Flow;
  readonly rows: LateRows;
}

export class Engine {
  readonly #context: EngineContext;
  readonly #memory: SharedMemory;
  readonly #place: Place = { epoch: 0, stage: 0, unit: 0, unitSequence: 0, order: 0, source: 0, partition: 0, global: 0 };
  readonly #decoders: ChunkDecoder[];
  readonly #encoders: SinkEncoder[];
  /** By exchange, by input: what takes rows on their way to the shards. */
  readonly #scatters: (readonly Scatter[])[];
  readonly #sourceFlows: Flow[];
  readonly #exchanges: ExchangeRunner<Flow>[];
  readonly #watermarks: WatermarkRunner[];
  /** By exchange, by input: who takes what comes too late. */
  readonly #lateOutputs: (readonly (LateOutput | undefined)[])[] = [];
  /** By source: who takes what cannot be decoded. */
  readonly #rejectFlows: (readonly Flow[])[];
  /** Rows that could not be decoded. */
  readonly #errorRows: ErrorRows;
  readonly #balance: WorkerBalance;
  readonly #trace: { flow: Flow | undefined } = { flow: undefined };
  readonly #firstGlobal: number[] = [];
  /** What had been read before the restart. */
  readonly #restored: Restored;
  readonly #samples = new Map<string, number>();
  /** The clock as of the end of the last epoch. */
  #nowMs = 0;
  #chunkFirst = 0;
  /** Blocks of ours that other workers may still read, by parity. */
  readonly #lent: [number[], number[]] = [[], []];

  constructor(context: EngineContext) {
    this.#context = context;
    this.#memory = context.memory;
    const { plan, slabs, memory } = context;
    this.#errorRows = new ErrorRows(slabs);
    this.#balance = new WorkerBalance(plan.sources.length, plan.exchanges.length);
    let global = 0;
    for (const count of context.partitions) {
      this.#firstGlobal.push(global);
      global += count;
    }
    this.#watermarks = plan.watermarks.map((watermark, index) => new WatermarkRunner(watermark, index, context, this.#firstGlobal));
    this.#restored = this.#restoreWatermarks();
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
    this.#scatters = plan.exchanges.map((exchange, index) =>
      scattersOf(slabs, exchange, (input) => ({ late: (batch, rows) => this.#late({ exchange: index, input }, batch, rows) })),
    );
    // A flow has to know all that it feeds, by way of late rows too; who takes those of an exchange comes behind it.
    for (let index = plan.exchanges.length - 1; index >= 0; index--) {
      const exchange = plan.exchanges[index] as ExchangePlan;
      const schemas = exchange.kind === 'aggregate' ? [exchange.aggregate.input] : exchange.operator.inputs.map((input) => input.schema);
      this.#lateOutputs[index] = exchange.late.map(
        (late, input) => late && { flow: this.#flow(late), rows: new LateRows(slabs, schemas[input] as Schema, late, context.batchRows) },
      );
    }
    this.#rejectFlows = plan.sources.map(({ rejects }) => rejects.map((flow) => this.#flow(flow)));
    this.#sourceFlows = plan.sources.map(({ flow }) => this.#flow(flow));
    this.#exchanges = plan.exchanges.map((exchange, index) => this.#runner(exchange, index, context.firstEpoch));
    this.#decoders = plan.sources.map(({ source, flow, rejects }) =>
      source.decoder({
        memory,
        slabs,
        columns: flow.rows.columnsRead,
        batchRows: context.batchRows,
        // A dead letter has all of its bytes.
        ...(rejects.length > 0 ? { sampleBytesMax: memory.byteLength } : {}),
        reject: (rejection) => this.#reject(rejection),
      }),
    );
    this.#beginEpoch(context.firstEpoch, context.nowMs);
  }

  /** The clock when the current epoch began: what rows are stamped with that go by processing time. Before each call below. */
  stampAt(startMs: number): void {
    for (const watermark of this.#watermarks) watermark.stampMs = startMs;
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
    this.#chunkFirst = chunk.first;
    this.#balance.ofSource(source, OF_SOURCE.chunks, 1);
    this.#balance.ofSource(source, OF_SOURCE.bytes, chunk.byteLength);
    const origin = { source, partition: chunk.partition, first: chunk.first };
    const rejects = this.#rejectFlows[source] as readonly Flow[];
    this.#beginChunk([flow, ...rejects], origin);
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
    this.#endChunk([flow, ...rejects]);
    this.#count('rowsIn', rows);
    this.#balance.ofSource(source, OF_SOURCE.decoded, rows);
  }

  /**
   * Ends the epoch together with all other engines of the job, in steps: each yields where all must have come before any goes on.
   * The steps are as many in every engine.
   *
   * @param nowMs the coordinator's clock when it ended the epoch, the same for all
   */
  *endEpoch(epoch: number, nowMs: number): Generator<void, void, void> {
    this.#place.epoch = epoch;
    for (const watermark of this.#watermarks) watermark.publish(epoch);
    for (const [index, exchange] of this.#exchanges.entries()) if (exchange.upstream.length === 0) this.#publish(epoch, index);
    yield;
    // Everybody is past the merges of the epoch before.
    this.#takeBack(epoch - 1);
    for (const watermark of this.#watermarks) watermark.advance(epoch, nowMs);
    for (const [index, exchange] of this.#exchanges.entries()) {
      if (exchange.upstream.length > 0) {
        this.#publish(epoch, index);
        yield;
      }
      this.#merge(exchange, index, epoch, nowMs);
    }
    this.#balance.publish(this.#context.control, epoch, this.#context.worker);
    this.#beginEpoch(epoch + 1, nowMs);
  }

  /**
   * The state between two epochs, of the shards that this engine owns: what engines of any number go on from (state-snapshot.ts). Between
   * `endEpoch` and the next `scan`. Cost: O(state); it changes nothing.
   */
  snapshot(): EngineState {
    return {
      epoch: this.#place.epoch,
      nowMs: this.#nowMs,
      watermarks: this.#watermarks.map((runner) => runner.watermark.snapshotAll()),
      exchanges: this.#exchanges.map((exchange) => exchange.snapshot()),
    };
  }

  /** Bytes of state of the shards that this engine owns. */
  get stateBytes(): number {
    return this.#exchanges.reduce((sum, exchange) => sum + exchange.stateBytes, 0);
  }

  #merge(exchange: ExchangeRunner<Flow>, index: number, epoch: number, nowMs: number): void {
    const place = this.#place;
    place.stage = 1 + index;
    place.unitSequence = 0;
    // The counts of what happens behind an exchange have no partition of their own.
    place.global = 0;
    const blocks = this.#gather(epoch, index);
    for (const block of blocks) this.#balance.ofExchange(index, OF_EXCHANGE.found, exchangeBlockRows(this.#memory, block));
    const watermark = this.#hasEnded(exchange.plan, epoch) ? Number.POSITIVE_INFINITY : this.#eventTime(exchange.plan);
    exchange.beginEpoch(epoch, nowMs);
    let merged = exchange.settle(blocks);
    const flows = [exchange.flow];
    for (const group of exchange.groups) {
      place.unit = group.number;
      place.order = 0;
      for (const { shard, half } of group.shards) {
        this.#beginChunk(flows, { source: this.#decoders.length + index, partition: shard, first: epoch });
        merged += exchange.merge(half, blocks);
        exchange.step(half, watermark);
        for (const target of targetsOf(flows)) this.#scatter(target).endChunk();
      }
      for (const sink of sinksOf(flows)) (this.#encoders[sink] as SinkEncoder).flush();
    }
    this.#balance.ofExchange(index, OF_EXCHANGE.merged, merged);
    exchange.held?.account(blocks, watermark);
    this.#balance.ofExchange(index, OF_EXCHANGE.held, exchange.held?.held ?? 0);
    this.#balance.ofExchange(index, OF_EXCHANGE.released, exchange.held?.released ?? 0);
    exchange.endEpoch(watermark);
  }

  #beginChunk(flows: readonly Flow[], origin: ChunkOrigin): void {
    for (const target of targetsOf(flows)) this.#scatter(target).beginChunk(origin);
  }

  #endChunk(flows: readonly Flow[]): void {
    for (const target of targetsOf(flows)) this.#scatter(target).endChunk();
    for (const sink of sinksOf(flows)) (this.#encoders[sink] as SinkEncoder).flush();
  }

  #scatter({ exchange, input }: ExchangeTarget): Scatter {
    return (this.#scatters[exchange] as readonly Scatter[])[input] as Scatter;
  }

  #beginEpoch(epoch: number, nowMs: number): void {
    this.#place.epoch = epoch;
    this.#nowMs = nowMs;
    for (const watermark of this.#watermarks) watermark.begin(nowMs);
    this.#exchanges.forEach((exchange, index) => {
      const start = { watermark: this.#eventTime(exchange.plan), timeBound: Number.POSITIVE_INFINITY };
      for (const scatter of this.#scatters[index] as readonly Scatter[]) scatter.beginEpoch(start);
    });
  }

  /** The watermark of an exchange: the minimum of those above it, less the delay with which rows come from there. */
  #eventTime(exchange: ExchangePlan): number {
    let time = Number.POSITIVE_INFINITY;
    for (const watermark of exchange.watermarks) time = Math.min(time, (this.#watermarks[watermark] as WatermarkRunner).watermark.current);
    return exchange.watermarks.length === 0 ? Number.NEGATIVE_INFINITY : time - exchange.delayMs;
  }

  /** Without event time, too, the input of an exchange ends some time, and what is open comes out. */
  #hasEnded(exchange: ExchangePlan, epoch: number): boolean {
    const { control, partitions } = this.#context;
    return exchange.sources.every((source) => {
      for (let partition = 0; partition < (partitions[source] as number); partition++) {
        const state = control.partition(epoch, (this.#firstGlobal[source] as number) + partition);
        if (state !== PARTITION_ENDED && state !== PARTITION_DRAINED) return false;
      }
      return true;
    });
  }

  /** Shows the blocks that our scans have left for an exchange to the other workers, and what windows they are for. */
  #publish(epoch: number, exchange: number): void {
    const { control, worker, slabs } = this.#context;
    const { u32, f64 } = this.#memory;
    const blocks = (this.#scatters[exchange] as readonly Scatter[]).flatMap((scatter) => scatter.takeBlocks());
    const runner = this.#exchanges[exchange] as ExchangeRunner;
    this.#balance.ofExchange(exchange, OF_EXCHANGE.pieces, runner.piecesOf(blocks));
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
    f64[control.held(epoch, worker, exchange)] = runner.heldUntil(blocks);
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

  /** @returns the number of the first epoch to come */
  #restoreWatermarks(): Restored {
    const { from, committed, partitions } = this.#context;
    const watermarks = this.#watermarks.map((runner) => runner.watermark);
    if (from === undefined) return restoreWatermarks(watermarks, committed, partitions);
    watermarks.forEach((watermark, index) => watermark.restoreAll(from.watermarks[index] as WatermarkState));
    // What was read before is in the state: it does not come again.
    return { writtenEpoch: -1, readUntil: partitions.flatMap((count) => Array(count).fill(0)) };
  }

  #runner(exchange: ExchangePlan, index: number, firstEpoch: number): ExchangeRunner<Flow> {
    const { plan, slabs, control, worker, from } = this.#context;
    const groups = ownGroups(control.shape.workers, worker);
    const view = plan.views.findIndex((of) => of.exchange === index);
    const viewed = view < 0 ? undefined : { firstEpoch, cell: (shard: number) => control.live(view, shard) };
    return new ExchangeRunner(exchange, slabs, this.#eventTime(exchange), this.#flow(exchange.flow), groups, from?.exchanges[index], viewed);
  }

  /** @param parent the flow whose batches come to this one */
  #flow(plan: FlowPlan, parent?: Flow): Flow {
    const { memory, slabs, batchRows } = this.#context;
    const errors = plan.errors.map(({ covers, flow }) => ({ covers, flow: this.#flow(flow) }));
    // Its own, as a function that takes errors may fail in turn.
    const rows = errors.length === 0 ? undefined : new ErrorRows(slabs);
    const onError = (error: MillraceError, row: number, operation: string): 'fail' | 'skip' => {
      const number = Number(operation.slice(operation.indexOf('#') + 1)) - 1;
      const takers = errors.filter(({ covers }) => covers[number]);
      if (takers.length === 0) return 'fail';
      this.#count('failed', 1);
      const batch = (rows as ErrorRows).batchOf({
        ...this.#coordinates(parent, row),
        operator: operation,
        message: error.message,
        row: rowText(flow.input as Batch, row, plan.rows.columnsRead),
        bytes: null,
      });
      for (const taker of takers) taker.flow.run(batch);
      return 'skip';
    };
    const program = plan.rows.instantiate({ memory, slabs, batchRows, onError });
    const flow: Flow = new Flow({
      program,
      watermark: plan.watermark === undefined ? undefined : { runner: this.#watermarks[plan.watermark] as WatermarkRunner, place: this.#place },
      scatters: plan.exchanges.map((target) => ({ scatter: this.#scatter(target), exchange: target.exchange })),
      balance: this.#balance,
      encoders: plan.sinks.map((sink) => this.#encoders[sink] as SinkEncoder),
      parent,
      trace: this.#trace,
    });
    flow.next.push(...plan.next.map((next) => this.#flow(next, flow)));
    const late = plan.exchanges.flatMap(({ exchange, input }) => this.#lateOutputs[exchange]?.[input]?.flow ?? []);
    const fed = [...flow.next, ...errors.map((of) => of.flow), ...late];
    flow.feeds(plan.exchanges, plan.sinks, fed);
    return flow;
  }

  /** Rows of a batch that is being added to an exchange came too late for it; or, after a restart, had their turn before it. */
  #late({ exchange, input }: ExchangeTarget, batch: Batch, rows: Uint32Array): void {
    const from = this.#trace.flow;
    // A copy: the numbers may lie in scratch memory that the flow behind uses, too.
    const late = rows.filter((row) => !this.#isReplayed(from, row));
    this.#count('replayed', rows.length - late.length);
    this.#count('late', late.length);
    const output = this.#lateOutputs[exchange]?.[input];
    if (output === undefined || late.length === 0) return;
    output.rows.each(
      batch,
      late,
      (row) => this.#coordinates(from, row),
      (lateRows) => output.flow.run(lateRows),
    );
  }

  /** Whether a row had been read when the positions were committed that this run began with. */
  #isReplayed(flow: Flow | undefined, row: number): boolean {
    const { stage, global, epoch } = this.#place;
    const { readUntil, writtenEpoch } = this.#restored;
    if (stage > 0) return epoch <= writtenEpoch;
    const until = readUntil[global] as number;
    return until > this.#chunkFirst && this.#coordinates(flow, row).offset < until;
  }

  /** Where row `row` of what `flow` put out last was read; undefined: of what the source's decoder put out. */
  #coordinates(flow: Flow | undefined, row: number): RowCoordinates {
    const { stage, source, partition, unit } = this.#place;
    if (stage > 0) return { source: `exchange ${stage - 1}`, partition: unit, offset: -1 };
    let origin = row;
    for (let at = flow; at !== undefined; at = at.parent) origin = at.program.originOf(origin);
    return { source: this.#context.plan.sources[source]?.source.name ?? '', partition, offset: (this.#decoders[source] as ChunkDecoder).offsetOf(origin) };
  }

  /** To those who take the errors of the source. */
  #rejectedRow({ reason, offset, message, sample }: Rejection): void {
    const takers = this.#rejectFlows[this.#place.source] as readonly Flow[];
    if (takers.length === 0) return;
    const { source, partition } = this.#place;
    const name = this.#context.plan.sources[source]?.source.name ?? '';
    const batch = this.#errorRows.batchOf({
      source: name,
      partition,
      offset,
      operator: 'decode',
      message: `${reason}: ${message}`,
      row: '',
      bytes: sample ?? null,
    });
    for (const flow of takers) flow.run(batch);
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
    this.#balance.ofSource(this.#place.source, rejection.reason === 'corrupt' ? OF_SOURCE.corrupt : OF_SOURCE.refused, rejection.rows);
    if (rejection.reason === 'filtered') return;
    this.#count('rowsIn', rejection.rows);
    this.#rejectedRow(rejection);
    const seen = this.#samples.get(rejection.reason) ?? 0;
    if (seen >= SAMPLES_A_REASON) return;
    this.#samples.set(rejection.reason, seen + 1);
    const { source, partition } = this.#place;
    const { reason, offset, rows, message } = rejection;
    this.#context.sample({ reason, source: this.#context.plan.sources[source]?.source.name ?? '', partition, offset, rows, message });
  }
}

function located(error: unknown, source: string, chunk: Chunk): unknown {
  if (!(error instanceof MillraceError)) return error;
  return new MillraceError(error.code, `${error.message} (${source}, partition ${chunk.partition}, in the rows from offset ${chunk.first} to ${chunk.next})`, {
    cause: error.cause ?? error,
  });
}
