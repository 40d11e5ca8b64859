/**
 * A flow at work: a row program, and where its batches go. plan.ts says what a flow does. This is the
 * instance that one engine runs; flows.ts makes it.
 */

import type { Batch } from '../../core/index.ts';
import type { SinkEncoder } from '../../io/index.ts';
import type { RowProgram, Scatter } from '../../operators/index.ts';
import type { ExchangeTarget } from '../plan/index.ts';
import { OF_EXCHANGE, type WorkerBalance } from '../shared/index.ts';
import type { Lookups } from './lookups.ts';
import type { Place, RowTrail } from './place.ts';
import type { WatermarkRunner } from './watermark-runner.ts';

/** What a flow is made of. */
export interface FlowParts {
  readonly program: RowProgram;
  readonly watermark: WatermarkRunner | undefined;
  readonly scatters: readonly { readonly scatter: Scatter; readonly exchange: number }[];
  readonly encoders: readonly SinkEncoder[];
  /** Where its batches come from: another flow, or rows that waited; undefined: the source or exchange itself. */
  readonly parent: RowTrail | undefined;
  /** Its rows wait for an asynchronous function. */
  readonly lookups: Lookups | undefined;
  /** Its rows are those of its source, or come from those by its parents; not late or failed ones. */
  readonly isTraced: boolean;
  /** Its parents make no more rows than they get. */
  readonly isAscending: boolean;
  readonly place: Place;
  readonly balance: WorkerBalance;
}

/** What happens to the batches that arrive in one place. */
export class Flow {
  readonly program: RowProgram;
  readonly parent: RowTrail | undefined;
  readonly isTraced: boolean;
  readonly isAscending: boolean;
  readonly next: Flow[] = [];
  /** Everything fed by this flow, by flows behind it, and by flows that take its late rows and errors. */
  exchanges: readonly ExchangeTarget[] = [];
  sinks: readonly number[] = [];
  /** The batch at work. */
  input: Batch | undefined;
  readonly #lookups: Lookups | undefined;
  readonly #watermark: FlowParts['watermark'];
  readonly #scatters: FlowParts['scatters'];
  readonly #encoders: readonly SinkEncoder[];
  readonly #place: Place;
  readonly #balance: WorkerBalance;
  readonly #emit = (batch: Batch): void => this.#forward(batch);

  constructor({ program, watermark, scatters, encoders, lookups, parent, isTraced, isAscending, place, balance }: FlowParts) {
    this.program = program;
    this.parent = parent;
    this.isTraced = isTraced;
    this.isAscending = isAscending;
    this.#lookups = lookups;
    this.#watermark = watermark;
    this.#scatters = scatters;
    this.#encoders = encoders;
    this.#place = place;
    this.#balance = balance;
  }

  /** Sets what it feeds: its own exchanges and sinks, and those of all flows that depend on it. */
  feeds(exchanges: readonly ExchangeTarget[], sinks: readonly number[], others: readonly Flow[]): void {
    this.exchanges = distinct([...exchanges, ...targetsOf(others)]);
    this.sinks = [...new Set([...sinks, ...sinksOf(others)])];
  }

  /** Runs one batch through, to everything behind. */
  run(batch: Batch): void {
    this.input = batch;
    this.#enter(batch);
    this.program.run(batch, this.#emit);
  }

  /** For whoever watches this thread: whose rows functions are called for. */
  #enter(batch: Batch): void {
    if (this.isTraced) this.#place.atBatch(this.parent, batch.rowCount, this.isAscending);
    else this.#place.row.atOther();
  }

  #forward(rows: Batch): void {
    if (rows.rowCount === 0) return;
    this.#place.row.rest();
    if (this.#lookups !== undefined) {
      this.#lookups.add(rows, this);
      return;
    }
    const batch = this.#watermark === undefined ? rows : this.#watermark.observe(rows, this.#place.global);
    for (const { scatter, exchange } of this.#scatters) {
      this.#place.adding = this;
      const late = scatter.add(batch);
      this.#balance.ofExchange(exchange, OF_EXCHANGE.put, batch.rowCount - late);
      if (late > 0) this.#balance.ofExchange(exchange, OF_EXCHANGE.late, late);
    }
    for (const encoder of this.#encoders) encoder.write(batch);
    if (this.next.length === 0) return;
    for (const flow of this.next) flow.run(batch);
    // A program may go on with its batch.
    this.#enter(this.input as Batch);
  }
}

/** The exchanges that these flows feed, each input once. */
export function targetsOf(flows: readonly Flow[]): readonly ExchangeTarget[] {
  return flows.length === 1 ? (flows[0] as Flow).exchanges : distinct(flows.flatMap((flow) => flow.exchanges));
}

/** The sinks that these flows feed, each once. */
export function sinksOf(flows: readonly Flow[]): Iterable<number> {
  return flows.length === 1 ? (flows[0] as Flow).sinks : new Set(flows.flatMap((flow) => flow.sinks));
}

function distinct(targets: readonly ExchangeTarget[]): ExchangeTarget[] {
  return targets.filter((target, i) => targets.findIndex((other) => other.exchange === target.exchange && other.input === target.input) === i);
}
