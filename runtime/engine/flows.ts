/**
 * All flows of an engine, as the plan has them, connected to where their rows go: encoders of sinks, the
 * scans' halves of exchanges, and the flows behind them. Rows that no result counts go to the flows that take
 * late rows and errors. When to run what is up to the engine.
 */

import type { Batch, MillraceError, SharedMemory, SlabAllocator } from '../../core/index.ts';
import type { SinkEncoder, SinkInfo } from '../../io/index.ts';
import { type ChunkOrigin, type ExchangeInput, placesOf, type Scatter } from '../../operators/index.ts';
import { ErrorRows, type ExchangePlan, type ExchangeTarget, type FlowPlan, LateRows, type LookupPlan, type Plan, rowText } from '../plan/index.ts';
import type { OutputBlock, WorkerBalance } from '../shared/index.ts';
import type { FailedRows } from './failed-rows.ts';
import { Flow, sinksOf, targetsOf } from './flow.ts';
import { Lookups } from './lookups.ts';
import type { Place, RowTrail } from './place.ts';
import { type TailTaker, tailed } from './tail.ts';
import type { WatermarkRunner } from './watermark-runner.ts';

/** What flows need to know of their engine. */
export interface FlowsContext {
  readonly plan: Plan;
  readonly memory: SharedMemory;
  readonly slabs: SlabAllocator;
  readonly sinks: readonly SinkInfo[];
  readonly batchRows: number;
  readonly tail?: TailTaker | undefined;
  output(epoch: number, block: OutputBlock): void;
}

interface LateOutput {
  readonly flow: Flow;
  readonly rows: LateRows;
}

export class Flows {
  /** By exchange, by input: the scan's half, which takes rows on their way to the shards. */
  readonly scatters: (readonly Scatter[])[];
  /** By source: the flow of its rows. */
  readonly ofSources: readonly Flow[];
  /** By source: the flows that take what cannot be decoded. */
  readonly ofRejects: (readonly Flow[])[];
  /** By exchange: the flow of its results. */
  readonly ofExchanges: readonly Flow[];
  /** By exchange: the flows that take the rows on which its functions fail. */
  readonly ofFailures: readonly (readonly Flow[])[];
  readonly #context: FlowsContext;
  readonly #place: Place;
  readonly #watermarks: readonly WatermarkRunner[];
  readonly #balance: WorkerBalance;
  readonly #failed: FailedRows;
  readonly #encoders: readonly SinkEncoder[];
  /** By exchange, by input: the flow that takes what comes too late. */
  readonly #lateOutputs: (readonly (LateOutput | undefined)[])[] = [];

  constructor(context: FlowsContext, place: Place, watermarks: readonly WatermarkRunner[], balance: WorkerBalance, failed: FailedRows) {
    this.#context = context;
    this.#place = place;
    this.#watermarks = watermarks;
    this.#balance = balance;
    this.#failed = failed;
    const { plan, slabs, memory } = context;
    this.#encoders = plan.sinks.map(({ sink, schema }, index) => {
      const encoder = sink.encoder({
        memory,
        slabs,
        schema,
        info: context.sinks[index] as SinkInfo,
        position: () => ({ epoch: place.epoch, shard: place.unit }),
        block: (outputPartition, rows, address, bytes) => this.#handOver(index, outputPartition, rows, address, bytes),
      });
      return context.tail === undefined ? encoder : tailed(encoder, index, context.tail);
    });
    this.scatters = plan.exchanges.map(({ operator, carriesOrder }, index) =>
      operator.inputs.map((_, input) =>
        operator.scatter(slabs, input, {
          late: (batch, rows) => this.#late({ exchange: index, input }, batch, rows),
          isReplayed: (row) => place.isReplayed(place.adding, row),
          ...(carriesOrder ? { orderOf: (row: number) => this.#orderOf(row) } : {}),
          ...(operator.callsFunctions ? { offsetOf: (row: number) => this.#offsetOf(row) } : {}),
        }),
      ),
    );
    // From the last exchange to the first: a flow has to know everything that it feeds, late rows included,
    // and the flow of an exchange's late rows leads to later exchanges.
    for (let index = plan.exchanges.length - 1; index >= 0; index--) {
      const exchange = plan.exchanges[index] as ExchangePlan;
      const { inputs } = exchange.operator;
      this.#lateOutputs[index] = exchange.late.map(
        (late, input) => late && { flow: this.#flow(late), rows: new LateRows(slabs, (inputs[input] as ExchangeInput).schema, late, context.batchRows) },
      );
    }
    this.ofRejects = plan.sources.map(({ rejects }) => rejects.map((flow) => this.#flow(flow)));
    this.ofSources = plan.sources.map(({ flow }) => this.#flow(flow, undefined, true));
    this.ofExchanges = plan.exchanges.map(({ flow }) => this.#flow(flow));
    this.ofFailures = plan.exchanges.map(({ errors }) => errors.map((flow) => this.#flow(flow)));
  }

  /** The encoder of a sink. */
  encoderOf(sink: number): SinkEncoder {
    return this.#encoders[sink] as SinkEncoder;
  }

  /** Begins a run of rows through these flows, all of one origin: a chunk, or a shard. */
  begin(flows: readonly Flow[], origin: ChunkOrigin): void {
    for (const target of targetsOf(flows)) this.#scatter(target).beginChunk(origin);
  }

  /** Ends the run. */
  end(flows: readonly Flow[]): void {
    for (const target of targetsOf(flows)) this.#scatter(target).endChunk();
  }

  /** Makes the encoders of sinks hand over what these flows gave them. */
  flush(flows: readonly Flow[]): void {
    for (const sink of sinksOf(flows)) (this.#encoders[sink] as SinkEncoder).flush();
  }

  /** Rows that wait for functions of the user, of all flows. */
  readonly lookups: Lookups<Flow>[] = [];

  #lookupsOf(plan: LookupPlan): Lookups<Flow> {
    const { slabs, batchRows } = this.#context;
    const takers = plan.errors.map((flow) => this.#flow(flow));
    const errors = takers.length === 0 ? undefined : new ErrorRows(slabs);
    const lookups = new Lookups<Flow>({
      plan,
      slabs,
      batchRows,
      place: this.#place,
      // It ends the job where nobody takes it.
      failed: (error, coordinates, row) => {
        if (errors === undefined) {
          if (!this.#failed.areSkipped) throw error;
          this.#failed.note(error.message, coordinates);
          return;
        }
        this.#place.count('failed', 1);
        const batch = errors.batchOf({ ...coordinates, operator: 'enrich', message: error.message, row, bytes: null });
        for (const taker of takers) taker.run(batch);
      },
    });
    lookups.flows = [this.#flow(plan.flow, lookups.trail, true, true), ...takers];
    this.lookups.push(lookups);
    return lookups;
  }

  #scatter({ exchange, input }: ExchangeTarget): Scatter {
    return (this.scatters[exchange] as readonly Scatter[])[input] as Scatter;
  }

  /**
   * @param parent the flow whose batches come to this one
   * @param isTraced see FlowParts, as isAscending
   */
  #flow(plan: FlowPlan, parent?: RowTrail, isTraced = false, isAscending = true): Flow {
    const { memory, slabs, batchRows } = this.#context;
    const errors = plan.errors.map(({ covers, flow }) => ({ covers, flow: this.#flow(flow) }));
    // Each flow has its own, as a function that takes errors may fail in turn.
    const rows = errors.length === 0 ? undefined : new ErrorRows(slabs);
    const onError = (error: MillraceError, row: number, operation: string): 'fail' | 'skip' => {
      const number = Number(operation.slice(operation.indexOf('#') + 1)) - 1;
      const takers = errors.filter(({ covers }) => covers[number]);
      if (takers.length === 0) {
        if (!this.#failed.areSkipped) return 'fail';
        this.#failed.note(error.message, this.#place.coordinates(parent, row));
        return 'skip';
      }
      this.#place.count('failed', 1);
      const batch = (rows as ErrorRows).batchOf({
        ...this.#place.coordinates(parent, row),
        operator: operation,
        message: error.message,
        row: rowText(flow.input as Batch, row, plan.rows.columnsRead),
        bytes: null,
      });
      for (const taker of takers) taker.flow.run(batch);
      return 'skip';
    };
    const { lookup } = plan;
    const lookups = lookup === undefined ? undefined : this.#lookupsOf(lookup);
    const flow: Flow = new Flow({
      lookups,
      program: plan.rows.instantiate({ memory, slabs, batchRows, onError, atWork: this.#place.row.words }),
      watermark: plan.watermark === undefined ? undefined : (this.#watermarks[plan.watermark] as WatermarkRunner),
      scatters: plan.exchanges.map((target) => ({ scatter: this.#scatter(target), exchange: target.exchange })),
      encoders: plan.sinks.map((sink) => this.#encoders[sink] as SinkEncoder),
      parent,
      isTraced,
      isAscending,
      place: this.#place,
      balance: this.#balance,
    });
    const multiplies = plan.operations.some(({ kind }) => kind === 'flatMap' || kind === 'mapBatches');
    flow.next.push(...plan.next.map((next) => this.#flow(next, flow, isTraced, isAscending && !multiplies)));
    const late = plan.exchanges.flatMap(({ exchange, input }) => this.#lateOutputs[exchange]?.[input]?.flow ?? []);
    const fed = [...flow.next, ...(lookups?.flows ?? []), ...errors.map((of) => of.flow), ...late];
    flow.feeds(plan.exchanges, plan.sinks, fed);
    return flow;
  }

  /**
   * The place of a row that is being added to an exchange: in its batch, or, behind another exchange, in the
   * epoch.
   */
  #orderOf(row: number): number {
    if (this.#place.stage === 0) return row;
    let origin = row;
    let input: Batch | undefined;
    for (let at: RowTrail | undefined = this.#place.adding; at !== undefined; at = at.parent) {
      if (at.placeAt !== undefined) return at.placeAt(origin);
      origin = at.program.originOf(origin);
      input = at.input;
    }
    return (input === undefined ? undefined : placesOf(input)?.[origin]) ?? Number.POSITIVE_INFINITY;
  }

  /** Where a row that is being added to an exchange was read; -1: it was not, or not as a row of its batch. */
  #offsetOf(row: number): number {
    const adding = this.#place.adding as Flow | undefined;
    return adding?.isTraced === true ? this.#place.offset(adding, row) : -1;
  }

  /** Takes rows of a batch that came too late for an exchange, or that were counted before a restart. */
  #late({ exchange, input }: ExchangeTarget, batch: Batch, rows: Uint32Array): void {
    const place = this.#place;
    const from = place.adding;
    // A copy, as the numbers may lie in scratch memory that the flow behind uses, too.
    const late = rows.filter((row) => !place.isReplayed(from, row));
    place.count('replayed', rows.length - late.length);
    place.count('late', late.length);
    const output = this.#lateOutputs[exchange]?.[input];
    if (output === undefined || late.length === 0) return;
    output.rows.each(
      batch,
      late,
      (row) => place.coordinates(from, row),
      (lateRows) => output.flow.run(lateRows),
    );
  }

  #handOver(sink: number, outputPartition: number, rows: number, address: number, bytes: number): void {
    const place = this.#place;
    const { epoch, stage, unit, unitSequence } = place;
    // What goes to other tasks is no output of the job.
    const rowsOut = sink === this.#context.plan.task?.sink ? 0 : rows;
    this.#context.output(epoch, { sink, stage, unit, unitSequence, order: place.order++, outputPartition, rows: rowsOut, address, bytes });
  }
}
