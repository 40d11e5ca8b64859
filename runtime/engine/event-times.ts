/**
 * The event time of each exchange, as one engine knows it: by the watermarks above it; where several processes share the
 * job, by what the tasks have told each other; and never behind where the log ends that the engine goes on with.
 */

import { type ExchangePlan, eventTimeOf, type Plan, type Predecessor } from '../plan/index.ts';
import { type Control, PARTITION_DRAINED, PARTITION_ENDED } from '../shared/index.ts';
import type { StateReader } from '../state-log/index.ts';
import type { OwnTime, TaskExchange } from './task-exchange.ts';
import type { WatermarkRunner } from './watermark-runner.ts';

/** What the times need to know of their engine. */
export interface EventTimePlace {
  readonly plan: Plan;
  readonly control: Control;
  /** Partitions of each source. */
  readonly partitions: readonly number[];
  readonly stored?: { readonly log: StateReader; readonly predecessors?: readonly (Predecessor | undefined)[] | undefined } | undefined;
}

export class EventTimes {
  readonly #context: EventTimePlace;
  readonly #watermarks: readonly WatermarkRunner[];
  readonly #firstGlobal: readonly number[];
  /** By exchange: where the log ends. A plan that has changed since may have watermarks that are behind it. */
  readonly #ofLog: readonly number[];
  #tasks: TaskExchange | undefined;

  constructor(context: EventTimePlace, watermarks: readonly WatermarkRunner[], firstGlobal: readonly number[]) {
    this.#context = context;
    this.#watermarks = watermarks;
    this.#firstGlobal = firstGlobal;
    const last = context.stored?.log.last;
    this.#ofLog = context.plan.exchanges.map((_, exchange) => last?.after[this.numberInLog(exchange) ?? -1] ?? Number.NEGATIVE_INFINITY);
  }

  /** From here on what these have told counts, with what the log has of it. */
  follow(tasks: TaskExchange | undefined): void {
    this.#tasks = tasks;
    const { plan, stored } = this.#context;
    const told = stored?.predecessors === undefined ? stored?.log.last?.after.slice(plan.exchanges.length) : undefined;
    tasks?.restore(this.#ofLog, told ?? []);
  }

  /** The number that an exchange has in the log; undefined: it has none. */
  numberInLog(exchange: number): number | undefined {
    const predecessors = this.#context.stored?.predecessors;
    return predecessors === undefined ? exchange : predecessors[exchange]?.exchange;
  }

  /** As of the end of the last epoch. */
  of(exchange: number): number {
    const time = this.#tasks?.timeOf(exchange) ?? eventTimeOf(this.#plan(exchange), (watermark) => this.#watermark(watermark).current);
    return Math.max(time, this.#ofLog[exchange] as number);
  }

  /** At the end of an epoch; +Infinity: its input has ended. */
  atEnd(exchange: number, epoch: number): number {
    return this.#tasks === undefined && this.#hasEnded(exchange, epoch) ? Number.POSITIVE_INFINITY : this.of(exchange);
  }

  /** Rows that are scanned now, and are older, are late. */
  lateBefore(exchange: number): number {
    return this.#tasks?.promisedOf(exchange) ?? this.of(exchange);
  }

  /** What the log has of an epoch that ended: by exchange; behind these what the tasks have told each other. */
  logged(epoch: number | undefined): number[] {
    const times = this.#context.plan.exchanges.map((_, exchange) => (epoch === undefined ? this.of(exchange) : this.atEnd(exchange, epoch)));
    return [...times, ...(this.#tasks?.state ?? [])];
  }

  /** By exchange: how far the rows are that this task puts into it. Results of its shards come as these have closed. */
  ofOwnRows(epoch: number): OwnTime[] {
    const { plan } = this.#context;
    return plan.exchanges.map(({ upstream, delayMs }, exchange) => {
      const direct = (plan.task?.direct[exchange] ?? []).map((watermark) => this.#watermark(watermark));
      const above = upstream.map((from) => this.of(from) + this.#plan(from).delayMs);
      const counting = [...direct.filter(({ hasActive, hasEnded }) => hasActive || hasEnded).map(({ current }) => current), ...above];
      if (counting.length > 0) return { time: Math.min(...counting) - delayMs, isIdle: false };
      if (direct.length > 0) return { time: Math.max(...direct.map(({ current }) => current)) - delayMs, isIdle: true };
      return { time: this.#hasEnded(exchange, epoch) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY, isIdle: false };
    });
  }

  /** The input of an exchange can end without event time, too; then what is open comes out. */
  #hasEnded(exchange: number, epoch: number): boolean {
    const { control, partitions } = this.#context;
    return this.#plan(exchange).sources.every((source) => {
      for (let partition = 0; partition < (partitions[source] as number); partition++) {
        const state = control.partition(epoch, (this.#firstGlobal[source] as number) + partition);
        if (state !== PARTITION_ENDED && state !== PARTITION_DRAINED) return false;
      }
      return true;
    });
  }

  #plan(exchange: number): ExchangePlan {
    return this.#context.plan.exchanges[exchange] as ExchangePlan;
  }

  #watermark(index: number): WatermarkRunner['watermark'] {
    return (this.#watermarks[index] as WatermarkRunner).watermark;
  }
}
