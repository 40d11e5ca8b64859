/**
 * One schedule of `sinkConformance`: the lives of a job, one after the other, at one place. A life ends by a
 * crash, or when all rows are committed. All that is random comes from the seed.
 */

import { i32, MillraceError, type SeekableRng, type SlabAllocator, seededRng, schema as toSchema, utf8 } from '../../core/index.ts';
import type { Sink, SinkWriter } from '../../io/index.ts';
import { OpenSink } from './open-sink.ts';
import type { ConformanceRow, Rule, SinkModel } from './sink-model.ts';

/**
 * Behind which call a process dies. `decided`: the checkpoint counts, and the sink was not told (or, where the
 * commit comes first, the other way round).
 */
export const CRASH_POINTS = ['opened', 'recovered', 'written', 'prepared', 'decided', 'committed'] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

const SCHEMA = toSchema({ unit: i32, seq: i32, attempt: i32, text: utf8 });
const UNITS = 3;
const CHECKPOINTS = 5;
const EPOCHS_MAX = 3;
const ROWS_MAX = 20;
const ROWS_MANY = 600;
/** Some rows are long: many rows together take more than one block of the usual size. */
const LONG_EACH = 64;
const TEXT_REPEATS = 3_000;
/** Lives of a schedule in which something happens at random; then one goes through to the end. */
const LIVES = 4;

export interface SinkScheduleOptions {
  readonly place: string;
  readonly number: number;
  readonly seed: number;
  readonly guarantee: 'at-least-once' | 'exactly-once';
  sink(place: string): Promise<Sink>;
  read(place: string): Promise<readonly ConformanceRow[]>;
  crash(place: string, writer: SinkWriter): Promise<string | undefined>;
  readonly model: SinkModel;
  readonly slabs: SlabAllocator;
}

export class SinkSchedule {
  /** What was done, for messages. */
  readonly steps: string[] = [];
  readonly crashes: CrashPoint[] = [];
  starts = 0;
  refused = 0;
  fenced = 0;
  readonly #options: SinkScheduleOptions;
  readonly #model: SinkModel;
  readonly #rng: SeekableRng;
  readonly #isExactlyOnce: boolean;
  readonly #dead: OpenSink[] = [];
  #place: string;
  #attempt = 0;
  /** The checkpoint that was decided last. */
  #checkpoint = -1;
  #checkpoints = 0;
  /** The crash that this schedule must have, and at which checkpoint. */
  readonly #due: { readonly point: CrashPoint; readonly checkpoint: number };
  #isDue = true;
  #isOverlapDue: boolean;
  #next: number[] = [];
  /** What readers must see now: behind a crash, the newest checkpoint may wait for `recover`. */
  #shown: readonly ConformanceRow[] = [];

  constructor(options: SinkScheduleOptions) {
    this.#options = options;
    this.#model = options.model;
    this.#place = options.place;
    this.#rng = seededRng(options.seed);
    this.#isExactlyOnce = options.guarantee === 'exactly-once';
    this.#due = { point: CRASH_POINTS[options.number % CRASH_POINTS.length] as CrashPoint, checkpoint: this.#rng.int(CHECKPOINTS) };
    this.#isOverlapDue = options.model.isExact;
  }

  async run(): Promise<void> {
    try {
      while (!(await this.#live())) {}
      // A start that finds everything done.
      const last = await this.#start();
      await this.#do('close', () => last.close());
      await this.#check('what was committed stays');
    } finally {
      for (const sink of this.#dead) await sink.close().catch(() => {});
    }
  }

  /** One life. True: it came to the end. */
  async #live(): Promise<boolean> {
    let sink = await this.#start();
    if (this.#starting) return this.#die(sink, this.#starting);
    while (this.#checkpoints < CHECKPOINTS) {
      const last = this.#checkpoint + 1 + (this.#isExactlyOnce ? this.#rng.int(EPOCHS_MAX) : 0);
      for (let epoch = this.#checkpoint + 1; epoch <= last; epoch++) {
        await this.#writeEpoch(sink, epoch);
        if (this.#dies('written')) return this.#die(sink, 'written');
      }
      await this.#check('what is not committed is not visible');
      if (this.#isExactlyOnce) {
        await this.#do(`prepare(${last})`, async () => sink.writer.prepare?.(last));
        await this.#check('what is not committed is not visible');
      }
      if (this.#isOverlapDue && this.#checkpoints > 0) {
        const second = await this.#overlap(sink, last);
        if (second !== sink) {
          sink = second;
          continue;
        }
      }
      if (this.#dies('prepared')) return this.#die(sink, 'prepared');
      if (this.#model.isExact) {
        if (await this.#decideAndCommit(sink, last)) return this.#die(sink, 'decided');
      } else {
        // Nothing but the commit makes rows durable, so the job decides behind it.
        await this.#do(`commit(${last})`, () => sink.writer.commit(last));
        if (this.#rng.int(2) === 0 && this.#dies('decided')) return this.#die(sink, 'decided');
        this.#decide(last);
        this.#shown = this.#model.decided;
      }
      await this.#check('commit makes visible what was prepared');
      if (this.#isExactlyOnce && this.#rng.int(3) === 0) {
        await this.#do(`commit(${last})`, () => sink.writer.commit(last));
        await this.#check('a second commit changes nothing');
      }
      if (this.#dies('committed')) return this.#die(sink, 'committed');
    }
    await this.#do('close', () => sink.close());
    await this.#check('what was committed stays');
    return true;
  }

  /** True: the process dies in between. */
  async #decideAndCommit(sink: OpenSink, last: number): Promise<boolean> {
    await this.#do(`decide ${last}`, () => sink.decide(last));
    this.#decide(last);
    // A transaction shows its rows; any other sink waits for the commit.
    if (sink.transactionCheckpoint !== undefined) this.#shown = this.#model.decided;
    await this.#check('what is not committed is not visible');
    if (this.#dies('decided')) return true;
    await this.#do(`commit(${last})`, () => sink.writer.commit(last));
    this.#shown = this.#model.decided;
    return false;
  }

  #decide(last: number): void {
    this.#model.decide();
    this.#checkpoint = last;
    this.#checkpoints++;
  }

  /** Where the start itself is to end. */
  #starting: CrashPoint | undefined;

  async #start(): Promise<OpenSink> {
    this.starts++;
    this.#starting = undefined;
    this.#next = Array.from({ length: UNITS }, (_, unit) => this.#model.nextOf(unit));
    const sink = await this.#do('open', () => this.#open());
    if (!this.#isExactlyOnce) return sink;
    const { transactionCheckpoint: found } = sink;
    if (found !== undefined && found !== this.#checkpoint) {
      throw new Error(`the transaction is at checkpoint ${found} after recover(), and checkpoint ${this.#checkpoint} was the last one committed.`);
    }
    if (this.#dies('opened')) {
      this.#starting = 'opened';
      return sink;
    }
    await this.#recover(sink);
    await this.#check('recover makes visible what was decided, and drops the rest');
    if (this.#dies('recovered')) this.#starting = 'recovered';
    return sink;
  }

  async #open(): Promise<OpenSink> {
    const { slabs, guarantee, place } = this.#options;
    const sink = await this.#options.sink(this.#place);
    return OpenSink.open(sink, { schema: SCHEMA, slabs, name: place, guarantee });
  }

  async #recover(sink: OpenSink): Promise<void> {
    const { writer } = sink;
    if (this.#model.isExact && sink.transactionCheckpoint === undefined && (writer.recover === undefined || writer.prepare === undefined)) {
      throw new Error("'replayed by epoch' asks for prepare and recover, which the writer does not have.");
    }
    await this.#do(`recover(${this.#checkpoint})`, async () => writer.recover?.(this.#checkpoint));
    this.#shown = this.#model.decided;
  }

  async #writeEpoch(sink: OpenSink, epoch: number): Promise<void> {
    const size = this.#rng.int(16);
    if (size < 2) {
      this.steps.push(`epoch ${epoch} is empty`);
      return;
    }
    const units = Array.from({ length: UNITS }, (_, unit) => unit).filter(() => this.#rng.int(4) > 0);
    const batches = units.map((unit) => ({ unit, rows: this.#rows(unit, size) }));
    for (const { rows } of batches) this.#model.write(rows);
    const count = batches.reduce((sum, { rows }) => sum + rows.length, 0);
    await this.#do(`write ${count} rows of epoch ${epoch}`, async () => {
      for (const { unit, rows } of batches) await sink.write({ epoch, shard: unit }, rows);
    });
  }

  /** The next rows of a unit: a few, or very many. A row is the same each time. */
  #rows(unit: number, size: number): ConformanceRow[] {
    const count = size === 2 ? ROWS_MANY : 1 + this.#rng.int(ROWS_MAX);
    const first = this.#next[unit] as number;
    this.#next[unit] = first + count;
    const attempt = this.#model.isExact ? this.#attempt : 0;
    return Array.from({ length: count }, (_, i) => {
      return { unit, seq: first + i, attempt, text: `${unit}/${first + i} `.repeat((first + i) % LONG_EACH === 0 ? TEXT_REPEATS : 1) };
    });
  }

  /** A second writer while the first is alive. Returns the one that goes on. */
  async #overlap(first: OpenSink, epoch: number): Promise<OpenSink> {
    this.#isOverlapDue = false;
    let second: OpenSink | undefined;
    try {
      this.steps.push('a second writer opens');
      second = await this.#open();
      await this.#recover(second);
    } catch (error) {
      if (second !== undefined) await second.close().catch(() => {});
      this.steps.push(`it is refused (${error instanceof MillraceError ? error.code : (error as Error).message})`);
      this.refused++;
      await this.#check('of two writers at most one can make rows visible');
      return first;
    }
    this.fenced++;
    this.starts++;
    this.#model.drop();
    this.#attempt++;
    this.#next = Array.from({ length: UNITS }, (_, unit) => this.#model.nextOf(unit));
    await this.#check('of two writers at most one can make rows visible');
    // The first one does not know that it is over.
    const rows = this.#rows(0, 3).map((row) => ({ ...row, attempt: -1 }));
    this.#next = Array.from({ length: UNITS }, (_, unit) => this.#model.nextOf(unit));
    this.#model.write(rows, false);
    const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
      [`commit(${epoch})`, async () => first.decide(epoch).then(() => first.writer.commit(epoch))],
      ['write', () => first.write({ epoch: epoch + 1, shard: 0 }, rows)],
      [`prepare(${epoch + 1})`, async () => first.writer.prepare?.(epoch + 1)],
      [`commit(${epoch + 1})`, async () => first.decide(epoch + 1).then(() => first.writer.commit(epoch + 1))],
      ['close', () => first.close()],
    ];
    for (const [what, call] of calls) {
      const refused = await call().then(
        () => false,
        () => true,
      );
      this.steps.push(`${what} of the first${refused ? ' is refused' : ''}`);
      await this.#check('of two writers at most one can make rows visible');
    }
    return second;
  }

  #dies(point: CrashPoint): boolean {
    if (this.#isDue && point === this.#due.point && this.#checkpoints >= this.#due.checkpoint) {
      this.#isDue = false;
      return true;
    }
    return this.starts < LIVES && this.#rng.int(12) === 0;
  }

  async #die(sink: OpenSink, point: CrashPoint): Promise<false> {
    this.steps.push(`crash (${point})`);
    this.crashes.push(point);
    this.#dead.push(sink);
    this.#model.drop();
    this.#attempt++;
    this.#place = (await this.#options.crash(this.#place, sink.writer)) ?? this.#place;
    await this.#check('what is not committed is not visible');
    return false;
  }

  async #check(rule: Rule): Promise<void> {
    this.#model.check(rule, await this.#options.read(this.#place), this.#shown);
  }

  async #do<T>(step: string, work: () => Promise<T>): Promise<T> {
    this.steps.push(step);
    try {
      return await work();
    } catch (cause) {
      throw new Error(`${step} failed: ${(cause as Error).message}`, { cause });
    }
  }
}
