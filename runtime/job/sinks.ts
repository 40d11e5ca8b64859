/**
 * Sinks: the writers of all sinks of a job. They are opened, given the blocks of one epoch after the other,
 * and closed.
 */

import type { SharedMemory } from '../../core/index.ts';
import type { Deposed, RefusedRow, SinkContext, SinkInfo, SinkWriter, Transaction } from '../../io/index.ts';
import type { JobWatch, SinkProgress } from '../observe/index.ts';
import type { Plan } from '../plan/index.ts';
import { type LedgerSample, type OutputBlock, SAMPLES_MAX } from '../shared/index.ts';
import { guarded } from './endpoint-error.ts';

export interface OpenSinks {
  readonly signal: AbortSignal;
  readonly guarantee?: NonNullable<SinkContext['guarantee']>;
  readonly transaction?: Transaction | undefined;
  readonly deposed?: Deposed | undefined;
  /** Gets what a sink waits for outside. */
  readonly warn: (message: string) => void;
}

/** How the sinks of a job stand. */
export interface SinksProgress {
  readonly sinks: readonly SinkProgress[];
  /** One of them waits for something outside. */
  readonly isWaiting: boolean;
  /** Rows that were refused outside, and samples of them. */
  readonly refused: number;
  readonly samples: readonly LedgerSample[];
}

interface OpenSink {
  readonly name: string;
  readonly writer: SinkWriter;
}

/** An error without a code is one of a user-defined sink: it becomes MillraceError ERR_MILLRACE_SINK. */
export class Sinks {
  readonly #memory: SharedMemory;
  readonly #delayMs: number;
  #sinks: readonly OpenSink[] = [];
  /** Numbers of those that wait for something outside. */
  readonly #waiting = new Set<number>();
  readonly #samples: LedgerSample[] = [];
  #refusedRows = 0;
  /** Output is final with a checkpoint, not with each epoch. */
  #isExact = false;

  readonly #watch: JobWatch | undefined;

  /**
   * @param delayMs waits this long before each epoch's write, to see what a slow sink does
   * @param watch is told what is written
   */
  constructor(memory: SharedMemory, delayMs: number, watch?: JobWatch) {
    this.#memory = memory;
    this.#delayMs = delayMs;
    this.#watch = watch;
  }

  /**
   * Opens the sinks of a plan. `close` closes those that are open, also when another one could not be opened.
   */
  async open({ sinks, name: pipeline }: Plan, { signal, guarantee = 'at-least-once', transaction, deposed, warn }: OpenSinks): Promise<void> {
    this.#isExact = guarantee === 'exactly-once';
    const opened = await Promise.allSettled(
      sinks.map(async ({ sink, schema }, index) => ({
        name: sink.name,
        writer: await guarded('ERR_MILLRACE_SINK', `The sink ${sink.name} cannot be opened`, () =>
          sink.open({
            schema,
            pipeline,
            signal,
            guarantee,
            ...this.#ears(index, sink.name, warn),
            refused: (row) => this.#refused(sink.name, row),
            ...(deposed === undefined ? {} : { deposed }),
            ...(transaction !== undefined && sink.delivery === 'transactional' ? { transaction } : {}),
          }),
        ),
      })),
    );
    this.#sinks = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    for (const result of opened) if (result.status === 'rejected') throw result.reason;
  }

  /** What the sinks say of themselves. */
  get infos(): SinkInfo[] {
    return this.#sinks.map(({ writer }) => writer.info);
  }

  get progress(): SinksProgress {
    const sinks = this.#sinks.flatMap(({ name, writer }) => {
      const counts = writer.counts?.();
      return counts === undefined ? [] : [{ sink: name, ...counts }];
    });
    return { sinks, isWaiting: this.#waiting.size > 0, refused: this.#refusedRows, samples: this.#samples };
  }

  /** Exactly-once: drops what is behind the checkpoint, and finishes what was prepared for it. */
  async recover(checkpoint: number): Promise<void> {
    await this.#each(async ({ writer }) => writer.recover?.(checkpoint));
  }

  /**
   * Exactly-once: makes what was written durable, and not visible. A sink that prepares nothing is idempotent,
   * and commits now: after the decision a crash would lose its rows.
   */
  async prepare(checkpoint: number): Promise<void> {
    await this.#each(async ({ writer }) => (writer.prepare === undefined ? writer.commit(checkpoint) : writer.prepare(checkpoint)));
  }

  /** Exactly-once: makes what was prepared visible. */
  async commit(checkpoint: number): Promise<void> {
    await this.#each(async ({ writer }) => (writer.prepare === undefined ? undefined : writer.commit(checkpoint)));
  }

  async #each(call: (sink: OpenSink) => Promise<void>): Promise<void> {
    await Promise.all(this.#sinks.map((sink, index) => this.#guard(index, () => call(sink))));
  }

  /**
   * Writes all blocks of an epoch, in their order, and commits them unless a checkpoint does. Epochs come in
   * order, one call at a time.
   */
  async writeEpoch(epoch: number, blocks: readonly OutputBlock[]): Promise<void> {
    if (this.#delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#delayMs));
    const { u8 } = this.#memory;
    const touched = new Map<number, { rows: number; bytes: number }>();
    const writes: Promise<void>[] = [];
    const sinceMs = performance.now();
    for (const block of blocks) {
      const { writer } = this.#sinks[block.sink] as OpenSink;
      const bytes = u8.subarray(block.address, block.address + block.bytes);
      const of = touched.get(block.sink) ?? { rows: 0, bytes: 0 };
      touched.set(block.sink, { rows: of.rows + block.rows, bytes: of.bytes + block.bytes });
      writes.push(this.#guard(block.sink, () => writer.write({ epoch, unit: block.unit, partition: block.outputPartition, rowCount: block.rows, bytes })));
    }
    await Promise.all(writes);
    const inOrder = [...touched].sort(([a], [b]) => a - b);
    if (!this.#isExact) for (const [sink] of inOrder) await this.#guard(sink, () => (this.#sinks[sink] as OpenSink).writer.commit(epoch));
    const ms = performance.now() - sinceMs;
    for (const [sink, { rows, bytes }] of inOrder) this.#watch?.sinkWrote((this.#sinks[sink] as OpenSink).name, rows, bytes, ms);
  }

  /** Where a sink says what it waits for, and what else it has to tell. */
  #ears(sink: number, name: string, warn: OpenSinks['warn']): Pick<SinkContext, 'waiting' | 'report'> {
    const watch = this.#watch;
    return {
      ...(watch === undefined ? {} : { report: watch.reportOf(name) }),
      waiting: (what) => {
        watch?.waits(name, what);
        if (what === undefined) this.#waiting.delete(sink);
        else if (!this.#waiting.has(sink)) {
          this.#waiting.add(sink);
          warn(what);
        }
      },
    };
  }

  #refused(sink: string, { epoch, unit, message }: RefusedRow): void {
    this.#refusedRows++;
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push({ reason: 'refused', source: sink, partition: unit, offset: epoch, rows: 1, message });
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#sinks.map(async ({ writer }) => writer.close()));
  }

  async #guard(sink: number, call: () => Promise<void>): Promise<void> {
    await guarded('ERR_MILLRACE_SINK', `The sink ${(this.#sinks[sink] as OpenSink).name} failed`, call);
  }
}
