/**
 * Join as of an event time: each row of the left meets the row of the right that was valid at its time, the
 * latest one of its key with a time up to its own. Elsewhere it is called a temporal join, or a join with a
 * versioned table.
 *
 * Rows of both sides wait until the watermark has passed them, since earlier ones may come until then, and are
 * then taken in the order of their times (by-key/waiting-rows.ts): of one time those of the right first, and of
 * several of the right the last one in the order of (source, partition, offset) is valid. So one version of each
 * key is held beside the rows that wait, and the result does not depend on where epochs are cut: reading years
 * in one go gives what was given live. The watermark is that of both streams; where versions seldom come, their
 * stream needs `idle`.
 *
 * Rows of either side that come behind the watermark are late. A version is valid for ever, or until a row with
 * true in the column `deleted`. A null key equals no key. A broadcast right is held by all 64 shards.
 */

import { type Batch, type Column, type PagePool, readTimestamp } from '../../core/index.ts';
import { KeyIndex, RowImage, type RowOrigin, recordPages, type WaitingRow, WaitingRows } from '../by-key/index.ts';
import { hashKeys, type StateRow } from '../exchange/index.ts';
import { type DueTimes, dueIn, type KeyedContext, type KeyedInput, type KeyedOperator, type KeyedOperatorPlan, RowReader } from '../keyed/index.ts';
import { HeldRowReader } from './held-row-reader.ts';
import { inputOf } from './interval-join.ts';
import { type JoinColumns, joinColumns, pick } from './join-columns.ts';
import { deletedColumn, isTrue, mustBeOfTable, type TableJoinRequest } from './table-join.ts';

const LEFT = 0;
const RIGHT = 1;

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when keys or columns do not fit together, or the type is not
 * 'inner' or 'left'
 */
export function planAsOfJoin(request: TableJoinRequest): KeyedOperatorPlan {
  const { left, right, type, deleted, broadcast } = request;
  mustBeOfTable(type);
  const columns = joinColumns(left, right, type, request.suffix, []);
  const deletedAt = deletedColumn(right, deleted);
  const [stream, versions] = [inputOf(left), inputOf(right)];
  const inputs =
    broadcast === true
      ? [
          { ...stream, keys: stream.columns },
          { ...versions, isBroadcast: true },
        ]
      : [stream, versions];
  return {
    name: 'as-of join',
    inputs,
    ...(request.isLoadedFirst === false ? {} : { loadsFirst: RIGHT }),
    output: columns.output,
    outputTime: { column: left.eventTime as string, shiftMs: left.timeShiftMs },
    lateBefore: (watermark) => watermark,
    heldUntil: (maxTimeMs, input) => (input === LEFT ? maxTimeMs + 1 : Number.POSITIVE_INFINITY),
    state: { format: 1, facts: { type, deleted } },
    open: (context, from) => new AsOfJoin(context, columns, inputs, deletedAt, from as Snapshot | undefined),
    whole: 'rows are joined with rows',
    describe: () =>
      [
        `${type} join by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`} as of ${left.eventTime}`,
        `  versions  the latest row of each key up to ${right.eventTime}${deleted === undefined ? '' : `, until ${deleted}`}; the newest is held for ever${broadcast === true ? ', by every shard; rows of the left are spread evenly' : ''}`,
        '  state     rows of both that the watermark has not passed',
        ...(request.isLoadedFirst === false ? ['  growing   both streams are read at once'] : []),
      ].join('\n'),
  };
}

interface Snapshot {
  readonly waiting: readonly WaitingRow[];
  readonly versions: readonly { readonly hash: number; readonly key: Uint8Array; readonly values: Uint8Array }[];
}

class AsOfJoin implements KeyedOperator {
  readonly #context: KeyedContext;
  readonly #columns: JoinColumns;
  readonly #inputs: readonly KeyedInput[];
  readonly #deletedAt: number;
  readonly #waiting: WaitingRows;
  readonly #keys: KeyIndex;
  readonly #isNullable: boolean;
  readonly #images: readonly [RowImage, RowImage];
  readonly #pages: PagePool;
  /** By key: address of the record of the version that is valid (0: none is), and its page. */
  #record = new Uint32Array(0);
  #page = new Uint32Array(0);
  /** Where a row of the left is put between its batch and the result. */
  #scratch = 0;
  #scratchBytes = 0;

  constructor(context: KeyedContext, columns: JoinColumns, inputs: readonly KeyedInput[], deletedAt: number, from: Snapshot | undefined) {
    const { slabs } = context;
    this.#context = context;
    this.#columns = columns;
    this.#inputs = inputs;
    this.#deletedAt = deletedAt;
    // Of one time the versions come first.
    this.#waiting = new WaitingRows(
      slabs,
      inputs.map(({ schema, columns: kept }, input) => ({ schema, columns: kept, rank: input === RIGHT ? 0 : 1 })),
    );
    const keyTypes = columns.keysTo.map((to) => columns.output.field(to).type);
    this.#isNullable = keyTypes.some((type) => type.nullable);
    this.#keys = new KeyIndex(slabs, keyTypes);
    const imageOf = (input: 0 | 1): RowImage =>
      new RowImage(
        slabs.memory,
        columns.sides[input].to.map((to) => columns.output.field(to).type),
      );
    this.#images = [imageOf(LEFT), imageOf(RIGHT)];
    this.#pages = recordPages(slabs);
    this.#waiting.restore(from?.waiting ?? []);
    for (const { hash, key, values } of from?.versions ?? []) {
      const id = this.#keys.internRecord(key, hash);
      this.#reserve();
      const record = this.#pages.take(values.length);
      slabs.memory.u8.set(values, record);
      this.#record[id] = record;
      this.#page[id] = this.#pages.page;
    }
  }

  get stateBytes(): number {
    return this.#waiting.bytes + this.#keys.bytes + this.#pages.bytes + this.#record.length * 8;
  }

  get due(): DueTimes {
    return dueIn(true, this.#waiting.firstTime);
  }

  onBatch(rows: Batch, input: number, origin: RowOrigin): void {
    const { eventTime, timeShiftMs } = this.#inputs[input] as KeyedInput;
    const { data } = rows.column(eventTime);
    for (let row = 0; row < rows.rowCount; row++) this.#waiting.add(rows, row, input, readTimestamp(rows.memory, data, row) + timeShiftMs, origin);
  }

  onWatermark(watermark: number): void {
    this.#waiting.each(watermark, ({ count, inputs, rows, batches }) => {
      const sides = [LEFT, RIGHT].map((input) => this.#side(batches[input], input as 0 | 1));
      for (let at = 0; at < count; at++) {
        const input = inputs[at] as number;
        const { keys, values, hashes, deleted } = sides[input] as Side;
        const row = rows[at] as number;
        if (input === LEFT) this.#join(keys, values, row, hashes[row] as number);
        else this.#set(keys, values, row, hashes[row] as number, deleted !== undefined && isTrue(this.#context.slabs.memory.u8, deleted, row));
      }
    });
  }

  snapshot(): Snapshot {
    const { u8 } = this.#context.slabs.memory;
    const ids = Array.from(this.#record.keys()).filter((id) => this.#record[id] !== 0);
    return {
      waiting: this.#waiting.snapshot(),
      versions: ids.map((id) => {
        const record = this.#record[id] as number;
        return { hash: this.#keys.hashOf(id), key: this.#keys.copyOut(id), values: u8.slice(record, record + this.#images[RIGHT].recordBytes(record)) };
      }),
    };
  }

  *stateRows(): Generator<StateRow> {
    // What all shards hold is shown once.
    const isShown = this.#inputs[RIGHT]?.isBroadcast !== true || this.#context.shard === 0;
    if (isShown) {
      const reader = new HeldRowReader(this.#context.slabs, this.#inputs[RIGHT] as KeyedInput, this.#columns.sides[RIGHT]);
      for (const [id, record] of this.#record.entries()) {
        if (record !== 0) yield { ...reader.read(this.#keys, id, this.#images[RIGHT], record), side: 'right', isValid: true };
      }
      reader.release();
    }
    const readers = this.#inputs.map(({ schema }, input) => ({
      keys: new RowReader(schema, this.#columns.sides[input as 0 | 1].keys),
      rows: new RowReader(schema),
    }));
    for (const { input, time, batch } of this.#waiting.look()) {
      if (input === RIGHT && !isShown) continue;
      const { keys, rows } = readers[input] as (typeof readers)[number];
      yield { key: keys.read(batch, 0), side: input === LEFT ? 'left' : 'right', isValid: false, time, value: rows.read(batch, 0) };
    }
  }

  release(): void {
    this.#waiting.release();
    this.#keys.release();
    this.#pages.release();
    if (this.#scratch !== 0) this.#context.slabs.free(this.#scratch);
    this.#scratch = 0;
    this.#scratchBytes = 0;
  }

  #side(batch: Batch | undefined, input: 0 | 1): Side | undefined {
    if (batch === undefined) return undefined;
    const { keys, values } = this.#columns.sides[input];
    const keyColumns = pick(batch.columns, keys, []);
    const hashes = new Uint32Array(batch.rowCount);
    hashKeys(this.#context.slabs.memory, keyColumns, batch.rowCount, hashes);
    return {
      keys: keyColumns,
      values: pick(batch.columns, values, []),
      hashes,
      deleted: input === RIGHT && this.#deletedAt >= 0 ? batch.column(this.#deletedAt) : undefined,
    };
  }

  /** A version becomes valid, or none is any longer. */
  #set(keys: readonly Column[], values: readonly Column[], row: number, hash: number, isDeleted: boolean): void {
    const id = this.#keys.intern(keys, row, hash);
    this.#reserve();
    if (this.#record[id] !== 0) this.#pages.drop(this.#page[id] as number);
    this.#record[id] = 0;
    if (isDeleted || (this.#isNullable && this.#keys.isNull(id))) {
      this.#keys.remove(id);
      return;
    }
    const record = this.#pages.take(this.#images[RIGHT].size(values, row));
    this.#images[RIGHT].write(values, row, record);
    this.#record[id] = record;
    this.#page[id] = this.#pages.page;
  }

  #join(keys: readonly Column[], values: readonly Column[], row: number, hash: number): void {
    const { keysTo, sides, type } = this.#columns;
    const [left, right] = this.#images;
    const id = this.#keys.intern(keys, row, hash);
    this.#reserve();
    const found = this.#record[id] as number;
    if (found !== 0 || type === 'left') {
      const out = this.#context.output.claim();
      const to = out.rowCount++;
      this.#keys.read(id, out, keysTo, to);
      const scratch = this.#room(left.size(values, row));
      left.write(values, row, scratch);
      left.read(scratch, out, sides[LEFT].to, to);
      if (found === 0) right.readNulls(out, sides[RIGHT].to, to);
      else right.read(found, out, sides[RIGHT].to, to);
    }
    if (found === 0) this.#keys.remove(id);
  }

  #room(bytes: number): number {
    if (bytes <= this.#scratchBytes) return this.#scratch;
    const { slabs } = this.#context;
    if (this.#scratch !== 0) slabs.free(this.#scratch);
    this.#scratch = slabs.alloc(bytes);
    this.#scratchBytes = slabs.slabBytes(this.#scratch);
    return this.#scratch;
  }

  #reserve(): void {
    const limit = this.#keys.idLimit;
    if (limit <= this.#record.length) return;
    const [records, pages] = [new Uint32Array(limit), new Uint32Array(limit)];
    records.set(this.#record);
    pages.set(this.#page);
    this.#record = records;
    this.#page = pages;
  }
}

/** The columns of one side of the rows that are taken. */
interface Side {
  readonly keys: readonly Column[];
  readonly values: readonly Column[];
  readonly hashes: Uint32Array;
  readonly deleted: Column | undefined;
}
