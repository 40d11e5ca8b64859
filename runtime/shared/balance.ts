/**
 * The balance of an epoch: what is handed over between threads is counted on both sides, and the counts must
 * agree. A block that is lost, or merged twice, ends the job: no result is better than a wrong one. Batches,
 * chunks, frames and blocks are counted by their heads, so rows cost nothing.
 *
 *   source     the coordinator hands out chunks; workers scan them
 *                  chunks, bytes: the same
 *              the heads of its frames say how many rows there are
 *                  rows = decoded + refused (the ledger)
 *   exchange   scans put rows in (late ones are in the ledger)
 *                  rows put in = rows in the blocks that each worker finds
 *              the blocks hold groups, or rows
 *                  pieces in all blocks = pieces merged by all shards
 *              windows of time, by their panes
 *                  rows put in so far = held in open panes + released by closed ones
 *
 * Where a frame is broken, or only a part of it is wanted, its rows are not known beforehand. Then they are
 * not compared for that source and epoch.
 */

import { MillraceError } from '../../core/index.ts';
import type { Plan } from '../plan/index.ts';
import { balanceCounts, OF_EXCHANGE, OF_SOURCE } from './balance-counts.ts';
import type { Control } from './control.ts';

/** What one worker counts. */
export class WorkerBalance {
  readonly #counts: Float64Array;
  readonly #sources: number;

  constructor(sources: number, exchanges: number) {
    this.#sources = sources;
    this.#counts = new Float64Array(balanceCounts(sources, exchanges));
  }

  ofSource(source: number, what: number, count: number): void {
    const at = source * OF_SOURCE.count + what;
    this.#counts[at] = (this.#counts[at] as number) + count;
  }

  ofExchange(exchange: number, what: number, count: number): void {
    const at = this.#sources * OF_SOURCE.count + exchange * OF_EXCHANGE.count + what;
    this.#counts[at] = (this.#counts[at] as number) + count;
  }

  /** Publishes the counts of the epoch, and begins the next. */
  publish(control: Control, epoch: number, worker: number): void {
    control.memory.f64.set(this.#counts, control.balance(epoch, worker));
    this.#counts.fill(0);
  }
}

/** Totals over the epochs so far. */
export interface SourceBalance {
  readonly source: string;
  /** Rows that became rows of the pipeline, and rows that did not: the ledger has those by reason. */
  readonly decoded: number;
  readonly refused: number;
  /** Epochs in which rows were compared with the heads of the frames. */
  readonly epochsCounted: number;
}

export interface ExchangeBalance {
  readonly exchange: number;
  /** Rows that reached it, without the late ones. */
  readonly rows: number;
  readonly late: number;
  /**
   * Of these rows: those in open windows, and those of windows that have closed. Undefined where the operator
   * cannot tell.
   */
  readonly held: number | undefined;
  readonly released: number | undefined;
}

/** Totals of all merged epochs. */
export interface Balance {
  readonly epochs: number;
  readonly sources: readonly SourceBalance[];
  readonly exchanges: readonly ExchangeBalance[];
}

interface Given {
  chunks: number;
  bytes: number;
}

/** The coordinator's side. */
export class EpochBalance {
  readonly #plan: Plan;
  #given: Given[];
  /**
   * By epoch under way: what was handed out in it, and the rows that its frames announce (undefined:
   * unknown).
   */
  readonly #underWay = new Map<number, { readonly given: readonly Given[]; readonly rows: readonly (number | undefined)[] }>();
  readonly #sources: { decoded: number; refused: number; epochsCounted: number }[];
  readonly #exchanges: { rows: number; late: number; held: number | undefined; released: number | undefined }[];
  #epochs = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#given = plan.sources.map(() => ({ chunks: 0, bytes: 0 }));
    this.#sources = plan.sources.map(() => ({ decoded: 0, refused: 0, epochsCounted: 0 }));
    this.#exchanges = plan.exchanges.map((exchange) => {
      const known = exchange.operator.heldRows === undefined ? undefined : 0;
      return { rows: 0, late: 0, held: known, released: known };
    });
  }

  /** A chunk goes to a worker. */
  give(source: number, bytes: number): void {
    const given = this.#given[source] as Given;
    given.chunks++;
    given.bytes += bytes;
  }

  /** @param rows by source: what the frames of the epoch announce */
  end(epoch: number, rows: readonly (number | undefined)[]): void {
    this.#underWay.set(epoch, { given: this.#given, rows });
    this.#given = this.#plan.sources.map(() => ({ chunks: 0, bytes: 0 }));
  }

  /**
   * All workers are done with the epoch.
   *
   * @returns bytes of the blocks that its scans have left for exchanges
   * @throws MillraceError ERR_MILLRACE_BALANCE when counts differ
   */
  check(epoch: number, control: Control): number {
    const { given, rows } = this.#underWay.get(epoch) as { given: readonly Given[]; rows: readonly (number | undefined)[] };
    this.#underWay.delete(epoch);
    const { workers } = control.shape;
    const base = this.#sources.length * OF_SOURCE.count;
    const of = (worker: number, at: number): number => control.memory.f64[control.balance(epoch, worker) + at] as number;
    const sum = (at: number): number => {
      let total = 0;
      for (let worker = 0; worker < workers; worker++) total += of(worker, at);
      return total;
    };
    this.#sources.forEach((totals, source) => {
      const at = source * OF_SOURCE.count;
      const { chunks, bytes } = given[source] as Given;
      const stage = this.#plan.sources[source]?.source.name ?? '';
      mustAgree(epoch, stage, 'chunks handed out', chunks, 'chunks scanned', sum(at + OF_SOURCE.chunks));
      mustAgree(epoch, stage, 'bytes handed out', bytes, 'bytes scanned', sum(at + OF_SOURCE.bytes));
      const decoded = sum(at + OF_SOURCE.decoded);
      const refused = sum(at + OF_SOURCE.refused);
      totals.decoded += decoded;
      totals.refused += refused;
      const announced = rows[source];
      if (announced === undefined || sum(at + OF_SOURCE.corrupt) > 0) return;
      totals.epochsCounted++;
      mustAgree(epoch, stage, 'rows in the frames', announced, 'rows decoded or in the ledger', decoded + refused);
    });
    let blockBytes = 0;
    this.#exchanges.forEach((totals, exchange) => {
      const at = base + exchange * OF_EXCHANGE.count;
      const put = sum(at + OF_EXCHANGE.put);
      blockBytes += sum(at + OF_EXCHANGE.bytes);
      totals.rows += put;
      totals.late += sum(at + OF_EXCHANGE.late);
      const stage = `exchange ${exchange}`;
      for (let worker = 0; worker < workers; worker++) {
        mustAgree(epoch, stage, 'rows put in', put, `rows found by worker ${worker}`, of(worker, at + OF_EXCHANGE.found));
      }
      mustAgree(epoch, stage, 'groups or rows in blocks', sum(at + OF_EXCHANGE.pieces), 'merged by the shards', sum(at + OF_EXCHANGE.merged));
      if (totals.held === undefined) return;
      for (let worker = 0; worker < workers; worker++) {
        totals.held = of(worker, at + OF_EXCHANGE.held);
        totals.released = of(worker, at + OF_EXCHANGE.released);
        mustAgree(epoch, stage, 'rows put in so far', totals.rows, `held or released as worker ${worker} has it`, totals.held + totals.released);
      }
    });
    this.#epochs++;
    return blockBytes;
  }

  get totals(): Balance {
    return {
      epochs: this.#epochs,
      sources: this.#sources.map((totals, source) => ({ source: this.#plan.sources[source]?.source.name ?? '', ...totals })),
      exchanges: this.#exchanges.map((totals, exchange) => ({ exchange, ...totals })),
    };
  }
}

function mustAgree(epoch: number, stage: string, one: string, oneCount: number, other: string, otherCount: number): void {
  if (oneCount === otherCount) return;
  throw new MillraceError(
    'ERR_MILLRACE_BALANCE',
    `Epoch ${epoch} does not balance at ${stage}: ${one} ${oneCount}, ${other} ${otherCount}. Rows were lost or counted twice between threads, which is a fault of millrace: nothing of the epoch was written. Start the job again, and report it.`,
  );
}
