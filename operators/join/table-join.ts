/**
 * Join with a table. The right stream is read as a table: the latest row of each key. Each row of the left
 * meets the row that its key has there. The table as it is at the end of the epoch counts, so rows of one
 * epoch on both sides meet, and the result follows from the rows and from where epochs were cut. Later rows
 * of the table do not change results that are out.
 *
 * The sources of the table are read first, up to where they stand at the start (plan.ts, SourcePlan.behind),
 * so that no row of the left misses a table row that was there already. With `growing` both are read at once.
 *
 * The order of the table's rows is (source, partition, offset) within an epoch: by key, the order of a
 * compacted topic. A row with true in the column `deleted` removes its key. A broadcast table is held by all
 * 64 shards, and the left's rows need not travel by key: for small tables with few keys or uneven ones. There
 * are no windows, and nothing is late. The table is held for ever: positions are not committed as long as
 * state is not written to disk, as with running aggregates.
 */

import { type Batch, type Column, MillraceError, type PagePool, type SlabAllocator, shown } from '../../core/index.ts';
import { KeyIndex, RowImage, recordPages } from '../by-key/index.ts';
import { hashKeys, NEVER_DUE, type StateRow } from '../exchange/index.ts';
import type { DueTimes, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from '../keyed/index.ts';
import { HeldRowReader } from './held-row-reader.ts';
import { inputOf } from './interval-join.ts';
import { type JoinColumns, type JoinSide, type JoinType, joinColumns, pick } from './join-columns.ts';

export interface TableJoinRequest {
  readonly left: JoinSide;
  readonly right: JoinSide;
  readonly type: JoinType;
  readonly suffix: string;
  /**
   * True: every shard holds the whole table, and the left's rows are spread over the shards by all their
   * columns.
   */
  readonly broadcast?: boolean;
  /** Whether the sources of the right are read first (default true), up to where they stand at the start. */
  readonly isLoadedFirst?: boolean;
  /** Name of a bool column of the right: true removes the key from the table. */
  readonly deleted: string | undefined;
}

const LEFT = 0;
const RIGHT = 1;

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE when keys or columns do not fit together, or the type is not
 * 'inner' or 'left'
 */
export function planTableJoin(request: TableJoinRequest): KeyedOperatorPlan {
  const { left, right, type, deleted } = request;
  mustBeOfTable(type);
  const columns = joinColumns(left, right, type, request.suffix, []);
  const deletedAt = deletedColumn(right, deleted);
  const [stream, table] = [left, right].map((side): KeyedInput => ({ ...inputOf(side), eventTime: -1 })) as [KeyedInput, KeyedInput];
  const inputs =
    request.broadcast === true
      ? [
          { ...stream, keys: stream.columns },
          { ...table, isBroadcast: true },
        ]
      : [stream, table];
  return {
    name: 'table join',
    isOrdered: true,
    inputs,
    ...(request.isLoadedFirst === false ? {} : { loadsFirst: RIGHT }),
    output: columns.output,
    outputTime: left.eventTime === undefined ? undefined : { column: left.eventTime, shiftMs: left.timeShiftMs },
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: (_, input) => (input === LEFT ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY),
    state: { format: 1, facts: { type, deleted } },
    open: (context, from) => new TableJoin(context, columns, inputs[RIGHT] as KeyedInput, deletedAt, from as HeldTable | undefined),
    whole: 'rows are joined with rows',
    describe: () =>
      [
        `${type} join by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`} with a table`,
        `  table     the latest row of each key${deleted === undefined ? '' : `, until ${deleted}`}; held for ever${request.broadcast === true ? ', by every shard; rows of the left are spread evenly' : ''}`,
        ...(request.isLoadedFirst === false ? ['  growing   both streams are read at once'] : []),
      ].join('\n'),
  };
}

/** Only rows of the left have a result. */
export function mustBeOfTable(type: JoinType): void {
  if (type !== 'right' && type !== 'full') return;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `join() of the type ${shown(type)} without within: a table's rows wait for nobody, so 'inner' and 'left' are possible. Give within: [before, after] to join two streams by their times.`,
  );
}

/** Position of the column that removes keys; -1: there is none. */
export function deletedColumn({ schema }: JoinSide, deleted: string | undefined): number {
  if (deleted === undefined) return -1;
  const at = schema.require(deleted, 'join deleted');
  const { type } = schema.field(at);
  if (type.name === 'bool') return at;
  throw new MillraceError('ERR_MILLRACE_PIPELINE', `join() has deleted: ${shown(deleted)}, a column of ${type.name}. It must be bool: make one with map().`);
}

interface HeldTable {
  readonly rows: readonly { readonly hash: number; readonly key: Uint8Array; readonly values: Uint8Array }[];
}

class TableJoin implements KeyedOperator {
  readonly #context: KeyedContext;
  readonly #columns: JoinColumns;
  readonly #table: KeyedInput;
  readonly #deletedAt: number;
  readonly #keys: KeyIndex;
  readonly #left: RowImage;
  readonly #right: RowImage;
  readonly #tablePages: PagePool;
  readonly #isNullable: boolean;
  /**
   * By key: address of the table's record (0: none), its page, and the rows of the left that wait for the end
   * of the epoch.
   */
  #record = new Uint32Array(0);
  #page = new Uint32Array(0);
  #waiting = new Uint32Array(0);
  /** Rows of the left in this epoch: key and record. */
  #pendingKeys: number[] = [];
  #pendingRecords: number[] = [];
  #pendingPlaces: number[] = [];
  #pendingPages: PagePool;
  #hashes = new Uint32Array(64);
  readonly #keyColumns: Column[] = [];
  readonly #valueColumns: readonly [Column[], Column[]] = [[], []];

  constructor(context: KeyedContext, columns: JoinColumns, table: KeyedInput, deletedAt: number, from: HeldTable | undefined) {
    const { slabs } = context;
    this.#context = context;
    this.#columns = columns;
    this.#table = table;
    this.#deletedAt = deletedAt;
    const keyTypes = columns.keysTo.map((to) => columns.output.field(to).type);
    this.#isNullable = keyTypes.some((type) => type.nullable);
    this.#keys = new KeyIndex(slabs, keyTypes);
    this.#left = imageOf(slabs, columns, LEFT);
    this.#right = imageOf(slabs, columns, RIGHT);
    this.#tablePages = recordPages(slabs);
    this.#pendingPages = recordPages(slabs);
    for (const { hash, key, values } of from?.rows ?? []) {
      const id = this.#keys.internRecord(key, hash);
      this.#reserve();
      const record = this.#tablePages.take(values.length);
      slabs.memory.u8.set(values, record);
      this.#record[id] = record;
      this.#page[id] = this.#tablePages.page;
    }
  }

  get stateBytes(): number {
    return this.#keys.bytes + this.#tablePages.bytes + this.#pendingPages.bytes + this.#record.length * 12;
  }

  get due(): DueTimes {
    return NEVER_DUE;
  }

  onBatch(rows: Batch, input: number): void {
    const { memory } = this.#context.slabs;
    const side = this.#columns.sides[input as 0 | 1];
    const keyColumns = pick(rows.columns, side.keys, this.#keyColumns);
    const values = pick(rows.columns, side.values, this.#valueColumns[input as 0 | 1]);
    if (rows.rowCount > this.#hashes.length) this.#hashes = new Uint32Array(rows.rowCount * 2);
    hashKeys(memory, keyColumns, rows.rowCount, this.#hashes);
    const deleted = input === RIGHT && this.#deletedAt >= 0 ? rows.column(this.#deletedAt) : undefined;
    for (let row = 0; row < rows.rowCount; row++) {
      const key = this.#keys.intern(keyColumns, row, this.#hashes[row] as number);
      this.#reserve();
      if (input === LEFT) {
        const record = this.#pendingPages.take(this.#left.size(values, row));
        this.#left.write(values, row, record);
        this.#pendingKeys.push(key);
        this.#pendingRecords.push(record);
        this.#context.output.at(row);
        this.#pendingPlaces.push(this.#context.output.place);
        this.#waiting[key] = (this.#waiting[key] as number) + 1;
        continue;
      }
      if (this.#record[key] !== 0) this.#tablePages.drop(this.#page[key] as number);
      this.#record[key] = 0;
      const isGone = (deleted !== undefined && isTrue(memory.u8, deleted, row)) || (this.#isNullable && this.#keys.isNull(key));
      if (isGone) this.#letGo(key);
      else {
        const record = this.#tablePages.take(this.#right.size(values, row));
        this.#right.write(values, row, record);
        this.#record[key] = record;
        this.#page[key] = this.#tablePages.page;
      }
    }
  }

  onWatermark(): void {
    const { keysTo, sides, type } = this.#columns;
    const { output } = this.#context;
    for (let i = 0; i < this.#pendingKeys.length; i++) {
      const key = this.#pendingKeys[i] as number;
      const found = this.#record[key] as number;
      if (found !== 0 || type === 'left') {
        output.place = this.#pendingPlaces[i] as number;
        const out = output.claim();
        const row = out.rowCount++;
        this.#keys.read(key, out, keysTo, row);
        this.#left.read(this.#pendingRecords[i] as number, out, sides[LEFT].to, row);
        if (found === 0) this.#right.readNulls(out, sides[RIGHT].to, row);
        else this.#right.read(found, out, sides[RIGHT].to, row);
      }
      this.#waiting[key] = (this.#waiting[key] as number) - 1;
      this.#letGo(key);
    }
    if (this.#pendingKeys.length === 0) return;
    this.#pendingKeys = [];
    this.#pendingRecords = [];
    this.#pendingPlaces = [];
    this.#pendingPages.release();
  }

  snapshot(): HeldTable {
    const { u8 } = this.#context.slabs.memory;
    const keys = Array.from(this.#record.keys()).filter((key) => this.#record[key] !== 0);
    return {
      rows: keys.map((key) => {
        const record = this.#record[key] as number;
        return { hash: this.#keys.hashOf(key), key: this.#keys.copyOut(key), values: u8.slice(record, record + this.#right.recordBytes(record)) };
      }),
    };
  }

  *stateRows(): Generator<StateRow> {
    // What all shards hold is shown once.
    if (this.#table.isBroadcast === true && this.#context.shard > 0) return;
    const reader = new HeldRowReader(this.#context.slabs, this.#table, this.#columns.sides[RIGHT]);
    for (const [id, record] of this.#record.entries()) {
      if (record !== 0) yield { ...reader.read(this.#keys, id, this.#right, record), side: 'right' };
    }
    reader.release();
  }

  release(): void {
    this.#keys.release();
    this.#tablePages.release();
    this.#pendingPages.release();
  }

  /** Drops a key that is not in the table and that no row waits for. */
  #letGo(key: number): void {
    if (this.#record[key] === 0 && this.#waiting[key] === 0) this.#keys.remove(key);
  }

  #reserve(): void {
    const limit = this.#keys.idLimit;
    if (limit <= this.#record.length) return;
    this.#record = longer(this.#record, limit);
    this.#page = longer(this.#page, limit);
    this.#waiting = longer(this.#waiting, limit);
  }
}

function imageOf(slabs: SlabAllocator, columns: JoinColumns, input: 0 | 1): RowImage {
  return new RowImage(
    slabs.memory,
    columns.sides[input].to.map((to) => columns.output.field(to).type),
  );
}

function longer(array: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const to = new Uint32Array(length);
  to.set(array);
  return to;
}

/** Whether a row of a bool column is true. */
export function isTrue(u8: Uint8Array, { data, validity }: Column, row: number): boolean {
  const mask = 1 << (row & 7);
  return ((u8[data + (row >>> 3)] as number) & mask) !== 0 && (validity === 0 || ((u8[validity + (row >>> 3)] as number) & mask) !== 0);
}
