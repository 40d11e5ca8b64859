/**
 * The way between the tasks of a job (plan/task-plan.ts): through a topic that has a partition for each. A task sends what
 * its scans have left for an exchange, cut by the shards of the tasks, and behind it, at the end of each epoch, how far its
 * event time has come. It takes in what has come for its own shards.
 *
 *   scans --blocks--> send: cut by task --> the sink of the topic ... the source of the topic --> take --> taken: blocks to merge
 *   end of the epoch --> tell: a mark to every task                                                   --> take --> timeOf
 *
 * The rows of a partition of the topic are in the order in which each task sent them. So a mark says of its task: what
 * comes from now on is not older than this, and everything before it is there. The event time of an exchange is the
 * minimum of what all tasks have said. Whatever a task has said it holds itself to: rows that are older are late where
 * they are read. So no row is late for a reason that depends on how fast tasks are.
 *
 * A task that is idle would hold the others back. It says that it is, and follows those that are not: what it promises is
 * the minimum of what these have told it. Where all are idle, the furthest one counts.
 */

import { type Batch, BatchBuilder, copyBytes, MillraceError, type SlabAllocator } from '../../core/index.ts';
import { EXCHANGE_ROWS, type Rejection, type SinkEncoder } from '../../io/index.ts';
import { exchangeBlockBytes, isExchangeBlock } from '../../operators/index.ts';
import { type Plan, shardsOf, type TaskPlan } from '../plan/index.ts';

/**
 * A row of the topic, in 8-byte steps. A block:
 *
 *   u32 BLOCK, u32 exchange, u32 the task that sends it, u32 the address that it had; then the block
 *
 * A mark: u32 MARK, u32 number of exchanges, u32 the task, u32 whether its tables are loaded (1) or not; then for each exchange three f64: what is promised; how
 * far the task's own rows have come; whether it is idle (1) or not.
 */
const BLOCK = 1;
const MARK = 2;
const HEAD_BYTES = 16;
const MARK_BYTES = 24;
const ROWS_MAX = 8;
const VALUE = EXCHANGE_ROWS.indexOf('value');
const PARTITION = EXCHANGE_ROWS.indexOf('partition');

/** What a task has said of an exchange. */
export interface Mark {
  /** Rows that come later are not older. */
  readonly promised: number;
  /** How far the event time of its own rows is. */
  readonly reached: number;
  readonly isIdle: boolean;
}

const UNKNOWN: Mark = { promised: Number.NEGATIVE_INFINITY, reached: Number.NEGATIVE_INFINITY, isIdle: false };

/** What the engine knows of an exchange at the end of an epoch, of this task's own rows. */
export interface OwnTime {
  readonly time: number;
  readonly isIdle: boolean;
}

export class TaskExchange {
  readonly #plan: Plan;
  readonly #task: TaskPlan;
  readonly #slabs: SlabAllocator;
  readonly #encoder: SinkEncoder;
  /** The column of the topic's source that has the rows. */
  readonly #value: number;
  readonly #builder: BatchBuilder;
  /** By exchange: blocks that have come for this task since the last epoch. */
  readonly #taken: number[][];
  /** By exchange, by task: what they said last. */
  readonly #marks: Mark[][];
  /** By exchange: its event time here. */
  readonly #times: number[];
  /** By exchange: what this task has promised. */
  readonly #promised: number[];
  /** By task: whether its tables are loaded. */
  readonly #loaded: boolean[];
  #told = '';

  constructor(plan: Plan, task: TaskPlan, slabs: SlabAllocator, encoder: SinkEncoder) {
    this.#plan = plan;
    this.#task = task;
    this.#slabs = slabs;
    this.#encoder = encoder;
    this.#value = (plan.sources[task.source] as Plan['sources'][number]).source.schema.indexOf('value');
    this.#builder = new BatchBuilder(slabs, EXCHANGE_ROWS, ROWS_MAX);
    this.#taken = plan.exchanges.map(() => []);
    this.#marks = plan.exchanges.map(() => Array.from({ length: task.count }, () => UNKNOWN));
    this.#loaded = Array.from({ length: task.count }, () => false);
    this.#times = plan.exchanges.map(() => Number.NEGATIVE_INFINITY);
    this.#promised = plan.exchanges.map(() => Number.NEGATIVE_INFINITY);
  }

  /** The event time of an exchange here, as of the end of the last epoch. */
  timeOf(exchange: number): number {
    return this.#times[exchange] as number;
  }

  /** Rows that are read here and are older are late. */
  promisedOf(exchange: number): number {
    return this.#promised[exchange] as number;
  }

  /** Takes in rows of the topic. */
  take(batch: Batch): void {
    const { memory } = batch;
    const { data, offsets } = batch.column(this.#value);
    for (let row = 0; row < batch.rowCount; row++) {
      const from = data + (memory.i32[(offsets >>> 2) + row] as number);
      const bytes = (memory.i32[(offsets >>> 2) + row + 1] as number) - (memory.i32[(offsets >>> 2) + row] as number);
      this.#takeRow(memory.u8.subarray(from, from + bytes), from);
    }
  }

  #takeRow(row: Uint8Array, address: number): void {
    const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
    const isRow = row.length >= HEAD_BYTES && view.getUint32(8, true) < this.#task.count;
    const [kind, number, task] = isRow ? [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)] : [0, 0, 0];
    if (kind === BLOCK && number < this.#taken.length) this.#takeBlock(row, address, number, view.getUint32(12, true));
    else if (kind === MARK && number === this.#marks.length && row.length === HEAD_BYTES + number * MARK_BYTES) {
      this.#loaded[task] = view.getUint32(12, true) === 1;
      for (let exchange = 0; exchange < number; exchange++) {
        const at = HEAD_BYTES + exchange * MARK_BYTES;
        (this.#marks[exchange] as Mark[])[task] = {
          promised: view.getFloat64(at, true),
          reached: view.getFloat64(at + 8, true),
          isIdle: view.getFloat64(at + 16, true) === 1,
        };
      }
    } else throw this.#foreign();
  }

  #takeBlock(row: Uint8Array, address: number, exchange: number, was: number): void {
    const { memory } = this.#slabs;
    const bytes = row.length - HEAD_BYTES;
    const block = this.#slabs.alloc(Math.max(bytes, 64));
    copyBytes(memory, block, address + HEAD_BYTES, bytes);
    const { operator } = this.#plan.exchanges[exchange] as Plan['exchanges'][number];
    if (!isExchangeBlock(memory, block, bytes) || operator.relocate?.(memory, block, was) === false) throw this.#foreign();
    (this.#taken[exchange] as number[]).push(block);
  }

  /**
   * What cannot be read of the topic are blocks of other tasks: no ledger makes up for them.
   *
   * @throws MillraceError ERR_MILLRACE_CORRUPT, but for control records
   */
  mustNotLose({ reason, offset, message }: Rejection): void {
    if (reason === 'control') return;
    const { name } = (this.#plan.sources[this.#task.source] as Plan['sources'][number]).source;
    throw new MillraceError(
      'ERR_MILLRACE_CORRUPT',
      `${name}, offset ${offset}: what another task has sent cannot be read (${message}). Without it results would be wrong, so the task ends. Restore the topic; or begin anew, with another group and another checkpoint.`,
    );
  }

  /** The blocks that have come for an exchange in this epoch; they are the caller's. */
  taken(exchange: number): number[] {
    return (this.#taken[exchange] as number[]).splice(0);
  }

  /** Sends blocks of an exchange to the tasks that have their shards, and frees them. */
  send(exchange: number, blocks: readonly number[]): void {
    const { operator } = this.#plan.exchanges[exchange] as Plan['exchanges'][number];
    for (const block of blocks) {
      for (let task = 0; task < this.#task.count; task++) {
        const slice = operator.slice(this.#slabs, block, ...shardsOf(task, this.#task.count));
        if (slice === 0) continue;
        this.#row(task, slice, exchangeBlockBytes(this.#slabs.memory, slice), [BLOCK, exchange, this.#task.index, slice]);
        this.#slabs.free(slice);
      }
      this.#slabs.free(block);
    }
    this.#hand();
  }

  /** An epoch ends: what all have said gives the event time of each exchange. */
  advance(): void {
    this.#marks.forEach((marks, exchange) => {
      const time = Math.min(...marks.map(({ promised }) => promised));
      if (time > (this.#times[exchange] as number)) this.#times[exchange] = time;
    });
  }

  /**
   * Tells the others how far this task has come, where that is something new. Everything that it has sent in the epoch is
   * in front of it.
   *
   * @param own by exchange
   * @param isLoaded everything is sent of tables that are loaded first
   */
  tell(own: readonly OwnTime[], isLoaded: boolean): void {
    const marks = own.map(({ time, isIdle }, exchange): Mark => {
      const promised = Math.max(this.#promised[exchange] as number, isIdle ? this.#followed(exchange, time) : time);
      this.#promised[exchange] = promised;
      return { promised, reached: time, isIdle };
    });
    const text = `${isLoaded} ${marks.map(({ promised, reached, isIdle }) => `${promised} ${reached} ${isIdle}`).join()}`;
    if (text === this.#told) return;
    this.#told = text;
    const bytes = marks.length * MARK_BYTES;
    const address = this.#slabs.alloc(Math.max(bytes, 8));
    const { f64 } = this.#slabs.memory;
    marks.forEach(({ promised, reached, isIdle }, exchange) => {
      f64.set([promised, reached, isIdle ? 1 : 0], (address + exchange * MARK_BYTES) >>> 3);
    });
    for (let task = 0; task < this.#task.count; task++) this.#row(task, address, bytes, [MARK, marks.length, this.#task.index, isLoaded ? 1 : 0]);
    this.#slabs.free(address);
    this.#hand();
  }

  /** The tables of all tasks are loaded: what was sent of them is in front of whatever is sent from now on. */
  get areLoaded(): boolean {
    return this.#loaded.every((isLoaded) => isLoaded);
  }

  /** What a checkpoint keeps: numbers, for {@link restore}. */
  get state(): number[] {
    return [
      ...this.#loaded.map(Number),
      ...this.#promised,
      ...this.#marks.flatMap((of) => of.flatMap(({ promised, reached, isIdle }) => [promised, reached, isIdle ? 1 : 0])),
    ];
  }

  /**
   * @param times by exchange: its event time
   * @param state as `state` gave it; of another plan it says nothing
   */
  restore(times: readonly number[], state: readonly number[]): void {
    times.forEach((time, exchange) => {
      this.#times[exchange] = time;
    });
    const exchanges = this.#times.length;
    const { count } = this.#task;
    if (state.length !== count + exchanges * (1 + 3 * count)) return;
    for (let task = 0; task < count; task++) this.#loaded[task] = state[task] === 1;
    for (let exchange = 0; exchange < exchanges; exchange++) {
      this.#promised[exchange] = state[count + exchange] as number;
      for (let task = 0; task < count; task++) {
        const at = count + exchanges + (exchange * count + task) * 3;
        (this.#marks[exchange] as Mark[])[task] = { promised: state[at] as number, reached: state[at + 1] as number, isIdle: state[at + 2] === 1 };
      }
    }
  }

  /** What an idle task promises: what those that are not idle have; the furthest where all are. */
  #followed(exchange: number, own: number): number {
    let least = Number.POSITIVE_INFINITY;
    let furthest = own;
    let areIdle = true;
    (this.#marks[exchange] as Mark[]).forEach(({ promised, reached, isIdle }, task) => {
      if (task === this.#task.index) return;
      furthest = Math.max(furthest, reached);
      if (isIdle) return;
      areIdle = false;
      least = Math.min(least, promised);
    });
    return areIdle ? furthest : least;
  }

  #row(task: number, address: number, bytes: number, head: readonly number[]): void {
    const builder = this.#builder;
    if (builder.rowCount === ROWS_MAX) this.#hand();
    const { memory } = builder;
    const value = builder.columns[VALUE] as BatchBuilder['columns'][number];
    builder.reserve(value, HEAD_BYTES + bytes + 8);
    // Rows begin at multiples of 8, as blocks do: their lengths are.
    const at = value.data + value.byteLength;
    memory.u32.set(head, at >>> 2);
    copyBytes(memory, at + HEAD_BYTES, address, bytes);
    value.byteLength += HEAD_BYTES + bytes;
    memory.i32[(value.offsets >>> 2) + builder.rowCount + 1] = value.byteLength;
    builder.setValue(PARTITION, builder.rowCount, task);
    builder.rowCount++;
  }

  /** Hands the rows on to the sink. */
  #hand(): void {
    if (this.#builder.rowCount > 0) this.#encoder.write(this.#builder.finish());
    this.#builder.reset();
    this.#encoder.flush();
  }

  #foreign(): MillraceError {
    const { name } = (this.#plan.sources[this.#task.source] as Plan['sources'][number]).source;
    return new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `${name}: a record was not written by this pipeline, in this version. Only the tasks of the job may write to this topic. Where the pipeline was changed, begin anew: with another group, another checkpoint, and without the topic.`,
    );
  }
}
