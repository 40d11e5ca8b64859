/**
 * Sources: the readers of all sources of a job. They are opened and started, and get the positions to commit.
 * What they read goes to the intake.
 */

import type { MillraceError } from '../../core/index.ts';
import type { CommittedPosition, SourceReader } from '../../io/index.ts';
import type { SourcePlan } from '../plan/index.ts';
import { guarded, wrapped } from './endpoint-error.ts';
import type { Intake } from './intake.ts';

/** An error without a code is one of a user-defined source: it becomes MillraceError ERR_MILLRACE_SOURCE. */
export class Sources {
  readonly #plans: readonly SourcePlan[];
  readonly #readers: SourceReader[] = [];
  /** Sources that were asked whether they keep what is committed. */
  readonly #asked = new Set<number>();

  constructor(plans: readonly SourcePlan[]) {
    this.#plans = plans;
  }

  /** Opens them, one after the other, and adds their partitions to the intake. */
  async open(intake: Intake, options: { readonly drain: boolean; readonly signal: AbortSignal }): Promise<void> {
    for (const [index, { source }] of this.#plans.entries()) {
      const context = intake.context(index, options);
      const reader = await guarded('ERR_MILLRACE_SOURCE', `The source ${source.name} cannot be opened`, () => source.open(context));
      this.#readers.push(reader);
      intake.addSource(reader.partitionCount, source.offsetBytes, source.frameRows?.bind(source));
    }
  }

  /** Partitions of each source. */
  get partitionCounts(): number[] {
    return this.#readers.map((reader) => reader.partitionCount);
  }

  /** Where each source begins: behind what was committed. */
  async positions(): Promise<CommittedPosition[][]> {
    return Promise.all(this.#readers.map((reader, source) => guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.positions())));
  }

  async start(): Promise<void> {
    for (const [source, reader] of this.#readers.entries()) await guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.start());
  }

  /**
   * Commits positions of one source.
   *
   * @param ask whether to ask, once, if the source keeps what is committed
   * @returns false when it was asked and keeps nothing: it will begin at its beginning again
   */
  async commit(source: number, positions: readonly CommittedPosition[], { ask }: { readonly ask: boolean }): Promise<boolean> {
    const reader = this.#readers[source] as SourceReader;
    await guarded('ERR_MILLRACE_SOURCE', `${this.#failed(source)} to commit its positions`, () => reader.commit(positions));
    if (!ask || this.#asked.has(source)) return true;
    this.#asked.add(source);
    const kept = await guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.positions());
    return !kept.every(({ metadata }) => metadata === '');
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#readers.map(async (reader) => reader.close()));
  }

  /** An error that a source has reported, with the name of the source. */
  errorOf(source: number, error: unknown): MillraceError {
    return wrapped(error, 'ERR_MILLRACE_SOURCE', this.#failed(source));
  }

  #failed(source: number): string {
    return `The source ${(this.#plans[source] as SourcePlan).source.name} failed`;
  }
}
