/**
 * Sources: the readers of all sources of a job. They are opened and started, and get the positions to commit.
 * What they read goes to the intake.
 */

import type { MillraceError } from '../../core/index.ts';
import type { CommittedPosition, Deposed, Holdings, SourceContext, SourceReader } from '../../io/index.ts';
import type { JobWatch } from '../observe/index.ts';
import type { SourcePlan } from '../plan/index.ts';
import { guarded, wrapped } from './endpoint-error.ts';
import type { Intake } from './intake.ts';

/** An error without a code is one of a user-defined source: it becomes MillraceError ERR_MILLRACE_SOURCE. */
export class Sources {
  readonly #plans: readonly SourcePlan[];
  readonly #readers: SourceReader[] = [];

  constructor(plans: readonly SourcePlan[]) {
    this.#plans = plans;
  }

  /**
   * Opens them, one after the other, and adds their partitions to the intake.
   *
   * @param from where a source begins, where that is known better than by what it has committed
   */
  async open(
    intake: Intake,
    {
      deposed,
      holdings,
      watch,
      ...options
    }: Pick<SourceContext, 'drain' | 'signal'> & {
      readonly deposed?: Deposed | undefined;
      readonly holdings: Holdings;
      readonly watch?: JobWatch;
    },
    from: (source: number) => Pick<SourceContext, 'from' | 'identity'> | undefined = () => undefined,
  ): Promise<void> {
    for (const [index, { source }] of this.#plans.entries()) {
      const context = {
        ...intake.context(index, options),
        ...from(index),
        holdings,
        ...(deposed === undefined ? {} : { deposed }),
        ...(watch && { report: watch.reportOf(source.name) }),
      };
      const reader = await guarded('ERR_MILLRACE_SOURCE', `The source ${source.name} cannot be opened`, () => source.open(context));
      this.#readers.push(reader);
      intake.addSource(reader.partitionCount, source.offsetBytes, source.frameRows?.bind(source), source.isPaced);
    }
  }

  /** Partitions of each source. */
  get partitionCounts(): number[] {
    return this.#readers.map((reader) => reader.partitionCount);
  }

  /** What the positions of a source are positions in. */
  identityOf(source: number): readonly string[] | undefined {
    return this.#readers[source]?.identity;
  }

  /** Where each source begins: behind what was committed. */
  async positions(): Promise<CommittedPosition[][]> {
    return Promise.all(this.#readers.map((reader, source) => guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.positions())));
  }

  async start(): Promise<void> {
    for (const [source, reader] of this.#readers.entries()) await guarded('ERR_MILLRACE_SOURCE', this.#failed(source), () => reader.start());
  }

  /** Commits positions of one source. */
  async commit(source: number, positions: readonly CommittedPosition[]): Promise<void> {
    const reader = this.#readers[source] as SourceReader;
    await guarded('ERR_MILLRACE_SOURCE', `${this.#failed(source)} to commit its positions`, () => reader.commit(positions));
  }

  /** The domain in whose transactions a source can commit its positions. */
  domainOf(source: number): string | undefined {
    return this.#readers[source]?.transactional?.domain;
  }

  /** Positions, by source, as the transactions of a domain take them. */
  transactional(domain: string, positions: readonly (readonly CommittedPosition[])[]): unknown[] {
    return this.#readers.flatMap((reader, source) =>
      reader.transactional?.domain === domain ? [reader.transactional.positions(positions[source] as readonly CommittedPosition[])] : [],
    );
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
