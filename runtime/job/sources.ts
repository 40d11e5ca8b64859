/**
 * Sources: the ends of all sources that read, as the coordinator has them. They are opened and started, and are handed the positions that
 * are committed. What they read goes to the intake.
 */

import type { MillraceError } from '../../core/index.ts';
import type { CommittedPosition, SourceReader } from '../../io/index.ts';
import { type EpochRecord, positionsOf } from '../epoch/commits.ts';
import type { Decisions } from '../epoch/decisions.ts';
import type { SourcePlan } from '../plan/plan.ts';
import { guarded, wrapped } from './endpoint-error.ts';
import type { Intake } from './intake.ts';

/** Errors below are of somebody's own source, unless they have a code: MillraceError ERR_MILLRACE_SOURCE. */
export class Sources {
  readonly #plans: readonly SourcePlan[];
  readonly #readers: SourceReader[] = [];
  /** Those that were asked whether they keep what is committed. */
  readonly #asked = new Set<number>();

  constructor(plans: readonly SourcePlan[]) {
    this.#plans = plans;
  }

  /** Opens them, one after the other, and names their partitions to the intake. */
  async open(intake: Intake, options: { readonly drain: boolean; readonly signal: AbortSignal }): Promise<void> {
    for (const [index, { source }] of this.#plans.entries()) {
      const context = intake.context(index, options);
      const reader = await guarded('ERR_MILLRACE_SOURCE', `The source ${source.name} cannot be opened`, () => source.open(context));
      this.#readers.push(reader);
      intake.addSource(reader.partitionCount, source.offsetBytes, source.frameRows?.bind(source));
    }
  }

  /** Partitions of each. */
  get partitionCounts(): number[] {
    return this.#readers.map((reader) => reader.partitionCount);
  }

  /** Where each begins: behind what was committed. */
  async positions(): Promise<CommittedPosition[][]> {
    return Promise.all(this.#readers.map((reader, source) => guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.positions())));
  }

  async start(): Promise<void> {
    for (const [source, reader] of this.#readers.entries()) await guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.start());
  }

  /** @param metadata by global partition: what is committed beside its position */
  async commit(record: EpochRecord, metadata: readonly string[], decisions: Decisions): Promise<void> {
    let firstGlobal = 0;
    for (const [source, reader] of this.#readers.entries()) {
      const positions = positionsOf(record, firstGlobal, reader.partitionCount, metadata);
      if (positions.length > 0) {
        await guarded('ERR_MILLRACE_SOURCE', `${this.#failed(source)} to commit its positions`, () => reader.commit(positions));
        await this.#askWhetherKept(source, reader, decisions);
      }
      firstGlobal += reader.partitionCount;
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#readers.map(async (reader) => reader.close()));
  }

  /** An error that a source has told of, with its name. */
  errorOf(source: number, error: unknown): MillraceError {
    return wrapped(error, 'ERR_MILLRACE_SOURCE', this.#failed(source));
  }

  /** Some sources keep no positions, whatever is committed: the journal has to know, as they will begin at their beginning again. */
  async #askWhetherKept(source: number, reader: SourceReader, decisions: Decisions): Promise<void> {
    if (!decisions.isRecording || this.#asked.has(source)) return;
    this.#asked.add(source);
    const kept = await guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.positions());
    if (kept.every(({ metadata }) => metadata === '')) decisions.forgets(source);
  }

  #failed(source: number): string {
    return `The source ${(this.#plans[source] as SourcePlan).source.name} failed`;
  }
}
