/**
 * The stall watch: it looks at a job every second, and warns people of what keeps it from getting on. A
 * worker may be in a function that does not return. A partition without rows may hold the watermark back. A
 * source may have no row that can be decoded. It changes nothing. Each is said once, and again only if it was
 * over in between.
 */

import type { Counters, Watermark } from '../../core/index.ts';
import { exchangeBlockOrigin, offsetInShard } from '../../operators/index.ts';
import type { PartitionState } from '../epoch/index.ts';
import type { ExchangePlan, FlowPlan, Plan, SourcePlan } from '../plan/index.ts';
import type { Control, CounterName, LedgerSample, SeenRow, WorkerActivity } from '../shared/index.ts';

/** What has not moved for this long is reported. */
export const STALL_MS = 5_000;
/** If none of this many rows of a source could be decoded, that is no accident. */
const UNDECODED_ROWS_MIN = 100;
const HOLDERS_SHOWN_MAX = 3;

export interface StallSources {
  readonly plan: Plan;
  readonly control: Control;
  readonly partitions: readonly PartitionState[];
  readonly watermarks: readonly Watermark[];
  /** [worker][global partition] */
  readonly counters: readonly (readonly Counters<CounterName>[])[];
  readonly samples: readonly LedgerSample[];
}

interface WorkerSeen {
  count: number;
  sinceMs: number;
  isTold: boolean;
}

interface WatermarkSeen {
  ms: number;
  sinceMs: number;
  rows: number;
  isTold: boolean;
}

export class StallWatch {
  readonly #of: StallSources;
  readonly #warn: (message: string) => void;
  readonly #workers: WorkerSeen[];
  readonly #watermarks: WatermarkSeen[];
  readonly #undecodedTold = new Set<number>();

  /** @param nowMs of a monotonic clock */
  constructor(of: StallSources, nowMs: number, warn: (message: string) => void) {
    this.#of = of;
    this.#warn = warn;
    this.#workers = Array.from({ length: of.control.shape.workers }, () => ({ count: 0, sinceMs: nowMs, isTold: false }));
    this.#watermarks = of.plan.watermarks.map(() => ({ ms: Number.NaN, sinceMs: nowMs, rows: 0, isTold: false }));
  }

  /** Looks at everything, and warns. */
  look(nowMs: number): void {
    this.#workers.forEach((seen, worker) => this.#lookAtWorker(seen, worker, nowMs));
    this.#watermarks.forEach((seen, watermark) => this.#lookAtWatermark(seen, watermark, nowMs));
    this.lookAtRows(UNDECODED_ROWS_MIN);
  }

  /** Warns of sources of which none of at least this many rows could be decoded. */
  lookAtRows(rowsMin: number): void {
    const { plan, samples } = this.#of;
    plan.sources.forEach(({ source, rejects }, index) => {
      if (rejects.length > 0 || this.#undecodedTold.has(index)) return;
      const rows = this.#count([index], 'rowsIn');
      if (rows < rowsMin || this.#count([index], 'undecodable') + this.#count([index], 'corrupt') < rows) return;
      this.#undecodedTold.add(index);
      const sample = samples.find((one) => one.source === source.name);
      const because = sample === undefined ? '' : ` The first: offset ${sample.offset}: ${sample.message}.`;
      this.#warn(
        `Not one of the ${rows} rows of ${source.name} could be decoded.${because} See whether the codec and its schema are those of the records. badRows: 'fail' ends a job at such a row, badRows: { fail: { above: 0.01 } } at too many; the stream's errors take them.`,
      );
    });
  }

  /**
   * What workers have been doing for too long, in words; empty when there is nothing.
   *
   * @param leastMs for how long at least
   */
  longWork(nowMs: number, leastMs = 0): string[] {
    return this.#workers.flatMap((seen, worker) => {
      const activity = this.#of.control.activity(worker);
      if (!activity.isAtWork || activity.count !== seen.count || nowMs - seen.sinceMs < leastMs) return [];
      return [`Worker ${worker} has been at ${this.#describe(activity)} for ${Math.round((nowMs - seen.sinceMs) / 1_000)} s`];
    });
  }

  #lookAtWorker(seen: WorkerSeen, worker: number, nowMs: number): void {
    const activity = this.#of.control.activity(worker);
    if (activity.count !== seen.count || !activity.isAtWork) {
      Object.assign(seen, { count: activity.count, sinceMs: nowMs, isTold: false });
      return;
    }
    if (seen.isTold || nowMs - seen.sinceMs < STALL_MS) return;
    seen.isTold = true;
    this.#warn(
      `${this.longWork(nowMs).find((text) => text.startsWith(`Worker ${worker} `))}. A function that does not return holds up the whole job: no epoch ends meanwhile, and a stop waits for it.`,
    );
  }

  /** What a worker is at: its functions, and the row as exactly as is known. */
  #describe({ stage, partition, at }: WorkerActivity): string {
    const { plan } = this.#of;
    if (stage > 0) {
      const exchange = plan.exchanges[stage - 1];
      const row = exchange === undefined ? undefined : this.#rowOfBlock(exchange, at);
      if (row !== undefined) return `the end of an epoch, in ${exchange?.operator.name} (exchange ${stage - 1}), with ${row}`;
      const name = exchange?.operator.name ?? '';
      return `the end of an epoch, in ${[name, ...(exchange === undefined ? [] : operatorsOf(exchange.flow))].join(', ')} (exchange ${stage - 1})`;
    }
    const source = plan.sources[partition.source] as SourcePlan;
    const operators = operatorsOf(source.flow);
    const where = operators.length === 0 ? '' : `, in ${operators.join(', ')}`;
    return `${rowsOfBatch(at)} of partition ${partition.number} of ${source.source.name}${where}`;
  }

  /** The row that a shard has taken out of a block; undefined: it is at a timer or a result, or its rows were not read but made. */
  #rowOfBlock({ sources }: ExchangePlan, { block, shard, row }: SeenRow): string | undefined {
    const { plan, control } = this.#of;
    if (block === 0) return undefined;
    const { source, partition, first } = exchangeBlockOrigin(control.memory, block);
    const read = plan.sources[source];
    if (read === undefined || !sources.includes(source)) return undefined;
    const of = `of partition ${partition} of ${read.source.name}`;
    const offset = row < 0 ? undefined : offsetInShard(control.memory, block, shard, row);
    return offset === undefined ? `a row ${of}, one of the chunk from offset ${first} on` : `the row at offset ${offset} ${of}`;
  }

  #lookAtWatermark(seen: WatermarkSeen, index: number, nowMs: number): void {
    const { plan } = this.#of;
    const of = plan.watermarks[index] as Plan['watermarks'][number];
    const watermark = this.#of.watermarks[index];
    if (watermark === undefined || of.strategy.isProcessingTime || !plan.exchanges.some(({ watermarks }) => watermarks.includes(index))) return;
    const rows = this.#count(of.sources, 'rowsIn');
    if (!Object.is(watermark.current, seen.ms)) {
      Object.assign(seen, { ms: watermark.current, sinceMs: nowMs, rows, isTold: false });
      return;
    }
    const { idleMs } = of.strategy;
    if (seen.isTold || rows === seen.rows || nowMs - seen.sinceMs < STALL_MS + (idleMs ?? 0)) return;
    // Rows that are taken in and not merged yet move no watermark.
    const active = watermark.snapshotAll().partitions.filter(({ state, partition }) => state === 'active' && this.#of.partitions[partition]?.assigned);
    const least = Math.min(...active.map(({ maxMs }) => maxMs));
    const newest = Math.max(...active.map(({ maxMs }) => maxMs));
    if (active.length === 0 || newest === Number.NEGATIVE_INFINITY) return;
    seen.isTold = true;
    const column = JSON.stringify(of.strategy.column);
    if (least === newest || of.strategy.policy === 'max') {
      this.#warn(
        `No window closes: rows come in, but their newest ${column} has been ${timeText(newest)} for ${Math.round((nowMs - seen.sinceMs) / 1_000)} s. Event time goes by the rows: see whether ${column} is the time at which they happened, in milliseconds.`,
      );
      return;
    }
    const holders = active.filter(({ maxMs }) => maxMs === least).map(({ partition }) => this.#partitionName(partition));
    const shown =
      holders.slice(0, HOLDERS_SHOWN_MAX).join(', ') + (holders.length > HOLDERS_SHOWN_MAX ? ` and ${holders.length - HOLDERS_SHOWN_MAX} more` : '');
    const verb = holders.length === 1 ? 'holds' : 'hold';
    const at = least === Number.NEGATIVE_INFINITY ? 'no row of it has come yet' : `its newest ${column} is ${timeText(least)}`;
    const advice =
      idleMs === undefined
        ? `If a partition may have no rows for a while, say so, and it is left out then: withWatermark(${column}, delay, { idle: '30s' }).`
        : 'Its rows are older than those of the others: see what writes them.';
    this.#warn(`No window closes: ${shown} ${verb} the watermark back: ${at}, while others are at ${timeText(newest)}. ${advice}`);
  }

  #partitionName(global: number): string {
    const state = this.#of.partitions[global] as PartitionState;
    return `partition ${state.partition} of ${(this.#of.plan.sources[state.source] as SourcePlan).source.name}`;
  }

  #count(sources: readonly number[], name: CounterName): number {
    let sum = 0;
    for (const worker of this.#of.counters)
      worker.forEach((counters, global) => {
        if (sources.includes(this.#of.partitions[global]?.source as number)) sum += counters.get(name);
      });
    return sum;
  }
}

/** The functions that rows run through, in their order, up to exchanges and sinks. */
function operatorsOf({ operations, next, lookup }: FlowPlan): string[] {
  const behind = lookup === undefined ? next : [...next, lookup.flow];
  return [...operations.map(({ kind }) => kind).filter((kind) => kind !== 'select'), ...behind.flatMap(operatorsOf)];
}

/**
 * The row of a batch by its offset, or between which offsets it is. Offsets that ascend one by one, `rows` of
 * them from `first` to `next`, leave that many open as are missing between.
 */
function rowsOfBatch({ first, next, row, rows }: SeenRow): string {
  if (row < 0 || row >= rows) return `the rows from offset ${first} to ${next}`;
  const [least, most] = [first + row, next - rows + row];
  return least === most ? `the row at offset ${least}` : `a row between offsets ${least} and ${most}`;
}

function timeText(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}
