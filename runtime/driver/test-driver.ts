/**
 * The test driver: a pipeline on the calling thread, with a manual clock. It drives the coordinator and the
 * engines of a job, with sources and sinks in memory (threadless-job.ts): rows go in by hand, epochs end by
 * hand, results are arrays.
 */

import { type AnyRow, type Counters, checkOptionNames, MillraceError, type SeekableRng, seededRng, shown } from '../../core/index.ts';
import type { Sink, Source } from '../../io/index.ts';
import { headOf, joinStates, type StateHead } from '../engine/index.ts';
import { positionOf } from '../epoch/index.ts';
import type { View } from '../job/index.ts';
import { graphOf, makePlan, type PipelineLike, type Plan } from '../plan/index.ts';
import { COUNTER_NAMES, type CounterName, type LedgerSample } from '../shared/index.ts';
import { type DriverSnapshot, resolved, type TestDriverOptions } from './driver-options.ts';
import { endpointIndex } from './endpoint-name.ts';
import { codecOf } from './hand-fed.ts';
import { Outside } from './outside.ts';
import type { RawRecord } from './raw-records.ts';
import { ThreadlessJob } from './threadless-job.ts';

/**
 * @param pipeline the default export of a pipeline module: a pipeline or a stream of one
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it cannot be run as written, ERR_MILLRACE_OPTION,
 *   ERR_MILLRACE_CHECKPOINT when `from` is of another pipeline or version
 * @example
 * const source = memory([], { schema: { page: utf8 } });
 * const driver = testDriver(pipeline('t').from(source).keyBy('page').count().to(collect()));
 * driver.send([{ page: '/a' }, { page: '/a' }]);
 * driver.endEpoch();
 * driver.output(); // [{ page: '/a', count: 2 }]
 */
export function testDriver(pipeline: PipelineLike, options: TestDriverOptions = {}): TestDriver {
  const graph = graphOf(pipeline);
  if (graph === undefined) throw new MillraceError('ERR_MILLRACE_PIPELINE', `testDriver() got ${shown(pipeline)}, which is no pipeline.`);
  return new TestDriver(makePlan(graph, options.codeGeneration === undefined ? {} : { codeGeneration: options.codeGeneration }), options);
}

export class TestDriver {
  /** As the pipeline has it: with its own sources and sinks. */
  readonly #plan: Plan;
  readonly #head: StateHead;
  readonly #job: ThreadlessJob;
  readonly #partitions: number;
  readonly #seed: number | undefined;
  readonly #partitionRng: SeekableRng;
  readonly #engineRng: SeekableRng;
  #rowsDrawn: number;
  #chunks: number;
  #now: number;
  #isBetweenEpochs = true;
  /** Also set when a call has failed half way. */
  #isWorking = false;
  #isOver = false;

  constructor(plan: Plan, options: TestDriverOptions) {
    this.#head = headOf(plan);
    const { from, shards, partitions, seed, now, memoryBytes, stateBytesMax, failedRows } = resolved(options, this.#head);
    this.#plan = plan;
    this.#partitions = partitions;
    this.#now = now;
    this.#seed = seed;
    this.#partitionRng = seededRng(seed ?? 0);
    this.#engineRng = seededRng((seed ?? 0) + 0.5);
    this.#rowsDrawn = from?.rowsDrawn ?? 0;
    this.#chunks = from?.chunks ?? 0;
    this.#job = new ThreadlessJob({
      plan,
      shards,
      partitions,
      memoryBytes,
      stateBytesMax,
      failedRows,
      clock: () => this.#now,
      choose: (engines) => {
        this.#engineRng.seek(this.#chunks++);
        return this.#engineRng.int(engines);
      },
      outside: new Outside(plan.sources.length, partitions, plan.sinks.length),
      from: from?.state,
      wish: ({ act, tell }) => {
        act();
        tell();
      },
    });
    from?.inputs.forEach(({ position, sequence, lastRowsAtMs, counts }, global) => {
      this.#job.coordinator.intake.resume(global, { offset: position, sequence, lastRowsAtMs });
      for (const [name, count] of counts) this.#counters[global]?.add(name, count);
    });
  }

  /**
   * Rows of a source, in order, into one of its partitions (default: drawn from the seed for each row, or 0
   * without a seed). `source` is the source itself, its number, its name or its topic; it may be left out
   * where there is one source. A row is treated as in a job. One that does not fit the schema is undecodable
   * where the source has records and a codec. It ends the job (throws) where rows are objects (`memory`,
   * `iterable`, `generator`).
   *
   * @throws MillraceError ERR_MILLRACE_SCHEMA as said; what user functions throw, unless the stream's
   *   `errors` are taken
   */
  send(rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(source: Source | number | string, rows: readonly AnyRow[], options?: { partition?: number }): void;
  send(first: Source | number | string | readonly AnyRow[], second?: readonly AnyRow[] | { partition?: number }, third?: { partition?: number }): void {
    const isShort = Array.isArray(first);
    const rows = (isShort ? first : second) as readonly AnyRow[];
    const source = isShort ? 0 : this.#sourceOf(first as Source | number | string, 'send()');
    const options = ((isShort ? second : third) ?? {}) as { partition?: number };
    checkOptionNames('send()', options, { partition: true });
    this.#give('send()', rows, options.partition, (partition, part) => this.#job.send(source, partition, part));
  }

  /**
   * One or several records of a source, as they come from outside. Their values go through the source's
   * codec, so that decoding and refusals can be tested without the outside. Names and partitions are as for
   * {@link send}. With `csv(..., { header: 'byName' })` the first record of each call is a header; name the
   * partition then.
   *
   * @param bytes the value of each record; null: a record without a value
   * @param options `key`: the key of these records, text as UTF-8; default none. Their timestamp is the
   *   driver's clock.
   * @throws MillraceError ERR_MILLRACE_OPTION when the source has no codec (`memory`, `iterable`,
   *   `generator`)
   * @example
   * driver.sendRaw('clicks', Buffer.from('{"page":"/a"'));
   * driver.counts.get('undecodable'); // 1
   */
  sendRaw(
    source: Source | number | string,
    bytes: Uint8Array | null | readonly (Uint8Array | null)[],
    options: { readonly partition?: number; readonly key?: Uint8Array | string | null } = {},
  ): void {
    const index = this.#sourceOf(source, 'sendRaw()');
    const { source: named } = this.#plan.sources[index] as Plan['sources'][number];
    if (codecOf(named) === undefined) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `sendRaw() names the source ${named.name}, which has rows and no codec. Give it rows: send().`);
    }
    const values: readonly unknown[] = Array.isArray(bytes) ? bytes : [bytes];
    checkOptionNames('sendRaw()', options, { partition: true, key: true });
    const { partition, key = null } = options;
    const wrong = [...values, typeof key === 'string' ? null : key].find((one) => one !== null && !(one instanceof Uint8Array));
    if (wrong !== undefined) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `sendRaw() got ${shown(wrong)}; give bytes: a Uint8Array, such as Buffer.from('...'), or null.`);
    }
    const keyBytes = typeof key === 'string' ? new TextEncoder().encode(key) : key;
    const records = values.map((value): RawRecord => ({ key: keyBytes, value: value as Uint8Array | null }));
    this.#give('sendRaw()', records, partition, (chosen, part) => this.#job.sendRecords(index, chosen, part));
  }

  /**
   * Moves the clock forward.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION when it is no whole number of milliseconds, or would move back
   */
  advanceTime(ms: number): void {
    if (!(Number.isSafeInteger(ms) && ms >= 0)) {
      throw new MillraceError('ERR_MILLRACE_OPTION', `advanceTime() got ${shown(ms)}. Give whole milliseconds, from 0 on: the clock of a job never goes back.`);
    }
    this.#now += ms;
  }

  /** Ends the epoch: windows close as far as the watermark allows, and results come out. */
  endEpoch(): void {
    this.#end();
  }

  /** Ends all input: everything that is open comes out. */
  close(): void {
    this.#end(() => {
      this.#plan.sources.forEach((_, source) => {
        for (let partition = 0; partition < this.#partitions; partition++) this.#job.end(source, partition);
      });
    });
    this.#isOver = true;
  }

  /**
   * What a sink has received so far. The sink is given by itself, its number, its name or its topic; default
   * the first. A restored driver begins with nothing: what came out before the snapshot came out of the first
   * driver.
   */
  output(sink: Sink | number | string = 0): readonly AnyRow[] {
    const index = endpointIndex(
      this.#plan.sinks.map((plan) => plan.sink),
      sink,
      'output() names the sink',
    );
    const rows = this.#job.outside.outputs[index] as readonly AnyRow[];
    const unwritten = this.#job.unwritten(index);
    return unwritten.length === 0 ? rows : [...rows, ...unwritten];
  }

  /**
   * The rows that the pipeline names with `.as(name)`, as of the last epoch that has
   * ended. Like `job.view`.
   */
  view<R = AnyRow>(name: string): View<R> {
    return this.#job.coordinator.views.get<R>(name);
  }

  /** Rows that no result counts, by reason, and rows in. */
  get counts(): ReadonlyMap<CounterName, number> {
    return new Map(COUNTER_NAMES.map((name) => [name, this.#counters.reduce((sum, counters) => sum + counters.get(name), 0)]));
  }

  /**
   * Some of the rows that no result counts: at most ten of each reason per engine. A snapshot has none of
   * them.
   */
  get samples(): readonly LedgerSample[] {
    return this.#job.crew.samples;
  }

  /**
   * The whole state as of the end of the last epoch. A driver that resumes from it, with any number of
   * shards, gives the same results as this one. Taking it changes nothing.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION between `send` and `endEpoch`, after `close`, and after a
   *   failure; ERR_MILLRACE_USER_FUNCTION when the state of a user function cannot be copied
   * @example
   * const source = memory([], { schema: { page: utf8 } });
   * const perPage = pipeline('t').from(source).keyBy('page').count().to(collect());
   * const driver = testDriver(perPage);
   * driver.send([{ page: '/a' }, { page: '/a' }]);
   * driver.endEpoch();
   * const restored = testDriver(perPage, { from: structuredClone(driver.snapshot()), shards: 4 });
   * restored.send([{ page: '/a' }]);
   * restored.endEpoch();
   * restored.output(); // [{ page: '/a', count: 3 }]
   */
  snapshot(): DriverSnapshot {
    if (this.#isOver || this.#isWorking || !this.#isBetweenEpochs) {
      const reason = this.#isOver
        ? 'of a driver that was closed: its input has ended, and nothing can go on from it'
        : this.#isWorking
          ? 'after a failure: what failed has changed a part of the state. Take it before'
          : 'within an epoch: rows were sent since the last endEpoch(), and state is whole between two epochs only. Call endEpoch() first';
      throw new MillraceError('ERR_MILLRACE_OPTION', `snapshot() ${reason}.`);
    }
    return {
      ...this.#head,
      clockMs: this.#now,
      partitions: this.#partitions,
      seed: this.#seed,
      rowsDrawn: this.#rowsDrawn,
      chunks: this.#chunks,
      inputs: this.#job.coordinator.intake.partitions.map((state, global) => ({
        position: positionOf(state),
        sequence: state.sequence,
        lastRowsAtMs: state.lastRowsAtMs,
        counts: [...(this.#counters[global] as Counters<CounterName>).snapshot()],
      })),
      state: joinStates(this.#job.crew.engines.map((engine) => engine.snapshot())),
    };
  }

  get #counters(): readonly Counters<CounterName>[] {
    return this.#job.crew.counters[0] as readonly Counters<CounterName>[];
  }

  #sourceOf(source: Source | number | string, call: string): number {
    return endpointIndex(
      this.#plan.sources.map((plan) => plan.source),
      source,
      `${call} names the source`,
    );
  }

  /** All rows into one partition, or each into one that is drawn. */
  #give<T>(call: string, things: readonly T[], partition: number | undefined, give: (partition: number, part: readonly T[]) => void): void {
    const parts = Array.from({ length: this.#partitions }, (): T[] => []);
    if (partition === undefined && this.#seed !== undefined) {
      for (const thing of things) {
        this.#partitionRng.seek(this.#rowsDrawn++);
        (parts[this.#partitionRng.int(this.#partitions)] as T[]).push(thing);
      }
    } else {
      const chosen = partition ?? 0;
      if (!(Number.isInteger(chosen) && chosen >= 0 && chosen < this.#partitions)) {
        throw new MillraceError(
          'ERR_MILLRACE_OPTION',
          `${call} names partition ${shown(chosen)}; there are ${this.#partitions}. Make more with testDriver(pipeline, { partitions }).`,
        );
      }
      parts[chosen] = [...things];
    }
    parts.forEach((part, to) => {
      if (part.length === 0) return;
      this.#work(() => give(to, part));
      this.#isBetweenEpochs = false;
    });
  }

  #end(before?: () => void): void {
    if (this.#isOver) throw new MillraceError('ERR_MILLRACE_OPTION', 'The driver was closed: its input has ended.');
    this.#work(() => {
      before?.();
      this.#job.endEpoch();
    });
    this.#isBetweenEpochs = true;
  }

  #work(call: () => void): void {
    if (this.#isWorking) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        'This driver has failed before, half way through some rows, as a job does that ends. Make another one; from: a snapshot, to go on from there.',
      );
    }
    this.#isWorking = true;
    call();
    this.#job.work();
    this.#isWorking = false;
  }
}
